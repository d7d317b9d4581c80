//! What dnf and zypper have in common: rpm's versions, repositories as `.repo` files, and keys that are fetched with curl.
use super::{INDEX_LIMIT_S, INSTALL_LIMIT_S, Source, short};
use crate::proxy::{File, Proxies};
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

/// What scripts that fetch something begin with: the variables of [`proxy_files`], where there are any.
macro_rules! proxied {
    () => {
        "[ ! -r /etc/sysconfig/kthw-proxy ] || { set -a; . /etc/sysconfig/kthw-proxy; set +a; }\n"
    };
}

/// Fetches `$1` to the file `$2`, and fails unless its SHA-256 is `$3`. Nothing is there under that name before it is.
pub const FETCH_KEY: &str = concat!(
    proxied!(),
    r#"N="$2.kthw-new"; trap 'rm -f "$N"' EXIT
curl -fsSL --proto '=http,https' --retry 3 --max-time 120 --max-filesize 1000000 -o "$N" "$1" || exit
S=$(sha256sum <"$N"); S=${S%% *}
[ "$S" = "$3" ] || { echo "the key at $1 has the SHA-256 $S, not $3: ask its publisher whether it was replaced, then pin the new one" >&2; exit 1; }
chmod 644 "$N" && mv -f "$N" "$2""#
);

/// What both scripts about rpm's keys begin with.
macro_rules! trust {
    () => {
        r#"NOTES=/var/lib/kthw/rpm-keys; mkdir -p "$NOTES" || exit
known() { rpm -q gpg-pubkey --qf '%{NAME}-%{VERSION}-%{RELEASE}\n' | grep '^gpg-pubkey-'; }
trust() {
  # Kept until it is noted what came, in case this ends in between.
  [ -e "$NOTES/before" ] || known >"$NOTES/before"
  rpm --import "$1" || return
  known | grep -vxFf "$NOTES/before" >>"$NOTES/${1##*/}"
  rm -f "$NOTES/before"
}
"#
    };
}

/// Makes rpm know the key in the file `$1`. Which of rpm's keys came by that is noted beside the other notes of kthw.
pub const RPM_TRUST_KEY: &str = concat!(trust!(), "trust \"$1\"");

/// What scripts that take a key away begin with: `forget FILE` takes from rpm what `trust` brought of a file. What others of kthw's files hold too
/// comes back at once: a key with a new end is, to rpm, the same one. `gone FILE` removes the file.
macro_rules! forget {
    () => {
        concat!(
            super::rpm::trust!(),
            r#"forget() {
  [ -s "$NOTES/${1##*/}" ] || return 0
  while read -r K; do ! rpm -q "$K" >/dev/null || rpm -e "$K" || return; done <"$NOTES/${1##*/}"
  for F in "${1%/*}"/kthw-*.asc; do [ ! -e "$F" ] || [ "$F" = "$1" ] || trust "$F" || return; done
}
gone() { rm -f "$NOTES/${1##*/}" "$1"; }
"#
        )
    };
}

/// What both scripts that fetch an index begin with: `why FILE…` says why none of the keys in these files will do.
macro_rules! why {
    () => {
        concat!(
            super::rpm::proxied!(),
            r#"why() {
  H=$(mktemp -d) || return
  X=$(for F; do gpg --homedir "$H" --batch --show-keys --with-colons "$F" 2>/dev/null | awk -F: -v f="$F" '$1 == "pub" && $2 == "e" { print f; exit }'; done)
  rm -rf "$H"
  if [ -n "$X" ]; then echo $X: '"#,
            super::key_expired!(),
            r#"'; else echo '"#,
            super::key_unknown!(),
            r#"'; fi >&2
}
unsigned() { echo 'this index is not signed at all; if its publisher signs the packages alone, say `signed_index: false` of the repository' >&2; }
"#
        )
    };
}
pub(super) use {forget, proxied, trust, why};

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

pub(super) fn key_file(name: &str, sha256: &str) -> String {
    format!("{KEYS}/kthw-{name}-{}.asc", short(sha256))
}

/// The files of a repository's keys.
pub(super) fn key_files(source: &Source<'_>) -> Vec<String> {
    source.keys.iter().map(|key| key_file(source.name, key)).collect()
}

/// The lines that dnf and zypper both read (dnf.conf(5), <https://doc.opensuse.org/projects/libzypp/HEAD/zypp-repoinfo.html>). Any of the keys may sign.
pub(super) fn source_text(source: &Source<'_>) -> String {
    let Source { name, url, signed_index, .. } = source;
    let keys: Vec<String> = key_files(source).iter().map(|file| format!("file://{file}")).collect();
    let (keys, index) = (keys.join("\n       "), u8::from(*signed_index));
    format!("[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck={index}\ngpgkey={keys}\n")
}

pub(super) fn fetch_key(name: &str, url: &str, sha256: &str) -> Vec<Action> {
    vec![Action::run(["sh", "-c", FETCH_KEY, "kthw-key", url, &key_file(name, sha256), sha256])]
}

pub(super) fn trust_key(file: &str) -> Vec<Action> {
    vec![Action::run(["sh", "-c", RPM_TRUST_KEY, "kthw-trust", file])]
}

/// Runs a script that fetches a repository's index, and looks at these keys where it is not signed by one of them.
pub(super) fn refresh(script: &'static str, source: &Source<'_>) -> Vec<Action> {
    let keys = key_files(source);
    let words = ["sh", "-c", script, "kthw-refresh", source.name].into_iter().chain(keys.iter().map(String::as_str));
    vec![Action::run_for(INDEX_LIMIT_S, words)]
}

/// Variables, which [`proxied`] reads. Neither has a place of its own for a password that only root reads: dnf's is dnf.conf, which all of dnf's users
/// read, and libzypp goes by variables too (`/etc/sysconfig/proxy` are those of whoever logs in).
pub(super) fn proxy_files(proxies: &Proxies<'_>) -> Vec<(String, File)> {
    vec![("/etc/sysconfig/kthw-proxy".into(), File::new(proxies.environment()))]
}

/// `pkgs.k8s.io` has one package of each version; its release is left to it unless it is given.
pub(super) fn kubernetes_version(version: &Version, revision: Option<&str>) -> String {
    revision.map_or_else(|| version.to_string(), |revision| format!("{version}-{revision}"))
}
