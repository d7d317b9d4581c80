//! What runs apt on a node: it waits for every lock, finishes what an interrupted dpkg left, and is not killed while it configures.

/// Where both scripts begin. Everything that is given to apt is given here, so that the two cannot differ.
macro_rules! common {
    () => {
        concat!(
            r#"export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
# Tells what hinders nobody and should be known.
noticed() { printf '%s\n' "$1" >&2; [ -z "$KTHW_NOTICES" ] || printf '%s\n' "$(printf %s "$1" | tr '\n' ' ')" >>"$KTHW_NOTICES"; }
# A source that apt cannot read would keep it from reading any other. It is somebody's, so it is named and left out.
sources() {
  R= P= N=--no-download
  # What lies in a folder of the machine is never copied, so without downloads apt does not find it.
  E=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null) && { case $E in *file:*) N= ;; esac; return; }
  P=$(mktemp -d) && trap 'rm -rf "$P"' EXIT || return 0
  for F in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -e "$F" ] || continue
    E=$(apt-get indextargets -o Dir::Etc::SourceList="$F" -o Dir::Etc::SourceParts=/dev/null 2>&1 >/dev/null) && cp "$F" "$P" && continue
    noticed "left out, because apt cannot read it: $F: $E"
  done
  R="-o Dir::Etc::SourceParts=$P"
}
# What a signature that will not do means. apt before 3 asks gpgv, which tells by words of its own; later ones ask sqv.
why() {
  case $1 in
    *EXPKEYSIG* | *'Expired on'*) echo '"#,
            super::key_expired!(),
            r#"' ;;
    *NO_PUBKEY* | *'Missing key'*) echo '"#,
            super::key_unknown!(),
            r#"' ;;
  esac
}
# apt waits for dpkg's locks itself, but not for that of the lists.
lists() {
  W=0
  until E=$(timeout -k 5 600 apt-get update -o DPkg::Lock::Timeout=300 $R "$@" 2>&1 || { S=$?; [ $S != 124 ] || echo 'it took more than 10 minutes'; exit $S; }); do
    case $E in *'Could not get lock'*) [ $W -lt 300 ] && W=$((W+5)) && sleep 5 && continue ;; esac
    printf '%s\n' "$E" >&2
    why "$E" >&2
    return 100
  done
  # Without its index apt goes on with the one of before, and says no more than a warning.
  Y=$(why "$E")
  [ -z "$Y" ] || noticed "$(printf '%s\n' "$E" | grep -E 'EXPKEYSIG|Expired on|NO_PUBKEY|Missing key' | head -n 1): $Y"
}
"#
        )
    };
}

/// Brings the lists up to date; `"$@"` are options of `apt-get update`.
pub const APT_UPDATE: &str = concat!(common!(), "R=\nlists \"$@\"");

/// Fails when a new source (`$1`: its file name, `$2`: its text) and one that is there name different keys for one address: apt would read no
/// source at all any more. Nothing is written, and nothing is fetched.
pub const APT_CHECK_SOURCE: &str = r#"P=$(mktemp -d) && trap 'rm -rf "$P"' EXIT
for F in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
  [ ! -e "$F" ] || [ "${F##*/}" = "$1" ] || cp "$F" "$P"
done
printf %s "$2" >"$P/$1"
E=$(apt-get indextargets -o Dir::Etc::SourceParts="$P" 2>&1 >/dev/null) && exit
U=$(sed -n 's/^URIs: //p' "$P/$1")
case $E in *'Conflicting values'*"${U%/}"*) ;; *) exit 0 ;; esac
F=$(grep -lsF "${U%/}" /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources | grep -v "/$1\$")
printf '%s\nanother source has the same address with another key: %s\nremove it, or let it name the same key; nothing was changed\n' "$E" "$F" >&2
exit 100"#;

/// Installs `"$@"`.
///
/// Downloads are limited by time. What unpacks and configures is not: dpkg that is killed in between leaves a machine on which nobody can
/// install anything (`dpkg --configure -a` puts it right), so it runs in a session of its own, which no limit of ours and no broken
/// connection reaches. A package that cannot be found or fetched is tried again with fresh lists.
pub const APT_INSTALL: &str = concat!(
    common!(),
    r#"O='-y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --no-install-recommends --allow-change-held-packages'
fetch() { timeout -k 5 900 apt-get install $O $R --no-remove --download-only "$@"; }
place() { setsid -w apt-get install $O $R --no-remove $N "$@"; }
# What the plan did not show is not removed: whoever lets Docker run here decides that.
removed() {
  L=$(apt-get install -s $O $R "$@" 2>/dev/null | sed -n 's/^Remv \([^ ]*\).*/ \1/p' | tr -d '\n')
  [ -z "$L" ] || printf 'installing %s would remove%s, which the plan does not say: remove them yourself if that is meant\n' "$*" "$L" >&2
}
pending() { [ -n "$(ls -A /var/lib/dpkg/updates 2>/dev/null)$(dpkg --audit 2>/dev/null)" ]; }
repair() {
  W=0
  while pending; do
    E=$(setsid -w dpkg --force-confdef --force-confold --configure -a </dev/null 2>&1) && return
    # Somebody else is at work, and what looked interrupted may be on its way.
    case $E in *'locked by another process'*) [ $W -lt 300 ] && W=$((W+5)) && sleep 5 && continue ;; esac
    # It lacks what its dependencies were to bring.
    fetch --fix-broken && place --fix-broken && return
    printf '%s\n' "$E" >&2; return 100
  done
}
get() {
  fetch "$@" && return
  S=$?
  [ $S != 124 ] || { echo 'the download took more than 15 minutes; what has come is kept' >&2; return $S; }
  # Of somebody else's source that cannot be fetched the rest does not need anything.
  lists || noticed "not all lists could be renewed; going on with those that are there: $E"
  fetch "$@" && return
  S=$?
  removed "$@"
  return $S
}
here() { for P in "$@"; do case $(dpkg-query -W -f='${db:Status-Abbrev}' "${P%%=*}" 2>/dev/null) in ?i*) ;; *) return 1 ;; esac; done; }
sources
repair && get "$@" && place "$@" || exit
here "$@" && exit
# Where no list names it, apt is content with an installed package that provides it.
lists && fetch "$@" || { S=$?; removed "$@"; exit $S; }
place "$@" || exit
here "$@" || { echo "apt is content and $* is not installed: no source has it, or another package stands for it" >&2; exit 100; }"#
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
        // Whatever was placed is there afterwards, unless a test says otherwise.
        let there = [("dpkg-query", "echo 'ii '")];
        for (name, body) in there.iter().chain(programs) {
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
        // Whether apt can read its sources is asked each time, and whether it did something.
        let asked = said.lines().filter(|line| !line.starts_with("apt-get indextargets") && !line.starts_with("dpkg-query"));
        (output, asked.map(short).collect::<Vec<_>>().join("\n"))
    }

    /// What was asked, without the options that are always the same.
    fn short(line: &str) -> String {
        let plain = |word: &&str| {
            !word.contains("::")
                && !matches!(*word, "-o" | "-y" | "--no-install-recommends" | "--allow-change-held-packages" | "--no-remove")
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
        assert!(asked.contains("apt-get install --no-download --fix-broken\napt-get install --download-only socat"), "{asked}");
        let apt = r#"case $* in *--fix-broken*) echo "E: Packages need to be removed but remove is disabled." >&2; exit 100 ;; esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", apt), ("dpkg", dpkg)]);
        assert_eq!(output.status.code(), Some(100));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("remove is disabled") && said.ends_with("dependency problems - leaving unconfigured\n"), "{said}");
        assert!(asked.ends_with("--fix-broken"), "{asked}");
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
    fn a_key_that_will_not_do_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for (said, told) in [
            ("The following signatures were invalid: EXPKEYSIG 234654DA9A296436 isv:kubernetes", "has expired"),
            ("couldn't be verified because the public key is not available: NO_PUBKEY 7A7F6D4DF9F37ED3", "none of the keys"),
        ] {
            let apt = format!("echo \"W: GPG error: {said}\" >&2; exit 100");
            let (output, _) = run(folder.path(), APT_UPDATE, 20, &[("apt-get", &apt), SLEEP]);
            let lines = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(lines.contains(said) && lines.lines().last().is_some_and(|last| last.contains(told)), "{lines}");
            // Where apt goes on with an older index, it is told all the same.
            let (output, _) = run(folder.path(), APT_UPDATE, 20, &[("apt-get", &apt.replace("exit 100", "true")), SLEEP]);
            let lines = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && lines.contains(said) && lines.contains(told), "{lines}");
        }
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
    fn a_package_that_another_one_stands_for_is_looked_for_in_newer_lists() {
        let folder = tempfile::tempdir().unwrap();
        let placed = r#"case $* in *update*) : >$F/fresh ;; *--no-download*) [ ! -e $F/fresh ] || : >$F/placed ;; esac"#;
        let there = ("dpkg-query", "[ ! -e $F/placed ] || echo 'ii '");
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", placed), QUIET, there]);
        assert!(output.status.success() && asked.contains("apt-get update"), "{output:?} {asked}");
        let (output, _) = run(folder.path(), APT_INSTALL, 20, &[FINE, QUIET, ("dpkg-query", "true")]);
        assert_eq!(output.status.code(), Some(100));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("apt is content and socat is not installed"), "{said}");
    }

    #[test]
    fn what_would_be_removed_is_named_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let apt = r#"case $* in
            *' -s '*) echo 'Remv docker-ce [1]'; echo 'Remv containerd.io [1]'; echo 'Inst containerd (2)' ;;
            *--no-remove*) echo 'E: Packages need to be removed but remove is disabled.' >&2; exit 100 ;;
        esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", apt), QUIET]);
        assert_eq!(output.status.code(), Some(100));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.ends_with("installing socat would remove docker-ce containerd.io, which the plan does not say: remove them yourself if that is meant\n"), "{said}");
        assert!(!asked.contains("--no-download"), "{asked}");
    }

    #[test]
    fn lists_that_cannot_be_renewed_are_no_reason_not_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let apt = r#"case $* in
            *--download-only*) [ -e $F/second ] || { : >$F/second; exit 100; } ;;
            *update*) echo 'E: The repository of a stranger is not signed.' >&2; exit 100 ;;
        esac"#;
        let (output, asked) = run(folder.path(), APT_INSTALL, 20, &[("apt-get", apt), QUIET]);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("The repository of a stranger"), "{output:?}");
        assert!(asked.ends_with("apt-get install --no-download socat"), "{asked}");
    }

    #[test]
    fn a_source_that_never_answers_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let apt = r#"case $* in
            *--download-only*) [ -e $F/second ] || { : >$F/second; exit 100; } ;;
            *update*) echo '0% [Connecting to archive.example]'; sleep 60 ;;
        esac"#;
        let script = APT_INSTALL.replace("timeout -k 5 600", "timeout -k 5 1");
        assert_ne!(script, APT_INSTALL);
        let (output, asked) = run(folder.path(), &script, 20, &[("apt-get", apt), QUIET]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("not all lists could be renewed") && said.contains("Connecting to archive.example"), "{said}");
        assert!(said.contains("it took more than 10 minutes") && asked.ends_with("apt-get install --no-download socat"), "{said}{asked}");
    }

    #[test]
    fn a_source_that_apt_cannot_read_is_named_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("sources.list.d");
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(parts.join("good.sources"), "Types: deb\n").unwrap();
        std::fs::write(parts.join("bad.list"), "deb\n").unwrap();
        let script = APT_INSTALL.replace("/etc/apt/sources.list.d", &parts.display().to_string());
        let apt = r#"case $* in
            *indextargets*SourceList=*good*) ;;
            *indextargets*) echo 'E: Malformed entry 1 in list file' >&2; exit 100 ;;
            *--download-only*) for w; do case $w in Dir::Etc::SourceParts=*) ls "${w#*=}" >$F/kept ;; esac; done ;;
        esac"#;
        let script = format!("export KTHW_NOTICES={}; {script}", folder.path().join("notices").display());
        let (output, _) = run(folder.path(), &script, 20, &[("apt-get", apt), QUIET]);
        assert!(output.status.success(), "{output:?}");
        let noticed = std::fs::read_to_string(folder.path().join("notices")).unwrap();
        assert!(noticed.ends_with("bad.list: E: Malformed entry 1 in list file\n") && noticed.lines().count() == 1, "{noticed}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("left out, because apt cannot read it") && said.contains("bad.list: E: Malformed entry 1"), "{said}");
        assert_eq!(std::fs::read_to_string(folder.path().join("kept")).unwrap(), "good.sources\n");
    }

    #[test]
    fn two_keys_for_one_address_are_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("sources.list.d");
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(parts.join("docker.list"), "deb [signed-by=/a.gpg] https://repo.example/debian bookworm stable\n").unwrap();
        let script = APT_CHECK_SOURCE.replace("/etc/apt/sources.list.d", &parts.display().to_string());
        let script = script.replace("\"$1\" \"$2\"", "");
        let check = |apt: &str| {
            let source = "Types: deb\nURIs: https://repo.example/debian\nSuites: bookworm\n";
            let script = format!("set -- kthw.sources '{source}'\n{script}");
            let (output, _) = run(folder.path(), &script, 20, &[("apt-get", apt)]);
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let conflict =
            "E: Conflicting values set for option Signed-By regarding source https://repo.example/debian/ bookworm: /a.gpg != /b.asc";
        let (code, said) = check(&format!("echo '{conflict}' >&2; exit 100"));
        assert_eq!(code, Some(100));
        assert!(said.starts_with(conflict) && said.contains("docker.list") && said.ends_with("nothing was changed\n"), "{said}");
        assert_eq!(check("echo 'E: Malformed entry 1 in list file' >&2; exit 100"), (Some(0), String::new()), "a stranger's trouble");
        assert_eq!(check("true"), (Some(0), String::new()));
        assert!(!parts.join("kthw.sources").exists());
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
        let slow = "sleep 3; : >$F/configured";
        let apt = format!("case $* in *--no-download*) {slow} ;; esac");
        let dpkg = format!("case $* in --audit) echo 'half configured' ;; *) {slow} ;; esac");
        for programs in [[("apt-get", apt.as_str()), QUIET], [FINE, ("dpkg", dpkg.as_str())]] {
            let folder = tempfile::tempdir().unwrap();
            let (output, _) = run(folder.path(), APT_INSTALL, 1, &programs);
            assert_eq!(output.status.code(), Some(124));
            let begun = Instant::now();
            while !folder.path().join("configured").exists() {
                assert!(begun.elapsed() < Duration::from_secs(30), "what configures was killed");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}
