//! dnf: Rocky Linux.
use super::{AutomaticUpdates, Family, Pending, Source, displaced, pending, rpm, updates};
use crate::{
    proxy::{File, Proxies},
    workspace::{UpdatePolicy, Updates},
};
use kthw_engine::node::{Action, Probe};
use semver::Version;

/// Prints `NAME STATE VERSION` for every package; held are those that `[main]` of dnf's configuration excludes by name.
pub const DNF_LIST: &str = concat!(
    r#"H=$(awk '/^[ \t]*\[/ { main = /\[main\]/ } main && /^[ \t]*exclude(pkgs)?[ \t]*=/ { sub(/^[^=]*=/, ""); gsub(/,/, " "); print }' /etc/dnf/dnf.conf 2>/dev/null | tr '\n' ' ')
"#,
    rpm::list!()
);

/// Adds (`$1` is `add`) a package `$2` to what `[main]` excludes, or takes it out. What else stands in the file stays as it is.
pub const DNF_HOLD: &str = r#"F=/etc/dnf/dnf.conf; N=$(mktemp "$F.XXXXXX") && trap 'rm -f "$N"' EXIT || exit
[ -e "$F" ] || printf '[main]\n' >"$F"
awk -v how="$1" -v name="$2" '
  function end() { if (main && !seen && how == "add") { print "excludepkgs=" name; seen = 1 } }
  /^[ \t]*\[/ { end(); main = /\[main\]/ }
  main && /^[ \t]*exclude(pkgs)?[ \t]*=/ {
    key = $0; sub(/=.*/, "=", key); sub(/^[^=]*=/, ""); gsub(/,/, " ")
    n = split($0, words); kept = ""
    for (i = 1; i <= n; i++) if (words[i] != name) kept = kept (kept == "" ? "" : " ") words[i]
    if (how == "add" && !seen) kept = kept (kept == "" ? "" : " ") name
    seen = 1
    if (kept != "") print key kept
    next
  }
  { print }
  END { end() }' "$F" >"$N" && chmod --reference="$F" "$N" && mv -f "$N" "$F""#;

/// Prints `PID NAME FILE` for each process that holds a lock of dnf. It writes its process into the lock's file.
pub const DNF_LOCK_HOLDERS: &str = r#"for f in /var/lib/dnf/rpmdb_lock.pid /var/cache/dnf/metadata_lock.pid /var/cache/dnf/download_lock.pid; do
read -r p <"$f" 2>/dev/null && read -r c <"/proc/$p/comm" 2>/dev/null && echo "$p $c $f"
done; :"#;

/// Fetches the index of the repository `$1`, whose keys are in the files that follow.
///
/// dnf verifies it by a keyring of its own, one for each repository, and takes the keys of `gpgkey=` into it. It is made anew, so that no other key
/// counts. It says "Bad GPG signature" whatever is wrong with a key.
pub const DNF_REFRESH: &str = concat!(
    rpm::why!(),
    r#"N=$1; shift
rm -rf /var/cache/dnf/"$N"-????????????????/pubring
E=$(dnf -y --repo "$N" --setopt="$N.skip_if_unavailable=0" makecache --refresh 2>&1) && exit
printf '%s\n' "$E" >&2
case $E in
  *'GPG signature is not available'*) unsigned ;;
  *'Bad GPG signature'*) why "$@" ;;
esac
exit 1"#
);

/// Takes away the key in the file `$1`.
pub const DNF_FORGET_KEY: &str = concat!(rpm::forget!(), r#"forget "$1" && gone "$1""#);

/// Installs `$1`, in version `$2` if it is given.
///
/// dnf lowers a version without a word when a lower one is asked for, and takes away what a new package says that it replaces, so it is asked
/// first what it would do. Downloads are limited by time; what unpacks is not, in a session of its own, which no limit of ours reaches.
pub const DNF_INSTALL: &str = concat!(
    rpm::begin!(),
    rpm::proxied!(),
    r#"W="$1${2:+-$2}"
O='-y --setopt=install_weak_deps=False --disableexcludes=main --setopt=*.skip_if_unavailable=1'
would() {
  dnf $O --assumeno install "$W" 2>&1 | tee "$1" | awk '
    /^(Removing|Downgrading)/ { on = 1; next } /^[^ ]/ { on = 0 }
    on && /^ [^ ]/ { printf " %s", $1 } $1 == "replacing" { printf " %s", $2 }'
}
T=$(mktemp) && trap 'rm -f "$T"' EXIT || exit
L=$(would "$T")
case $(cat "$T") in *'Unable to find a match'*) dnf -q clean expire-cache >&2; L=$(would "$T") ;; esac
I=$(sed -n 's/^Ignoring repositories: //p;/failed loading/p' "$T")
[ -z "$I" ] || noticed "left out, because dnf cannot read it: $I"
# Of a package that another one says to replace, dnf installs the other one.
! grep -qE '^(Installing|Upgrading):' "$T" || awk -v name="$1" '$1 == name { on = 1 } END { exit !on }' "$T" || {
  printf 'dnf would install something else in place of %s:\n' "$1"; sed -n '/^Installing:/,/^$/p' "$T"; exit 1
} >&2
[ -z "$L" ] || { printf 'installing %s would remove or lower%s, which the plan does not say: remove them yourself if that is meant\n' "$W" "$L" >&2; exit 1; }
V=install; [ -z "$R" ] || ! rpm -q "$W" >/dev/null || V=reinstall
timeout -k 5 900 dnf $O "$V" --downloadonly "$W" >&2 || exit
setsid -w dnf $O -C "$V" "$W" >&2 || exit
rpm -q "$W" >/dev/null || { echo "dnf is content and $W is not installed" >&2; exit 1; }"#
);

/// dnf and rpm.
#[derive(Debug)]
pub(super) struct Dnf;

impl Family for Dnf {
    fn name(&self) -> &'static str {
        "dnf"
    }

    fn list(&self) -> Probe {
        Probe::run(["sh", "-c", DNF_LIST])
    }

    fn is_version(&self, wanted: &str, installed: &str) -> bool {
        rpm::is_version(wanted, installed)
    }

    fn install(&self, name: &str, version: Option<&str>) -> Action {
        rpm::install(DNF_INSTALL, name, version)
    }

    fn displaced(&self, name: &str, version: Option<&str>) -> Probe {
        displaced::ask(displaced::DNF_DISPLACED, name, version)
    }

    fn hold(&self, name: &str, held: bool) -> Action {
        Action::run(["sh", "-c", DNF_HOLD, "kthw-hold", if held { "add" } else { "remove" }, name])
    }

    fn lock_holders(&self) -> &'static str {
        DNF_LOCK_HOLDERS
    }

    fn lock_help(&self) -> &'static str {
        "an upgrade by the system usually ends by itself; see `systemctl status dnf-makecache dnf-automatic` on the node"
    }

    fn source_fault(&self, source: &Source<'_>) -> Option<String> {
        rpm::source_fault(source)
    }

    fn source_file(&self, name: &str) -> String {
        format!("/etc/yum.repos.d/{name}.repo")
    }

    fn source_text(&self, source: &Source<'_>) -> String {
        rpm::source_text(source)
    }

    fn key_file(&self, name: &str, sha256: &str) -> String {
        rpm::key_file(name, sha256)
    }

    fn check_source(&self, _: &Source<'_>) -> Option<Action> {
        None
    }

    fn fetch_key(&self, name: &str, url: &str, sha256: &str) -> Vec<Action> {
        rpm::fetch_key(name, url, sha256)
    }

    fn trust_key(&self, file: &str) -> Vec<Action> {
        rpm::trust_key(file)
    }

    fn forget_key(&self, _: &Source<'_>, file: &str) -> Vec<Action> {
        vec![Action::run(["sh", "-c", DNF_FORGET_KEY, "kthw-forget", file])]
    }

    fn refresh(&self, source: &Source<'_>) -> Vec<Action> {
        rpm::refresh(DNF_REFRESH, source)
    }

    fn proxy_files(&self, proxies: &Proxies<'_>) -> Vec<(String, File)> {
        rpm::proxy_files(proxies)
    }

    fn drop_caches(&self) -> Action {
        Action::run(["dnf", "clean", "all"])
    }

    fn kubernetes_version(&self, version: &Version, revision: Option<&str>) -> String {
        rpm::kubernetes_version(version, revision)
    }

    fn kubernetes_folder(&self) -> &'static str {
        "rpm"
    }

    fn pending(&self, policy: UpdatePolicy) -> Probe {
        pending::dnf(policy)
    }

    fn pending_of(&self, _policy: UpdatePolicy, said: &str, listed: &str) -> Vec<Pending> {
        pending::of_dnf(said, listed)
    }

    fn fetch_lists(&self) -> Action {
        pending::fetch_with_dnf()
    }

    fn automatic_updates(&self, updates: Updates) -> AutomaticUpdates {
        updates::dnf(updates)
    }
}
