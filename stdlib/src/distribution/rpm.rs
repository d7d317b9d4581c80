//! What dnf and zypper have in common: rpm's versions, repositories as `.repo` files, and keys that are fetched with curl.
use super::{INSTALL_LIMIT_S, Source};
use kthw_engine::node::Action;
use semver::Version;

/// What `rpm -qa --qf` prints of a package: name, state, version, as `dpkg-query` would.
macro_rules! query_format {
    () => {
        r"%{NAME} ii  %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n"
    };
}
pub(super) use query_format;

/// Fetches `$1` to the file `$2`, and fails unless its SHA-256 is `$3`. Nothing is there under that name before it is.
pub const FETCH_KEY: &str = r#"N="$2.kthw-new"; trap 'rm -f "$N"' EXIT
curl -fsSL --proto '=http,https' --retry 3 --max-time 120 --max-filesize 1000000 -o "$N" "$1" || exit
S=$(sha256sum <"$N"); S=${S%% *}
[ "$S" = "$3" ] || { echo "the key at $1 has the SHA-256 $S, not $3: ask its publisher whether it was replaced, then pin the new one" >&2; exit 1; }
chmod 644 "$N" && mv -f "$N" "$2""#;

/// Where keys are kept.
pub(super) const KEYS: &str = "/etc/pki/rpm-gpg";

/// The name and version of a package as both take them, and a limit for the whole.
pub(super) fn install(script: &'static str, name: &str, version: Option<&str>) -> Action {
    let words = ["sh", "-c", script, "kthw-install", name].into_iter().chain(version);
    Action::run_for(INSTALL_LIMIT_S, words)
}

/// A version with its release is that very package; without, it is any of them.
pub(super) fn is_version(wanted: &str, installed: &str) -> bool {
    wanted == installed || (!wanted.contains('-') && installed.rsplit_once('-').is_some_and(|(version, _)| version == wanted))
}

pub(super) fn source_fault(source: &Source<'_>) -> Option<String> {
    let has_suite = source.suite.is_some() || !source.components.is_empty();
    has_suite.then(|| "`suite` and `components` are apt's; a repository of RPM packages has its `url` alone".into())
}

pub(super) fn key_file(name: &str) -> String {
    format!("{KEYS}/kthw-{name}.asc")
}

/// The lines that dnf and zypper both read (dnf.conf(5), <https://doc.opensuse.org/projects/libzypp/HEAD/zypp-repoinfo.html>).
pub(super) fn source_text(source: &Source<'_>) -> String {
    let Source { name, url, .. } = source;
    format!("[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey=file://{}\n", key_file(name))
}

pub(super) fn fetch_key(name: &str, url: &str, sha256: &str) -> Vec<Action> {
    vec![Action::run(["sh", "-c", FETCH_KEY, "kthw-key", url, &key_file(name), sha256])]
}

/// `pkgs.k8s.io` has one package of each version; its release is left to it unless it is given.
pub(super) fn kubernetes_version(version: &Version, revision: Option<&str>) -> String {
    revision.map_or_else(|| version.to_string(), |revision| format!("{version}-{revision}"))
}
