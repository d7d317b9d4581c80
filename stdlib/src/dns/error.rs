//! What a Pi-hole refuses, or does not answer at all.
use crate::workspace::PiHoleVersion;
use kthw_engine::Error;
use miette::Diagnostic;
use serde::Deserialize;

/// A request that came to nothing.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(super) enum Failure {
    /// Nobody answered.
    #[error("Pi-hole at {url} does not answer: {reason}")]
    #[diagnostic(
        code(kthw::dns::no_answer),
        help(
            "see that `dns.pihole.url` leads to it from this computer; where it shows a certificate of its own, name that under `dns.pihole.fingerprint`"
        )
    )]
    NoAnswer { url: String, reason: String },
    /// The password is not the one that it has.
    #[error("Pi-hole at {url} does not take the password")]
    #[diagnostic(
        code(kthw::dns::password),
        help("the secret that `dns.pihole.password_secret` names holds its web password; correct it with `kthw secrets edit`")
    )]
    Password { url: String },
    /// A second factor is on.
    #[error("Pi-hole at {url} asks for a second factor, which a program cannot give")]
    #[diagnostic(
        code(kthw::dns::second_factor),
        help(
            "make an app password there (Settings, Web interface / API), switch on `webserver.api.app_sudo`, and keep that password as the secret"
        )
    )]
    SecondFactor { url: String },
    /// This session may only read.
    #[error("Pi-hole at {url} lets this password read only: {said}")]
    #[diagnostic(
        code(kthw::dns::read_only),
        help(
            "an app password may write where `webserver.api.app_sudo` is on; else keep the web password as the secret, and see `misc.readOnly`"
        )
    )]
    ReadOnly { url: String, said: String },
    /// What answers is something else.
    #[error("what answers at {url} is no Pi-hole {version}: {said}")]
    #[diagnostic(code(kthw::dns::another_version), help("see `dns.pihole.url` and `dns.pihole.version` (5 or 6)"))]
    Another { url: String, version: PiHoleVersion, said: String },
    /// It will not do it.
    #[error("Pi-hole at {url} refuses to {deed}: {said}")]
    #[diagnostic(
        code(kthw::dns::refused),
        help("what an environment variable of its container sets, such as FTLCONF_dns_hosts, cannot be changed through its API")
    )]
    Refused { url: String, deed: String, said: String },
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::peer(failure)
    }
}

/// The workspace says nothing of a Pi-hole.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the workspace `{workspace}` names no Pi-hole")]
#[diagnostic(
    code(kthw::dns::no_pihole),
    help("add `dns: {{ pihole: {{ url: …, version: 6, password_secret: … }} }}` to its workspace.yaml")
)]
pub struct NoPiHole {
    workspace: String,
}

impl NoPiHole {
    /// That of this workspace.
    pub fn of(workspace: &str) -> Self {
        Self { workspace: workspace.to_owned() }
    }
}

/// What Pi-hole 6 says when it refuses, with its machine-readable key.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    hint: serde_json::Value,
}

impl Said {
    /// What a body says; an answer of something else says nothing.
    pub fn of(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            error: Said,
        }
        serde_json::from_slice::<Answer>(body).map(|answer| answer.error).unwrap_or_default()
    }

    /// In words, with the status when it said nothing.
    pub fn words(&self, status: http::StatusCode) -> String {
        match (self.message.as_str(), self.hint.as_str()) {
            ("", _) => format!("status {}", status.as_u16()),
            (message, None) => message.to_owned(),
            (message, Some(hint)) => format!("{message} ({hint})"),
        }
    }
}
