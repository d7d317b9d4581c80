//! Where Proxmox is and who we are there: endpoints, credentials and trust, from the secrets file or the environment.
use crate::http::{Fingerprint, Trust, TrustError};
use kthw_engine::Secret;
use miette::Diagnostic;
use serde_json::Value;

/// How to reach a Proxmox VE cluster.
#[derive(Clone, Debug)]
pub struct Settings {
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
    /// An API token, as `user@realm!id=uuid`.
    Token(Secret),
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
pub enum SettingsError {
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
    /// The endpoint is not an https URL or a host name.
    #[error("`{endpoint}` is not a Proxmox endpoint: {reason}")]
    #[diagnostic(code(kthw::proxmox::bad_endpoint), help("write it as `https://pve1.example.net:8006`, or only the host name"))]
    BadEndpoint {
        /// What was given.
        endpoint: String,
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
    /// The user has no realm.
    #[error("the Proxmox user `{username}` has no realm")]
    #[diagnostic(code(kthw::proxmox::no_realm), help("write `{username}@pam` or `{username}@pve`"))]
    NoRealm {
        /// What was given.
        username: String,
    },
    /// A value in the secrets file has the wrong type.
    #[error("the secret `{name}` is not {expected}")]
    #[diagnostic(code(kthw::proxmox::secret_type), help("change it with `sops secrets.sops.yaml`"))]
    WrongType {
        /// The dotted name of the secret.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The fingerprint or certificate file cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] TrustError),
}

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
/// [`SettingsError::NoEndpoint`] when nothing names an endpoint; other variants for what is wrong with the values.
pub fn settings_from(
    secret: impl Fn(&str) -> Option<Value>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Settings, SettingsError> {
    let text = |name: &'static str, variable: &str| match secret(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) | None => Ok(environment(variable).filter(|text| !text.is_empty())),
        Some(_) => Err(SettingsError::WrongType { name, expected: "a text" }),
    };
    let endpoints = match secret("proxmox.endpoint") {
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or(SettingsError::WrongType { name: "proxmox.endpoint", expected: "a text or a list of texts" })?,
        _ => text("proxmox.endpoint", "PROXMOX_VE_ENDPOINT")?.map_or_else(Vec::new, |text| vec![text]),
    };
    let endpoints = endpoints.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
    let endpoints: Vec<Endpoint> = endpoints.map(Endpoint::parse).collect::<Result<_, _>>()?;
    if endpoints.is_empty() {
        return Err(SettingsError::NoEndpoint);
    }
    let credentials = match text("proxmox.token", "PROXMOX_VE_API_TOKEN")? {
        Some(token) => Credentials::token(token)?,
        None => {
            let username = text("proxmox.username", "PROXMOX_VE_USERNAME")?;
            let password = text("proxmox.password", "PROXMOX_VE_PASSWORD")?;
            let (Some(username), Some(password)) = (username, password) else { return Err(SettingsError::NoCredentials) };
            Credentials::password(username, password)?
        }
    };
    let trust = match text("proxmox.fingerprint", "PROXMOX_VE_FINGERPRINT")? {
        Some(fingerprint) => Trust::Fingerprint(fingerprint.parse::<Fingerprint>()?),
        None => text("proxmox.ca_file", "PROXMOX_VE_CA_FILE")?.map_or(Trust::System, |path| Trust::CaFile(path.into())),
    };
    Ok(Settings { endpoints, credentials, trust })
}

impl Endpoint {
    /// Reads a URL or a bare host; the scheme is always https and the port 8006 unless another is given.
    ///
    /// # Errors
    /// [`SettingsError::BadEndpoint`] for another scheme, a user or a path of one's own.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let bad = |reason: &str| SettingsError::BadEndpoint { endpoint: text.into(), reason: reason.into() };
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
    pub fn token(text: String) -> Result<Self, SettingsError> {
        let text = text.trim().trim_start_matches("PVEAPIToken=");
        let parts = text.split_once('!').and_then(|(user, rest)| Some((user, rest.split_once('=')?)));
        match parts {
            Some((user, (id, secret))) if user.contains('@') && !id.is_empty() && !secret.is_empty() => Ok(Self::Token(Secret::new(text))),
            _ => Err(SettingsError::BadToken),
        }
    }

    /// A user with its realm, and its password.
    ///
    /// # Errors
    /// [`SettingsError::NoRealm`] when the user has no realm: guessing one signs in as somebody else.
    pub fn password(username: String, password: String) -> Result<Self, SettingsError> {
        if !username.contains('@') {
            return Err(SettingsError::NoRealm { username });
        }
        Ok(Self::Password { username, password: Secret::new(password) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "kthw@pve!ci=11111111-2222-3333-4444-555555555555";

    fn from(secrets: Value, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        settings_from(
            |name| secrets.get(name).cloned(),
            |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        )
    }

    #[test]
    fn an_endpoint_is_a_host_or_an_https_url() {
        let url = |text| Endpoint::parse(text).map(|endpoint| endpoint.url().to_owned()).map_err(|error| error.to_string());
        assert_eq!(url("pve1"), Ok("https://pve1:8006/api2/json".into()));
        assert_eq!(url("https://pve1:443/"), Ok("https://pve1:443/api2/json".into()));
        assert_eq!(url("https://pve1:8006/api2/json"), Ok("https://pve1:8006/api2/json".into()));
        assert_eq!(url("http://pve1"), Err("`http://pve1` is not a Proxmox endpoint: it must be https".into()));
        assert_eq!(url("https://pve1/x"), Err("`https://pve1/x` is not a Proxmox endpoint: it has a path".into()));
    }

    #[test]
    fn secrets_come_before_the_environment() {
        let both = from(json!({"proxmox.endpoint": ["a", "b"], "proxmox.token": TOKEN}), &[("PROXMOX_VE_ENDPOINT", "c")]);
        let hosts: Vec<String> = both.expect("settings").endpoints.iter().map(|one| one.host().to_owned()).collect();
        assert_eq!(hosts, ["a:8006", "b:8006"]);
        let variables = [("PROXMOX_VE_ENDPOINT", "c, d"), ("PROXMOX_VE_USERNAME", "root@pam"), ("PROXMOX_VE_PASSWORD", "p")];
        let settings = from(json!({}), &variables).expect("settings");
        assert_eq!(settings.endpoints.len(), 2);
        assert!(matches!(settings.credentials, Credentials::Password { .. }));
        assert!(!format!("{settings:?}").contains("\"p\""));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let error = |secrets, variables| from(secrets, variables).expect_err("incomplete").to_string();
        assert_eq!(error(json!({}), &[]), "no Proxmox endpoint is set");
        assert_eq!(error(json!({"proxmox.endpoint": "a"}), &[]), "no credentials for Proxmox are set");
        assert_eq!(
            error(json!({"proxmox.endpoint": "a", "proxmox.token": "abc"}), &[]),
            "the Proxmox API token is not of the form `user@realm!id=uuid`"
        );
        assert_eq!(
            error(json!({"proxmox.endpoint": "a", "proxmox.username": "root", "proxmox.password": "p"}), &[]),
            "the Proxmox user `root` has no realm"
        );
        assert_eq!(error(json!({"proxmox.endpoint": 1}), &[]), "the secret `proxmox.endpoint` is not a text");
    }
}
