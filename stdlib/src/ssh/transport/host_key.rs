//! The check of a host's key in the middle of a handshake: only a host that is known, or may be believed at first sight, gets further.
use super::{
    connection::Target,
    error::SshError,
    known_hosts::{KnownHosts, Verdict, fingerprint},
};
use kthw_engine::node::KeyTrust;
use russh::{
    client,
    keys::{PublicKey, PublicKeyOrCertificate},
};
use std::sync::{Arc, OnceLock};

/// Decides about the host's key.
pub(crate) struct Client {
    pub target: Target,
    pub known: KnownHosts,
    /// The key that was believed.
    pub believed: Arc<OnceLock<PublicKey>>,
    /// What there is to say about a key that was taken at first sight.
    pub took_first: Arc<OnceLock<String>>,
}

impl Client {
    fn shown(&self, key: &PublicKey) -> bool {
        self.believed.get_or_init(|| key.clone());
        true
    }
}

/// Why a handshake ended.
#[derive(Debug)]
pub(crate) enum Fault {
    Protocol(russh::Error),
    Host(Box<SshError>),
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl client::Handler for Client {
    type Error = Fault;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else { return Ok(false) };
        let (node, address) = (self.target.node.clone(), self.target.address());
        let file = self.known.path().display().to_string();
        let fingerprint = fingerprint(key);
        let error = match self.known.judge(&self.target.host, self.target.port, key) {
            Verdict::Known => return Ok(self.shown(key)),
            Verdict::Changed(known) => SshError::HostKeyChanged { node, address, known: known.join(" or "), presented: fingerprint, file },
            Verdict::Revoked => SshError::HostKeyRevoked { node, address, fingerprint, file },
            Verdict::Unknown => {
                let line = key.to_openssh().unwrap_or_default();
                if self.target.trust_on_first_use {
                    self.known.learn(&self.target.host, self.target.port, key.clone(), KeyTrust::AsItCame);
                    // This runs in a task of its own, in which nobody hears of news.
                    let _ = self.took_first.set(self.known.took_first(&node, &address, &fingerprint));
                    return Ok(self.shown(key));
                }
                let line = self.known.line_for(&self.target.host, self.target.port, &line);
                let why = self.known.why_not_first(&self.target.host, self.target.port);
                SshError::UnknownHostKey { node, address, fingerprint, why, line, file }
            }
        };
        Err(Fault::Host(Box::new(error)))
    }
}
