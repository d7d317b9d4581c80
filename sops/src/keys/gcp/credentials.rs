//! Who asks Google: where credentials are looked for, and the access token that they give.
//!
//! First the places of sops (<https://github.com/getsops/sops/blob/v3.11.0/gcpkms/keysource.go>), then those of all of Google's libraries
//! (<https://cloud.google.com/docs/authentication/application-default-credentials>). The metadata server of a machine at Google is asked only
//! where `GCE_METADATA_HOST` names it.
use super::super::{Variables, exchange::Question, identities, oauth};
use kthw_engine::Secret;
use kthw_http::Http;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use url::Url;
use zeroize::Zeroizing;

/// What the token is for; the one scope that every kind of credentials can have.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion counts, in seconds: as long as its answer is waited for, and clocks that differ.
const ASSERTED: i64 = 600;
const INSTEAD: &str = "export GOOGLE_OAUTH_ACCESS_TOKEN=\"$(gcloud auth print-access-token)\"";

/// Credentials that were found.
pub(super) enum Found {
    Token(Secret),
    /// The text of a file, and what people know it by.
    File {
        place: String,
        text: Zeroizing<Vec<u8>>,
    },
    Metadata(String),
}

/// An access token, and the project whose quota is used, where the credentials name one.
#[derive(Debug)]
pub(super) struct Access {
    pub token: Secret,
    pub quota_project: Option<String>,
}

/// A file of credentials, by its `type`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ServiceAccount {
        client_email: String,
        #[serde(deserialize_with = "oauth::secret")]
        private_key: Secret,
        private_key_id: Option<String>,
        token_uri: Option<String>,
    },
    AuthorizedUser {
        client_id: String,
        #[serde(deserialize_with = "oauth::secret")]
        client_secret: Secret,
        #[serde(deserialize_with = "oauth::secret")]
        refresh_token: Secret,
        quota_project_id: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// Looks for credentials. The error says where.
pub(super) fn find(variables: &Variables) -> Result<Found, String> {
    let set = |name: &str| variables(name)?.into_string().ok().filter(|value| !value.is_empty());
    let file = |place: String, path: &Path| match identities::read(path) {
        Ok(text) => Ok(Found::File { place, text }),
        Err(error) => Err(format!("cannot read Google credentials from {place}: {error}")),
    };
    if let Some(value) = set("GOOGLE_CREDENTIALS") {
        let path = Path::new(&value);
        return match path.exists() {
            true => file(format!("{value} (GOOGLE_CREDENTIALS)"), path),
            false => Ok(Found::File { place: "GOOGLE_CREDENTIALS".into(), text: Zeroizing::new(value.into_bytes()) }),
        };
    }
    if let Some(token) = set("GOOGLE_OAUTH_ACCESS_TOKEN") {
        return Ok(Found::Token(Secret::new(token)));
    }
    if let Some(path) = set("GOOGLE_APPLICATION_CREDENTIALS") {
        return file(format!("{path} (GOOGLE_APPLICATION_CREDENTIALS)"), Path::new(&path));
    }
    let usual = set("HOME").map(|home| PathBuf::from(home).join(".config/gcloud/application_default_credentials.json"));
    if let Some(path) = usual.as_ref().filter(|path| path.exists()) {
        return file(path.display().to_string(), path);
    }
    if let Some(host) = set("GCE_METADATA_HOST") {
        return Ok(Found::Metadata(host));
    }
    let usual = usual.map_or_else(|| "(no HOME)".into(), |path| path.display().to_string());
    Err(format!(
        "found no Google credentials; looked at GOOGLE_CREDENTIALS, GOOGLE_OAUTH_ACCESS_TOKEN, GOOGLE_APPLICATION_CREDENTIALS, {usual} and GCE_METADATA_HOST"
    ))
}

impl Found {
    /// An access token for these credentials; `token_place` is where Google gives out tokens.
    pub async fn access(self, http: &dyn Http, token_place: &Url) -> Result<Access, String> {
        let (place, text) = match self {
            Self::Token(token) => return Ok(Access { token, quota_project: None }),
            Self::Metadata(host) => return of_machine(http, &host).await,
            Self::File { place, text } => (place, text),
        };
        // No message quotes the file: it holds keys.
        let file: File = serde_json::from_slice(&text).map_err(|_| format!("{place} holds no Google credentials"))?;
        let (question, quota_project) = match file {
            File::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                let url = token_uri.map_or_else(|| Ok(token_place.clone()), |uri| Url::parse(&uri));
                let url = url.map_err(|_| format!("`token_uri` in {place} is no address"))?;
                let now = jiff::Timestamp::now().as_second();
                let claims = Claims { iss: &client_email, scope: SCOPE, aud: url.as_str(), iat: now, exp: now + ASSERTED };
                let header = Header { alg: "RS256", typ: "JWT", kid: private_key_id.as_deref() };
                let assertion = reqsign_core::jwt::encode_rs256_pem(&header, &claims, private_key.expose().as_bytes());
                let assertion = Zeroizing::new(assertion.map_err(|_| format!("`private_key` in {place} is no RSA key"))?);
                let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
                (Question::form(url, &fields), None)
            }
            File::AuthorizedUser { client_id, client_secret, refresh_token, quota_project_id } => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", &client_id),
                    ("client_secret", client_secret.expose()),
                    ("refresh_token", refresh_token.expose()),
                ];
                (Question::form(token_place.clone(), &fields), quota_project_id)
            }
            File::Other => return Err(format!("kthw does not use this type of credentials, in {place}; {INSTEAD}")),
        };
        let token = oauth::token(http, &question, &place).await?;
        Ok(Access { token, quota_project })
    }
}

/// The token of the machine's own account (<https://cloud.google.com/compute/docs/access/authenticate-workloads>).
async fn of_machine(http: &dyn Http, host: &str) -> Result<Access, String> {
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let url = Url::parse(&url).map_err(|_| "GCE_METADATA_HOST is no host".to_owned())?;
    let question = Question::get(url).with("metadata-flavor", "Google");
    let token = oauth::token(http, &question, "the metadata server").await?;
    Ok(Access { token, quota_project: None })
}
