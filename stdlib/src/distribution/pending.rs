//! Updates that a node's package manager has and has not installed, as its own dry run tells them. What is held is not among them.
use super::{INDEX_LIMIT_S, Installed, installed};
use crate::workspace::UpdatePolicy;
use kthw_engine::node::{Action, Probe};

/// A package for which there is an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The package.
    pub name: String,
    /// The version that is installed.
    pub from: String,
    /// The version that would be.
    pub to: String,
}

/// apt says what `upgrade` would do, from the lists that it has: `Inst NAME [OLD] (NEW ORIGIN…)`. New packages that an update needs come with it.
pub(super) fn apt() -> Probe {
    Probe::run(["env", "LC_ALL=C", "apt-get", "-s", "-o", "Debug::NoLocking=true", "--with-new-pkgs", "upgrade"])
}

/// What a dpkg that was interrupted left half installed counts too: it has its new version already, and asks for nothing any more.
pub(super) fn of_apt(policy: UpdatePolicy, said: &str, listed: &str) -> Vec<Pending> {
    let one = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let (from, rest) = rest.strip_prefix('[')?.split_once("] (")?;
        let (to, origins) = rest.split_once(' ')?;
        let is_security = origins.to_ascii_lowercase().contains("-security");
        (policy == UpdatePolicy::All || is_security).then(|| Pending { name: name.into(), from: from.into(), to: to.into() })
    };
    let unfinished = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        let (state, version) = rest.split_at_checked(3)?;
        // Half installed, unpacked, half configured, or waiting for triggers (dpkg-query(1)).
        let is_unfinished = state.as_bytes().get(1).is_some_and(|state| b"HUFWt".contains(state));
        is_unfinished.then(|| Pending { name: name.into(), from: "half installed".into(), to: version.trim().into() })
    };
    let mut found: Vec<Pending> = listed.lines().filter_map(unfinished).collect();
    let raised: Vec<Pending> = said.lines().filter_map(one).filter(|one| found.iter().all(|other| other.name != one.name)).collect();
    found.extend(raised);
    found
}

/// dnf says `NAME VERSION`, from the metadata that it has.
pub(super) fn dnf(policy: UpdatePolicy) -> Probe {
    let words =
        ["dnf", "-q", "-C", "--setopt=*.skip_if_unavailable=1", "repoquery", "--upgrades", "--latest-limit=1", "--qf", "%{name} %{evr}"];
    Probe::run(words.into_iter().chain((policy == UpdatePolicy::Security).then_some("--security")))
}

pub(super) fn of_dnf(said: &str, listed: &str) -> Vec<Pending> {
    let one = |line: &str| {
        let (name, to) = line.split_once(' ')?;
        let from = installed(listed, name).map_or_else(|| "installed".to_owned(), |Installed { version, .. }| version);
        let to = to.strip_prefix("0:").unwrap_or(to);
        (from != to).then(|| Pending { name: name.into(), from, to: to.into() })
    };
    let mut found: Vec<Pending> = said.lines().filter_map(one).collect();
    // A package of two architectures is one name.
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.dedup_by(|one, other| one.name == other.name);
    found
}

/// zypper says what it would do as XML: `<to-upgrade>` holds a `<solvable>` for each package.
pub(super) fn zypper(policy: UpdatePolicy) -> Probe {
    let all: &[&str] = &["update"];
    let security: &[&str] = &["patch", "--category", "security", "--with-interactive"];
    let what = if policy == UpdatePolicy::Security { security } else { all };
    let words = ["zypper", "--non-interactive", "--no-refresh", "--xmlout"].iter().chain(what);
    Probe::run(words.chain(&["--auto-agree-with-licenses", "--dry-run"]).copied())
}

pub(super) fn of_zypper(said: &str) -> Vec<Pending> {
    let raised = said.split_once("<to-upgrade>").and_then(|(_, rest)| rest.split_once("</to-upgrade>")).map_or("", |(inside, _)| inside);
    let one = |solvable: &str| {
        let value = |name: &str| Some(solvable.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0.to_owned());
        let is_package = value("type").is_none_or(|kind| kind == "package");
        Some(Pending { name: value("name")?, from: value("edition-old")?, to: value("edition")? }).filter(|_| is_package)
    };
    raised.split("<solvable").skip(1).filter_map(one).collect()
}

/// Brings zypper's metadata up to date. A repository of somebody else that cannot be read is named, and hinders nobody.
pub const ZYPPER_FETCH: &str = r#"export ZYPP_LOCK_TIMEOUT=300
E=$(timeout -k 5 800 zypper --non-interactive refresh </dev/null 2>&1) || {
  printf '%s\n' "$E" >&2
  [ -z "$KTHW_NOTICES" ] || printf 'not all repositories could be refreshed: %s\n' "$(printf %s "$E" | tail -n 3 | tr '\n' ' ')" >>"$KTHW_NOTICES"
}
:"#;

pub(super) fn fetch_with_apt() -> Action {
    Action::run_for(INDEX_LIMIT_S, ["sh", "-c", super::APT_UPDATE, "kthw-update"])
}

pub(super) fn fetch_with_dnf() -> Action {
    Action::run_for(INDEX_LIMIT_S, ["dnf", "-q", "--setopt=*.skip_if_unavailable=1", "makecache", "--refresh"])
}

pub(super) fn fetch_with_zypper() -> Action {
    Action::run_for(INDEX_LIMIT_S, ["sh", "-c", ZYPPER_FETCH, "kthw-fetch"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pending: Vec<Pending>) -> Vec<String> {
        pending.into_iter().map(|one| format!("{} {} -> {}", one.name, one.from, one.to)).collect()
    }

    #[test]
    fn what_apt_would_raise_is_read_and_what_is_new_is_not() {
        let said = "Reading package lists...\nThe following packages will be upgraded:\n  bash libssl3\n\
            Inst bash [5.2.15-2+b2] (5.2.15-2+b7 Debian:12.9/stable [amd64])\n\
            Inst linux-image-6.1.0-41-amd64 (6.1.140-1 Debian-Security:12/oldstable-security [amd64])\n\
            Inst libssl3 [3.0.15-1] (3.0.17-1~deb12u2 Debian-Security:12/oldstable-security [amd64]) []\n\
            Inst openssl [3.0.13-0ubuntu3.5] (3.0.13-0ubuntu3.6 Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [amd64])\n\
            Conf bash (5.2.15-2+b7 Debian:12.9/stable [amd64])\n";
        let security = ["libssl3 3.0.15-1 -> 3.0.17-1~deb12u2", "openssl 3.0.13-0ubuntu3.5 -> 3.0.13-0ubuntu3.6"];
        assert_eq!(told(of_apt(UpdatePolicy::Security, said, "")), security);
        let listed = "bash ii  5.2.15-2+b2\nold rc  1\nsystemd iU  252-2\n";
        assert_eq!(told(of_apt(UpdatePolicy::Security, "", listed)), ["systemd half installed -> 252-2"]);
        assert_eq!(told(of_apt(UpdatePolicy::All, said, "")), [&["bash 5.2.15-2+b2 -> 5.2.15-2+b7"][..], &security].concat());
    }

    #[test]
    fn what_dnf_and_zypper_would_raise_is_read() {
        let listed = "bash ii  5.1.8-9.el9\nglibc ii  2.34-100.el9\n";
        assert_eq!(
            told(of_dnf("glibc 2.34-168.el9\nglibc 2.34-168.el9\nbash 0:5.1.8-10.el9\n", listed)),
            ["bash 5.1.8-9.el9 -> 5.1.8-10.el9", "glibc 2.34-100.el9 -> 2.34-168.el9"]
        );
        let said = r#"<?xml version='1.0'?><stream><install-summary download-size="1" packages-to-change="2"><to-upgrade><solvable type="package" name="bash" edition="5.2-2" arch="x86_64" edition-old="5.2-1"/><solvable type="patch" name="p" edition="2" edition-old="1"/></to-upgrade><to-install><solvable type="package" name="new" edition="1"/></to-install></install-summary></stream>"#;
        assert_eq!(told(of_zypper(said)), ["bash 5.2-1 -> 5.2-2"]);
        assert_eq!(told(of_zypper("<stream><message type=\"info\">Nothing to do.</message></stream>")), Vec::<String>::new());
    }
}
