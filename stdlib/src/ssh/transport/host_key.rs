//! The check of a host's key in the middle of a handshake: only a host that is known, or may be believed at first sight, gets further.
//! How the server ended the connection is kept here too, for whoever has to say why.
use super::{
    connection::Target,
    error::SshError,
    known_hosts::{Certified, KnownHosts, Verdict, fingerprint},
    lenient::Handover,
};
use kthw_engine::node::KeyTrust;
use russh::{
    Names,
    client::{self, DisconnectReason},
    keys::{Certificate, PublicKey, PublicKeyOrCertificate, ssh_encoding},
};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Decides about the host's key.
pub(crate) struct Client {
    pub target: Target,
    pub known: KnownHosts,
    pub seen: Seen,
    /// For a connection whose text for people is made UTF-8.
    pub handover: Option<Handover>,
}

/// What is noticed on the way to a login.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The host key that was believed.
    pub believed: Arc<OnceLock<Believed>>,
    /// What there is to say about a key that was taken at first sight.
    pub took_first: Arc<OnceLock<String>>,
    /// How the connection ended, once it did.
    pub ending: Arc<OnceLock<Ending>>,
    /// The text for people that the server sent last.
    banner: Arc<Mutex<String>>,
}

impl Seen {
    /// The last line of the text for people that the server sent last.
    pub fn last_banner(&self) -> Option<String> {
        let text = self.banner.lock().unwrap_or_else(PoisonError::into_inner);
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(|line| line.chars().take(200).collect())
    }
}

/// A host key that was believed.
#[derive(Clone, Debug)]
pub(crate) struct Believed {
    pub key: PublicKey,
    /// Whether an authority vouches for it.
    pub is_certified: bool,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The server said goodbye, in these words.
    Said(String),
    /// What the server wants people to read before they log in is not UTF-8, as RFC 4252 (5.4) has it, and russh reads nothing else.
    UnreadableBanner,
    /// Something else.
    Broke,
}

impl Client {
    fn shown(&self, key: &PublicKey) -> bool {
        self.seen.believed.get_or_init(|| Believed { key: key.clone(), is_certified: false });
        true
    }

    /// A certificate that does not count is still a key, as ssh(1) has it, if that is known.
    fn check_certificate(&self, certificate: &Certificate) -> Result<bool, Fault> {
        let (host, port) = (&self.target.host, self.target.port);
        let key = PublicKey::from(certificate.public_key().clone());
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        match self.known.judge_certificate(host, port, certificate, now_s) {
            Certified::Yes => {
                self.seen.believed.get_or_init(|| Believed { key, is_certified: true });
                Ok(true)
            }
            Certified::No(_) if self.known.judge(host, port, &key) == Verdict::Known => Ok(self.shown(&key)),
            Certified::No(why) => Err(Fault::Host(Box::new(SshError::HostCertificate {
                node: self.target.node.clone(),
                address: self.target.address(),
                id: certificate.key_id().to_owned(),
                why,
                file: self.known.path().display().to_string(),
            }))),
        }
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
        let key = match presented {
            PublicKeyOrCertificate::PublicKey { key, .. } => key,
            PublicKeyOrCertificate::Certificate(certificate) => return self.check_certificate(certificate),
        };
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
                    let _ = self.seen.took_first.set(self.known.took_first(&node, &self.target.host, self.target.port, &fingerprint));
                    return Ok(self.shown(key));
                }
                let line = self.known.line_for(&self.target.host, self.target.port, &line);
                let why = self.known.why_not_first(&self.target.host, self.target.port);
                SshError::UnknownHostKey { node, address, fingerprint, why, line, file }
            }
        };
        Err(Fault::Host(Box::new(error)))
    }

    async fn kex_done(&mut self, secret: Option<&[u8]>, _: &Names, _: &mut client::Session) -> Result<(), Fault> {
        if let (Some(handover), Some(secret)) = (&self.handover, secret) {
            handover.share(secret);
        }
        Ok(())
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut client::Session) -> Result<(), Fault> {
        banner.clone_into(&mut self.seen.banner.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Fault>) -> Result<(), Fault> {
        let (ending, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => (Ending::Said(info.message), Ok(())),
            DisconnectReason::Error(fault) => (fault.ending(), Err(fault)),
        };
        let _ = self.seen.ending.set(ending);
        result
    }
}

impl Fault {
    fn ending(&self) -> Ending {
        match self {
            Self::Protocol(russh::Error::SshEncoding(ssh_encoding::Error::CharacterEncoding)) => Ending::UnreadableBanner,
            _ => Ending::Broke,
        }
    }
}
