//! The host keys of one cluster's nodes: a `known_hosts` file in OpenSSH's format that kthw alone writes.
use russh::keys::{HashAlg, PublicKey, ssh_key};
use std::{
    collections::HashSet,
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The pinned host keys of a cluster. Copies share one state; every change goes to the file at once.
#[derive(Clone)]
pub struct KnownHosts(Arc<Mutex<State>>);

struct State {
    /// Hosts whose key may be taken as it comes, for this run.
    first: HashSet<String>,
    path: PathBuf,
    lines: Vec<Line>,
}

/// One line of the file, with what it says if it says anything.
#[derive(Clone, Debug)]
struct Line {
    text: String,
    entry: Option<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    revoked: bool,
    hosts: Vec<String>,
    key: PublicKey,
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
            "a line is `HOST[,HOST…] KEYTYPE BASE64` with plain names, or the same behind `@revoked`; remove the line if it is not yours"
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
        let path = path.into();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(KnownHostsError::File { path: path.display().to_string(), source }),
        };
        let lines = text.lines().enumerate().map(|(position, line)| {
            let entry =
                parse(line).map_err(|problem| KnownHostsError::Line { path: path.display().to_string(), line: position + 1, problem })?;
            Ok(Line { text: line.to_owned(), entry })
        });
        let lines = lines.collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Mutex::new(State { path, lines, first: HashSet::new() }))))
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.state().path.clone()
    }

    /// Pins a key (`KEYTYPE BASE64 [COMMENT]`) for a node at an address and port. Returns its fingerprint.
    ///
    /// A host may have several keys. Pinning what is pinned already changes nothing.
    ///
    /// # Errors
    /// When the key cannot be understood or the file cannot be written.
    pub fn pin(&self, name: &str, address: IpAddr, port: u16, public_key_line: &str) -> Result<String, KnownHostsError> {
        self.pin_host(name, &address.to_string(), port, public_key_line)
    }

    /// As [`pin`](Self::pin), for a host that may be a name.
    pub(crate) fn pin_host(&self, name: &str, address: &str, port: u16, public_key_line: &str) -> Result<String, KnownHostsError> {
        let text = public_key_line.trim();
        let mut key =
            PublicKey::from_openssh(text).map_err(|source| KnownHostsError::Key { text: text.chars().take(60).collect(), source })?;
        key.set_comment(name);
        let fingerprint = fingerprint(&key);
        let host = host(address, port);
        let mut state = self.state();
        let known = |line: &Line| line.entry.as_ref().is_some_and(|entry| !entry.revoked && entry.is_for(&host) && entry.has(&key));
        if !state.lines.iter().any(known) {
            let encoded = key.to_openssh().map_err(|source| KnownHostsError::Key { text: fingerprint.clone(), source })?;
            state.lines.push(Line { text: format!("{host} {encoded}"), entry: Some(Entry { revoked: false, hosts: vec![host], key }) });
            state.save()?;
        }
        Ok(fingerprint)
    }

    /// Forgets all keys of an address and port, because the machine behind it is gone. Revocations stay.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&self, address: IpAddr, port: u16) -> Result<(), KnownHostsError> {
        let host = host(address, port);
        let mut state = self.state();
        let before = state.lines.len();
        state.lines.retain(|line| line.entry.as_ref().is_none_or(|entry| entry.revoked || !entry.is_for(&host)));
        if state.lines.len() == before { Ok(()) } else { state.save() }
    }

    /// Lets the key of a host of which nothing is known be taken at the first connection of this run, because nobody can vouch for
    /// it. It is pinned then, and said aloud; a key that is known already still has to fit.
    pub fn allow_first(&self, address: IpAddr, port: u16) {
        let host = host(address, port);
        self.state().first.insert(host);
    }

    /// Whether [`allow_first`](Self::allow_first) was said of this host.
    pub(crate) fn takes_first(&self, address: &str, port: u16) -> bool {
        self.state().first.contains(&host(address, port))
    }

    /// Whether a key is pinned for this address and port.
    pub fn is_pinned(&self, address: IpAddr, port: u16) -> bool {
        let host = host(address, port);
        self.entries(|entry| !entry.revoked && entry.is_for(&host)).next().is_some()
    }

    /// What the file says about `key`, presented by this address and port.
    pub fn judge(&self, address: &str, port: u16, key: &PublicKey) -> Verdict {
        let host = host(address, port);
        let mine: Vec<Entry> = self.entries(|entry| entry.is_for(&host)).collect();
        if mine.iter().any(|entry| entry.revoked && entry.has(key)) {
            return Verdict::Revoked;
        }
        let pinned: Vec<&Entry> = mine.iter().filter(|entry| !entry.revoked).collect();
        if pinned.iter().any(|entry| entry.has(key)) {
            Verdict::Known
        } else if pinned.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Changed(pinned.iter().map(|entry| fingerprint(&entry.key)).collect())
        }
    }

    /// The kinds of keys that are pinned for this address and port: what to ask the host for.
    pub(crate) fn algorithms(&self, address: &str, port: u16) -> Vec<ssh_key::Algorithm> {
        let host = host(address, port);
        self.entries(|entry| !entry.revoked && entry.is_for(&host)).map(|entry| entry.key.algorithm()).collect()
    }

    /// The line that pins `key` (`KEYTYPE BASE64`).
    pub(crate) fn line_for(&self, address: &str, port: u16, key: &str) -> String {
        format!("{} {key}", host(address, port))
    }

    fn entries(&self, wanted: impl Fn(&Entry) -> bool) -> impl Iterator<Item = Entry> {
        let found: Vec<Entry> = self.state().lines.iter().filter_map(|line| line.entry.clone()).filter(wanted).collect();
        found.into_iter()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding the known hosts")
    }
}

impl fmt::Debug for KnownHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownHosts({})", self.state().path.display())
    }
}

impl State {
    /// Writes the file anew, beside the old one and then over it.
    fn save(&self) -> Result<(), KnownHostsError> {
        let failed = |source| KnownHostsError::File { path: self.path.display().to_string(), source };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let text: String = self.lines.iter().map(|line| format!("{}\n", line.text)).collect();
        io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path).map(drop).map_err(|error| failed(error.error))
    }
}

impl Entry {
    fn is_for(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    fn has(&self, key: &PublicKey) -> bool {
        self.key.key_data() == key.key_data()
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// How OpenSSH writes a host: the bare address for port 22, `[address]:port` otherwise.
fn host(address: impl fmt::Display, port: u16) -> String {
    if port == 22 { address.to_string() } else { format!("[{address}]:{port}") }
}

/// Understands one line; `None` for a comment or an empty line.
fn parse(line: &str) -> Result<Option<Entry>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.split_ascii_whitespace().peekable();
    let revoked = match fields.peek() {
        Some(&"@revoked") => fields.next().is_some(),
        Some(marker) if marker.starts_with('@') => return Err(format!("the marker `{marker}` is not supported")),
        _ => false,
    };
    let (Some(hosts), Some(kind), Some(encoded)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("a field is missing".into());
    };
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    if let Some(odd) = hosts.iter().find(|host| host.is_empty() || host.contains(['*', '?', '!', '|'])) {
        return Err(format!("`{odd}` is not a plain host; patterns and hashed hosts are not supported"));
    }
    let key = PublicKey::from_openssh(&format!("{kind} {encoded}")).map_err(|error| format!("not a public key: {error}"))?;
    Ok(Some(Entry { revoked, hosts, key }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    const RSA_LIKE: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn with(text: &str) -> (tempfile::TempDir, Result<KnownHosts, KnownHostsError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        std::fs::write(&path, text).unwrap();
        (folder, KnownHosts::open(path))
    }

    #[test]
    fn the_file_decides() {
        let text = format!(
            "# ours\n\n10.0.0.1 {A}\n10.0.0.1 {RSA_LIKE} comment here\n[10.0.0.2]:2222,cu1\t{B}\n@revoked 10.0.0.3 {A}\n10.0.0.3 {A}\n10.0.0.3 {B}\n"
        );
        let (_folder, known) = with(&text);
        let known = known.unwrap();
        let fingerprint_of_b = fingerprint(&key(B));
        let cases = [
            ("10.0.0.1", 22, A, Verdict::Known),
            ("10.0.0.1", 22, RSA_LIKE, Verdict::Known),
            ("10.0.0.1", 2222, A, Verdict::Unknown),
            ("10.0.0.2", 2222, B, Verdict::Known),
            ("10.0.0.2", 2222, A, Verdict::Changed(vec![fingerprint_of_b])),
            ("CU1", 22, B, Verdict::Known),
            ("10.0.0.3", 22, A, Verdict::Revoked),
            ("10.0.0.3", 22, B, Verdict::Known),
            ("10.0.0.4", 22, A, Verdict::Unknown),
        ];
        for (address, port, presented, verdict) in cases {
            assert_eq!(known.judge(address, port, &key(presented)), verdict, "{address} {port}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_its_line() {
        let cases = [
            format!("10.0.0.1 {A}\n|1|salt=|hash= {A}\n"),
            format!("*.example {A}"),
            format!("@cert-authority * {A}"),
            "10.0.0.1 ssh-ed25519\n".into(),
            "10.0.0.1 ssh-ed25519 AAAA\n".into(),
        ];
        let told: Vec<String> = cases
            .iter()
            .map(|text| {
                let (folder, known) = with(text);
                known.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "")
            })
            .collect();
        expect![[r#"
            /known_hosts:2: `|1|salt=|hash=` is not a plain host; patterns and hashed hosts are not supported
            /known_hosts:1: `*.example` is not a plain host; patterns and hashed hosts are not supported
            /known_hosts:1: the marker `@cert-authority` is not supported
            /known_hosts:1: a field is missing
            /known_hosts:1: not a public key: length invalid"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn pinning_is_kept_and_forgetting_keeps_revocations() {
        let (folder, known) = with(&format!("@revoked 10.0.0.1 {B}\n# a comment\n"));
        let known = known.unwrap();
        let address = "10.0.0.1".parse().unwrap();
        let fingerprint = known.pin("cu1", address, 22, &format!("{A} root@cu1\n")).unwrap();
        known.clone().pin("cu1", address, 22, A).unwrap();
        known.pin("cu1", address, 2200, A).unwrap();
        assert!(fingerprint.starts_with("SHA256:"));
        let text = || std::fs::read_to_string(folder.path().join("known_hosts")).unwrap();
        assert_eq!(text(), format!("@revoked 10.0.0.1 {B}\n# a comment\n10.0.0.1 {A} cu1\n[10.0.0.1]:2200 {A} cu1\n"));
        assert_eq!(KnownHosts::open(known.path()).unwrap().judge("10.0.0.1", 22, &key(A)), Verdict::Known);
        known.forget(address, 22).unwrap();
        assert_eq!(text(), format!("@revoked 10.0.0.1 {B}\n# a comment\n[10.0.0.1]:2200 {A} cu1\n"));
        assert!(!known.is_pinned(address, 22) && known.is_pinned(address, 2200));
        assert!(matches!(known.pin("cu1", address, 22, "no key"), Err(KnownHostsError::Key { .. })));
    }
}
