//! What installing a package would remove or lower, from a dry run with the lists that a node has: it belongs into the plan.
//!
//! Each script gets a name, and a version where one is wanted, and prints the packages that would go, one in a line. It prints nothing for what is
//! there already, and where the lists do not know it yet: then the installation asks once more, and refuses.
use kthw_engine::node::Probe;

/// apt's: `Remv NAME [VERSION]`, and `Inst NAME [OLD] (NEW …` with an older NEW.
pub const APT_DISPLACED: &str = r#"I=$(dpkg-query -W -f='${db:Status-Abbrev}${Version}' "$1" 2>/dev/null)
case $I in ?i?*) [ -n "$2" ] && [ "${I#???}" != "$2" ] || exit 0 ;; esac
apt-get -s -o Debug::NoLocking=true --no-install-recommends --allow-change-held-packages --allow-downgrades install "$1${2:+=$2}" 2>/dev/null |
while read -r K N O V R; do
  case "$K $O" in
    'Remv '*) echo "$N" ;;
    'Inst ['*) O=${O#[}; ! dpkg --compare-versions "${V#(}" lt "${O%]}" || echo "$N" ;;
  esac
done"#;

/// Where both scripts for rpm begin: what is installed in the wanted version needs no dry run.
macro_rules! unless_installed {
    () => {
        r#"I=$(rpm -q --qf '%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null) && case $2: in
  :) exit 0 ;;
  *) case "$I" in "$2" | "$2"-*) exit 0 ;; esac ;;
esac
"#
    };
}

/// dnf's: what stands under `Removing` and `Downgrading`, and what is replaced.
pub const DNF_DISPLACED: &str = concat!(
    unless_installed!(),
    r#"dnf -C --setopt=install_weak_deps=False --disableexcludes=main --setopt='*.skip_if_unavailable=1' --assumeno install "$1${2:+-$2}" 2>/dev/null | awk '
  /^(Removing|Downgrading)/ { on = 1; next } /^[^ ]/ { on = 0 }
  on && /^ [^ ]/ { print $1 } $1 == "replacing" { sub(/\.[^.]*$/, "", $2); print $2 }'"#
);

/// zypper's: what is "going to be REMOVED" or "downgraded". It does nothing where a lower version is asked for, and says so.
pub const ZYPPER_DISPLACED: &str = concat!(
    unless_installed!(),
    r#"LC_ALL=C zypper --non-interactive --no-refresh install --dry-run --no-recommends "$1${2:+=$2}" </dev/null 2>/dev/null | awk -v name="$1" '
  /going to be (REMOVED|downgraded):$/ { on = 1; next } /^[^ ]/ || /^$/ { on = 0 }
  on { for (i = 1; i <= NF; i++) print $i } /has lower version than the installed one/ { print name }'"#
);

/// Asks by one of the scripts.
pub(super) fn ask(script: &'static str, name: &str, version: Option<&str>) -> Probe {
    Probe::run(["sh", "-c", script, "kthw-displaced", name].into_iter().chain(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::PermissionsExt,
        path::Path,
        process::{Command, Output},
    };

    /// Runs a script with programs of ours before the machine's.
    fn run(programs: &[(&str, &str)], script: &str, words: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in programs {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::join_paths([folder.path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        Command::new("sh").args(["-c", script, "kthw-displaced"]).args(words).env("PATH", path).output().unwrap()
    }

    fn told(programs: &[(&str, &str)], script: &str, words: &[&str]) -> String {
        let output = run(programs, script, words);
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
        String::from_utf8(output.stdout).unwrap().trim().replace('\n', " ")
    }

    #[test]
    fn apts_dry_run_is_read() {
        let dry = "cat <<'END'\nReading package lists...\nThe following packages will be REMOVED:\n  docker-ce\n\
            Remv docker-ce [1]\nRemv containerd.io [1]\nInst runc [1.2] (1.1 Debian:12/stable [amd64])\n\
            Inst libc6 [2.36-1] (2.36-9 Debian:12/stable [amd64])\nInst containerd (1.6 Debian:12/stable [amd64])\nConf containerd (1.6)\nEND";
        // dpkg's own order of versions, as far as the test needs it.
        let compares = "[ \"$2 $4\" = '1.1 1.2' ]";
        let programs = [("dpkg-query", "exit 1"), ("apt-get", dry), ("dpkg", compares)];
        assert_eq!(told(&programs, APT_DISPLACED, &["containerd"]), "docker-ce containerd.io runc");
        let unknown = [("dpkg-query", "exit 1"), ("apt-get", "echo 'E: Unable to locate package kubelet' >&2; exit 100")];
        assert_eq!(told(&unknown, APT_DISPLACED, &["kubelet", "1.31.9-1.1"]), "");
    }

    #[test]
    fn what_is_there_needs_no_dry_run() {
        let runs = "echo 'Remv all [1]'; echo 'Removing:'; echo ' all'; echo 'going to be REMOVED:'; echo '  all'";
        let asked = |script: &str, installed: &str, words: &[&str]| {
            let says = format!("printf '%s' '{installed}'");
            told(&[("dpkg-query", &says), ("rpm", &says), ("apt-get", runs), ("dnf", runs), ("zypper", runs)], script, words)
        };
        for script in [APT_DISPLACED, DNF_DISPLACED, ZYPPER_DISPLACED] {
            let state = if script == APT_DISPLACED { "ii " } else { "" };
            assert_eq!(asked(script, &format!("{state}1.31.9-1"), &["kubelet"]), "", "in any version");
            assert_eq!(asked(script, &format!("{state}1.31.9-1"), &["kubelet", "1.31.9-1"]), "", "in this one");
            assert_eq!(asked(script, &format!("{state}1.31.90-1"), &["kubelet", "1.31.9"]), "all", "in another");
        }
        assert_eq!(asked(DNF_DISPLACED, "1.31.9-150500.1", &["kubelet", "1.31.9"]), "", "the release is left to the repository");
    }
}
