//! The halves of a key pair: a private key in the secrets file, its public line, and the lines of a node's `authorized_keys`.
use crate::rotation::Stamp;
use crate::ssh::transport::{fingerprint, parse_private};
use kthw_engine::{
    Error, Random, Result, Secret,
    node::{Finding, PathState, Probe},
};
use miette::Diagnostic;
use russh::keys::{
    PrivateKey, PublicKey,
    ssh_key::{
        LineEnding,
        authorized_keys::Entry,
        private::{Ed25519Keypair, KeypairData},
    },
};

/// The public half of the private key that the secret `name` holds, as a line of `authorized_keys`.
///
/// # Errors
/// When it holds no private key that can be used.
pub fn public_half(name: &str, secret: &Secret) -> Result<String> {
    let key = parse_private(name, secret).map_err(Error::recipe)?;
    Ok(line_of(key.public_key()))
}

pub fn line_of(key: &PublicKey) -> String {
    key.to_openssh().expect("a key that was read can be written")
}

/// The public half of the key in the secrets file.
#[derive(Clone, Debug)]
pub struct Current {
    pub line: String,
    pub fingerprint: String,
    pub stamp: Option<Stamp>,
    /// The fingerprint of the key that it took the place of, if kthw did not make that.
    pub replaces: Option<String>,
}

/// The `authorized_keys` of one node.
#[derive(Debug)]
pub struct Keys {
    pub node: String,
    /// What was asked and answered, to write only what was seen.
    pub seen: (Probe, Finding),
    pub state: Option<PathState>,
    pub text: String,
}

/// A line of `authorized_keys` that holds a key.
pub struct Authorized<'t> {
    pub line: &'t str,
    pub fingerprint: String,
    pub comment: String,
}

impl Keys {
    pub fn of(node: &str, probe: Probe, finding: Finding, path: &str) -> Result<Self> {
        let state = match &finding {
            Finding::Path(state) => state.clone(),
            _ => None,
        };
        let text = match &state {
            None => String::new(),
            Some(state) => {
                let text = state.content.clone().and_then(|bytes| String::from_utf8(bytes).ok());
                text.ok_or_else(|| Error::peer(Unreadable { node: node.into(), path: path.into() }))?
            }
        };
        Ok(Self { node: node.into(), seen: (probe, finding), state, text })
    }

    pub fn entries(&self) -> impl Iterator<Item = Authorized<'_>> {
        self.text.lines().filter_map(|line| {
            let entry: Entry = line.trim().parse().ok()?;
            let key = entry.public_key();
            Some(Authorized { line, fingerprint: fingerprint(key), comment: key.comment().to_string() })
        })
    }

    pub fn holds(&self, fingerprint: &str) -> bool {
        self.entries().any(|entry| entry.fingerprint == fingerprint)
    }
}

impl Current {
    pub fn of(name: &str, secret: &Secret, ours: impl Fn(&Stamp) -> bool) -> Result<Self> {
        let key = parse_private(name, secret).map_err(Error::recipe)?;
        let comment = key.public_key().comment().to_string();
        Ok(Self {
            line: line_of(key.public_key()),
            fingerprint: fingerprint(key.public_key()),
            stamp: Stamp::find(&comment).filter(ours),
            replaces: comment.split_once(" replaces ").map(|(_, fingerprint)| fingerprint.trim().to_owned()),
        })
    }

    pub fn shown(&self) -> String {
        match &self.stamp {
            Some(stamp) => stamp.shown(),
            None => format!("{}, not made by kthw", self.fingerprint),
        }
    }
}

pub fn new_private_key(comment: &str, random: &dyn Random) -> Result<Secret> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    random.fill(&mut *seed);
    private_key(&seed, comment)
}

/// The ed25519 private key that belongs to a seed, as OpenSSH writes it, without a passphrase.
///
/// # Errors
/// Never for a comment of one line.
pub fn private_key(seed: &[u8; 32], comment: &str) -> Result<Secret> {
    let pair = KeypairData::from(Ed25519Keypair::from_seed(seed));
    let key = PrivateKey::new(pair, comment).and_then(|key| key.to_openssh(LineEnding::LF));
    key.map(|text| Secret::new(text.as_str())).map_err(|error| Error::peer(NoNewKey { reason: error.to_string() }))
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read {path} on {node} as text of at most 64 KiB")]
#[diagnostic(code(kthw::ssh::authorized_keys), help("look at it on the node; it should hold one public key a line"))]
struct Unreadable {
    node: String,
    path: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot make an SSH key: {reason}")]
#[diagnostic(code(kthw::ssh::new_key), help("this is a mistake in kthw; please report it"))]
struct NoNewKey {
    reason: String,
}
