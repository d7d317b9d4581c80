//! The transit engine of Vault: sops' files and ours, and what Vault refuses.
use super::*;
use bytes::Bytes;
use http::Request;
use kthw_http::{HttpClient, Trust, send};
use kthw_peers::{VAULT, VaultServer};
use miette::Diagnostic;
use serde_json::{Value, json};
use std::time::Duration;

fn at(address: &str, engine: &str, key: &str) -> Recipient {
    let fields = [("vault_address", address), ("engine_path", engine), ("key_name", key)];
    Recipient::Other { kind: OtherKind::Vault, fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
}

/// A Vault with an engine at `transit` and one at `team/keys`, each with a key `k`.
pub(crate) struct Vault {
    server: VaultServer,
    client: HttpClient,
}

impl Vault {
    pub fn start(vault: &Path, tls: Option<&Path>) -> Self {
        let server = VaultServer::start(vault, tls);
        let trust = tls.map_or(Trust::System, |folder| Trust::CaFile(folder.join("vault-ca.pem")));
        let vault = Self { server, client: HttpClient::new(&trust).expect("its authority left a certificate") };
        for engine in ["transit", "team/keys"] {
            vault.tell("POST", &format!("sys/mounts/{engine}"), &json!({ "type": "transit" }));
            vault.tell("POST", &format!("{engine}/keys/k"), &json!({}));
        }
        vault
    }

    /// A request of root's, which has to succeed.
    fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::builder().method(method).uri(format!("{}/v1/{path}", self.server.endpoint()));
        let request = request.header("x-vault-token", VaultServer::ROOT).body(Bytes::from(body.to_string())).expect("a request");
        let answer = exchange::within_limit("Vault", async { send(&self.client, request).await.map_err(|error| error.to_string()) });
        let answer = answer.expect("Vault answers");
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        serde_json::from_slice(answer.body()).unwrap_or_default()
    }

    pub fn uri(&self, engine: &str, key: &str) -> String {
        format!("{}/v1/{engine}/keys/{key}", self.server.endpoint())
    }

    pub fn recipient(&self, engine: &str, key: &str) -> Recipient {
        at(&self.server.endpoint(), engine, key)
    }

    /// A new token with a policy that allows `paths` to be updated.
    fn token(&self, name: &str, paths: &[&str], ttl: &str) -> String {
        let rules: String = paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"update\"] }}\n")).collect();
        self.tell("POST", &format!("sys/policies/acl/{name}"), &json!({ "policy": rules }));
        let made = self.tell("POST", "auth/token/create", &json!({ "policies": [name], "ttl": ttl }));
        made["auth"]["client_token"].as_str().expect("a token").to_owned()
    }
}

#[test]
fn a_key_of_vault() {
    let Some([sops, vault]) = ask([&SOPS, &VAULT]) else { return };
    let vault = Vault::start(&vault, None);
    let root = Home::new().with("VAULT_TOKEN", VaultServer::ROOT);
    for engine in ["transit", "team/keys"] {
        let arguments = ["encrypt", "--hc-vault-transit", &vault.uri(engine, "k")];
        both_ways(&root, &sops, &arguments, &[vault.recipient(engine, "k")]);
    }
    // As `vault login` leaves a token; and one that may do this and nothing else.
    let token = vault.token("both", &["transit/encrypt/k", "transit/decrypt/k"], "1h");
    let home = Home::new();
    home.write(".vault-token", format!("{token}\n"));
    both_ways(&home, &sops, &["encrypt", "--hc-vault-transit", &vault.uri("transit", "k")], &[vault.recipient("transit", "k")]);
    // The environment counts before the file.
    let wrong = home.with("VAULT_TOKEN", "hvs.wrong");
    assert!(wrong.services().seal_to("f", &mut [vec![MasterKey::to(vault.recipient("transit", "k"))]], None, &new_data_key()).is_err());

    // An agent of one's own is asked in place of the address in the file.
    let agent = Home::new().with("VAULT_TOKEN", VaultServer::ROOT).with("VAULT_AGENT_ADDR", vault.server.endpoint());
    let elsewhere = at("http://127.0.0.5:1", "transit", "k");
    both_ways(&agent, &sops, &["encrypt", "--hc-vault-transit", "http://127.0.0.5:1/v1/transit/keys/k"], &[elsewhere]);

    // What is in the file, whoever wrote it; and the key's next version opens what the first sealed.
    let theirs = root.sops_encrypts(&sops, &["encrypt", "--hc-vault-transit", &vault.uri("transit", "k")]);
    vault.tell("POST", "transit/keys/k/rotate", &json!({}));
    assert_eq!(opened(&root.services(), &theirs).expect("Vault keeps the old version"), "secret ü");
    let ours = encrypted_to(&root.services(), &[vec![vault.recipient("transit", "k")]], None);
    let fields = |text: &str| {
        let names = ["vault_address", "engine_path", "key_name", "created_at", "enc"].map(|name| format!("{name}: "));
        names.iter().filter(|name| text.contains(name.as_str())).count()
    };
    assert_eq!((fields(&theirs), fields(&ours)), (5, 5), "{theirs}\n{ours}");
    assert!(theirs.contains("enc: vault:v1:") && ours.contains("vault:v2:"), "{ours}");
}

#[test]
fn vault_over_tls_is_verified() {
    let Some([sops, vault]) = ask([&SOPS, &VAULT]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let vault = Vault::start(&vault, Some(folder.path()));
    let stranger = Home::new().with("VAULT_TOKEN", VaultServer::ROOT).with("VAULT_SKIP_VERIFY", "true");
    let mut groups = [vec![MasterKey::to(vault.recipient("transit", "k"))]];
    let error = stranger.services().seal_to("f", &mut groups, None, &new_data_key()).expect_err("nobody vouches for it");
    assert!(error.to_string().contains("invalid peer certificate: UnknownIssuer"), "{error}");
    let help = error.help().expect("it has help").to_string();
    assert!(help.contains("VAULT_CACERT names the file") && help.contains("kthw does not use VAULT_SKIP_VERIFY"), "{help}");

    let home = Home::new().with("VAULT_TOKEN", VaultServer::ROOT).with("VAULT_CACERT", folder.path().join("vault-ca.pem"));
    both_ways(&home, &sops, &["encrypt", "--hc-vault-transit", &vault.uri("transit", "k")], &[vault.recipient("transit", "k")]);
}

#[test]
fn what_vault_refuses_is_told_with_a_next_step() {
    let Some([vault]) = ask([&VAULT]) else { return };
    let vault = Vault::start(&vault, None);
    let endpoint = vault.server.endpoint();
    let refused = |home: &Home, recipient: Recipient| {
        let mut groups = [vec![MasterKey::to(recipient)]];
        let error = home.services().seal_to("f", &mut groups, None, &new_data_key()).expect_err("it is refused");
        let help = error.help().expect("it has help").to_string();
        assert!(!format!("{error:?}").contains(VaultServer::ROOT), "{error:?}");
        (error.to_string().replace(&endpoint, "VAULT"), help.replace(&endpoint, "VAULT"))
    };
    let root = Home::new().with("VAULT_TOKEN", VaultServer::ROOT);
    let home = Home::new();

    let (error, help) = refused(&home, vault.recipient("transit", "k"));
    let file = home.path().join(".vault-token");
    let looked = format!("found no token; looked at VAULT_TOKEN and {} (not there)", file.display());
    assert_eq!(error, format!("cannot encrypt to HashiCorp Vault VAULT/v1/transit/keys/k: {looked}"));
    assert_eq!(help, "sign in with `vault login`, or put a token into VAULT_TOKEN");

    let only_opens = vault.token("opens", &["transit/decrypt/k"], "1h");
    let (error, help) = refused(&Home::new().with("VAULT_TOKEN", &only_opens), vault.recipient("transit", "k"));
    assert!(error.ends_with(": VAULT answers 403: permission denied"), "{error}");
    let expected =
        "use a token that may update `transit/encrypt/k` and has not expired: sign in with `vault login`, or put a token into VAULT_TOKEN";
    assert_eq!(help, expected);
    assert!(!error.contains(&only_opens));

    // A token whose time is over is as good as none that Vault ever made.
    let short = vault.token("short", &["transit/encrypt/k"], "1s");
    std::thread::sleep(Duration::from_millis(1500));
    let (error, help) = refused(&Home::new().with("VAULT_TOKEN", &short), vault.recipient("transit", "k"));
    assert!(error.contains(": VAULT answers 403: ") && !error.contains(&short), "{error}");
    assert_eq!(help, expected);

    let (error, help) = refused(&root, vault.recipient("elsewhere", "k"));
    assert!(error.contains(": VAULT answers 404: no handler for route \"elsewhere/encrypt/k\""), "{error}");
    assert_eq!(help, "check the key's URI: `vault list elsewhere/keys` shows the keys of that engine");

    let sealed = |key: &str| MasterKey { encrypted: "vault:v1:AAAA".into(), ..MasterKey::to(vault.recipient("transit", key)) };
    for (key, said) in [("missing", "encryption key not found"), ("k", "invalid ciphertext")] {
        let error = root.services().data_key("f", &metadata(vec![vec![sealed(key)]], None)).expect_err("it is refused");
        let help = error.help().expect("it has help").to_string();
        assert!(help.contains(&format!("HashiCorp Vault {}: {endpoint} answers 400: {said}", vault.uri("transit", key))), "{help}");
        assert!(help.contains("`vault list transit/keys` shows the keys of that engine"), "{help}");
    }

    vault.tell("PUT", "sys/seal", &json!({}));
    let (error, help) = refused(&root, vault.recipient("transit", "k"));
    assert!(error.ends_with(": VAULT answers 503: Vault is sealed"), "{error}");
    assert_eq!(help, "have Vault at VAULT unsealed, which `vault status` tells about, and try again");
}

#[test]
fn a_vault_that_is_not_there_and_one_beyond_this_machine_without_tls() {
    let home = Home::new().with("VAULT_TOKEN", "canary");
    let refused = |address: &str| {
        let mut groups = [vec![MasterKey::to(at(address, "transit", "k"))]];
        let error = home.services().seal_to("f", &mut groups, None, &new_data_key()).expect_err("nobody answers");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        error.to_string()
    };
    // Nothing listens on port 1 of this address of the loopback network.
    let error = refused("http://127.0.0.5:1");
    assert!(error.contains(": http://127.0.0.5:1 does not answer: "), "{error}");
    let error = refused("http://vault.example.test:8200");
    assert!(
        error
            .ends_with("http://vault.example.test:8200 is not encrypted: whoever listens on the way would read the credentials; use https"),
        "{error}"
    );
    assert!(refused("vault:8200").ends_with("vault:8200 with transit and k is no address of a key"));
}
