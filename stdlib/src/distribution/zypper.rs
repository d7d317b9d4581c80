//! zypper: openSUSE Leap.
use super::{AutomaticUpdates, Family, INDEX_LIMIT_S, Pending, Source, pending, rpm, updates};
use crate::workspace::{UpdatePolicy, Updates};
use kthw_engine::node::{Action, Probe};
use semver::Version;

/// Prints `NAME STATE VERSION` for every package; held are those that a lock of zypper names.
pub const ZYPPER_LIST: &str = concat!(
    r#"H=$(sed -n 's/^solvable_name: *//p' /etc/zypp/locks 2>/dev/null | tr '\n' ' ')
rpm -qa --qf '"#,
    rpm::query_format!(),
    r#"' | awk -v held="$H" 'BEGIN { n = split(held, w); for (i = 1; i <= n; i++) h[w[i]] } $1 in h { $2 = "hi " } { print $1, $2 ($2 == "ii" ? " " : ""), $3 }'"#
);

/// Locks (`$1` is `add`) a package `$2`, or unlocks it.
pub const ZYPPER_HOLD: &str = r#"ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive "$1lock" --type package "$2""#;

/// Prints `PID NAME FILE` for the process that holds libzypp's lock. It writes its process into the lock's file.
pub const ZYPPER_LOCK_HOLDERS: &str =
    r#"f=/run/zypp.pid; read -r p <"$f" 2>/dev/null && read -r c <"/proc/$p/comm" 2>/dev/null && echo "$p $c $f"; :"#;

/// Installs `$1`, in version `$2` if it is given.
///
/// zypper is content, and does nothing, when a lower version is asked for, and takes away what a new package replaces, so it is asked first
/// what it would do and looked after. A package that is locked is unlocked meanwhile. Statuses from 100 on are remarks (zypper(8)).
pub const ZYPPER_INSTALL: &str = r#"W="$1${2:+=$2}"
export ZYPP_LOCK_TIMEOUT=300
zypp() { timeout -k 5 "$L" zypper --non-interactive "$@" </dev/null; S=$?; case $S in 100|101|102|103|106) return 0 ;; esac; return $S; }
noticed() { printf '%s\n' "$1" >&2; [ -z "$KTHW_NOTICES" ] || printf '%s\n' "$(printf %s "$1" | tr '\n' ' ')" >>"$KTHW_NOTICES"; }
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
zypp install --download-only --no-recommends "$W" >&2 || exit
setsid -w zypper --non-interactive --no-refresh install --no-recommends "$W" </dev/null >&2
S=$?; case $S in 0|100|101|102|103|106) ;; *) exit $S ;; esac
rpm -q "$1${2:+-$2}" >/dev/null || { echo "zypper is content and $W is not installed" >&2; exit 1; }"#;

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
        format!("{}autorefresh=1\ntype=rpm-md\n", rpm::source_text(source))
    }

    fn key_file(&self, name: &str) -> String {
        rpm::key_file(name)
    }

    fn check_source(&self, _: &Source<'_>) -> Option<Action> {
        None
    }

    fn fetch_key(&self, name: &str, url: &str, sha256: &str) -> Vec<Action> {
        rpm::fetch_key(name, url, sha256)
    }

    /// zypper would ask about a key that it does not know, and take the one that the repository offers itself.
    fn refresh(&self, name: &str) -> Vec<Action> {
        let zypper = ["env", "ZYPP_LOCK_TIMEOUT=300", "zypper", "--non-interactive", "refresh", "--force", name];
        vec![Action::run(["rpm", "--import", &rpm::key_file(name)]), Action::run_for(INDEX_LIMIT_S, zypper)]
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
