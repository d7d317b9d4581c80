//! A key that is made here, and the request for a certificate that goes with it.
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_engine::Secret;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use std::str::FromStr;
use x509_cert::{
    AlgorithmIdentifier, SubjectPublicKeyInfo,
    der::{
        Encode,
        asn1::{Any, BitString, ObjectIdentifier, SetOfVec},
    },
    name::Name,
    request::{CertReq, CertReqInfo, Version},
};
use zeroize::Zeroizing;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// A key, and the request that was signed with it.
pub struct Request {
    /// The key as PEM.
    pub key: Secret,
    /// The request as PEM.
    pub pem: String,
    /// The public key, as it has to be in the certificate.
    pub public_key: Vec<u8>,
}

impl Request {
    /// A new key for `user` in `groups`: those are the names by which Kubernetes knows who shows the certificate.
    ///
    /// # Errors
    /// What the library says, where the names cannot be in a certificate.
    pub fn of(user: &str, groups: &[String]) -> Result<Self, String> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(|error| error.to_string())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).map_err(|error| error.to_string())?;
        let public_key = pair.public_key().as_ref().to_vec();
        let sign = |bytes: &[u8]| pair.sign(&random, bytes).map_err(|error| error.to_string());
        let pem = request(user, groups, &public_key, sign)?;
        Ok(Self {
            key: Secret::new(&**in_pem("PRIVATE KEY", pkcs8.as_ref())),
            pem: in_pem("CERTIFICATE REQUEST", &pem).to_string(),
            public_key,
        })
    }
}

fn request<S: AsRef<[u8]>>(
    user: &str,
    groups: &[String],
    public_key: &[u8],
    sign: impl Fn(&[u8]) -> Result<S, String>,
) -> Result<Vec<u8>, String> {
    let in_words = |error: x509_cert::der::Error| error.to_string();
    let parts: Vec<String> = std::iter::once(format!("CN={user}")).chain(groups.iter().map(|group| format!("O={group}"))).collect();
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::from_str(&parts.join(",")).map_err(in_words)?,
        public_key: SubjectPublicKeyInfo {
            algorithm: AlgorithmIdentifier { oid: EC_PUBLIC_KEY, parameters: Some(Any::encode_from(&P256).map_err(in_words)?) },
            subject_public_key: BitString::from_bytes(public_key).map_err(in_words)?,
        },
        attributes: SetOfVec::default(),
    };
    let signature = sign(&info.to_der().map_err(in_words)?)?;
    let signature = BitString::from_bytes(signature.as_ref()).map_err(in_words)?;
    CertReq { info, algorithm: AlgorithmIdentifier { oid: ECDSA_WITH_SHA256, parameters: None }, signature }.to_der().map_err(in_words)
}

fn in_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use x509_cert::der::Decode;

    #[test]
    fn a_request_says_who_asks_and_is_signed_with_its_key() {
        let groups = ["viewers".to_owned(), "team:a".to_owned()];
        let made = Request::of("alice@example.com", &groups).expect("made");
        let body: String = made.pem.lines().filter(|line| !line.starts_with('-')).collect();
        let request = CertReq::from_der(&STANDARD.decode(body).expect("base64")).expect("understood");
        let names: Vec<String> = request.info.subject.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        for one in ["CN=alice@example.com", "O=viewers", "O=team:a"] {
            assert!(names.iter().any(|name| name == one), "{one} is not in {names:?}");
        }
        let signed = request.info.to_der().expect("written");
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &made.public_key);
        key.verify(&signed, request.signature.raw_bytes()).expect("its own signature");
        assert!(made.key.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}
