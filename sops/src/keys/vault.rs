//! Keys of the transit engine of HashiCorp Vault, and of OpenBao: `encrypt` and `decrypt`, as sops calls them
//! (<https://developer.hashicorp.com/vault/api-docs/secret/transit>).
//!
//! The file says where Vault is. The rest is as Vault's own client has it (<https://developer.hashicorp.com/vault/docs/commands>): the token in
//! `VAULT_TOKEN` or `~/.vault-token`, `VAULT_NAMESPACE`, `VAULT_CACERT`, and `VAULT_AGENT_ADDR`, an agent of one's own that is asked in place
//! of Vault and may add a token itself.
use super::{
    Asking, DataKey, KeyService, MasterKey, OtherKind, Recipient, Variables,
    exchange::{Question, Refused, within_limit},
    failure::Failure,
    identities,
};
use crate::SopsError;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use kthw_engine::Secret;
use kthw_http::{HttpClient, Trust};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{io::ErrorKind, path::PathBuf, sync::Arc};
use url::Url;
use zeroize::Zeroizing;

const HELP: &str = "check the address of Vault in the key's URI, such as `https://vault:8200/v1/transit/keys/NAME`";
const SIGN_IN: &str = "sign in with `vault login`, or put a token into VAULT_TOKEN";
/// Of Vault's own client, and not used here; who relies on one has to know.
const UNUSED: [&str; 5] = ["VAULT_SKIP_VERIFY", "VAULT_CAPATH", "VAULT_CACERT_BYTES", "VAULT_CLIENT_CERT", "VAULT_TLS_SERVER_NAME"];

pub(super) struct VaultService {
    variables: Arc<Variables>,
}

/// A key, and what a deed with it is.
struct Deed<'a> {
    /// `encrypt` or `decrypt`.
    verb: &'static str,
    engine: &'a str,
    key: &'a str,
    url: Url,
}

#[derive(Deserialize)]
struct Answer<D> {
    data: D,
}

#[derive(Serialize)]
struct Seal<'a> {
    plaintext: &'a str,
}

#[derive(Serialize)]
struct Open<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Sealed {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Opened {
    plaintext: String,
}

impl VaultService {
    pub(super) fn new(variables: Arc<Variables>) -> Self {
        Self { variables }
    }

    fn set(&self, name: &str) -> Option<String> {
        (self.variables)(name)?.into_string().ok().filter(|value| !value.is_empty())
    }

    fn deed<'a>(&self, recipient: &'a Recipient, verb: &'static str) -> Result<Deed<'a>, String> {
        let [address, engine, key] = ["vault_address", "engine_path", "key_name"].map(|name| recipient.field(name));
        let address = self.set("VAULT_AGENT_ADDR").unwrap_or_else(|| address.into());
        let url = url(&address, engine, verb, key).ok_or_else(|| format!("{address} with {engine} and {key} is no address of a key"))?;
        Ok(Deed { verb, engine, key, url })
    }

    /// The token; the error says where it was looked for.
    fn token(&self) -> Result<Secret, Failure> {
        let failed = |reason: String| Failure::new(reason, SIGN_IN);
        if let Some(token) = self.set("VAULT_TOKEN") {
            return Ok(Secret::new(token));
        }
        let Some(home) = self.set("HOME") else { return Err(failed("found no token; looked at VAULT_TOKEN, and HOME is not set".into())) };
        let file = PathBuf::from(home).join(".vault-token");
        match identities::read(&file) {
            Ok(bytes) => match str::from_utf8(&bytes).map(str::trim) {
                Ok("") => Err(failed(format!("found no token; looked at VAULT_TOKEN and {} (empty)", file.display()))),
                Ok(token) => Ok(Secret::new(token)),
                Err(_) => Err(failed(format!("{} holds no token", file.display()))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(failed(format!("found no token; looked at VAULT_TOKEN and {} (not there)", file.display())))
            }
            Err(error) => Err(failed(format!("cannot read {}: {error}", file.display()))),
        }
    }

    fn call<D: for<'d> Deserialize<'d> + Send>(&self, deed: &Deed<'_>, body: &(impl Serialize + Sync)) -> Result<D, Failure> {
        let mut question = Question::json(deed.url.clone(), body).with("x-vault-request", "true");
        match self.token() {
            Ok(token) => question = question.with_secret("x-vault-token", &token)?,
            // The agent has one.
            Err(_) if self.set("VAULT_AGENT_ADDR").is_some() => {}
            Err(failure) => return Err(failure),
        }
        if let Some(namespace) = self.set("VAULT_NAMESPACE") {
            let namespace = HeaderValue::from_str(&namespace).map_err(|_| "VAULT_NAMESPACE holds no namespace".to_owned())?;
            question.headers.push(("x-vault-namespace", namespace));
        }
        let trust = self.set("VAULT_CACERT").map_or(Trust::System, |path| Trust::CaFile(path.into()));
        let client = HttpClient::new(&trust).map_err(|error| error.to_string())?;
        let answer = within_limit("Vault", async { Ok(question.ask(&client, said).await) })?;
        answer.map(|answer: Answer<D>| answer.data).map_err(|refused| self.failure(deed, refused))
    }

    fn failure(&self, deed: &Deed<'_>, refused: Refused) -> Failure {
        let Deed { verb, engine, key, url } = deed;
        let place = url.origin().ascii_serialization();
        let help = match &refused {
            Refused::Unasked(_) => {
                let unused: Vec<&str> = UNUSED.into_iter().filter(|name| self.set(name).is_some()).collect();
                let more = if unused.is_empty() { String::new() } else { format!(" (kthw does not use {})", unused.join(", ")) };
                format!("see that Vault answers at {place}; VAULT_CACERT names the file of its certificate authority{more}")
            }
            Refused::Status(401 | 403, _) => format!("use a token that may update `{engine}/{verb}/{key}` and has not expired: {SIGN_IN}"),
            Refused::Status(503, _) => format!("have Vault at {place} unsealed, which `vault status` tells about, and try again"),
            Refused::Status(301..=308, _) => "name the active Vault in the key's URI, or have this one forward requests".into(),
            Refused::Status(429 | 500..=599, _) => format!("try again when Vault at {place} is well"),
            Refused::Status(..) => format!("check the key's URI: `vault list {engine}/keys` shows the keys of that engine"),
        };
        Failure::new(refused.reason(url), help)
    }
}

/// Vault's words: `{"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`.
fn said(answer: &Value) -> Option<String> {
    let errors = answer.get("errors")?.as_array()?.iter().filter_map(Value::as_str);
    let lines = errors.flat_map(str::lines).map(|line| line.trim().trim_start_matches("* "));
    Some(lines.filter(|line| !line.is_empty() && !line.ends_with("occurred:")).collect::<Vec<_>>().join(", "))
}

/// `ADDRESS/v1/ENGINE/VERB/KEY`, if the names are some.
fn url(address: &str, engine: &str, verb: &str, key: &str) -> Option<Url> {
    let fits = |step: &str| !matches!(step, "" | "." | "..") && !step.chars().any(|c| c.is_control() || c.is_whitespace());
    let steps: Vec<&str> = engine.trim_matches('/').split('/').chain([verb, key]).collect();
    if !steps.iter().copied().all(fits) || key.contains('/') {
        return None;
    }
    let mut url = Url::parse(address).ok().filter(Url::has_host)?;
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut().ok()?.pop_if_empty().push("v1").extend(steps);
    Some(url)
}

impl KeyService for VaultService {
    fn serves(&self, recipient: &Recipient) -> bool {
        matches!(recipient, Recipient::Other { kind: OtherKind::Vault, .. })
    }

    fn encrypt(&self, recipient: &Recipient, plain: &[u8]) -> Result<String, SopsError> {
        let plaintext = Zeroizing::new(BASE64_STANDARD.encode(plain));
        let sealed =
            self.deed(recipient, "encrypt").map_err(Failure::from).and_then(|deed| self.call(&deed, &Seal { plaintext: &plaintext }));
        sealed.map(|answer: Sealed| answer.ciphertext).map_err(|failure| failure.sealing(recipient, HELP))
    }

    fn decrypt(&self, key: &MasterKey, _: Asking<'_>) -> Result<DataKey, SopsError> {
        let opened = self
            .deed(&key.recipient, "decrypt")
            .map_err(Failure::from)
            .and_then(|deed| self.call(&deed, &Open { ciphertext: &key.encrypted }))
            .and_then(|Opened { plaintext }| {
                let plaintext = Zeroizing::new(plaintext);
                let bytes = BASE64_STANDARD.decode(&*plaintext).map_err(|_| "its answer is not what Vault answers".to_owned())?;
                Ok(Zeroizing::new(bytes))
            });
        opened.map_err(|failure: Failure| failure.opening(&key.recipient, HELP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::stand_in::StandIn;
    use serde_json::json;

    /// What cannot be tried on a Vault that costs nothing and is alone: namespaces, and a standby that redirects.
    #[test]
    fn a_request_is_that_of_vaults_own_client() {
        let vault = StandIn::start(|asked| match asked.header("x-vault-namespace") {
            Some("team/a") => (200, json!({ "data": { "ciphertext": "vault:v1:x", "key_version": 1 } })),
            _ => (307, json!(null)),
        });
        let seal = |namespace: &'static str| {
            let fields = [("vault_address", vault.endpoint()), ("engine_path", "a b".into()), ("key_name", "k".into())];
            let named = |engine: &str| {
                Recipient::Other { kind: OtherKind::Vault, fields: fields.clone().map(|(name, value)| (name.to_owned(), value)).into() }
                    .with_field("engine_path", engine)
            };
            let service = VaultService::new(Arc::new(move |name| match name {
                "VAULT_TOKEN" => Some("hvs.canary".into()),
                "VAULT_NAMESPACE" => Some(namespace.into()),
                _ => None,
            }));
            (service.encrypt(&named("transit/ü"), b"a data key"), service.encrypt(&named("a b"), b"a data key"))
        };
        let (sealed, spaced) = seal("team/a");
        assert_eq!(sealed.expect("it is sealed"), "vault:v1:x");
        assert!(spaced.expect_err("no such name").to_string().ends_with("is no address of a key"));
        let asked = vault.asked();
        assert_eq!((asked.len(), asked[0].line.as_str()), (1, "POST /v1/transit/%C3%BC/encrypt/k"));
        assert_eq!((asked[0].header("x-vault-token"), asked[0].header("x-vault-request")), (Some("hvs.canary"), Some("true")));
        assert_eq!(asked[0].json(), json!({ "plaintext": BASE64_STANDARD.encode("a data key") }));

        let Err(SopsError::CannotSeal { reason, help, .. }) = seal("").0 else { panic!("it is not followed") };
        assert_eq!(reason, format!("{} answers with status 307", vault.endpoint()));
        assert_eq!(help, "name the active Vault in the key's URI, or have this one forward requests");
    }

    #[test]
    fn vaults_words() {
        for (answer, expected) in [
            (
                json!({ "errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"] }),
                Some("permission denied, invalid token"),
            ),
            (json!({ "errors": ["Vault is sealed"] }), Some("Vault is sealed")),
            (json!({ "errors": [] }), Some("")),
            (json!({}), None),
        ] {
            assert_eq!(said(&answer).as_deref(), expected, "{answer}");
        }
    }
}
