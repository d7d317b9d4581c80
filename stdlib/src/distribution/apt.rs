//! apt: Debian and Ubuntu.
pub use super::apt_scripts::{APT_CHECK_SOURCE, APT_INSTALL, APT_UPDATE};
use super::{AutomaticUpdates, Family, INDEX_LIMIT_S, INSTALL_LIMIT_S, Pending, Source, displaced, pending, short, updates};
use crate::{
    proxy::{File, Proxies},
    secret_text::{Form, SecretText},
    workspace::{UpdatePolicy, Updates},
};
use kthw_engine::node::{Action, Probe};
use semver::Version;
use std::collections::BTreeSet;

/// One line for every package that dpkg knows: name, state (`ii `, `hi ` when held), version. All packages of a node share this query,
/// because dpkg reads its whole database whatever it is asked for.
pub const DPKG_FORMAT: &str = "-f=${Package} ${db:Status-Abbrev} ${Version}\\n";

const KEYRINGS: &str = "/etc/apt/keyrings";

/// Prints `PID NAME FILE` for each process that holds a lock of apt or dpkg. `/proc/locks` names files by their inode.
pub const APT_LOCK_HOLDERS: &str = r#"for f in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
i=$(stat -c %i "$f" 2>/dev/null) || continue
while read -r n k a m p x r; do
[ "$k" = POSIX ] || continue
case $x in *:"$i") ;; *) continue ;; esac
read -r c <"/proc/$p/comm" 2>/dev/null || continue
case $c in apt*|dpkg*|unattended*|packagekit*|aptd|synaptic|needrestart) echo "$p $c $f" ;; esac
done </proc/locks
done"#;

/// apt and dpkg.
#[derive(Debug)]
pub(super) struct Apt;

impl Family for Apt {
    fn name(&self) -> &'static str {
        "apt"
    }

    fn list(&self) -> Probe {
        Probe::run(["dpkg-query", "-W", DPKG_FORMAT])
    }

    fn is_version(&self, wanted: &str, installed: &str) -> bool {
        wanted == installed
    }

    fn install(&self, name: &str, version: Option<&str>) -> Action {
        let what = version.map_or_else(|| name.to_owned(), |version| format!("{name}={version}"));
        Action::run_for(INSTALL_LIMIT_S, ["sh", "-c", APT_INSTALL, "kthw-install", &what])
    }

    fn displaced(&self, name: &str, version: Option<&str>) -> Probe {
        displaced::ask(displaced::APT_DISPLACED, name, version)
    }

    fn hold(&self, name: &str, held: bool) -> Action {
        Action::run(["apt-mark", if held { "hold" } else { "unhold" }, name])
    }

    fn lock_holders(&self) -> &'static str {
        APT_LOCK_HOLDERS
    }

    fn lock_help(&self) -> &'static str {
        "an upgrade by the system usually ends by itself; see `systemctl status unattended-upgrades apt-daily` on the node"
    }

    fn source_fault(&self, source: &Source<'_>) -> Option<String> {
        if !source.signed_index {
            return Some("apt takes no repository whose index is not signed (`signed_index`)".into());
        }
        if source.suite.is_none() && !source.url.ends_with('/') {
            let url = source.url;
            return Some(format!("the flat repository `{url}` needs a `/` at its end; for any other, give `suite` and `components`"));
        }
        let together = source.suite.is_some() != source.components.is_empty();
        (!together).then(|| "`suite` and `components` go together, each a plain word".into())
    }

    fn source_file(&self, name: &str) -> String {
        format!("/etc/apt/sources.list.d/{name}.sources")
    }

    /// The deb822 form (sources.list(5)). Any of the keys may sign.
    fn source_text(&self, source: &Source<'_>) -> String {
        let mut text = format!("Types: deb\nURIs: {}\nSuites: {}\n", source.url, source.suite.unwrap_or("./"));
        if !source.components.is_empty() {
            // Of packages alone: descriptions in other languages and what other programs ask for are not in every mirror, and apt takes that ill.
            text.push_str(&format!("Components: {}\nTargets: Packages\n", source.components.join(" ")));
        }
        let keys: Vec<String> = source.keys.iter().map(|key| self.key_file(source.name, key)).collect();
        text.push_str(&format!("Signed-By: {}\n", keys.join(" ")));
        text
    }

    fn key_file(&self, name: &str, sha256: &str) -> String {
        format!("{KEYRINGS}/{name}-{}.asc", short(sha256))
    }

    fn check_source(&self, source: &Source<'_>) -> Option<Action> {
        let name = format!("{}.sources", source.name);
        Some(Action::run(["sh", "-c", APT_CHECK_SOURCE, "kthw-source", &name, &self.source_text(source)]))
    }

    /// apt's own downloader: it knows apt's proxies, checks the digest, and is there where nothing else is. It would go on with a file that is
    /// there already.
    fn fetch_key(&self, name: &str, url: &str, sha256: &str) -> Vec<Action> {
        let path = self.key_file(name, sha256);
        let fetch = Action::run(["/usr/lib/apt/apt-helper", "download-file", url, &path, &format!("SHA256:{sha256}")]);
        vec![Action::Remove { path }, fetch]
    }

    /// apt looks for a source's keys in the files that it names.
    fn trust_key(&self, _: &str) -> Vec<Action> {
        Vec::new()
    }

    fn forget_key(&self, _: &Source<'_>, file: &str) -> Vec<Action> {
        vec![Action::Remove { path: file.to_owned() }]
    }

    fn refresh(&self, source: &Source<'_>) -> Vec<Action> {
        let only = format!("Dir::Etc::SourceList={}", self.source_file(source.name));
        let settings = [&only, "Dir::Etc::SourceParts=/dev/null", "APT::Get::List-Cleanup=0", "APT::Update::Error-Mode=any"];
        let words = ["sh", "-c", APT_UPDATE, "kthw-update"].into_iter().chain(settings.iter().flat_map(|setting| ["-o", setting]));
        vec![Action::run_for(INDEX_LIMIT_S, words)]
    }

    /// apt.conf(5), and apt_auth.conf(5) for the password: everybody reads the first, or could not ask apt for anything.
    fn proxy_files(&self, proxies: &Proxies<'_>) -> Vec<(String, File)> {
        let mut text = "// Kept by kthw: changes here are undone by the next run.\n".to_owned();
        // apt knows neither domains nor ranges here.
        let is_host = |one: &&String| !one.starts_with('.') && !one.contains(['/', ':']);
        for (scheme, url) in proxies.each() {
            text.push_str(&format!("Acquire::{scheme}::Proxy \"{url}\";\n"));
            text.extend(proxies.direct.iter().filter(is_host).map(|host| format!("Acquire::{scheme}::Proxy::{host} \"DIRECT\";\n")));
        }
        let mut files = vec![("/etc/apt/apt.conf.d/95kthw-proxy".into(), File::new(SecretText::new(text)))];
        let mut known = SecretText::default();
        for url in proxies.each().map(|(_, url)| url).collect::<BTreeSet<_>>() {
            if let Some((user, password)) = proxies.login {
                known = known.text(format!("machine {url} login {user} password ")).secret(password, Form::Word).text("\n");
            }
        }
        // Without a password there is none of it, and one of before goes.
        let content = known.plain().is_none().then_some(known);
        files.push(("/etc/apt/auth.conf.d/95kthw-proxy.conf".into(), File { content, mode: "0600" }));
        files
    }

    fn drop_caches(&self) -> Action {
        Action::run(["apt-get", "clean"])
    }

    fn kubernetes_version(&self, version: &Version, revision: Option<&str>) -> String {
        format!("{version}-{}", revision.unwrap_or("1.1"))
    }

    fn kubernetes_folder(&self) -> &'static str {
        "deb"
    }

    fn pending(&self, _policy: UpdatePolicy) -> Probe {
        pending::apt()
    }

    fn pending_of(&self, policy: UpdatePolicy, said: &str, listed: &str) -> Vec<Pending> {
        pending::of_apt(policy, said, listed)
    }

    fn fetch_lists(&self) -> Action {
        pending::fetch_with_apt()
    }

    fn automatic_updates(&self, updates: Updates) -> AutomaticUpdates {
        updates::apt(updates)
    }
}
