//! The host keys of one cluster's nodes: a `known_hosts` file in OpenSSH's format.
use kthw_engine::{Effect, node::KeyTrust};
use russh::keys::{HashAlg, PublicKey, ssh_key};
use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

mod authority;
mod file;
mod line;

pub(crate) use authority::Certified;

use file::PinFile;
use line::{Entry, Line, Mark, host};

/// The pinned host keys of a cluster, and those that are only believed in this run. Copies share one state; a pin goes to the file at once,
/// beside what others have written there.
#[derive(Clone)]
pub struct KnownHosts(Arc<Mutex<State>>);

struct State {
    /// Keys that are believed in this run and are not in the file yet, by host.
    learnt: HashMap<String, Vec<Learnt>>,
    first_use: FirstUse,
    /// What asking for the keys of hosts came to, of which none is pinned.
    asked: HashMap<String, Asked>,
    /// What a person has to be told, and was not yet.
    warnings: Vec<String>,
    /// What is told once in a run, whoever notices it.
    told: HashSet<String>,
    file: PinFile,
}

/// A key that is believed in this run.
struct Learnt {
    key: PublicKey,
    trust: KeyTrust,
}

/// When the key of a host of which nothing is known is taken as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstUse {
    /// Where nobody can vouch for it. It is said aloud, and pinned with the next change.
    #[default]
    WhereNobodyVouches,
    /// Never: for a dry run.
    Never,
}

/// What asking for a host's key came to.
#[derive(Clone, Debug)]
enum Asked {
    /// There is nobody to ask.
    Nobody,
    /// There is nobody to ask yet; somebody has to know the key before anything comes of what it is used for.
    NobodyYet,
    /// Whoever should know it could not be asked, or did not say.
    InVain(String),
}

/// What the file says about a key that a host presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is one of the host's keys.
    Known,
    /// Nothing is known about the host.
    Unknown,
    /// The host has other keys; these are their fingerprints.
    Changed(Vec<String>),
    /// The key is marked `@revoked`.
    Revoked,
}

/// The file of known hosts cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum KnownHostsError {
    /// It cannot be read or written.
    #[error("cannot use the known hosts in {path}")]
    #[diagnostic(code(kthw::ssh::known_hosts), help("check that the folder is there and belongs to you"))]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// One of its lines has a form that kthw does not use.
    #[error("{path}:{line}: {problem}")]
    #[diagnostic(
        code(kthw::ssh::known_hosts_line),
        help(
            "a line is `HOST[,HOST…] KEYTYPE BASE64` with plain names, the same behind `@revoked`, or `@cert-authority PATTERN[,PATTERN…] KEYTYPE BASE64`; remove the line if it is not yours"
        )
    )]
    Line {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// What should be pinned is not a public key.
    #[error("`{text}` is not an SSH public key")]
    #[diagnostic(code(kthw::ssh::public_key), help("a public key is `KEYTYPE BASE64 [COMMENT]`, as in /etc/ssh/ssh_host_ed25519_key.pub"))]
    Key {
        /// What was given, shortened.
        text: String,
        /// Why.
        source: ssh_key::Error,
    },
}

impl KnownHosts {
    /// Reads the file at `path`; a missing file is an empty one.
    ///
    /// # Errors
    /// When it cannot be read, or has a line that cannot be understood: a pin that is silently ignored would be no pin.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KnownHostsError> {
        Ok(Self(Arc::new(Mutex::new(State {
            file: PinFile::open(path.into())?,
            learnt: HashMap::new(),
            first_use: FirstUse::default(),
            asked: HashMap::new(),
            warnings: Vec::new(),
            told: HashSet::new(),
        }))))
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.state().file.path().to_owned()
    }

    /// Pins a key (`KEYTYPE BASE64 [COMMENT]`) for a node at an address and port. Returns its fingerprint.
    ///
    /// A host may have several keys. Pinning what is pinned already changes nothing.
    ///
    /// # Errors
    /// When the key cannot be understood or the file cannot be written.
    pub fn pin(&self, name: &str, address: IpAddr, port: u16, line: &str, _effect: &Effect) -> Result<String, KnownHostsError> {
        self.write_pin(name, host(address, port), understand(line)?)
    }

    /// Believes a key in this run, without writing it down: a plan may need to look at a machine, and writes nothing.
    pub fn learn(&self, address: &str, port: u16, key: PublicKey, trust: KeyTrust) {
        let mut state = self.state();
        let learnt = state.learnt.entry(host(address, port)).or_default();
        if learnt.iter().all(|known| known.key.key_data() != key.key_data()) {
            learnt.push(Learnt { key, trust });
        }
    }

    /// As [`learn`](Self::learn), for a key as text (`KEYTYPE BASE64 [COMMENT]`) that somebody who knows the machine told.
    ///
    /// # Errors
    /// When the key cannot be understood.
    pub fn learn_vouched(&self, address: IpAddr, port: u16, line: &str) -> Result<(), KnownHostsError> {
        self.learn(&address.to_string(), port, understand(line)?, KeyTrust::Vouched);
        Ok(())
    }

    /// As [`learn`](Self::learn), for a key as text that nobody vouched for.
    ///
    /// # Errors
    /// When the key cannot be understood.
    pub fn learn_line(&self, address: &str, port: u16, line: &str) -> Result<(), KnownHostsError> {
        self.learn(address, port, understand(line)?, KeyTrust::AsItCame);
        Ok(())
    }

    /// The fingerprint of a key as text, and why it is believed.
    ///
    /// # Errors
    /// When the key cannot be understood.
    pub fn trust_line(&self, address: &str, port: u16, line: &str) -> Result<(String, KeyTrust), KnownHostsError> {
        let key = understand(line)?;
        Ok((fingerprint(&key), self.trust(address, port, &key).unwrap_or(KeyTrust::AsItCame)))
    }

    /// Pins what was learnt about a host.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pin_learnt(&self, name: &str, address: &str, port: u16, _effect: &Effect) -> Result<(), KnownHostsError> {
        let host = host(address, port);
        let learnt = self.state().learnt.remove(&host).unwrap_or_default();
        learnt.into_iter().try_for_each(|learnt| self.write_pin(name, host.clone(), learnt.key).map(drop))
    }

    fn write_pin(&self, name: &str, host: String, mut key: PublicKey) -> Result<String, KnownHostsError> {
        key.set_comment(name);
        let fingerprint = fingerprint(&key);
        self.state().file.add(|file| {
            if file.entries(&host).any(|entry| entry.mark == Mark::Pin && entry.has(&key)) {
                return Ok(None);
            }
            Line::pin(host, key).map(Some).map_err(|source| KnownHostsError::Key { text: fingerprint.clone(), source })
        })?;
        Ok(fingerprint)
    }

    /// Forgets all keys of an address and port, because the machine behind it is gone. Revocations stay.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&self, address: IpAddr, port: u16, _effect: &Effect) -> Result<(), KnownHostsError> {
        self.strike_out(&host(address, port))
    }

    fn strike_out(&self, host: &str) -> Result<(), KnownHostsError> {
        let mut state = self.state();
        state.learnt.remove(host);
        state.file.remove(host, |entry| entry.mark == Mark::Pin)
    }

    /// When keys may be taken at first sight from now on, in all copies.
    pub fn set_first_use(&self, first_use: FirstUse) {
        self.state().first_use = first_use;
    }

    /// Lets the key of a host of which nothing is known be taken at the first connection of this run, because nobody can vouch for
    /// it: `why` says so. It is said aloud, and pinned with the next change; a key that is known already still has to fit.
    /// Returns what there is to say.
    pub fn allow_first(&self, node: &str, address: IpAddr, port: u16, why: &str) -> Option<String> {
        let mut state = self.state();
        state.asked.insert(host(address.to_string(), port), Asked::Nobody);
        if state.first_use == FirstUse::Never {
            return None;
        }
        let warning = format!("the SSH host key at {address} will be taken on first use: nobody vouches for that of {node} ({why})");
        state.warn(warning.clone());
        Some(warning)
    }

    /// Lets the key of a host of which nothing is known be taken at the first connection of this run, for as long as it takes until somebody can be
    /// asked who vouches for it. Whoever calls this has to ask then.
    pub fn allow_until_confirmed(&self, address: IpAddr, port: u16) {
        self.state().asked.insert(host(address.to_string(), port), Asked::NobodyYet);
    }

    /// Notes that whoever should know the key of this host could not say it, and why.
    pub fn cannot_vouch(&self, address: IpAddr, port: u16, why: &str) {
        self.state().asked.insert(host(address.to_string(), port), Asked::InVain(why.to_owned()));
    }

    /// Whether the key of this host may be taken as it comes. `unasked`: that nobody was asked means that there is nobody to ask.
    pub fn takes_first(&self, address: &str, port: u16, unasked: bool) -> bool {
        let state = self.state();
        let nobody_vouches = match state.asked.get(&host(address, port)) {
            Some(asked) => matches!(asked, Asked::Nobody | Asked::NobodyYet),
            None => unasked,
        };
        nobody_vouches && state.first_use == FirstUse::WhereNobodyVouches
    }

    /// Why the key of this host is not taken as it comes, in brackets behind a space; empty when there is nothing to say.
    pub fn why_not_first(&self, address: &str, port: u16) -> String {
        let state = self.state();
        match (state.asked.get(&host(address, port)), state.first_use) {
            (Some(Asked::InVain(why)), _) => format!(" ({why})"),
            (_, FirstUse::Never) => " (a dry run trusts no key at first sight)".into(),
            _ => String::new(),
        }
    }

    /// A key was taken at first sight. Returns what there is to say.
    pub fn took_first(&self, node: &str, address: &str, port: u16, fingerprint: &str) -> String {
        let mut state = self.state();
        let is_asked_later = matches!(state.asked.get(&host(address, port)), Some(Asked::NobodyYet));
        let goes = match is_asked_later {
            true => "its guest agent has to know it before anything is made of it".to_owned(),
            false => format!("and kept in {} with the first change", state.file.path().display()),
        };
        let text = format!("first connection to {node} at {address}:{port}: its host key {fingerprint} is taken as it came, {goes}");
        state.warn(text.clone());
        text
    }

    /// Notes something that a person has to be told about the way to a host; once.
    pub fn warn(&self, text: &str) {
        let mut state = self.state();
        if state.told.insert(text.to_owned()) {
            state.warn(text.to_owned());
        }
    }

    /// What a person has to be told about trust at first sight and about the way to hosts. Each is returned once.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().warnings)
    }

    /// Whether a key is pinned for this address and port, or believed in this run.
    pub fn is_known(&self, address: IpAddr, port: u16) -> bool {
        self.is_pinned(address, port) || self.state().learnt.contains_key(&host(address, port))
    }

    /// Why `key` is believed; `None` when it is not.
    pub fn trust(&self, address: &str, port: u16, key: &PublicKey) -> Option<KeyTrust> {
        let (state, host) = (self.state(), host(address, port));
        if state.file.entries(&host).any(|entry| entry.mark == Mark::Pin && entry.has(key)) {
            return Some(KeyTrust::Pinned);
        }
        let learnt = state.learnt.get(&host).into_iter().flatten().find(|learnt| learnt.key.key_data() == key.key_data());
        learnt.map(|learnt| learnt.trust)
    }

    /// Whether a key is pinned for this address and port.
    pub fn is_pinned(&self, address: IpAddr, port: u16) -> bool {
        self.state().file.entries(&host(address, port)).any(|entry| entry.mark == Mark::Pin)
    }

    /// What the file says about `key`, presented by this address and port.
    pub fn judge(&self, address: &str, port: u16, key: &PublicKey) -> Verdict {
        let mut state = self.state();
        // Somebody may have revoked a key while the run goes on.
        state.file.look_again();
        let host = host(address, port);
        let (revoked, pinned): (Vec<&Entry>, Vec<&Entry>) = state.file.entries(&host).partition(|entry| entry.mark == Mark::Revoked);
        let learnt: Vec<&PublicKey> = state.learnt.get(&host).into_iter().flatten().map(|learnt| &learnt.key).collect();
        if revoked.iter().any(|entry| entry.has(key)) {
            Verdict::Revoked
        } else if pinned.iter().any(|entry| entry.has(key)) || learnt.iter().any(|known| known.key_data() == key.key_data()) {
            Verdict::Known
        } else if pinned.is_empty() && learnt.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Changed(pinned.iter().map(|entry| &entry.key).chain(learnt).map(fingerprint).collect())
        }
    }

    /// As [`judge`](Self::judge), for a key as text (`KEYTYPE BASE64 [COMMENT]`).
    ///
    /// # Errors
    /// When the key cannot be understood.
    pub fn judge_line(&self, address: &str, port: u16, line: &str) -> Result<Verdict, KnownHostsError> {
        Ok(self.judge(address, port, &understand(line)?))
    }

    /// The kinds of keys that are known of this address and port: what to ask the host for.
    pub(crate) fn algorithms(&self, address: &str, port: u16) -> Vec<ssh_key::Algorithm> {
        let (state, host) = (self.state(), host(address, port));
        let pinned = state.file.entries(&host).filter(|entry| entry.mark == Mark::Pin).map(|entry| &entry.key);
        pinned.chain(state.learnt.get(&host).into_iter().flatten().map(|learnt| &learnt.key)).map(PublicKey::algorithm).collect()
    }

    /// The line that pins `key` (`KEYTYPE BASE64`).
    pub(crate) fn line_for(&self, address: &str, port: u16, key: &str) -> String {
        format!("{} {key}", host(address, port))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding the known hosts")
    }
}

impl State {
    fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

impl fmt::Debug for KnownHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownHosts({})", self.state().file.path().display())
    }
}

/// Understands `KEYTYPE BASE64 [COMMENT]`.
pub(crate) fn understand(line: &str) -> Result<PublicKey, KnownHostsError> {
    let text = line.trim();
    PublicKey::from_openssh(text).map_err(|source| KnownHostsError::Key { text: text.chars().take(60).collect(), source })
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests;
