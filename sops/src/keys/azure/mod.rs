//! Keys of Azure Key Vault: `encrypt` and `decrypt` with RSA-OAEP-256, as sops calls them
//! (<https://learn.microsoft.com/rest/api/keyvault/keys/encrypt/encrypt>).
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
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use kthw_http::{HttpClient, Trust};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;
use zeroize::Zeroizing;

const API: &str = "api-version=7.4";
const ALGORITHM: &str = "RSA-OAEP-256";
const HELP: &str =
    "sign in with `az login`, or give AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of an application that may use the key";
/// What the names of vaults end with, one for each of Azure's clouds. A token of that cloud is sent nowhere else.
const CLOUDS: [&str; 6] = [
    "vault.azure.net",
    "managedhsm.azure.net",
    "vault.azure.cn",
    "managedhsm.azure.cn",
    "vault.usgovcloudapi.net",
    "managedhsm.usgovcloudapi.net",
];

pub(super) struct AzureService {
    variables: Arc<Variables>,
    /// In place of every vault.
    vault: Option<Url>,
}

/// A key in a vault.
struct Key<'a> {
    vault: Url,
    /// What tokens are for: `https://vault.azure.net`.
    resource: String,
    name: &'a str,
    /// The newest one when empty.
    version: &'a str,
}

#[derive(Serialize)]
struct Operation<'a> {
    alg: &'static str,
    /// Base64 for URLs, without its padding.
    value: &'a str,
}

#[derive(Deserialize)]
struct Done {
    value: String,
}

#[derive(Deserialize)]
struct Described {
    key: Id,
}

#[derive(Deserialize)]
struct Id {
    /// `https://VAULT/keys/NAME/VERSION`
    kid: String,
}

impl AzureService {
    pub(super) fn new(variables: Arc<Variables>) -> Self {
        Self { variables, vault: None }
    }

    fn key<'a>(&self, recipient: &'a Recipient) -> Result<Key<'a>, Failure> {
        let [address, name, version] = ["vault_url", "name", "version"].map(|field| recipient.field(field));
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let address = Url::parse(address).ok().filter(|url| url.scheme() == "https" && url.port().is_none());
        let cloud =
            address.as_ref().and_then(Url::host_str).and_then(|host| CLOUDS.into_iter().find(|cloud| host.ends_with(&format!(".{cloud}"))));
        let (Some(vault), Some(cloud), true) = (address, cloud, !name.is_empty() && word(name) && word(version)) else {
            let help = "write it as `https://VAULT.vault.azure.net/keys/NAME/VERSION`, as `az keyvault key show` prints it";
            return Err(Failure::new("it is no key in a vault of Azure", help));
        };
        Ok(Key { vault: self.vault.clone().unwrap_or(vault), resource: format!("https://{cloud}"), name, version })
    }

    /// Asks about a key: `None` for its description, or an operation with a value.
    fn ask<A: for<'d> Deserialize<'d> + Send>(&self, key: &Key<'_>, operation: Option<(&str, &Operation<'_>)>) -> Result<A, Failure> {
        let mut url = key.vault.clone();
        url.set_path("");
        let steps = ["keys", key.name, key.version, operation.map_or("", |operation| operation.0)];
        url.path_segments_mut()
            .map_err(|()| "a vault has an address".to_owned())?
            .extend(steps.into_iter().filter(|step| !step.is_empty()));
        url.set_query(Some(API));
        let found = credentials::find(&*self.variables)?;
        let client = HttpClient::new(&Trust::System).map_err(|error| error.to_string())?;
        let answer = within_limit("Azure", async {
            let token = found.access(&client, &*self.variables, &key.resource).await?;
            let question = operation.map_or_else(|| Question::get(url.clone()), |(_, operation)| Question::json(url.clone(), operation));
            Ok(question.with_bearer(&token)?.ask(&client, oauth::said).await)
        })?;
        answer.map_err(|refused| failure(refused, &url))
    }

    fn seal(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, Failure> {
        let key = self.key(recipient)?;
        let value = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(plain));
        let done: Done = self.ask(&key, Some(("encrypt", &Operation { alg: ALGORITHM, value: &value })))?;
        Ok(done.value.trim_end_matches('=').to_owned())
    }

    fn open(&self, key: &MasterKey) -> Result<DataKey, Failure> {
        let operation = Operation { alg: ALGORITHM, value: &key.encrypted };
        let done: Done = self.ask(&self.key(&key.recipient)?, Some(("decrypt", &operation)))?;
        let value = Zeroizing::new(done.value);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(value.trim_end_matches('='));
        Ok(Zeroizing::new(bytes.map_err(|_| "its answer is not what Key Vault answers".to_owned())?))
    }

    /// The newest version of a key.
    fn newest(&self, recipient: &Recipient) -> Result<String, Failure> {
        let described: Described = self.ask(&self.key(recipient)?, None)?;
        let version = described.key.kid.rsplit('/').next().filter(|version| !version.is_empty());
        Ok(version.ok_or_else(|| "its answer is not what Key Vault answers".to_owned())?.to_owned())
    }
}

fn failure(refused: Refused, url: &Url) -> Failure {
    let help = match &refused {
        Refused::Unasked(_) => "see that this machine reaches the vault: its firewall may let in some networks only".into(),
        Refused::Status(401, _) => HELP.to_owned(),
        Refused::Status(403, _) => {
            "give the account the role `Key Vault Crypto User` on the key (or `get`, `encrypt` and `decrypt` in the vault's access policy)"
                .into()
        }
        Refused::Status(404, _) => "check the key's name and version: `az keyvault key list-versions` shows them".into(),
        Refused::Status(429 | 500..=599, _) => "try again when the vault is well".into(),
        Refused::Status(..) => "look at the key with `az keyvault key show`: it must be an RSA key, and enabled".into(),
    };
    Failure::new(refused.reason(url), help)
}

impl KeyService for AzureService {
    fn serves(&self, recipient: &Recipient) -> bool {
        matches!(recipient, Recipient::Other { kind: OtherKind::AzureKeyVault, .. })
    }

    /// A key without a version is its newest one; the file names that, since a later one does not open what it sealed.
    fn settle(&self, recipient: &Recipient) -> Result<Option<Recipient>, SopsError> {
        if !recipient.field("version").is_empty() {
            return Ok(None);
        }
        let version = self.newest(recipient).map_err(|failure| failure.sealing(recipient, HELP))?;
        Ok(Some(recipient.with_field("version", &version)))
    }

    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError> {
        self.seal(recipient, plain).map_err(|failure| failure.sealing(recipient, HELP))
    }

    fn decrypt(&self, key: &MasterKey, _: Asking<'_>) -> Result<DataKey, SopsError> {
        self.open(key).map_err(|failure| failure.opening(&key.recipient, HELP))
    }
}
