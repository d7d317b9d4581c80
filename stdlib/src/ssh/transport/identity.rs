//! Logging in: with the key of a file or of the secrets file, or with the keys of an agent.
use super::{error::SshError, host_key::Client, known_hosts::fingerprint};
use kthw_engine::Secret;
use russh::{
    client::{AuthResult, Handle},
    keys::{
        HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, agent::AgentIdentity, agent::client::AgentClient, decode_secret_key,
        load_secret_key,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// OpenSSH's sshd closes the connection after six refused keys.
const KEYS_TRIED: usize = 5;

/// What we log in with. A file is read once.
#[derive(Clone)]
pub(crate) enum Identity {
    Key { from: String, key: Arc<PrivateKey> },
    Agent { socket: PathBuf },
}

impl Identity {
    /// The key file if one is named, the agent of `SSH_AUTH_SOCK` otherwise.
    pub fn find(node: &str, key_file: Option<&str>, agent_socket: Option<PathBuf>) -> Result<Self, SshError> {
        if let Some(path) = key_file {
            let path = home(path);
            return match load_secret_key(&path, None) {
                Ok(key) => Ok(Self::Key { from: path.display().to_string(), key: Arc::new(key) }),
                Err(russh::keys::Error::KeyIsEncrypted) => Err(SshError::KeyEncrypted { path: path.display().to_string() }),
                Err(source) => Err(SshError::KeyFile { path: path.display().to_string(), source }),
            };
        }
        let reason = "`ssh.key_file` is not set, and neither is SSH_AUTH_SOCK";
        let socket = agent_socket.ok_or_else(|| SshError::NoKey { node: node.into(), reason: reason.into() })?;
        Ok(Self::Agent { socket })
    }

    /// The private key that the secret called `name` holds.
    pub fn of_secret(name: &str, secret: &Secret) -> Result<Self, SshError> {
        let key = parse_private(name, secret)?;
        Ok(Self::Key { from: format!("the secret `{name}`"), key: Arc::new(key) })
    }

    /// Logs in as `user`.
    pub async fn log_in(&self, session: &mut Handle<Client>, node: &str, user: &str) -> Result<Login, SshError> {
        match self {
            Self::Key { from, key } => {
                let tried = format!("{from} ({})", fingerprint(key.public_key()));
                let key = PrivateKeyWithHashAlg::new(key.clone(), hash_for(key.public_key()));
                Ok(match session.authenticate_publickey(user, key).await {
                    Ok(AuthResult::Success) => Login::Done,
                    Ok(AuthResult::Failure { .. }) if !session.is_closed() => Login::Refused(tried),
                    Ok(AuthResult::Failure { .. }) => Login::Broken(russh::Error::Disconnect),
                    Err(error) => Login::Broken(error),
                })
            }
            Self::Agent { socket } => log_in_by_agent(socket, session, node, user).await,
        }
    }
}

/// The private key in a secret.
pub(crate) fn parse_private(name: &str, secret: &Secret) -> Result<PrivateKey, SshError> {
    // Exposed: it is read into a key, and errors do not quote it.
    decode_secret_key(secret.expose(), None).map_err(|error| {
        let encrypted = matches!(error, russh::keys::Error::KeyIsEncrypted);
        let reason =
            if encrypted { "it is encrypted with a passphrase; the secrets file encrypts it already" } else { "it is no private key" };
        SshError::KeySecret { name: name.into(), reason: reason.into() }
    })
}

/// How logging in ended.
pub(crate) enum Login {
    Done,
    /// With what was tried.
    Refused(String),
    Broken(russh::Error),
}

async fn log_in_by_agent(socket: &Path, session: &mut Handle<Client>, node: &str, user: &str) -> Result<Login, SshError> {
    let mut agent = AgentClient::connect_uds(socket).await.map_err(|source| SshError::Agent { source })?;
    let identities = agent.request_identities().await.map_err(|source| SshError::Agent { source })?;
    if identities.is_empty() {
        return Err(SshError::NoKey { node: node.into(), reason: format!("the agent at {} holds no key", socket.display()) });
    }
    let mut tried = Vec::new();
    for identity in identities.into_iter().take(KEYS_TRIED) {
        let result = match &identity {
            AgentIdentity::PublicKey { key, comment } => {
                tried.push(format!("{comment} ({})", fingerprint(key)));
                session.authenticate_publickey_with(user, key.clone(), hash_for(key), &mut agent).await
            }
            AgentIdentity::Certificate { certificate, comment } => {
                tried.push(format!("{comment} (a certificate)"));
                session.authenticate_certificate_with(user, certificate.clone(), None, &mut agent).await
            }
        };
        match result {
            Ok(AuthResult::Success) => return Ok(Login::Done),
            Ok(AuthResult::Failure { .. }) if session.is_closed() => return Ok(Login::Broken(russh::Error::Disconnect)),
            Ok(AuthResult::Failure { .. }) => {}
            // An agent may decline one key (a touch that did not come) and still hold another.
            Err(error) => tried.push(format!("the agent would not sign: {error}")),
        }
    }
    Ok(Login::Refused(format!("the agent's keys {}", tried.join(", "))))
}

/// RSA keys sign with SHA-512, which sshd knows since 7.2; asking the server first would cost a round trip.
fn hash_for(key: &PublicKey) -> Option<HashAlg> {
    key.algorithm().is_rsa().then_some(HashAlg::Sha512)
}

/// `~/` is the home directory.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
