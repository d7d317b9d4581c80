//! One line of a `known_hosts` file: `HOST[,HOST…] KEYTYPE BASE64` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Plain names only, apart from
//! the lines about authorities, whose hosts are patterns.
use russh::keys::PublicKey;
use std::fmt;

/// One line, with what it says if it says anything.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub text: String,
    pub entry: Option<Entry>,
}

/// What a line says.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub mark: Mark,
    /// In lower case: names do not depend on it. Patterns, for an authority.
    pub hosts: Vec<String>,
    pub key: PublicKey,
}

/// What a line makes of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is a key of the host.
    Pin,
    /// It is a key of nobody any more (`@revoked`).
    Revoked,
    /// It signs the keys of hosts (`@cert-authority`).
    Authority,
}

impl Line {
    /// Understands one line.
    ///
    /// # Errors
    /// A form that kthw does not use, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), entry: parse(text)? })
    }

    /// The line that pins `key`, whose comment is the node's name.
    pub fn pin(host: String, key: PublicKey) -> Result<Self, russh::keys::ssh_key::Error> {
        let text = format!("{host} {}", key.to_openssh()?);
        Ok(Self { text, entry: Some(Entry { mark: Mark::Pin, hosts: vec![host], key }) })
    }
}

impl Line {
    /// The line without `host`, if `goes` says that it has to go from it; `None` when it is about nobody else.
    pub fn without(&self, host: &str, goes: impl Fn(&Entry) -> bool) -> Option<Self> {
        let Some(entry) = self.entry.as_ref().filter(|entry| entry.hosts.iter().any(|known| known == host) && goes(entry)) else {
            return Some(self.clone());
        };
        let hosts: Vec<String> = entry.hosts.iter().filter(|known| *known != host).cloned().collect();
        let (names, rest) = self.text.trim_start().split_once(char::is_whitespace)?;
        let (marker, rest) = if names.starts_with('@') {
            (format!("{names} "), rest.trim_start().split_once(char::is_whitespace)?.1)
        } else {
            (String::new(), rest)
        };
        let text = format!("{marker}{} {}", hosts.join(","), rest.trim_start());
        (!hosts.is_empty()).then(|| Self { text, entry: Some(Entry { hosts, ..entry.clone() }) })
    }
}

impl Entry {
    /// Whether one of the patterns is a name of the host, and none that begins with `!` is (ssh_config(5), "PATTERNS").
    pub fn covers(&self, names: &[String]) -> bool {
        let matches = |pattern: &str| names.iter().any(|name| is_like(pattern.as_bytes(), name.as_bytes()));
        let (not, yes): (Vec<&str>, Vec<&str>) = self.hosts.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
        yes.into_iter().any(matches) && !not.iter().any(|pattern| matches(&pattern[1..]))
    }

    pub fn has(&self, key: &PublicKey) -> bool {
        self.key.key_data() == key.key_data()
    }
}

/// How OpenSSH writes a host: the bare address for port 22, `[address]:port` otherwise. In lower case.
pub(super) fn host(address: impl fmt::Display, port: u16) -> String {
    let host = if port == 22 { address.to_string() } else { format!("[{address}]:{port}") };
    host.to_ascii_lowercase()
}

/// Whether `text` has the form of `pattern`, in which `*` stands for anything and `?` for one character.
pub(super) fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last `*` stands, and up to where the text was its.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((position, taken)) => {
                    star = Some((position, taken + 1));
                    (at, place) = (position + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Understands one line; `None` for a comment or an empty line.
fn parse(line: &str) -> Result<Option<Entry>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.split_ascii_whitespace().peekable();
    let mark = match fields.peek() {
        Some(&"@revoked") => Mark::Revoked,
        Some(&"@cert-authority") => Mark::Authority,
        Some(marker) if marker.starts_with('@') => return Err(format!("the marker `{marker}` is not supported")),
        _ => Mark::Pin,
    };
    if mark != Mark::Pin {
        fields.next();
    }
    let (Some(hosts), Some(kind), Some(encoded)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("a field is missing".into());
    };
    let hosts: Vec<String> = hosts.split(',').map(str::to_ascii_lowercase).collect();
    let odd = if mark == Mark::Authority { "|" } else { "*?!|" };
    if let Some(odd) = hosts.iter().find(|host| host.is_empty() || host.contains(|c| odd.contains(c))) {
        return Err(match mark {
            Mark::Authority => format!("`{odd}` is no pattern; hashed hosts are not supported"),
            _ => format!("`{odd}` is not a plain host; patterns and hashed hosts are not supported"),
        });
    }
    let key = PublicKey::from_openssh(&format!("{kind} {encoded}")).map_err(|error| format!("not a public key: {error}"))?;
    Ok(Some(Entry { mark, hosts, key }))
}
