//! Logging in: keys are offered one after the other, and what the server says to each decides what comes next and what a person is told.
use super::{
    error::SshError,
    host_key::Client,
    identity::{Agent, Identity},
    known_hosts::fingerprint,
};
use russh::{
    AgentAuthError, MethodKind, Signer,
    client::{AuthResult, Handle},
    keys::{
        Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
        signature::Signer as _,
        ssh_encoding::Encode,
        ssh_key::{self, private::KeypairData},
    },
};
use std::{fmt::Write as _, sync::Arc};
use tokio::net::UnixStream;

/// OpenSSH's sshd closes the connection after six refused keys (`MaxAuthTries`).
const OFFERS: usize = 5;

/// How logging in ended.
pub(crate) enum Login {
    Done,
    Refused(Refusal),
    Broken(russh::Error),
}

/// A login without success, and all that is known of why.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    /// What was offered, in words.
    pub tried: Vec<String>,
    /// How many keys there were beyond that.
    pub untried: usize,
    /// By what the server would go on; empty when it did not say.
    pub methods: Vec<MethodKind>,
    /// Whether the server took a key, and wants something more.
    pub is_partial: bool,
    /// Whether the server ended the connection.
    pub hung_up: bool,
}

impl Refusal {
    /// What was tried and what was not, for a sentence.
    pub fn told(&self) -> String {
        let mut told = self.tried.join(", ");
        if self.untried > 0 {
            let _ = write!(told, "; {} more of the agent's keys were not tried", self.untried);
        }
        told
    }

    /// The methods as sshd_config(5) spells them.
    pub fn methods(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(<&'static str>::from).collect();
        names.join(" or ")
    }
}

/// One thing to offer.
struct Offer {
    /// What it is, for a person.
    what: String,
    proof: Proof,
    hash: Option<HashAlg>,
}

enum Proof {
    Own(Arc<PrivateKey>),
    OwnCertificate(Arc<PrivateKey>, Box<Certificate>),
    Agent(Box<AgentIdentity>),
}

impl Identity {
    /// Logs in as `user`.
    pub async fn log_in(&self, session: &mut Handle<Client>, node: &str, user: &str) -> Result<Login, SshError> {
        let mut offers = self.own_offers();
        let mut client = None;
        if let Some(agent) = &self.agent {
            match ask(agent, node).await {
                Ok((connection, found)) => {
                    client = Some(connection);
                    offers.extend(found);
                }
                // It may not be needed.
                Err(_) if !offers.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        if offers.is_empty() {
            let reason = "neither the files that are named nor the agent hold a key that can be used";
            return Err(SshError::NoKey { node: node.into(), reason: reason.into() });
        }
        // An RSA key signs with SHA-512, which sshd knows since 7.2, and only where that is refused with SHA-256: a server may take that
        // alone, and what it says of it (RFC 8308, `server-sig-algs`) does not tell what it takes for logging in (OpenSSH up to 9.5).
        let again: Vec<Offer> = offers.iter().filter_map(Offer::weaker).collect();
        let keys = offers.len();
        let mut refusal = Refusal::default();
        for (position, offer) in offers.into_iter().chain(again).enumerate().take(OFFERS) {
            refusal.tried.push(offer.what.clone());
            refusal.untried = keys.saturating_sub(position + 1);
            match offer.make(session, user, client.as_mut()).await {
                Answer::Success => return Ok(Login::Done),
                Answer::Failure { methods, .. } if session.is_closed() => {
                    refusal.hung_up = true;
                    refusal.methods = methods;
                    break;
                }
                Answer::Failure { methods, is_partial } => {
                    refusal.is_partial |= is_partial;
                    refusal.methods = methods;
                    if !refusal.methods.contains(&MethodKind::PublicKey) {
                        break;
                    }
                }
                // An agent may decline one key (a touch that did not come) and still hold another.
                Answer::Declined(why) => refusal.tried.push(format!("the agent would not sign: {why}")),
                Answer::Broken(source) => return Ok(Login::Broken(source)),
            }
        }
        Ok(Login::Refused(refusal))
    }

    /// Our own keys; of each the certificate first, which says more.
    fn own_offers(&self) -> Vec<Offer> {
        let mut offers = Vec::new();
        for own in &self.own {
            let hash = hash_for(own.key.public_key());
            if let Some(certificate) = &own.certificate {
                let proof = Proof::OwnCertificate(own.key.clone(), Box::new(certificate.clone()));
                offers.push(Offer { what: format!("{}-cert.pub ({})", own.from, describe(certificate)), proof, hash });
            }
            let what = format!("{} ({})", own.from, fingerprint(own.key.public_key()));
            offers.push(Offer { what, proof: Proof::Own(own.key.clone()), hash });
        }
        offers
    }
}

impl Offer {
    /// The same with the other hash that an RSA key may sign with.
    fn weaker(&self) -> Option<Self> {
        self.hash?;
        let proof = match &self.proof {
            Proof::Own(key) => Proof::Own(key.clone()),
            Proof::OwnCertificate(key, certificate) => Proof::OwnCertificate(key.clone(), certificate.clone()),
            Proof::Agent(identity) => Proof::Agent(identity.clone()),
        };
        Some(Self { what: format!("{} with rsa-sha2-256", self.what), proof, hash: Some(HashAlg::Sha256) })
    }

    async fn make(self, session: &mut Handle<Client>, user: &str, agent: Option<&mut AgentClient<UnixStream>>) -> Answer {
        match self.proof {
            Proof::Own(key) => match session.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, self.hash)).await {
                Ok(result) => result.into(),
                Err(source) => Answer::Broken(source),
            },
            Proof::OwnCertificate(key, certificate) => {
                session.authenticate_certificate_with(user, *certificate, self.hash, &mut OwnSigner(key)).await.into()
            }
            Proof::Agent(identity) => {
                let Some(agent) = agent else { return Answer::Declined("there is none".into()) };
                match *identity {
                    AgentIdentity::PublicKey { key, .. } => session.authenticate_publickey_with(user, key, self.hash, agent).await.into(),
                    AgentIdentity::Certificate { certificate, .. } => {
                        session.authenticate_certificate_with(user, certificate, self.hash, agent).await.into()
                    }
                }
            }
        }
    }
}

/// The keys of an agent, those first that are named.
async fn ask(agent: &Agent, node: &str) -> Result<(AgentClient<UnixStream>, Vec<Offer>), SshError> {
    let failed = |source| match agent.first.first() {
        // Without the agent the key is as good as not there.
        Some((path, _)) if agent.is_bounded => SshError::KeyEncrypted { path: path.display().to_string() },
        _ => SshError::Agent { source },
    };
    let mut client = AgentClient::connect_uds(&agent.socket).await.map_err(failed)?;
    let mut held = client.request_identities().await.map_err(failed)?;
    if held.is_empty() && agent.first.is_empty() {
        return Err(SshError::NoKey { node: node.into(), reason: format!("the agent at {} holds no key", agent.socket.display()) });
    }
    let place = |identity: &AgentIdentity| agent.first.iter().position(|(_, key)| key.key_data() == identity.public_key().key_data());
    if agent.is_bounded {
        held.retain(|identity| place(identity).is_some());
        if let (true, Some((path, _))) = (held.is_empty(), agent.first.first()) {
            return Err(SshError::KeyEncrypted { path: path.display().to_string() });
        }
    }
    held.sort_by_key(|identity| place(identity).unwrap_or(usize::MAX));
    let offers = held.into_iter().map(|identity| {
        let what = match &identity {
            AgentIdentity::PublicKey { key, comment } => format!("the agent's {comment} ({})", fingerprint(key)),
            AgentIdentity::Certificate { certificate, comment } => format!("the agent's {comment} ({})", describe(certificate)),
        };
        Offer { what, hash: hash_for(&identity.public_key()), proof: Proof::Agent(Box::new(identity)) }
    });
    Ok((client, offers.collect()))
}

/// What the server, or the agent, said to an offer.
enum Answer {
    Success,
    Failure { methods: Vec<MethodKind>, is_partial: bool },
    Declined(String),
    Broken(russh::Error),
}

impl From<AuthResult> for Answer {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::Success,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::Failure { methods: remaining_methods.iter().copied().collect(), is_partial: partial_success }
            }
        }
    }
}

impl From<Result<AuthResult, AgentAuthError>> for Answer {
    fn from(result: Result<AuthResult, AgentAuthError>) -> Self {
        result.map_or_else(|error| Self::Declined(error.to_string()), Self::from)
    }
}

/// Signs for a certificate: russh's own way has no hash for RSA.
struct OwnSigner(Arc<PrivateKey>);

impl Signer for OwnSigner {
    type Error = AgentAuthError;

    async fn auth_sign(&mut self, _: &AgentIdentity, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, AgentAuthError> {
        let signed = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
            pair => pair.try_sign(&data),
        };
        let failed = |error: ssh_key::Error| AgentAuthError::Key(russh::keys::Error::from(error));
        let signature = signed.map_err(|error| failed(error.into()))?;
        signature.encode_prefixed(&mut data).map_err(|error| failed(error.into()))?;
        Ok(data)
    }
}

/// What a certificate says, with what a server would hold against it.
fn describe(certificate: &Certificate) -> String {
    let by = fingerprint(&PublicKey::from(certificate.signature_key().clone()));
    let mut told = format!("a certificate `{}` by {by}", certificate.key_id());
    if !certificate.valid_principals().is_empty() {
        let _ = write!(told, " for {}", certificate.valid_principals().join(", "));
    }
    let now = jiff::Timestamp::now().as_second();
    let time = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    if time(certificate.valid_before()) <= now {
        let end = jiff::Timestamp::from_second(time(certificate.valid_before())).map(|end| end.to_string()).unwrap_or_default();
        let _ = write!(told, ", not valid since {end}");
    } else if time(certificate.valid_after()) > now {
        told.push_str(", not valid yet");
    }
    told
}

fn hash_for(key: &PublicKey) -> Option<HashAlg> {
    key.algorithm().is_rsa().then_some(HashAlg::Sha512)
}
