//! The person's own `~/.ssh/config`, as far as it says how hosts are reached: user, port, keys, and the hosts on the way (ssh_config(5)).
//!
//! The library reads the file, follows `Include`, and finds what is said of a host. A directive that kthw does not follow is given to it
//! under a name with the number of its line, so that a warning can name both, and only where it is about a host that is used.
use ssh2_config::{DefaultAlgorithms, HostParams, ParseRule, SshConfig};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What kthw follows.
const FOLLOWED: [&str; 7] = ["host", "hostname", "user", "port", "identityfile", "proxyjump", "include"];

/// What has no meaning for kthw: it shows no session, forwards nothing, shares no connection, asks nobody, and has times of its own.
const WITHOUT_MEANING: [&str; 44] = [
    "addkeystoagent",
    "batchmode",
    "checkhostip",
    "clearallforwardings",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "ignoreunknown",
    "ipqos",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "permitlocalcommand",
    "permitremoteopen",
    "remoteforward",
    "requesttty",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "setenv",
    "streamlocalbindmask",
    "syslogfacility",
    "tcpkeepalive",
    "usekeychain",
    "visualhostkey",
];

/// The file, read.
pub struct UserConfig {
    config: SshConfig,
    path: PathBuf,
    home: PathBuf,
    /// The lines with a `Match`; what stands below them is left out.
    matches: Vec<usize>,
}

/// What the file says of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostConfig {
    pub host_name: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity_files: Vec<PathBuf>,
    pub identities_only: bool,
    /// The hosts on the way, in their order.
    pub jumps: Vec<String>,
    /// What a person has to be told.
    pub warnings: Vec<String>,
}

impl UserConfig {
    /// Reads the file of whoever runs this process; `None` when there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_this_person() -> Result<Option<Self>, String> {
        etcetera::home_dir().map_or(Ok(None), |home| Self::read(&home.join(".ssh/config"), &home))
    }

    /// Reads the file at `path`, in which `~` is `home`; `None` when there is none.
    ///
    /// # Errors
    /// In words, when it cannot be used: it is unreadable, not its owner's alone, or holds a line that cannot be understood.
    pub fn read(path: &Path, home: &Path) -> Result<Option<Self>, String> {
        let failed = |why: String| format!("{} is not used: {why}", path.display());
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        // As ssh(1) has it: who writes the file decides where logins go.
        if found.mode() & 0o022 != 0 {
            return Err(failed("others than its owner may write it (`chmod go-w` mends that)".into()));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let (text, matches) = mark(&text);
        let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
        let config = SshConfig::default().home_dir(home).parse(&mut text.as_bytes(), rules).map_err(|error| failed(error.to_string()))?;
        Ok(Some(Self { config, path: path.to_owned(), home: home.to_owned(), matches }))
    }

    /// What the file says of a host that has these names, for a login as `user` unless the file says who.
    pub(crate) fn host(&self, names: &[&str], user: &str) -> HostConfig {
        let about: Vec<*const ssh2_config::Host> =
            names.iter().flat_map(|name| self.config.intersecting_hosts(name)).map(std::ptr::from_ref).collect();
        let mut all = HostParams::new(&DefaultAlgorithms::default());
        // In the order of the file, of which the first value counts.
        for host in self.config.get_hosts().iter().filter(|host| about.contains(&std::ptr::from_ref(*host))) {
            all.overwrite_if_none(&host.params);
        }
        let name = names.first().copied().unwrap_or_default();
        let host_name = all.host_name.as_ref().map(|text| text.replace("%%", "\0").replace("%h", name).replace('\0', "%"));
        let user = all.user.clone().unwrap_or_else(|| user.to_owned());
        let files = all.identity_file.iter().flatten().filter(|file| !is_none(&file.to_string_lossy()));
        let identity_files = files.map(|file| self.expand(file, host_name.as_deref().unwrap_or(name), &user)).collect();
        let jumps = all.proxy_jump.iter().flatten().map(|jump| jump.trim().to_owned()).filter(|jump| !is_none(jump)).collect();
        HostConfig {
            identities_only: first(&all, "identitiesonly").is_some_and(|value| is_yes(&value)),
            warnings: self.warnings(&all),
            user: all.user,
            port: all.port,
            host_name,
            identity_files,
            jumps,
        }
    }

    /// What is said of the host and not followed.
    fn warnings(&self, all: &HostParams) -> Vec<String> {
        let path = self.path.display();
        let mut lines: Vec<(usize, String)> = self.matches.iter().map(|line| (*line, "Match".into())).collect();
        for (field, _) in all.ignored_fields.iter().chain(&all.unsupported_fields) {
            let (name, line) = field.split_once(':').unwrap_or((field, "0"));
            let known = name.to_ascii_lowercase();
            if known != "identitiesonly" && !WITHOUT_MEANING.contains(&known.as_str()) {
                lines.push((line.parse().unwrap_or(0), name.to_owned()));
            }
        }
        lines.sort();
        let told = |(line, name): (usize, String)| match (line, name.as_str()) {
            (0, name) => format!("`{name}` in a file that {path} includes is not followed"),
            (line, "Match") => format!("{path}:{line}: `Match` is not followed, nor what stands below it"),
            (line, name) => format!("{path}:{line}: `{name}` is not followed"),
        };
        lines.into_iter().map(told).collect()
    }

    /// The tokens of `IdentityFile` (ssh_config(5), "TOKENS") that a path is likely to have.
    fn expand(&self, file: &Path, host: &str, user: &str) -> PathBuf {
        let text = file.to_string_lossy().replace("%%", "\0").replace("%d", &self.home.to_string_lossy());
        text.replace("%h", host).replace("%r", user).replace('\0', "%").into()
    }
}

impl std::fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserConfig({})", self.path.display())
    }
}

/// The text with the number of the line behind every keyword that is not followed, and without what stands below a `Match`; and the
/// lines of those.
fn mark(text: &str) -> (String, Vec<usize>) {
    let (mut marked, mut matches, mut below_match) = (String::new(), Vec::new(), false);
    for (position, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        let end = trimmed.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(trimmed.len());
        let (keyword, rest) = trimmed.split_at(end);
        let known = keyword.to_ascii_lowercase();
        if known == "match" {
            matches.push(position + 1);
        }
        below_match = known == "match" || (below_match && known != "host");
        if !below_match && !keyword.is_empty() && !keyword.starts_with('#') {
            if FOLLOWED.contains(&known.as_str()) {
                marked.push_str(trimmed);
            } else {
                let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
                // Its value is not ours to understand.
                let value = value.split_whitespace().next().unwrap_or("-").trim_matches('"');
                marked.push_str(&format!("{keyword}:{} {}", position + 1, if value.is_empty() { "-" } else { value }));
            }
        }
        marked.push('\n');
    }
    (marked, matches)
}

/// The value of a directive that was marked with its line, the first in the file; else that of an included file.
fn first(all: &HostParams, name: &str) -> Option<String> {
    let all = all.ignored_fields.iter().chain(&all.unsupported_fields).filter_map(|(field, values)| {
        let (known, line) = field.split_once(':').unwrap_or((field, ""));
        known.eq_ignore_ascii_case(name).then(|| (line.parse().unwrap_or(usize::MAX), values.first().cloned().unwrap_or_default()))
    });
    all.min().map(|(_, value)| value)
}

fn is_none(value: &str) -> bool {
    value.eq_ignore_ascii_case("none")
}

fn is_yes(value: &str) -> bool {
    value.eq_ignore_ascii_case("yes") || value.eq_ignore_ascii_case("true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn config(text: &str) -> (tempfile::TempDir, UserConfig) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config");
        fs::write(&path, text).unwrap();
        let config = UserConfig::read(&path, home.path()).unwrap().unwrap();
        (home, config)
    }

    #[test]
    fn the_first_value_counts_by_name_or_address() {
        let (home, config) = config(
            "IdentitiesOnly=yes\nHost 10.0.0.* !10.0.0.9\n  User ubuntu\n  IdentityFile ~/.ssh/%r\nHost cu1\n  Port 2222\n  ProxyJump a,me@b:2\n\
             Host gate\n  HostName %h.example\n  ProxyJump none\nHost *\n  User max\n  IdentityFile \"/keys/with space\"\n  IdentitiesOnly no\n",
        );
        let cu1 = config.host(&["cu1", "10.0.0.1"], "kthw");
        assert_eq!((cu1.user.as_deref(), cu1.port, cu1.identities_only), (Some("ubuntu"), Some(2222), true));
        assert_eq!(cu1.jumps, ["a", "me@b:2"]);
        assert_eq!(cu1.identity_files, [home.path().join(".ssh/ubuntu"), "/keys/with space".into()]);
        let wu9 = config.host(&["wu9", "10.0.0.9"], "kthw");
        assert_eq!((wu9.user.as_deref(), wu9.port, wu9.jumps.len()), (Some("max"), None, 0));
        let gate = config.host(&["gate"], "kthw");
        assert_eq!((gate.host_name.as_deref(), gate.jumps.len()), (Some("gate.example"), 0));
        assert_eq!(gate.warnings, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_followed_is_named_with_its_line_where_it_counts() {
        let (home, config) = config(
            "# mine\nHost cu1\n  ProxyCommand nc %h %p\n  ControlMaster auto\n  ServerAliveInterval 1m\nHost other\n  Ciphers aes128-ctr\n\
             Match exec \"test -e x\"\n  User nobody\n\nHost *\n  HostKeyAlgorithms=ssh-rsa\n  Prot 22\n",
        );
        let path = home.path().join("config").display().to_string();
        let cu1 = config.host(&["cu1"], "kthw");
        let told: Vec<String> = cu1.warnings.iter().map(|warning| warning.replace(&path, "config")).collect();
        assert_eq!(
            told,
            [
                "config:3: `ProxyCommand` is not followed",
                "config:8: `Match` is not followed, nor what stands below it",
                "config:12: `HostKeyAlgorithms` is not followed",
                "config:13: `Prot` is not followed",
            ]
        );
        assert_eq!(cu1.user, None);
    }

    #[test]
    fn included_files_count_and_those_that_others_may_write_do_not() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let path = home.path().join(".ssh/config");
        fs::write(&path, "Include more\nHost *\n  Port 22\n").unwrap();
        fs::write(home.path().join(".ssh/more"), "Host cu1\n  Port 2200\n  HostKeyAlias x\n").unwrap();
        let config = UserConfig::read(&path, home.path()).unwrap().unwrap();
        let cu1 = config.host(&["cu1"], "kthw");
        assert_eq!(cu1.port, Some(2200));
        assert!(cu1.warnings.len() == 1 && cu1.warnings[0].contains("in a file that"), "{:?}", cu1.warnings);

        fs::set_permissions(&path, PermissionsExt::from_mode(0o664)).unwrap();
        assert!(UserConfig::read(&path, home.path()).unwrap_err().contains("chmod go-w"));
        fs::write(&path, "Host *\n  Port ssh\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(UserConfig::read(&path, home.path()).unwrap_err().contains("is not used"));
        assert!(UserConfig::read(&home.path().join("none"), home.path()).unwrap().is_none());
    }
}
