//! Keys of Google Cloud KMS: `encrypt` and `decrypt` of its REST API
//! (<https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/encrypt>), which hold what sops' calls by gRPC
//! do; its files are the same.
mod credentials;
#[cfg(test)]
mod tests;

use super::{
    Asking, DataKey, KeyService, MasterKey, OtherKind, Recipient, Variables,
    exchange::{Question, Refused, within_limit},
    failure::Failure,
    oauth,
};
use crate::SopsError;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use kthw_http::{HttpClient, Trust};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;
use zeroize::Zeroizing;

const HELP: &str = "give Google credentials that may use the key: `gcloud auth application-default login`, or the file of a service account in GOOGLE_APPLICATION_CREDENTIALS";

pub(super) struct GcpKmsService {
    variables: Arc<Variables>,
    places: Places,
}

/// Where Google is.
pub(super) struct Places {
    pub kms: Url,
    pub token: Url,
}

impl Default for Places {
    fn default() -> Self {
        let url = |text| Url::parse(text).expect("it is an address");
        Self { kms: url("https://cloudkms.googleapis.com"), token: url("https://oauth2.googleapis.com/token") }
    }
}

#[derive(Serialize)]
struct Seal<'a> {
    plaintext: &'a str,
}

#[derive(Deserialize)]
struct Sealed {
    ciphertext: String,
}

#[derive(Serialize)]
struct Open<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Opened {
    plaintext: String,
}

impl GcpKmsService {
    pub(super) fn new(variables: Arc<Variables>) -> Self {
        Self::at(variables, Places::default())
    }

    fn at(variables: Arc<Variables>, places: Places) -> Self {
        Self { variables, places }
    }

    fn call<D: for<'d> Deserialize<'d> + Send>(
        &self,
        recipient: &Recipient,
        verb: &'static str,
        body: &(impl Serialize + Sync),
    ) -> Result<D, Failure> {
        let url = self.url(recipient.field("resource_id"), verb)?;
        let found = credentials::find(&*self.variables)?;
        let client = HttpClient::new(&Trust::System).map_err(|error| error.to_string())?;
        let answer = within_limit("Google", async {
            let access = found.access(&client, &self.places.token).await?;
            let mut question = Question::json(url.clone(), body).with_bearer(&access.token)?;
            let quota = (self.variables)("GOOGLE_CLOUD_QUOTA_PROJECT").and_then(|name| name.into_string().ok());
            if let Some(project) = quota.filter(|name| !name.is_empty()).or(access.quota_project) {
                let project = HeaderValue::from_str(&project).map_err(|_| "the quota project is no name of a project".to_owned())?;
                question.headers.push(("x-goog-user-project", project));
            }
            Ok(question.ask(&client, oauth::said).await)
        })?;
        answer.map_err(|refused| failure(refused, &url))
    }

    /// `…/v1/projects/P/locations/L/keyRings/R/cryptoKeys/K:encrypt`
    fn url(&self, resource: &str, verb: &str) -> Result<Url, Failure> {
        if !is_key(resource) {
            let help = "write it as `projects/P/locations/L/keyRings/R/cryptoKeys/K`, as `gcloud kms keys list` shows it";
            return Err(Failure::new("it is no name of a key", help));
        }
        let mut url = self.places.kms.clone();
        url.set_path(&format!("/v1/{resource}:{verb}"));
        Ok(url)
    }
}

/// Whether a text has the form `projects/P/locations/L/keyRings/R/cryptoKeys/K`. It becomes part of an address.
pub(crate) fn is_key(resource: &str) -> bool {
    let steps: Vec<&str> = resource.split('/').collect();
    let fits = |step: &str| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        !matches!(step, "" | "." | "..") && step.chars().all(is_name)
    };
    matches!(steps[..], ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key]
        if [project, location, ring, key].into_iter().all(fits))
}

fn failure(refused: Refused, url: &Url) -> Failure {
    let help = match &refused {
        Refused::Unasked(_) => "see that this machine reaches Google, by HTTPS_PROXY where it has to".into(),
        Refused::Status(401, _) => HELP.to_owned(),
        Refused::Status(403, _) => {
            "give the account `roles/cloudkms.cryptoKeyEncrypterDecrypter` on the key, or take an account that has it".into()
        }
        Refused::Status(404, _) => "check the name of the key: `gcloud kms keys list` shows the keys of a ring".into(),
        Refused::Status(429 | 500..=599, _) => "try again when Google's service is well".into(),
        Refused::Status(..) => {
            "look at the key with `gcloud kms keys describe`: it must be one for symmetric encryption, and enabled".into()
        }
    };
    Failure::new(refused.reason(url), help)
}

impl KeyService for GcpKmsService {
    fn serves(&self, recipient: &Recipient) -> bool {
        matches!(recipient, Recipient::Other { kind: OtherKind::GcpKms, .. })
    }

    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError> {
        let plaintext = Zeroizing::new(BASE64_STANDARD.encode(plain));
        let answer = self.call(recipient, "encrypt", &Seal { plaintext: &plaintext });
        answer.map(|Sealed { ciphertext }| ciphertext).map_err(|failure| failure.sealing(recipient, HELP))
    }

    fn decrypt(&self, key: &MasterKey, _: Asking<'_>) -> Result<DataKey, SopsError> {
        let opened = self.call(&key.recipient, "decrypt", &Open { ciphertext: &key.encrypted }).and_then(|Opened { plaintext }| {
            let plaintext = Zeroizing::new(plaintext);
            let bytes = BASE64_STANDARD.decode(&*plaintext).map_err(|_| "its answer is not what KMS answers".to_owned())?;
            Ok(Zeroizing::new(bytes))
        });
        opened.map_err(|failure: Failure| failure.opening(&key.recipient, HELP))
    }
}
