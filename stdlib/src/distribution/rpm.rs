//! What dnf and zypper have in common: rpm's versions, repositories as `.repo` files, and keys that are fetched with curl.
use super::{INSTALL_LIMIT_S, Source};
use kthw_engine::node::Action;
use semver::Version;

/// The end of a script that lists packages as `dpkg-query` would, name, state and version, where `$H` holds the names of the held ones.
///
/// Of a package that stands there twice an installation was interrupted, and it counts as half installed. Kernels and keys stand there as often as
/// there are, and libraries once for each architecture.
macro_rules! list {
    () => {
        r#"rpm -qa --qf '%{NAME} %{ARCH} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n' | awk -v held="$H" '
  BEGIN { n = split(held, w); for (i = 1; i <= n; i++) h[w[i]] }
  { name[NR] = $1; version[NR] = $3; of[NR] = $1 "." $2; if ($1 !~ /^(kernel|gpg-pubkey)/) times[of[NR]]++ }
  END { for (i = 1; i <= NR; i++) print name[i], (name[i] in h ? "h" : "i") (times[of[i]] > 1 ? "F " : "i "), version[i] }'"#
    };
}
pub(super) use list;

/// The beginning of a script that installs `$1`: `noticed TEXT` says what hinders nobody, and what an interrupted installation left is finished.
///
/// rpm keeps the old package beside the new one until all scripts of the new one have run. So of two the one that came first goes, as the
/// installation would have had it, and `$R` is set if that was `$1`: its scripts may not have run, so it is installed again.
macro_rules! begin {
    () => {
        r#"noticed() { printf '%s\n' "$1" >&2; [ -z "$KTHW_NOTICES" ] || printf '%s\n' "$(printf %s "$1" | tr '\n' ' ')" >>"$KTHW_NOTICES"; }
R=
left() {
  rpm -qa --qf '%{NAME} %{ARCH} %{DBINSTANCE} %{VERSION}-%{RELEASE}\n' | grep -vE '^(kernel|gpg-pubkey)' | sort -k1,1 -k2,2 -k3,3n |
    awk '$1 == n && $2 == a && $4 != v { print n "-" v "." a, n } { n = $1; a = $2; v = $4 }'
}
while read -r old name; do
  noticed "an installation was interrupted: $old is still there beside its successor, and goes"
  # Somebody's own installation may have ended meanwhile.
  setsid -w rpm -e "$old" >&2 </dev/null || ! rpm -q "$old" >&2 || exit
  [ "$name" != "$1" ] || R=1
done <<END
$(left)
END
"#
    };
}
pub(super) use begin;

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
