//! zypper: openSUSE Leap.
use super::{AutomaticUpdates, Family, INDEX_LIMIT_S, Pending, Source, displaced, pending, rpm, updates};
use crate::{
    proxy::{File, Proxies},
    workspace::{UpdatePolicy, Updates},
};
use kthw_engine::node::{Action, Probe};
use semver::Version;

/// Prints `NAME STATE VERSION` for every package; held are those that a lock of zypper names.
pub const ZYPPER_LIST: &str = concat!(
    r#"H=$(sed -n 's/^solvable_name: *//p' /etc/zypp/locks 2>/dev/null | tr '\n' ' ')
"#,
    rpm::list!()
);

/// Locks (`$1` is `add`) a package `$2`, or unlocks it.
pub const ZYPPER_HOLD: &str = r#"ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive "$1lock" --type package "$2""#;

/// Prints `PID NAME FILE` for the process that holds libzypp's lock. It writes its process into the lock's file.
pub const ZYPPER_LOCK_HOLDERS: &str =
    r#"f=/run/zypp.pid; read -r p <"$f" 2>/dev/null && read -r c <"/proc/$p/comm" 2>/dev/null && echo "$p $c $f"; :"#;

/// What both scripts that fetch an index begin with: `refresh NAME KEY_FILE…`.
macro_rules! refresh {
    () => {
        concat!(
            rpm::why!(),
            r#"refresh() {
  N=$1; shift
  E=$(ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive refresh --force "$N" </dev/null 2>&1); S=$?
  [ $S = 0 ] || printf '%s\n' "$E" >&2
  case $S:$E in
    0:*'has expired.'*) why "$@" 2>>"${KTHW_NOTICES:-/dev/stderr}" ;;
    0:*) ;;
    *'is unsigned'*) unsigned ;;
    *'signed with an unknown key'* | *'Signature verification failed'*) why "$@" ;;
  esac
  return $S
}
"#
        )
    };
}

/// Fetches the index of the repository `$1`, whose keys are in the files that follow.
///
/// zypper asks about a key that rpm does not know, which counts as no, and goes on with one that has expired, after a warning.
pub const ZYPPER_REFRESH: &str = concat!(refresh!(), r#"refresh "$@""#);

/// Takes away the key in the file `$1`, unless the index of the repository `$2`, whose other keys are in the files that follow, is signed by it still:
/// any key that rpm knows would do for zypper.
pub const ZYPPER_FORGET_KEY: &str = concat!(
    rpm::forget!(),
    refresh!(),
    r#"K1=$1; shift
forget "$K1" || exit
refresh "$@" || { trust "$K1"; exit 1; }
gone "$K1""#
);

/// Installs `$1`, in version `$2` if it is given.
///
/// zypper is content, and does nothing, when a lower version is asked for, and takes away what a new package replaces, so it is asked first
/// what it would do and looked after. A package that is locked is unlocked meanwhile. Statuses from 100 on are remarks (zypper(8)).
pub const ZYPPER_INSTALL: &str = concat!(
    rpm::begin!(),
    rpm::proxied!(),
    r#"W="$1${2:+=$2}"
export ZYPP_LOCK_TIMEOUT=300
zypp() { timeout -k 5 "$L" zypper --non-interactive "$@" </dev/null; S=$?; case $S in 100|101|102|103|106) return 0 ;; esac; return $S; }
T=$(mktemp) && trap 'rm -f "$T"' EXIT || exit
L=900
if grep -qsx "solvable_name: *$1" /etc/zypp/locks; then
  zypp --quiet removelock --type package "$1" >&2 || exit
  trap 'rm -f "$T"; zypper --non-interactive --quiet addlock --type package "$1" >&2' EXIT
fi
would() { zypp install --dry-run --no-recommends "$W" >"$T" 2>&1; }
would || { S=$?; [ $S = 104 ] && zypp --quiet refresh --force >&2; would; } || {
  S=$?
  # A repository whose signature is wrong is skipped, and said long before what is missing therefore.
  { tail -n 20 "$T"; grep -E 'Signature verification failed|signed with an unknown key|has expired' "$T" | sort -u; } >&2
  exit $S
}
I=$(sed -n "s/^Warning: Skipping repository '\([^']*\)'.*/\1/p" "$T" | sort -u | tr '\n' ' ')
[ -z "$I" ] || noticed "left out, because zypper cannot read it: $I"
G=$(awk '/going to be (REMOVED|downgraded):$/ { on = 1; next } /^[^ ]/ || /^$/ { on = 0 } on { printf " %s", $0 }' "$T" | tr -s ' ')
[ -z "$G" ] || { printf 'installing %s would remove or lower%s, which the plan does not say: remove them yourself if that is meant\n' "$W" "$G" >&2; exit 1; }
case $(cat "$T") in *'has lower version than the installed one'*) echo "$W is lower than what is installed, and versions are not lowered" >&2; exit 1 ;; esac
F=; [ -z "$R" ] || ! rpm -q "$1${2:+-$2}" >/dev/null || F=--force
zypp install $F --download-only --no-recommends "$W" >&2 || exit
setsid -w zypper --non-interactive --no-refresh install $F --no-recommends "$W" </dev/null >&2
S=$?; case $S in 0|100|101|102|103|106) ;; *) exit $S ;; esac
rpm -q "$1${2:+-$2}" >/dev/null || { echo "zypper is content and $W is not installed" >&2; exit 1; }"#
);

/// zypper and rpm.
#[derive(Debug)]
pub(super) struct Zypper;

impl Family for Zypper {
    fn name(&self) -> &'static str {
        "zypper"
    }

    fn list(&self) -> Probe {
        Probe::run(["sh", "-c", ZYPPER_LIST])
    }

    fn is_version(&self, wanted: &str, installed: &str) -> bool {
        rpm::is_version(wanted, installed)
    }

    fn install(&self, name: &str, version: Option<&str>) -> Action {
        rpm::install(ZYPPER_INSTALL, name, version)
    }

    fn displaced(&self, name: &str, version: Option<&str>) -> Probe {
        displaced::ask(displaced::ZYPPER_DISPLACED, name, version)
    }

    fn hold(&self, name: &str, held: bool) -> Action {
        Action::run(["sh", "-c", ZYPPER_HOLD, "kthw-hold", if held { "add" } else { "remove" }, name])
    }

    fn lock_holders(&self) -> &'static str {
        ZYPPER_LOCK_HOLDERS
    }

    fn lock_help(&self) -> &'static str {
        "an upgrade by the system usually ends by itself; see `systemctl status packagekit` and `zypper ps` on the node"
    }

    fn source_fault(&self, source: &Source<'_>) -> Option<String> {
        rpm::source_fault(source)
    }

    fn source_file(&self, name: &str) -> String {
        format!("/etc/zypp/repos.d/{name}.repo")
    }

    fn source_text(&self, source: &Source<'_>) -> String {
        // Otherwise the index stands for its packages.
        let packages = if source.signed_index { "" } else { "pkg_gpgcheck=1\n" };
        format!("{}{packages}autorefresh=1\ntype=rpm-md\n", rpm::source_text(source))
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

    fn forget_key(&self, source: &Source<'_>, file: &str) -> Vec<Action> {
        let keys = rpm::key_files(source);
        let words = ["sh", "-c", ZYPPER_FORGET_KEY, "kthw-forget", file, source.name].into_iter().chain(keys.iter().map(String::as_str));
        vec![Action::run_for(INDEX_LIMIT_S, words)]
    }

    fn refresh(&self, source: &Source<'_>) -> Vec<Action> {
        rpm::refresh(ZYPPER_REFRESH, source)
    }

    fn proxy_files(&self, proxies: &Proxies<'_>) -> Vec<(String, File)> {
        rpm::proxy_files(proxies)
    }

    fn drop_caches(&self) -> Action {
        Action::run(["zypper", "--non-interactive", "clean", "--all"])
    }

    fn kubernetes_version(&self, version: &Version, revision: Option<&str>) -> String {
        rpm::kubernetes_version(version, revision)
    }

    fn kubernetes_folder(&self) -> &'static str {
        "rpm"
    }

    fn pending(&self, policy: UpdatePolicy) -> Probe {
        pending::zypper(policy)
    }

    fn pending_of(&self, _policy: UpdatePolicy, said: &str, _listed: &str) -> Vec<Pending> {
        pending::of_zypper(said)
    }

    fn fetch_lists(&self) -> Action {
        pending::fetch_with_zypper()
    }

    fn automatic_updates(&self, updates: Updates) -> AutomaticUpdates {
        updates::zypper(updates)
    }
}
