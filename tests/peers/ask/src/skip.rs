//! Says that a test is skipped, where everybody sees it, or fails the test.
use crate::Get;
use std::{
    fs::File,
    io::Write,
    panic::Location,
    path::{Path, PathBuf},
};

/// Says why the test that asks is skipped, and how that ends; a failure with `KTHW_REQUIRE_PEERS`.
#[track_caller]
pub fn skip(missing: &[(String, Get)]) {
    let here = Location::caller();
    let name = test_name(std::thread::current().name(), std::env::args()).unwrap_or_else(|| format!("{}:{}", here.file(), here.line()));
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let words = words(&name, missing);
    assert!(set("KTHW_REQUIRE_PEERS").is_none(), "{words} (KTHW_REQUIRE_PEERS is set: nothing may be skipped)");
    // Not by `eprintln!`, which libtest keeps to itself when a test passes.
    say(&words, std::io::stderr(), set("KTHW_SKIPPED").map(PathBuf::from).as_deref());
}

/// `SKIPPED name: reason and reason, how to get it; how to get it`.
fn words(name: &str, missing: &[(String, Get)]) -> String {
    let reasons: Vec<&str> = missing.iter().map(|(reason, _)| reason.as_str()).collect();
    let (mut sections, mut hows) = (Vec::new(), Vec::new());
    for (_, get) in missing {
        match get {
            Get::Section(section) if !sections.contains(section) => sections.push(*section),
            Get::Words(how) if !hows.contains(how) => hows.push(how),
            _ => {}
        }
    }
    let command = format!("run `tests/peers/install {}`", sections.join(" "));
    if !sections.is_empty() {
        hows.insert(0, &command);
    }
    format!("SKIPPED {name}: {}, {}", reasons.join(" and "), hows.join("; "))
}

/// The test's name: libtest gives it to the thread, or it is the one name that this process was started for.
fn test_name(thread: Option<&str>, arguments: impl Iterator<Item = String>) -> Option<String> {
    // One test at a time runs in the first thread.
    if let Some(name) = thread.filter(|name| *name != "main") {
        return Some(name.to_owned());
    }
    let arguments: Vec<String> = arguments.skip(1).collect();
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-'));
    match (names.next(), names.next()) {
        (Some(name), None) if arguments.iter().any(|argument| argument == "--exact") => Some(name.clone()),
        _ => None,
    }
}

fn say(line: &str, mut screen: impl Write, file: Option<&Path>) {
    let line = format!("{line}\n");
    // A screen that is gone keeps nobody from testing.
    let _ = screen.write_all(line.as_bytes());
    if let Some(path) = file {
        // In one piece: many tests, and many processes, write here at the same time.
        let written = File::options().append(true).create(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("cannot write to {}, which KTHW_SKIPPED names: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[track_caller]
    fn check_words(missing: &[(&str, Get)], expected: &str) {
        let missing: Vec<_> = missing.iter().map(|(reason, get)| ((*reason).to_owned(), *get)).collect();
        assert_eq!(words("a::test", &missing), expected);
    }

    #[test]
    fn one_line_names_everything_and_one_command() {
        check_words(&[("no sshd", Get::Section("ssh"))], "SKIPPED a::test: no sshd, run `tests/peers/install ssh`");
        check_words(
            &[("no sops", Get::Section("keys")), ("no fakepve", Get::Section("pve")), ("no gpg", Get::Section("keys"))],
            "SKIPPED a::test: no sops and no fakepve and no gpg, run `tests/peers/install keys pve`",
        );
        check_words(
            &[("not root", Get::Words("run as root")), ("no manifests", Get::Words("set A")), ("no apt", Get::Section("kubernetes"))],
            "SKIPPED a::test: not root and no manifests and no apt, run `tests/peers/install kubernetes`; run as root; set A",
        );
    }

    #[test]
    fn the_thread_or_the_command_line_names_the_test() {
        let arguments = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter();
        assert_eq!(test_name(Some("a::b"), arguments("bin c")), Some("a::b".into()));
        assert_eq!(test_name(Some("main"), arguments("bin a::c --nocapture --exact")), Some("a::c".into()));
        assert_eq!(test_name(None, arguments("bin a")), None);
        assert_eq!(test_name(Some("main"), arguments("bin --exact a b")), None);
    }

    #[test]
    fn lines_of_many_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skipped");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (file, line) = (&file, format!("SKIPPED {number}: {}", "x".repeat(200)));
                scope.spawn(move || (0..20).for_each(|_| say(&line, std::io::sink(), Some(file))));
            }
        });
        let text = std::fs::read_to_string(file).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 160);
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 8, "{lines:#?}");
    }

    /// Runs this program again for one test, which asks for what no machine has.
    fn asked(more: &[(&str, &str)]) -> std::process::Output {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "skip::tests::a_skip_is_seen_and_counted_or_fails"]);
        command.env_remove("KTHW_REQUIRE_PEERS").env_remove("KTHW_SKIPPED").env("KTHW_ASK_FOR_NOTHING", "1").envs(more.iter().copied());
        command.output().unwrap()
    }

    #[test]
    fn a_skip_is_seen_and_counted_or_fails() {
        if std::env::var_os("KTHW_ASK_FOR_NOTHING").is_some() {
            let nothing = crate::built(&["bin/such-a-program-is-nowhere"]);
            assert!(crate::ask([&nothing, &crate::Peer { name: "second", ..nothing }]).is_none());
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skipped");
        let line = "SKIPPED skip::tests::a_skip_is_seen_and_counted_or_fails: no bin/such-a-program-is-nowhere and no second, \
                    run `tests/peers/install kubernetes`\n";
        for _ in 0..2 {
            let seen = asked(&[("KTHW_SKIPPED", file.to_str().unwrap())]);
            assert!(seen.status.success());
            assert_eq!(String::from_utf8(seen.stderr).unwrap(), line);
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), line.repeat(2));
        let failed = asked(&[("KTHW_SKIPPED", file.to_str().unwrap()), ("KTHW_REQUIRE_PEERS", "1")]);
        assert!(!failed.status.success());
        let told = String::from_utf8(failed.stdout).unwrap();
        assert!(told.contains(line.trim_end()) && told.contains("KTHW_REQUIRE_PEERS is set"), "{told}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), line.repeat(2), "a failure is no skip");
    }
}
