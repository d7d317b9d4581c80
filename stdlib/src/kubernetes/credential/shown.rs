//! What a kubeconfig says of who it is for and until when, without asking anybody.
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use x509_cert::{Certificate, der::Decode};

/// One user in a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// As whom the API server knows it: `alice (viewers)`, or `system:serviceaccount:apps:deployer`.
    pub who: String,
    /// When it ends; `None` where it does not say.
    pub ends: Option<Timestamp>,
}

/// Every user in the text of a kubeconfig, as far as it is a certificate or a token that says who it is of.
///
/// # Errors
/// A text that is no kubeconfig, without quoting it.
pub fn users(text: &str) -> kthw_engine::Result<Vec<Shown>> {
    let config = crate::kubernetes::kubeconfig::parse(text)?;
    let users = config["users"].as_array().into_iter().flatten();
    Ok(users.filter_map(|user| of_certificate(&user["user"]).or_else(|| of_token(&user["user"]))).collect())
}

fn of_certificate(user: &Value) -> Option<Shown> {
    let pem = STANDARD.decode(user["client-certificate-data"].as_str()?).ok()?;
    shown(&certificate(&pem)?)
}

/// The first certificate of a PEM text.
pub fn certificate(pem: &[u8]) -> Option<Certificate> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    Certificate::from_der(&der).ok()
}

/// Who a certificate is of, and when it ends.
pub fn shown(certificate: &Certificate) -> Option<Shown> {
    let certificate = certificate.tbs_certificate();
    let names: Vec<String> = certificate.subject().iter().map(ToString::to_string).collect();
    let of = |kind: &str| names.iter().filter_map(|name| name.strip_prefix(kind)).map(str::to_owned).collect::<Vec<_>>();
    let (user, groups) = (of("CN=").join(", "), of("O=").join(", "));
    let ends = i64::try_from(certificate.validity().not_after.to_unix_duration().as_secs()).ok()?;
    let who = if groups.is_empty() { user } else { format!("{user} ({groups})") };
    Some(Shown { who, ends: Timestamp::from_second(ends).ok() })
}

/// A token of a service account is a JSON Web Token; only what it says itself is read of it, and nothing is believed.
fn of_token(user: &Value) -> Option<Shown> {
    let claims = user["token"].as_str()?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let ends = claims["exp"].as_i64().and_then(|second| Timestamp::from_second(second).ok());
    Some(Shown { who: claims["sub"].as_str()?.to_owned(), ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is_and_until_when() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"system:serviceaccount:apps:deployer","exp":1764460800}"#);
        let text = format!("kind: Config\nusers:\n- name: a\n  user: {{token: x.{claims}.y}}\n- name: b\n  user: {{token: opaque}}\n");
        let found = users(&text).expect("a kubeconfig");
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(one.who, "system:serviceaccount:apps:deployer");
        assert_eq!(one.ends.map(|ends| ends.to_string()), Some("2025-11-30T00:00:00Z".into()));
        assert!(users("a: 1\n").is_err());
    }
}
