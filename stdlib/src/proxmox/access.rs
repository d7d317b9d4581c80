//! Where Proxmox is and who we are there: endpoints, credentials and trust, from the secrets file or the environment.
use crate::{
    http::{Fingerprint, Trust, TrustError},
    sops::Secrets,
};
use kthw_engine::{Error, Result, Secret};
use miette::Diagnostic;
use std::path::Path;

/// How to reach a Proxmox VE cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// Base URLs of hosts of one cluster, such as `https://pve1:8006`; the next one is tried when one does not answer.
    pub endpoints: Vec<Endpoint>,
    /// Who we are.
    pub credentials: Credentials,
    /// Which certificates to believe.
    pub trust: Trust,
}

/// The base URL of one host's API: `https://HOST:PORT/api2/json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

/// How requests prove who we are.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// An API token, which is written `user@realm!id=uuid`.
    Token {
        /// `user@realm!id`.
        id: String,
        /// The part behind the `=`.
        secret: Secret,
    },
    /// A user and a password, exchanged for a ticket at the first request.
    Password {
        /// With its realm, such as `root@pam`.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// The settings for Proxmox are missing or wrong.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AccessError {
    /// Nothing says where Proxmox is.
    #[error("no Proxmox endpoint is set")]
    #[diagnostic(
        code(kthw::proxmox::no_endpoint),
        help(
            "put `proxmox.endpoint` and `proxmox.token` into the workspace's secrets.sops.yaml, or set PROXMOX_VE_ENDPOINT and \
             PROXMOX_VE_API_TOKEN; to see the whole run without a Proxmox, add `--lab`"
        )
    )]
    NoEndpoint,
    /// Nothing says who we are.
    #[error("no credentials for Proxmox are set")]
    #[diagnostic(
        code(kthw::proxmox::no_credentials),
        help(
            "put `proxmox.token` (`user@realm!id=uuid`), or `proxmox.username` and `proxmox.password`, into secrets.sops.yaml, \
             or set PROXMOX_VE_API_TOKEN"
        )
    )]
    NoCredentials,
    /// The endpoint is not an https URL or a host name. What was given is not shown: it may be a password in the wrong place.
    #[error("`proxmox.endpoint` or PROXMOX_VE_ENDPOINT is not a Proxmox endpoint: {reason}")]
    #[diagnostic(code(kthw::proxmox::bad_endpoint), help("write it as `https://pve1.example.net:8006`, or only the host name"))]
    BadEndpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// The token does not look like one.
    #[error("the Proxmox API token is not of the form `user@realm!id=uuid`")]
    #[diagnostic(
        code(kthw::proxmox::bad_token),
        help("join the token's id and its secret with `=`, as `pveum user token add` shows them: `kthw@pve!ci=0123…`")
    )]
    BadToken,
    /// The user has no realm. What was given is not shown: it may be a password in the wrong place.
    #[error("the Proxmox user in `proxmox.username` or PROXMOX_VE_USERNAME has no realm")]
    #[diagnostic(code(kthw::proxmox::no_realm), help("write it as `USER@pam` or `USER@pve`"))]
    NoRealm,
    /// There is no such file. Its path is not shown: it may be a password in the wrong place.
    #[error("`proxmox.ca_file` or PROXMOX_VE_CA_FILE names no file")]
    #[diagnostic(code(kthw::proxmox::no_ca_file), help("name a PEM file, such as a copy of the host's /etc/pve/pve-root-ca.pem"))]
    NoCaFile,
    /// The fingerprint or certificate file cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] TrustError),
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Self {
        Self::usage(error)
    }
}

impl Access {
    /// The settings in a workspace's secrets and the process's environment; see [`access_from`].
    ///
    /// # Errors
    /// As [`access_from`].
    pub fn find(secrets: &Secrets) -> Result<Self> {
        access_from(|name| secrets.get_opt(name), |variable| std::env::var(variable).ok())
    }
}

/// Every setting: its name in the secrets file, and the variable that may stand in for it.
pub const SECRETS: [(&str, &str); 6] = [
    ("proxmox.endpoint", "PROXMOX_VE_ENDPOINT"),
    ("proxmox.token", "PROXMOX_VE_API_TOKEN"),
    ("proxmox.username", "PROXMOX_VE_USERNAME"),
    ("proxmox.password", "PROXMOX_VE_PASSWORD"),
    ("proxmox.fingerprint", "PROXMOX_VE_FINGERPRINT"),
    ("proxmox.ca_file", "PROXMOX_VE_CA_FILE"),
];

/// Finds the settings: first in the secrets file, whose values `secret` looks up by dotted name, then in the environment.
///
/// | secret | variable |
/// |---|---|
/// | `proxmox.endpoint` (a text, or a list of them) | `PROXMOX_VE_ENDPOINT` (several with commas between) |
/// | `proxmox.token` | `PROXMOX_VE_API_TOKEN` |
/// | `proxmox.username`, `proxmox.password` | `PROXMOX_VE_USERNAME`, `PROXMOX_VE_PASSWORD` |
/// | `proxmox.fingerprint` | `PROXMOX_VE_FINGERPRINT` |
/// | `proxmox.ca_file` | `PROXMOX_VE_CA_FILE` |
///
/// # Errors
/// [`SettingsError::NoEndpoint`] when nothing names an endpoint; other variants for what is wrong with the values; what `secret` fails with.
pub fn access_from(secret: impl Fn(&str) -> Result<Option<Secret>>, environment: impl Fn(&str) -> Option<String>) -> Result<Access> {
    let find = |name: &str, variable: &str| -> Result<Option<Secret>> {
        Ok(secret(name)?.or_else(|| environment(variable).map(Secret::new)).filter(|value| !value.is_blank()))
    };
    // Where Proxmox is and who we are there may be shown, although it stands in the secrets file; the token and the password may not.
    let text = |name: &str, variable: &str| Ok::<_, Error>(find(name, variable)?.map(|value| value.disclose().trim().to_owned()));
    let endpoints = endpoints(&secret, &text)?;
    let credentials = match find("proxmox.token", "PROXMOX_VE_API_TOKEN")? {
        Some(token) => Credentials::token(&token)?,
        None => {
            let username = text("proxmox.username", "PROXMOX_VE_USERNAME")?;
            let password = find("proxmox.password", "PROXMOX_VE_PASSWORD")?;
            let (Some(username), Some(password)) = (username, password) else { return Err(AccessError::NoCredentials.into()) };
            Credentials::password(username, password)?
        }
    };
    let ca_file = text("proxmox.ca_file", "PROXMOX_VE_CA_FILE")?;
    if ca_file.as_ref().is_some_and(|path| !Path::new(path).is_file()) {
        return Err(AccessError::NoCaFile.into());
    }
    let trust = match text("proxmox.fingerprint", "PROXMOX_VE_FINGERPRINT")? {
        Some(fingerprint) => Trust::Fingerprint(fingerprint.parse::<Fingerprint>().map_err(AccessError::from)?),
        None => ca_file.map_or(Trust::System, |path| Trust::CaFile(path.into())),
    };
    Ok(Access { endpoints, credentials, trust })
}

/// A list in the secrets file is `proxmox.endpoint.0` and so on; a text may hold several with commas between.
fn endpoints(
    secret: &impl Fn(&str) -> Result<Option<Secret>>,
    text: &impl Fn(&str, &str) -> Result<Option<String>>,
) -> Result<Vec<Endpoint>> {
    let mut given = Vec::new();
    while let Some(one) = secret(&format!("proxmox.endpoint.{}", given.len()))? {
        given.push(one.disclose().to_owned());
    }
    if given.is_empty() {
        given.extend(text("proxmox.endpoint", "PROXMOX_VE_ENDPOINT")?);
    }
    let given = given.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
    let endpoints: Vec<Endpoint> = given.map(Endpoint::parse).collect::<std::result::Result<_, _>>()?;
    if endpoints.is_empty() { Err(AccessError::NoEndpoint.into()) } else { Ok(endpoints) }
}

impl Endpoint {
    /// Reads a URL or a bare host; the scheme is always https and the port 8006 unless another is given.
    ///
    /// # Errors
    /// [`SettingsError::BadEndpoint`] for another scheme, a user or a path of one's own.
    pub fn parse(text: &str) -> std::result::Result<Self, AccessError> {
        let bad = |reason: &str| AccessError::BadEndpoint { reason: reason.into() };
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        if scheme != "https" {
            return Err(bad("it must be https"));
        }
        // Parsed as http, so that a given port 443 is not dropped as the default.
        let url = url::Url::parse(&format!("http://{rest}")).map_err(|error| bad(&error.to_string()))?;
        let Some(host) = url.host_str() else { return Err(bad("it has no host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("credentials do not belong into it"));
        }
        if !matches!(url.path().trim_end_matches('/'), "" | "/api2" | "/api2/json") || url.query().is_some() {
            return Err(bad("it has a path"));
        }
        Ok(Self(format!("https://{host}:{}/api2/json", url.port().unwrap_or(8006))))
    }

    /// The URL that paths are added to.
    pub fn url(&self) -> &str {
        &self.0
    }

    /// Host and port, for messages.
    pub fn host(&self) -> &str {
        self.0.trim_start_matches("https://").trim_end_matches("/api2/json")
    }
}

impl Credentials {
    /// An API token.
    ///
    /// # Errors
    /// [`SettingsError::BadToken`] when it is not of the form `user@realm!id=uuid`.
    pub fn token(token: &Secret) -> std::result::Result<Self, AccessError> {
        // Only taken apart here; it is exposed where it is sent.
        let text = token.disclose().trim().trim_start_matches("PVEAPIToken=");
        let parts = text.split_once('!').and_then(|(user, rest)| Some((user, rest.split_once('=')?)));
        match parts {
            Some((user, (id, secret))) if user.contains('@') && !id.is_empty() && !secret.is_empty() => {
                Ok(Self::Token { id: format!("{user}!{id}"), secret: Secret::new(secret) })
            }
            _ => Err(AccessError::BadToken),
        }
    }

    /// A user with its realm, and its password.
    ///
    /// # Errors
    /// [`SettingsError::NoRealm`] when the user has no realm: guessing one signs in as somebody else.
    pub fn password(username: String, password: Secret) -> std::result::Result<Self, AccessError> {
        if !username.contains('@') {
            return Err(AccessError::NoRealm);
        }
        Ok(Self::Password { username, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "kthw@pve!ci=11111111-2222-3333-4444-555555555555";

    fn from(secrets: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Access> {
        let find = |list: &[(&str, &str)], name: &str| list.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        access_from(|name| Ok(find(secrets, name).map(Secret::new)), |name| find(variables, name))
    }

    fn hosts(access: Result<Access>) -> Vec<String> {
        access.expect("settings").endpoints.iter().map(|one| one.host().to_owned()).collect()
    }

    #[test]
    fn an_endpoint_is_a_host_or_an_https_url() {
        let url = |text| Endpoint::parse(text).map(|endpoint| endpoint.url().to_owned()).map_err(|error| error.to_string());
        assert_eq!(url("pve1"), Ok("https://pve1:8006/api2/json".into()));
        assert_eq!(url("https://pve1:443/"), Ok("https://pve1:443/api2/json".into()));
        assert_eq!(url("https://pve1:8006/api2/json"), Ok("https://pve1:8006/api2/json".into()));
        let bad = |reason| Err(format!("`proxmox.endpoint` or PROXMOX_VE_ENDPOINT is not a Proxmox endpoint: {reason}"));
        assert_eq!(url("http://pve1"), bad("it must be https"));
        assert_eq!(url("https://pve1/x"), bad("it has a path"));
        assert_eq!(url("https://root:hunter2@pve1"), bad("credentials do not belong into it"));
        assert_eq!(url(TOKEN), bad("credentials do not belong into it"));
    }

    #[test]
    fn secrets_come_before_the_environment() {
        let list = [("proxmox.endpoint.0", "a"), ("proxmox.endpoint.1", "b"), ("proxmox.token", TOKEN)];
        assert_eq!(hosts(from(&list, &[("PROXMOX_VE_ENDPOINT", "c")])), ["a:8006", "b:8006"]);
        assert_eq!(hosts(from(&[("proxmox.endpoint", "a")], &[("PROXMOX_VE_API_TOKEN", TOKEN)])), ["a:8006"]);
        let variables = [("PROXMOX_VE_ENDPOINT", "c, d"), ("PROXMOX_VE_USERNAME", "root@pam"), ("PROXMOX_VE_PASSWORD", "quiet")];
        let access = from(&[], &variables).expect("settings");
        assert!(matches!(access.credentials, Credentials::Password { .. }));
        assert!(!format!("{access:?}").contains("quiet"));
        assert_eq!(hosts(Ok(access)), ["c:8006", "d:8006"]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let error = |secrets: &[(&str, &str)]| from(secrets, &[("PROXMOX_VE_API_TOKEN", "")]).expect_err("incomplete").to_string();
        assert_eq!(error(&[]), "no Proxmox endpoint is set");
        assert_eq!(error(&[("proxmox.endpoint", "a")]), "no credentials for Proxmox are set");
        let bad_token = error(&[("proxmox.endpoint", "a"), ("proxmox.token", "abc")]);
        assert_eq!(bad_token, "the Proxmox API token is not of the form `user@realm!id=uuid`");
        let no_realm = error(&[("proxmox.endpoint", "a"), ("proxmox.username", "root"), ("proxmox.password", "p")]);
        assert_eq!(no_realm, "the Proxmox user in `proxmox.username` or PROXMOX_VE_USERNAME has no realm");
    }
}
