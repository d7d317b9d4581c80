//! Host certificates: a key that an authority of the file has signed for this host needs no line of its own.
//!
//! What a certificate has to be is said in OpenSSH's PROTOCOL.certkeys; ssh(1) asks the same of a host's.
use super::{
    KnownHosts, fingerprint,
    line::{Entry, Mark, host, is_like},
};
use russh::keys::{
    Certificate, HashAlg, PublicKey,
    ssh_key::{Algorithm, certificate::CertType},
};

/// What the file makes of a host's certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Certified {
    /// An authority for this host vouches for its key.
    Yes,
    /// It does not count, and why.
    No(String),
}

impl KnownHosts {
    /// Whether the file names an authority for this host: then it is worth asking the host for a certificate.
    pub(crate) fn has_authority(&self, address: &str, port: u16) -> bool {
        self.state().file.authorities(&names(address, port)).next().is_some()
    }

    /// What the file makes of a certificate that this host presented at `now_s`, in seconds of Unix time.
    pub(crate) fn judge_certificate(&self, address: &str, port: u16, certificate: &Certificate, now_s: u64) -> Certified {
        let mut state = self.state();
        state.file.look_again();
        let signer = PublicKey::from(certificate.signature_key().clone());
        let key = PublicKey::from(certificate.public_key().clone());
        let names = names(address, port);
        let mut about = names.iter().flat_map(|name| state.file.entries(name));
        if about.any(|entry| entry.mark == Mark::Revoked && (entry.has(&key) || entry.has(&signer))) {
            return Certified::No("it, or the key that signed it, is marked `@revoked`".into());
        }
        let authorities: Vec<&Entry> = state.file.authorities(&names).collect();
        if !authorities.iter().any(|entry| entry.has(&signer)) {
            return Certified::No(format!("{} signed it, which is no authority for this host", fingerprint(&signer)));
        }
        fault(address, certificate, &signer, now_s).map_or(Certified::Yes, Certified::No)
    }
}

/// What is wrong with a certificate by itself.
fn fault(address: &str, certificate: &Certificate, signer: &PublicKey, now_s: u64) -> Option<String> {
    let principals = certificate.valid_principals();
    let for_us = |principal: &String| is_like(principal.to_ascii_lowercase().as_bytes(), address.to_ascii_lowercase().as_bytes());
    if certificate.cert_type() != CertType::Host {
        Some("it is a user's, not a host's".into())
    } else if certificate.valid_after() > now_s {
        Some("it is not valid yet".into())
    } else if certificate.valid_before() <= now_s {
        Some("it is not valid any more".into())
    } else if !principals.is_empty() && !principals.iter().any(for_us) {
        Some(format!("it is for {}", principals.join(", ")))
    } else if let Some((option, _)) = certificate.critical_options().iter().next() {
        Some(format!("it has the critical option `{option}`, which kthw does not know"))
    } else if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None }) {
        Some("it is signed with SHA-1".into())
    } else {
        let trusted = [signer.fingerprint(HashAlg::Sha256)];
        certificate.validate_at(now_s, &trusted).err().map(|error| error.to_string())
    }
}

/// The names under which lines about authorities may know a host: ssh(1) also looks for it without its port.
fn names(address: &str, port: u16) -> Vec<String> {
    let mut names = vec![host(address, port), host(address, 22)];
    names.dedup();
    names
}
