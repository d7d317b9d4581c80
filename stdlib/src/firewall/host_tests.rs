//! The firewall of a machine: what is found, what a plan says of it, and the program that keeps it.
use super::*;
use crate::ssh::testing::{a_file, check, failed, node, printed};
use expect_test::expect;

fn wanted() -> HostFirewall {
    let mut wanted = HostFirewall::new(&node(), Encapsulation::default());
    wanted.openings.truncate(2);
    wanted.rules = ruleset(&wanted.openings);
    wanted
}

fn sha(text: &str) -> String {
    Content::plain(text).sha256()
}

/// As found where everything is kept, with these rules and what `look` says.
fn found(rules: &str, look: &str) -> Vec<Finding> {
    let file = |text: &str, mode| Finding::Path(Some(PathState { mode, ..a_file(text, false) }));
    vec![file(PROGRAM_TEXT, 0o755), file(UNIT_TEXT, 0o644), file(rules, 0o644), printed(look), printed("enabled\n")]
}

#[test]
fn what_is_in_force_is_compared() {
    let (firewall, nothing) = (wanted(), || vec![Finding::Path(None), Finding::Path(None), Finding::Path(None), failed(127), failed(1)]);
    check(
        &firewall,
        &nothing(),
        false,
        &expect![[r#"
        + firewall.host/cu1
            ssh: tcp 22 from anywhere
            kube-apiserver: tcp 6443 from anywhere
          > just in time
    "#]],
    );
    let rules = firewall.rules.clone();
    let loaded = format!("loaded {} abc\n", sha(&rules));
    check(
        &firewall,
        &found(&rules, &format!("listed abc\n{loaded}")),
        false,
        &expect![[r#"
        = firewall.host/cu1
    "#]],
    );
    check(
        &firewall,
        &found(&rules, &format!("listed abd\n{loaded}")),
        false,
        &expect![[r#"
        ~ firewall.host/cu1
            in force: changed by hand -> as written
          > just in time
    "#]],
    );
    check(
        &firewall,
        &found(&rules, &format!("listed abc\n{loaded}trial\n")),
        false,
        &expect![[r#"
        ~ firewall.host/cu1
            in force: on trial -> as written
          > just in time
    "#]],
    );
    check(
        &firewall,
        &found(&rules, ""),
        false,
        &expect![[r#"
        ~ firewall.host/cu1
            in force: nothing -> as written
          > just in time
    "#]],
    );
    let other = rules.replace("tcp dport 22 ", "tcp dport 23 ");
    check(
        &firewall,
        &found(&other, &format!("listed abc\nloaded {} abc\n", sha(&other))),
        false,
        &expect![[r#"
        ~ firewall.host/cu1
            rules:
            -		tcp dport 23 accept comment "ssh"
            +		tcp dport 22 accept comment "ssh"
            in force: other rules -> as written
          > just in time
    "#]],
    );
}

#[test]
fn the_program_is_one_that_a_shell_takes() {
    let shell = |words: &[&str]| std::process::Command::new("/bin/sh").args(words).output().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/firewall/kthw-firewall.sh");
    assert!(shell(&["-n", path]).status.success());
    let usage = shell(&[path]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("kthw-firewall keep "), "{usage:?}");
}
