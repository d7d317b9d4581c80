//! What runs apt on a node: it waits for every lock, finishes what an interrupted dpkg left, and is not killed while it configures.

/// Where both scripts begin. Everything that is given to apt is given here, so that the two cannot differ.
macro_rules! common {
    () => {
        r#"export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
# apt waits for dpkg's locks itself, but not for that of the lists.
lists() {
  W=0
  until E=$(timeout -k 5 600 apt-get update -o DPkg::Lock::Timeout=300 "$@" 2>&1); do
    case $E in *'Could not get lock'*) [ $W -lt 300 ] && W=$((W+5)) && sleep 5 && continue ;; esac
    printf '%s\n' "$E" >&2; return 100
  done
}
"#
    };
}

/// Brings the lists up to date; `"$@"` are options of `apt-get update`.
pub const APT_UPDATE: &str = concat!(common!(), "lists \"$@\"");

/// Installs `"$@"`.
///
/// Downloads are limited by time. What unpacks and configures is not: dpkg that is killed in between leaves a machine on which nobody can
/// install anything (`dpkg --configure -a` puts it right), so it runs in a session of its own, which no limit of ours and no broken
/// connection reaches. A package that cannot be found or fetched is tried again with fresh lists.
pub const APT_INSTALL: &str = concat!(
    common!(),
    r#"O='-y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --no-install-recommends --allow-change-held-packages'
fetch() { timeout -k 5 900 apt-get install $O --download-only "$@"; }
place() { setsid -w apt-get install $O --no-download "$@"; }
pending() { [ -n "$(ls -A /var/lib/dpkg/updates 2>/dev/null)$(dpkg --audit 2>/dev/null)" ]; }
repair() {
  W=0
  while pending; do
    E=$(setsid -w dpkg --force-confdef --force-confold --configure -a </dev/null 2>&1) && return
    # Somebody else is at work, and what looked interrupted may be on its way.
    case $E in *'locked by another process'*) [ $W -lt 300 ] && W=$((W+5)) && sleep 5 && continue ;; esac
    # It lacks what its dependencies were to bring.
    fetch --fix-broken --no-remove && place --fix-broken --no-remove && return
    printf '%s\n' "$E" >&2; return 100
  done
}
get() {
  fetch "$@" && return
  S=$?
  [ $S != 124 ] || { echo 'the download took more than 15 minutes; what has come is kept' >&2; return $S; }
  lists && fetch "$@"
}
repair && get "$@" && place "$@""#
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::PermissionsExt,
        path::Path,
        process::{Command, Output},
        time::{Duration, Instant},
    };

    /// Runs a script with programs of ours in place of the machine's, for so many seconds at most. They tell what they were asked.
    fn run(folder: &Path, script: &str, limit_s: u32, programs: &[(&str, &str)]) -> (Output, String) {
        let asked = folder.join("asked");
        for (name, body) in programs {
            let file = folder.join(name);
            let text = format!(
                "#!/bin/sh\necho \"{name} $*\" >>{asked}\nF={folder}\n{body}\n",
                asked = asked.display(),
                folder = folder.display()
            );
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
        let mut command = Command::new("timeout");
        command.args(["-k", "5", &limit_s.to_string(), "sh", "-c", script, "kthw-install", "socat"]).env("PATH", path).env("LC_ALL", "C");
        let output = command.output().unwrap();
        let said = std::fs::read_to_string(asked).unwrap_or_default();
        (output, said.lines().map(short).collect::<Vec<_>>().join("\n"))
    }

    /// What was asked, without the options that are always the same.
    fn short(line: &str) -> String {
        let plain = |word: &&str| {
            !word.contains("::") && !matches!(*word, "-o" | "-y" | "--no-install-recommends" | "--allow-change-held-packages")
        };
        line.split(' ').filter(plain).collect::<Vec<_>>().join(" ")
    }

    const FINE: (&str, &str) = ("apt-get", "true");
    const QUIET: (&str, &str) = ("dpkg", "true");
    /// No waits in tests.
    const SLEEP: (&str, &str) = ("sleep", "true");

    #[test]
    fn packages_are_fetched_and_then_placed() {
        let folder = tempfile::tempdir().unwrap();
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[FINE, QUIET]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(asked, "dpkg --audit\napt-get install --download-only socat\napt-get install --no-download socat");
    }

    #[test]
    fn an_interrupted_dpkg_is_finished_first() {
        let folder = tempfile::tempdir().unwrap();
        let dpkg =
            r#"case $* in --audit) [ -e $F/done ] || echo "The following packages are only half configured" ;; *) : >$F/done ;; esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[FINE, ("dpkg", dpkg)]);
        assert!(output.status.success(), "{output:?}");
        let want = "dpkg --audit\ndpkg --force-confdef --force-confold --configure -a\napt-get install --download-only socat\napt-get install --no-download socat";
        assert_eq!(asked, want);
    }

    #[test]
    fn what_dpkg_cannot_finish_alone_apt_does_and_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dpkg =
            r#"case $* in --audit) echo "half configured" ;; *) echo "dependency problems - leaving unconfigured" >&2; exit 1 ;; esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[FINE, ("dpkg", dpkg)]);
        assert!(output.status.success(), "{output:?}");
        assert!(asked.contains("apt-get install --no-download --fix-broken --no-remove\napt-get install --download-only socat"), "{asked}");
        let apt = r#"case $* in *--fix-broken*) echo "E: Packages need to be removed but remove is disabled." >&2; exit 100 ;; esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", apt), ("dpkg", dpkg)]);
        assert_eq!(output.status.code(), Some(100));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("remove is disabled") && said.ends_with("dependency problems - leaving unconfigured\n"), "{said}");
        assert!(asked.ends_with("--fix-broken --no-remove"), "{asked}");
    }

    #[test]
    fn a_dpkg_that_somebody_else_holds_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let dpkg = r#"case $* in
            --audit) [ -e $F/3 ] || echo "half configured" ;;
            *) for n in 1 2 3; do [ -e $F/$n ] || { : >$F/$n; break; }; done; echo "dpkg frontend lock was locked by another process" >&2; exit 2 ;;
        esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[FINE, ("dpkg", dpkg), SLEEP]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(asked.matches("sleep 5").count(), 3, "{asked}");
        assert!(!asked.contains("--fix-broken"), "{asked}");
    }

    #[test]
    fn the_lock_of_the_lists_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let apt = r#"[ -e $F/1 ] || { : >$F/1; echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (perl)" >&2; exit 100; }"#;
        let (output, asked) = run(folder.path(), APT_UPDATE, 20, &[("apt-get", apt), SLEEP]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(asked, "apt-get update socat\nsleep 5\napt-get update socat");
        let (output, asked) = run(folder.path(), APT_UPDATE, 20, &[("apt-get", "echo 'E: not signed' >&2; exit 100"), SLEEP]);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(100), &b"E: not signed\n"[..]));
        assert!(asked.ends_with("sleep 5\napt-get update socat\napt-get update socat"), "another error is not waited for: {asked}");
    }

    #[test]
    fn lists_are_renewed_once_for_a_package_that_cannot_be_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let apt = r#"case $* in *--download-only*) [ -e $F/fresh ] ;; *update*) : >$F/fresh ;; esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", apt), QUIET]);
        assert!(output.status.success(), "{output:?}");
        let want = "dpkg --audit\napt-get install --download-only socat\napt-get update\napt-get install --download-only socat\napt-get install --no-download socat";
        assert_eq!(asked, want);
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", "case $* in *--download-only*) exit 100 ;; esac"), QUIET]);
        assert_ne!(output.status.code(), Some(0));
        assert!(!asked.ends_with("--no-download socat"), "{asked}");
    }

    #[test]
    fn a_download_that_takes_too_long_is_not_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        // In place of the program that ends it.
        let timeout = r#"case $* in *--download-only*) exit 124 ;; *) shift 3; exec "$@" ;; esac"#;
        let script = APT_INSTALL.replace("timeout -k", "limited -k");
        let (output, asked) = run(folder.path(), &script, 20, &[("limited", timeout), FINE, QUIET]);
        assert_ne!(output.status.code(), Some(0));
        assert_eq!(asked.matches("--download-only").count(), 1, "{asked}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("took more than 15 minutes"), "{output:?}");
    }

    #[test]
    fn our_limit_ends_the_waiting_and_not_the_configuring() {
        let folder = tempfile::tempdir().unwrap();
        let apt = "case $* in *--no-download*) sleep 3; : >$F/configured ;; esac";
        let (output, _) = run(folder.path(), APT_INSTALL, 1, &[("apt-get", apt), QUIET]);
        assert_eq!(output.status.code(), Some(124));
        let begun = Instant::now();
        while !folder.path().join("configured").exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "apt was killed while it configured");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
