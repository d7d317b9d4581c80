//! Tests ask for real programs in one place, tests/peers/ask, so that no test is skipped in silence.
use super::files;
use crate::support::root;
use kthw_peers::ALL;

/// What a machine has on which these tests compile; `ip` comes with the test hosts, without which nothing here calls it.
const ORDINARY: &[&str] = &["sh", "/bin/sh", "chmod", "cp", "find", "flock", "ip", "mkfifo", "stat", "timeout"];

/// Words of a skip that a test makes up itself.
const WORDS: &[&str] = &["SKIPPED", "KTHW_REQUIRE_PEERS", "KTHW_SKIPPED", "KTHW_PEER_", "command -v", "\"which\""];

/// Where a peer may be named: the crate that looks for them, and this rule.
const EXCEPT: [&str; 2] = ["tests/peers/ask/", "tests/tidy/asking.rs"];

/// How a program is written where it is meant to be run.
const PLACES: &[&str] = &["\"/usr/bin/", "\"/usr/sbin/", "\"/bin/", "\"/sbin/", "\"/usr/local/bin/", "Path::new(\"", "PathBuf::from(\""];

/// Whether a file, by its path in the project, holds nothing but tests.
fn is_test_file(path: &str) -> bool {
    let is_test = |part: &str| part == "tests" || part.ends_with("_tests") || part.ends_with("_test");
    !EXCEPT.iter().any(|except| path.starts_with(except)) && path.trim_end_matches(".rs").split('/').any(is_test)
}

/// The lines that look for a peer without asking, and those that leave a test out without a word: number and what is wrong.
fn faults(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.filter_map(|(at, line)| Some((at + 1, fault(line)?))).collect()
}

fn fault(line: &str) -> Option<String> {
    let ask = "ask for it by `kthw_peers::ask` (tests/peers/ask/src/table.rs has all peers)";
    if let Some(word) = WORDS.iter().find(|word| line.contains(**word)) {
        return Some(format!("`{word}`: only `kthw_peers::ask` decides what is skipped, and says it"));
    }
    let variables = ALL.iter().filter_map(|peer| peer.variable).chain(["KTHW_PEERS"]);
    for name in variables {
        // Handing it on to another program is not looking for a peer.
        if line.replace(&format!(".env(\"{name}\""), "").contains(&format!("\"{name}\"")) {
            return Some(format!("`{name}`: {ask}"));
        }
    }
    if let Some(program) = quoted_after(line, "Command::new(\"").find(|program| !ORDINARY.contains(program)) {
        return Some(format!("`{program}` is not on every machine: {ask}"));
    }
    for program in ALL.iter().filter_map(|peer| peer.program) {
        let mut spellings = PLACES.iter().map(|start| format!("{start}{program}\""));
        if spellings.any(|spelling| line.contains(&spelling)) {
            return Some(format!("`{program}`: {ask}"));
        }
    }
    let ignored = line.trim_start().starts_with("#[ignore") || line.contains(", ignore)");
    (ignored && !line.contains("ignore = \"")).then(|| "an ignored test says why: `#[ignore = \"…\"]`".into())
}

/// The rest of each string literal that begins with `start`.
fn quoted_after<'a>(line: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    line.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn tests_ask_for_their_peers() {
    let folders = ["src", "engine", "http", "yaml", "sops", "store", "checker", "stdlib", "lab", "tests"];
    let mut found = Vec::new();
    let mut read = 0;
    for (path, text) in folders.into_iter().flat_map(|folder| files(folder, "rs")) {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if is_test_file(&name) {
            read += 1;
            found.extend(faults(&text).into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
        }
    }
    assert!(read > 50, "only {read} test files were found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_test_file_is_known_by_its_place_or_its_name() {
    for (path, expected) in [
        ("tests/lab.rs", true),
        ("tests/peers/ask/src/lib.rs", false),
        ("tests/tidy.rs", true),
        ("stdlib/tests/fakepve/mod.rs", true),
        ("stdlib/src/ssh/transport/sshd_tests.rs", true),
        ("sops/src/tests.rs", true),
        ("sops/src/keys/peer_tests/age.rs", true),
        ("lab/src/proxmox/schema_test.rs", true),
        ("stdlib/src/ssh/transport/contest.rs", false),
        ("sops/src/keys/program.rs", false),
    ] {
        assert_eq!(is_test_file(path), expected, "{path}");
    }
}

#[test]
fn what_looks_for_a_peer_by_itself_is_found() {
    for line in [
        "const SERVER: &str = \"/usr/sbin/sshd\";",
        "let sops = std::env::var_os(\"KTHW_SOPS\");",
        "let folder = env::var(\"KTHW_PEERS\").unwrap();",
        "    let mut child = Command::new(\"script\");",
        "let done = Command::new(\"kubeadm-1.37\").status();",
        "home.run(Path::new(\"ssh-keygen\"), &[]);",
        "    eprintln!(\"SKIPPED: there is no vim\");",
        "assert!(std::env::var_os(\"KTHW_REQUIRE_PEERS\").is_none());",
        "let found = shell(\"command -v gpg\");",
        "Command::new(\"sh\").args([\"-c\", \"command -v age\"]);",
        "#[ignore]",
    ] {
        let found = faults(&format!("// a comment\n{line}\n"));
        assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2], "{line}: {found:?}");
    }
    let [(_, what)] = &faults("let path = Path::new(\"/usr/sbin/sshd\");")[..] else { panic!("one fault") };
    assert_eq!(what, "`sshd`: ask for it by `kthw_peers::ask` (tests/peers/ask/src/table.rs has all peers)");
}

#[test]
fn what_every_machine_has_may_be_used() {
    for line in [
        "let Some([sops]) = ask([&SOPS]) else { return };",
        "command.args(arguments).env(\"KTHW_PEERS\", cache());",
        "let mut command = Command::new(\"sh\");",
        "// Without KTHW_SOPS the test says so.",
        "ssh::package(n, \"vim\");",
        "#[ignore = \"runs in a process of its own\"]",
    ] {
        assert_eq!(faults(line), [], "{line}");
    }
}
