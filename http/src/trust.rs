//! Whom to believe: the system's certificate authorities, those of a file, or one certificate by its fingerprint. Never just anybody.
use miette::Diagnostic;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// What makes a server's certificate acceptable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// A certificate authority that the system trusts has signed it.
    #[default]
    System,
    /// It stands in this PEM file, or a certificate authority in this file has signed it.
    CaFile(PathBuf),
    /// It has this SHA-256 fingerprint.
    Fingerprint(Fingerprint),
}

/// The SHA-256 of a certificate, shown as `AA:BB:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// Reads `AA:BB:…` as Proxmox shows it, or the same digits without colons, in either case.
impl FromStr for Fingerprint {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
        let bytes = hex::decode(digits.to_ascii_lowercase()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or(TrustError::NotAFingerprint)
    }
}

/// The settings that say whom to trust cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TrustError {
    /// The file is not there or cannot be read.
    #[error("cannot read the certificate file `{}`: {reason}", path.display())]
    #[diagnostic(code(kthw::http::read_ca_file), help("it must be a PEM file, such as a copy of the host's /etc/pve/pve-root-ca.pem"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Not 64 hexadecimal digits. What was given is not shown: it may be a password in the wrong place.
    #[error("what is given as fingerprint is not a SHA-256 fingerprint")]
    #[diagnostic(
        code(kthw::http::fingerprint),
        help("it has 32 pairs of hexadecimal digits; Proxmox shows it under System, Certificates, or by `pvenode cert info`")
    )]
    NotAFingerprint,
    /// TLS could not be set up.
    #[error("cannot set up TLS: {reason}")]
    #[diagnostic(code(kthw::http::tls))]
    Tls {
        /// Why not.
        reason: String,
    },
}

impl Trust {
    /// The TLS settings; `None` for those of the HTTP library, which asks the system.
    pub(crate) fn tls(&self) -> Result<Option<ClientConfig>, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let trusted = match self {
            Self::System => {
                // The library takes the process-wide provider. A second call finds the first one's and changes nothing.
                let _ = ring::default_provider().install_default();
                return Ok(None);
            }
            Self::CaFile(path) => Trusted::read(path, &provider)?,
            Self::Fingerprint(fingerprint) => Trusted::Pinned(*fingerprint),
        };
        let tls = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Tls { reason: error.to_string() })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { trusted, provider }))
            .with_no_client_auth();
        Ok(Some(tls))
    }
}

/// Checks a server's certificate against what is trusted. Signatures are always checked.
#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trusted {
    /// Exactly one certificate, whatever its names and dates are.
    Pinned(Fingerprint),
    /// What the authorities of a file have signed, and the certificates in the file themselves: Proxmox's own certificate is often copied
    /// instead of its authority's.
    InFile { certificates: Vec<CertificateDer<'static>>, signed: Arc<WebPkiServerVerifier> },
}

impl Trusted {
    fn read(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let failed = |reason: String| TrustError::Read { path: path.to_owned(), reason };
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| failed(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
            return Err(failed("it holds no certificate".into()));
        }
        let signed = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self::InFile { certificates, signed })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(end_entity);
        match &self.trusted {
            Trusted::Pinned(pinned) if seen == *pinned => Ok(ServerCertVerified::assertion()),
            Trusted::Pinned(pinned) => {
                Err(rustls::Error::General(format!("the certificate has the fingerprint {seen}, not the pinned {pinned}")))
            }
            Trusted::InFile { certificates, .. } if certificates.iter().any(|known| known.as_ref() == end_entity.as_ref()) => {
                Ok(ServerCertVerified::assertion())
            }
            Trusted::InFile { signed, .. } => {
                signed.verify_server_cert(end_entity, intermediates, name, ocsp, now).map_err(|error| match error {
                    rustls::Error::InvalidCertificate(_) => rustls::Error::General(format!(
                        "the certificate with the fingerprint {seen} is not signed for this name by the authorities in the file: {error}"
                    )),
                    error => error,
                })
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_read_as_they_show() {
        let shown = Fingerprint::from([0xAB; 32]).to_string();
        assert!(shown.starts_with("AB:AB:"));
        assert_eq!(shown.parse::<Fingerprint>().expect("its own text"), [0xAB; 32].into());
        assert_eq!("ab".repeat(32).parse::<Fingerprint>().expect("plain digits"), [0xAB; 32].into());
        let error = "AB:CD".parse::<Fingerprint>().expect_err("too short");
        assert_eq!(error.to_string(), "what is given as fingerprint is not a SHA-256 fingerprint");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Trust::CaFile("/nonexistent/ca.pem".into()).tls().expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    }
}
