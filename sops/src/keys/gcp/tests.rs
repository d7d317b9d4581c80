//! Google's services, played by a stand-in whose answers have the shapes of <https://cloud.google.com/kms/docs/reference/rest> and
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>.
use super::*;
use crate::keys::tests::stand_in::{Asked, StandIn};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kthw_peers::{OPENSSL, ask};
use serde_json::{Value, json};
use std::{ffi::OsString, fs, process::Command};

const KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const TOKEN: &str = "ya29.canary-of-google";

/// Gives out tokens, and "encrypts" for who has one.
fn google(asked: &Asked) -> (u16, Value) {
    let body = |text: &str| text.chars().rev().collect::<String>();
    match asked.line.as_str() {
        "POST /token" => match asked.field("grant_type").as_deref() {
            Some("refresh_token") if asked.field("refresh_token").as_deref() == Some("1//revoked") => {
                (400, json!({ "error": "invalid_grant", "error_description": "Token has been expired or revoked." }))
            }
            Some("refresh_token" | "urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                (200, json!({ "access_token": TOKEN, "expires_in": 3599, "scope": "s", "token_type": "Bearer" }))
            }
            _ => (400, json!({ "error": "unsupported_grant_type" })),
        },
        "GET /computeMetadata/v1/instance/service-accounts/default/token" if asked.header("metadata-flavor") == Some("Google") => {
            (200, json!({ "access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer" }))
        }
        line if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) => {
            let message = "Request had invalid authentication credentials.";
            (401, json!({ "error": { "code": 401, "message": format!("{message} {line}"), "status": "UNAUTHENTICATED" } }))
        }
        line if line == format!("POST /v1/{KEY}:encrypt") => {
            let plaintext = asked.json()["plaintext"].as_str().map(body);
            (
                200,
                json!({ "name": format!("{KEY}/cryptoKeyVersions/1"), "ciphertext": plaintext, "ciphertextCrc32c": "1", "protectionLevel": "SOFTWARE" }),
            )
        }
        line if line == format!("POST /v1/{KEY}:decrypt") => {
            let plaintext = asked.json()["ciphertext"].as_str().map(body);
            (200, json!({ "plaintext": plaintext, "plaintextCrc32c": "1", "usedPrimary": true, "protectionLevel": "SOFTWARE" }))
        }
        line if line.contains("/forbidden:") => {
            let message = "Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource (or it may not exist).";
            (403, json!({ "error": { "code": 403, "message": message, "status": "PERMISSION_DENIED" } }))
        }
        _ => (404, json!({ "error": { "code": 404, "message": "CryptoKey not found.", "status": "NOT_FOUND" } })),
    }
}

fn recipient(name: &str) -> Recipient {
    Recipient::Other { kind: OtherKind::GcpKms, fields: vec![("resource_id".into(), name.into())] }
}

/// The service over these variables, with Google at the stand-in.
fn service(google: &StandIn, variables: &[(&str, &str)]) -> GcpKmsService {
    let variables: Vec<(String, OsString)> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let url = |path: &str| Url::parse(&format!("{}{path}", google.endpoint())).expect("an address");
    let places = Places { kms: url(""), token: url("/token") };
    GcpKmsService::at(Arc::new(move |name: &str| variables.iter().find(|known| known.0 == name).map(|known| known.1.clone())), places)
}

#[track_caller]
fn there_and_back(service: &GcpKmsService) {
    let encrypted = service.encrypt(&recipient(KEY), b"a data key").expect("Google seals it");
    assert_ne!(encrypted, BASE64_STANDARD.encode("a data key"));
    let key = MasterKey { encrypted, ..MasterKey::to(recipient(KEY)) };
    assert_eq!(&**service.decrypt(&key, Asking::NotYet).expect("Google opens it"), b"a data key");
}

#[track_caller]
fn refused(service: &GcpKmsService, name: &str) -> (String, String) {
    let error = service.encrypt(&recipient(name), b"a data key").expect_err("it is refused");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    let SopsError::CannotSeal { reason, help, .. } = error else { panic!("{error}") };
    (reason, help)
}

fn user(refresh_token: &str) -> String {
    json!({ "type": "authorized_user", "client_id": "c", "client_secret": "canary-secret", "refresh_token": refresh_token, "quota_project_id": "q" })
        .to_string()
}

#[test]
fn credentials_are_found_where_sops_and_google_look() {
    let google = StandIn::start(google);
    there_and_back(&service(&google, &[("GOOGLE_OAUTH_ACCESS_TOKEN", TOKEN)]));
    assert_eq!(google.asked().len(), 2);
    let metadata = google.endpoint().replace("http://", "");
    there_and_back(&service(&google, &[("GCE_METADATA_HOST", &metadata)]));
    assert_eq!(google.asked()[0].header("metadata-flavor"), Some("Google"));

    // In the variable itself, in a file that one of two variables names, and where gcloud leaves it.
    let home = tempfile::tempdir().expect("a temporary folder");
    let usual = home.path().join(".config/gcloud/application_default_credentials.json");
    fs::create_dir_all(usual.parent().expect("a folder")).expect("the folder is ours");
    fs::write(&usual, user("1//canary")).expect("the folder is ours");
    let (path, home) = (usual.to_str().expect("UTF-8"), home.path().to_str().expect("UTF-8"));
    for (name, value) in [
        ("GOOGLE_CREDENTIALS", user("1//canary").as_str()),
        ("GOOGLE_CREDENTIALS", path),
        ("GOOGLE_APPLICATION_CREDENTIALS", path),
        ("HOME", home),
    ] {
        there_and_back(&service(&google, &[(name, value)]));
        let asked = google.asked();
        assert_eq!(asked[0].field("refresh_token").as_deref(), Some("1//canary"), "{name}");
        assert_eq!(asked[1].header("x-goog-user-project"), Some("q"), "{name}");
    }
}

#[test]
fn a_service_account_signs_what_google_asks_for() {
    let Some([openssl]) = ask([&OPENSSL]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |arguments: &[&str]| {
        let output = Command::new(&openssl).args(arguments).current_dir(folder.path()).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"]);
    run(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let google = StandIn::start(google);
    let private_key = fs::read_to_string(folder.path().join("key.pem")).expect("openssl wrote it");
    let token_uri = format!("{}/token", google.endpoint());
    let account = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "0123", "private_key": private_key,
        "client_email": "kthw@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
    });
    there_and_back(&service(&google, &[("GOOGLE_CREDENTIALS", &account.to_string())]));
    let asked = google.asked();
    let assertion = asked[0].field("assertion").expect("an assertion");
    let parts: Vec<&str> = assertion.split('.').collect();
    let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).expect("JSON");
    assert_eq!(json(parts[0]), json!({ "alg": "RS256", "typ": "JWT", "kid": "0123" }));
    let claims = json(parts[1]);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("kthw@p.iam.gserviceaccount.com"), &json!(token_uri)));
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    let (issued, ends) = (claims["iat"].as_i64().expect("a time"), claims["exp"].as_i64().expect("a time"));
    assert!((jiff::Timestamp::now().as_second() - issued).abs() < 60 && ends - issued <= 3600);
    fs::write(folder.path().join("signed"), format!("{}.{}", parts[0], parts[1])).expect("the folder is ours");
    fs::write(folder.path().join("signature"), decoded(parts[2])).expect("the folder is ours");
    run(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed"]);

    let broken = account.to_string().replace("PRIVATE KEY-----\\n", "PRIVATE KEY-----\\n####");
    let (reason, _) = refused(&service(&google, &[("GOOGLE_CREDENTIALS", &broken)]), KEY);
    assert_eq!(reason, "`private_key` in GOOGLE_CREDENTIALS is no RSA key");
}

#[test]
fn what_google_refuses_is_told_with_a_next_step() {
    let google = StandIn::start(google);
    let place = google.endpoint();
    let with = |name: &str, value: &str| service(&google, &[(name, value)]);
    let token = with("GOOGLE_OAUTH_ACCESS_TOKEN", TOKEN);

    let (reason, help) = refused(&service(&google, &[]), KEY);
    assert!(reason.starts_with("found no Google credentials; looked at GOOGLE_CREDENTIALS, GOOGLE_OAUTH_ACCESS_TOKEN, "), "{reason}");
    assert_eq!(help, HELP);
    let (reason, help) = refused(&with("GOOGLE_OAUTH_ACCESS_TOKEN", "canary-old"), KEY);
    assert!(reason.starts_with(&format!("{place} answers 401: UNAUTHENTICATED: Request had invalid")), "{reason}");
    assert_eq!(help, HELP);
    let (reason, help) = refused(&token, &KEY.replace("cryptoKeys/k", "cryptoKeys/forbidden"));
    assert!(reason.contains("answers 403: PERMISSION_DENIED: Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied"), "{reason}");
    assert!(help.contains("roles/cloudkms.cryptoKeyEncrypterDecrypter"), "{help}");
    let (reason, help) = refused(&token, &KEY.replace("cryptoKeys/k", "cryptoKeys/missing"));
    assert_eq!(reason, format!("{place} answers 404: NOT_FOUND: CryptoKey not found."));
    assert!(help.contains("gcloud kms keys list"), "{help}");
    let (reason, _) = refused(&with("GOOGLE_CREDENTIALS", &user("1//revoked")), KEY);
    assert_eq!(
        reason,
        format!("GOOGLE_CREDENTIALS gives no access token: {place} answers 400: invalid_grant: Token has been expired or revoked.")
    );
    for (text, expected) in [
        (
            "{\"type\": \"external_account\", \"audience\": \"canary\"}",
            "kthw does not use this type of credentials, in GOOGLE_CREDENTIALS; export",
        ),
        ("{\"canary\": 1}", "GOOGLE_CREDENTIALS holds no Google credentials"),
        ("/nonexistent", "GOOGLE_CREDENTIALS holds no Google credentials"),
    ] {
        let (reason, _) = refused(&with("GOOGLE_CREDENTIALS", text), KEY);
        assert!(reason.starts_with(expected), "{reason}");
    }
    google.asked();
    for name in ["projects/p", &format!("{KEY}/cryptoKeyVersions/1"), &KEY.replace("/r/", "/../"), &KEY.replace("/k", "/k?x")] {
        assert_eq!(refused(&token, name).0, "it is no name of a key", "{name}");
    }
    assert!(google.asked().is_empty());
}

#[test]
fn a_service_that_has_a_bad_moment_is_asked_again() {
    let left = std::sync::atomic::AtomicUsize::new(2);
    let google = StandIn::start(move |asked| {
        let bad = left.fetch_update(std::sync::atomic::Ordering::Relaxed, std::sync::atomic::Ordering::Relaxed, |left| left.checked_sub(1));
        match bad {
            Ok(_) => {
                (503, json!({ "error": { "code": 503, "message": "The service is currently unavailable.", "status": "UNAVAILABLE" } }))
            }
            Err(_) => google(asked),
        }
    });
    there_and_back(&service(&google, &[("GOOGLE_OAUTH_ACCESS_TOKEN", TOKEN)]));
    assert_eq!(google.asked().len(), 4);
}

#[test]
fn places_are_googles() {
    let service = GcpKmsService::new(Arc::new(|_| None));
    let url = service.url(KEY, "encrypt").expect("it is a key");
    assert_eq!(url.as_str(), format!("https://cloudkms.googleapis.com/v1/{KEY}:encrypt"));
    assert_eq!(service.places.token.as_str(), "https://oauth2.googleapis.com/token");
}
