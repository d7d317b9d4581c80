//! Azure's services, played by a stand-in whose answers have the shapes of <https://learn.microsoft.com/rest/api/keyvault/keys> and
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.
use super::*;
use crate::keys::{
    new_data_key,
    tests::stand_in::{Asked, StandIn},
};
use serde_json::{Value, json};
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt};
use tempfile::TempDir;

const TOKEN: &str = "eyJ0.canary-of-azure";
const VERSION: &str = "78deebed173b48e48f55abf87ed4cf71";

/// Gives out tokens, and "encrypts" for who has one.
fn azure(asked: &Asked) -> (u16, Value) {
    let operation = |verb: &str| format!("POST /keys/k/{VERSION}/{verb}?api-version=7.4");
    let kid = format!("https://v.vault.azure.net/keys/k/{VERSION}");
    match asked.line.as_str() {
        "POST /t-1/oauth2/v2.0/token" => {
            let known = asked.field("client_id").as_deref() == Some("c-1")
                && asked.field("grant_type").as_deref() == Some("client_credentials")
                && asked.field("scope").as_deref() == Some("https://vault.azure.net/.default");
            let proven = asked.field("client_secret").as_deref() == Some("canary-right")
                || asked.field("client_assertion").as_deref() == Some("canary-federated")
                    && asked.field("client_assertion_type").is_some_and(|kind| kind.ends_with(":jwt-bearer"));
            match known && proven {
                true => (200, json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": TOKEN })),
                false => {
                    let text = "AADSTS7000215: Invalid client secret provided.";
                    (401, json!({ "error": "invalid_client", "error_description": text, "error_codes": [7_000_215] }))
                }
            }
        }
        _ if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) => {
            (401, json!({ "error": { "code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token." } }))
        }
        "GET /keys/k?api-version=7.4" => {
            (200, json!({ "key": { "kid": kid, "kty": "RSA", "key_ops": ["encrypt", "decrypt"] }, "attributes": { "enabled": true } }))
        }
        line if line == operation("encrypt") || line == operation("decrypt") => {
            let body = asked.json();
            assert_eq!(body["alg"], "RSA-OAEP-256");
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(body["value"].as_str().expect("a text")).expect("base64url");
            let turned: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
            (200, json!({ "kid": kid, "value": BASE64_URL_SAFE_NO_PAD.encode(turned) }))
        }
        line if line.contains("/forbidden/") => {
            let message =
                "Caller is not authorized to perform action on resource.\r\nIf role assignments were changed recently, please wait.";
            (403, json!({ "error": { "code": "Forbidden", "message": message, "innererror": { "code": "ForbiddenByRbac" } } }))
        }
        _ => {
            let message = "A key with (name/id) missing was not found in this key vault.";
            (404, json!({ "error": { "code": "KeyNotFound", "message": message } }))
        }
    }
}

fn recipient(vault: &str, name: &str, version: &str) -> Recipient {
    let fields = [("vault_url", vault), ("name", name), ("version", version)];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Recipient::Other { kind: OtherKind::AzureKeyVault, fields }
}

fn k() -> Recipient {
    recipient("https://v.vault.azure.net", "k", VERSION)
}

/// The service over these variables and no program, with Azure at the stand-in.
fn service(azure: &StandIn, variables: &[(&str, &str)]) -> AzureService {
    let endpoint = azure.endpoint();
    let usual = [("AZURE_AUTHORITY_HOST", endpoint.as_str()), ("PATH", "/nonexistent")];
    let variables: Vec<(String, OsString)> =
        variables.iter().chain(&usual).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let find = move |name: &str| variables.iter().find(|known| known.0 == name).map(|known| known.1.clone());
    AzureService { vault: Url::parse(&endpoint).ok(), ..AzureService::new(Arc::new(find)) }
}

const APPLICATION: [(&str, &str); 3] = [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1"), ("AZURE_CLIENT_SECRET", "canary-right")];

#[track_caller]
fn there_and_back(service: &AzureService) {
    let key = new_data_key();
    let encrypted = service.encrypt(&k(), &key).expect("Azure seals it");
    assert_ne!(encrypted, BASE64_URL_SAFE_NO_PAD.encode(&*key));
    let sealed = MasterKey { encrypted, ..MasterKey::to(k()) };
    assert_eq!(service.decrypt(&sealed, Asking::NotYet).expect("Azure opens it"), key);
}

#[track_caller]
fn refused(service: &AzureService, recipient: &Recipient) -> (String, String) {
    let error = service.encrypt(recipient, b"a data key").expect_err("it is refused");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    let SopsError::CannotSeal { reason, help, .. } = error else { panic!("{error}") };
    (reason, help)
}

/// A program that is called `az` and does this.
fn az(script: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("az");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("the folder is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    folder
}

#[test]
fn applications_and_who_is_signed_in_get_tokens() {
    let azure = StandIn::start(azure);
    there_and_back(&service(&azure, &APPLICATION));
    assert_eq!(azure.asked().len(), 4);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    fs::write(&file, "canary-federated\n").expect("the folder is ours");
    let federated = [APPLICATION[0], APPLICATION[1], ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().expect("UTF-8"))];
    there_and_back(&service(&azure, &federated));

    let printed = format!(r#"{{"accessToken": "{TOKEN}", "expiresOn": "2030-01-01 00:00:00.000000", "tokenType": "Bearer"}}"#);
    let script = format!("[ \"$*\" = 'account get-access-token --output json --resource https://vault.azure.net' ] && echo '{printed}'");
    let program = az(&script);
    there_and_back(&service(&azure, &[("PATH", program.path().to_str().expect("UTF-8"))]));
}

#[test]
fn a_key_without_a_version_is_the_newest_one_and_stands_so_in_the_file() {
    let azure = StandIn::start(azure);
    let service = service(&azure, &APPLICATION);
    let open = recipient("https://v.vault.azure.net", "k", "");
    assert_eq!(service.settle(&open).expect("Azure describes it"), Some(k()));
    assert_eq!(service.settle(&k()).expect("nobody is asked"), None);
    // A rule that names no version is content with the one in the file.
    assert!(open.same_as(&k()) && k().same_as(&open) && !recipient("https://v.vault.azure.net", "k", "0").same_as(&k()));
    assert!(!recipient("https://w.vault.azure.net", "k", "").same_as(&k()));
}

#[test]
fn what_azure_refuses_is_told_with_a_next_step() {
    let azure = StandIn::start(azure);
    let place = azure.endpoint();
    let right = service(&azure, &APPLICATION);

    let unset = "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE are not all set";
    let (reason, help) = refused(&service(&azure, &[]), &k());
    assert_eq!(reason, format!("{unset}, and az does not start: No such file or directory (os error 2)"));
    assert_eq!(help, HELP);
    let program = az("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    let (reason, _) = refused(&service(&azure, &[("PATH", program.path().to_str().expect("UTF-8"))]), &k());
    assert_eq!(reason, format!("{unset}, and az says: Please run 'az login' to setup account."));

    let wrong = [APPLICATION[0], APPLICATION[1], ("AZURE_CLIENT_SECRET", "canary-wrong")];
    let (reason, help) = refused(&service(&azure, &wrong), &k());
    let said = "invalid_client: AADSTS7000215: Invalid client secret provided.";
    assert_eq!((reason, help.as_str()), (format!("AZURE_CLIENT_SECRET gives no access token: {place} answers 401: {said}"), HELP));

    let (reason, help) = refused(&right, &recipient("https://v.vault.azure.net", "forbidden", VERSION));
    let said = "Forbidden: Caller is not authorized to perform action on resource. If role assignments were changed recently, please wait.";
    assert_eq!(reason, format!("{place} answers 403: {said}"));
    assert!(help.contains("`Key Vault Crypto User`"), "{help}");
    let (reason, help) = refused(&right, &recipient("https://v.vault.azure.net", "missing", VERSION));
    assert_eq!(reason, format!("{place} answers 404: KeyNotFound: A key with (name/id) missing was not found in this key vault."));
    assert!(help.contains("az keyvault key list-versions"), "{help}");

    // No token goes to a place that is no vault.
    azure.asked();
    for vault in [
        "https://vault.example.test",
        "http://v.vault.azure.net",
        "https://vault.azure.net.example.test",
        "https://evil-vault.azure.net",
        "https://v.vault.azure.net:1",
    ] {
        assert_eq!(refused(&right, &recipient(vault, "k", VERSION)).0, "it is no key in a vault of Azure", "{vault}");
    }
    assert_eq!(refused(&right, &recipient("https://v.vault.azure.net", "k/../x", "")).0, "it is no key in a vault of Azure");
    assert!(azure.asked().is_empty());
}
