//! What kthw logs in with: private keys from files or from the secrets file, with their certificates, and the keys of an agent.
use super::error::SshError;
use kthw_engine::Secret;
use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key, load_openssh_certificate, load_public_key, load_secret_key};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What we log in with: our own keys first, then the agent's. Files are read once.
#[derive(Clone, Default)]
pub(crate) struct Identity {
    pub own: Vec<OwnKey>,
    pub agent: Option<Agent>,
}

/// A private key that we hold.
#[derive(Clone)]
pub(crate) struct OwnKey {
    /// Where it is from, for a person.
    pub from: String,
    pub key: Arc<PrivateKey>,
    /// What stands beside it in `KEY-cert.pub`, as ssh-keygen(1) names it.
    pub certificate: Option<Certificate>,
}

/// An agent, and which of its keys are offered.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub socket: PathBuf,
    /// These are offered first, with the files that name them.
    pub first: Vec<(PathBuf, PublicKey)>,
    /// Whether only those are offered.
    pub is_bounded: bool,
}

impl Identity {
    /// One private key.
    pub fn of_key(from: impl Into<String>, key: PrivateKey) -> Self {
        Self { own: vec![OwnKey { from: from.into(), key: Arc::new(key), certificate: None }], agent: None }
    }

    /// The key file if one is named, the agent of `SSH_AUTH_SOCK` otherwise. A file that only tells which key it is, because it is
    /// encrypted or holds the public half, stands for that key in the agent.
    pub fn find(node: &str, key_file: Option<&str>, agent_socket: Option<PathBuf>) -> Result<Self, SshError> {
        if let Some(path) = key_file {
            let path = home(path);
            return match (KeyFile::read(&path)?, agent_socket) {
                (KeyFile::Private(own), _) => Ok(Self { own: vec![*own], agent: None }),
                (KeyFile::Named(public), Some(socket)) => {
                    Ok(Self { own: Vec::new(), agent: Some(Agent { socket, first: vec![(path, public)], is_bounded: true }) })
                }
                (KeyFile::Named(_) | KeyFile::Closed, _) => Err(SshError::KeyEncrypted { path: path.display().to_string() }),
            };
        }
        let reason = "`ssh.key_file` is not set, and neither is SSH_AUTH_SOCK";
        let socket = agent_socket.ok_or_else(|| SshError::NoKey { node: node.into(), reason: reason.into() })?;
        Ok(Self { own: Vec::new(), agent: Some(Agent { socket, first: Vec::new(), is_bounded: false }) })
    }

    /// The keys of files, of which those that are not there are passed over, as ssh(1) does; then the agent's, unless only those that the
    /// files name are wanted.
    pub fn of_files(node: &str, files: &[PathBuf], agent_socket: Option<PathBuf>, only_these: bool) -> Result<Self, SshError> {
        let (mut own, mut first) = (Vec::new(), Vec::new());
        for path in files {
            match KeyFile::read(path) {
                Ok(KeyFile::Private(key)) => own.push(*key),
                Ok(KeyFile::Named(key)) => first.push((path.clone(), key)),
                Ok(KeyFile::Closed) => {}
                Err(SshError::KeyFile { source: russh::keys::Error::IO(error), .. }) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let has_none = own.is_empty() && (agent_socket.is_none() || (only_these && first.is_empty()));
        if has_none {
            let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
            let reason = format!("`IdentityFile` in ~/.ssh/config names {}, which cannot be used, and no agent is asked", names.join(", "));
            return Err(SshError::NoKey { node: node.into(), reason });
        }
        Ok(Self { own, agent: agent_socket.map(|socket| Agent { socket, first, is_bounded: only_these }) })
    }

    /// The private key that the secret called `name` holds.
    pub fn of_secret(name: &str, secret: &Secret) -> Result<Self, SshError> {
        Ok(Self::of_key(format!("the secret `{name}`"), parse_private(name, secret)?))
    }
}

/// What a key file is good for.
pub(crate) enum KeyFile {
    /// It holds a private key that can be used.
    Private(Box<OwnKey>),
    /// It says which key it is; the private half is encrypted or elsewhere.
    Named(PublicKey),
    /// It is encrypted and does not say which key it is.
    Closed,
}

impl KeyFile {
    pub fn read(path: &Path) -> Result<Self, SshError> {
        let failed = |source| SshError::KeyFile { path: path.display().to_string(), source };
        match load_secret_key(path, None) {
            Ok(key) => {
                let certificate = certificate_beside(path, &key)?;
                Ok(Self::Private(Box::new(OwnKey { from: path.display().to_string(), key: Arc::new(key), certificate })))
            }
            // OpenSSH's own format keeps the public half in the clear; for others it is beside.
            Err(russh::keys::Error::KeyIsEncrypted) => {
                let inside = PrivateKey::read_openssh_file(path).map(|key| key.public_key().clone());
                let public = inside.ok().or_else(|| load_public_key(beside(path, ".pub")).ok());
                Ok(public.map_or(Self::Closed, Self::Named))
            }
            Err(source) => load_public_key(path).map(Self::Named).map_err(|_| failed(source)),
        }
    }
}

/// The certificate of `key` in `PATH-cert.pub`; one for another key is none of ours.
fn certificate_beside(path: &Path, key: &PrivateKey) -> Result<Option<Certificate>, SshError> {
    let path = beside(path, "-cert.pub");
    if !path.exists() {
        return Ok(None);
    }
    let failed = |source| SshError::Certificate { path: path.display().to_string(), source };
    let certificate = load_openssh_certificate(&path).map_err(failed)?;
    Ok(Some(certificate).filter(|certificate| certificate.public_key() == key.public_key().key_data()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
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

/// `~/` is the home directory.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
