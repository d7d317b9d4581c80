//! The verbs beside the real sops: each reads and changes what the other wrote.
use super::desk::{Desk, fed};
use crate::support::said;
use kthw_peers::{SOPS, ask};
use std::{path::Path, process::Command};

fn run(desk: &Desk, sops: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(sops);
    command.args(arguments).current_dir(desk.path()).env_clear().env("HOME", desk.path()).env("SOPS_DISABLE_VERSION_CHECK", "1");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("SOPS_AGE_KEY", &desk.alice.private);
    said(command.output().unwrap()).ended_with(0).stdout
}

const FILES: [(&str, &str); 4] = [
    ("f.yaml", "a:\n    token: abc\n    list:\n        - 1\n        - x\nb: \"\"\nc: null\n"),
    ("f.json", "{\n\t\"a\": {\n\t\t\"token\": \"abc\"\n\t},\n\t\"n\": 1.5\n}\n"),
    ("f.env", "TOKEN=abc\nOTHER=x y\n"),
    ("f.ini", "[a]\ntoken = abc\n"),
];

#[test]
fn each_verb_leaves_what_sops_opens() {
    let Some([sops]) = ask([&SOPS]) else { return };
    for (name, plain) in FILES {
        let desk = Desk::new();
        desk.write(name, plain);
        let open = |step: &str, changed: bool| {
            let shown = run(&desk, &sops, &["decrypt", name]);
            assert_eq!(shown.contains("hunter2"), changed, "{name} after {step}:\n{shown}");
            assert_eq!(desk.kthw(&["decrypt", name], "").ended_with(0).stdout.contains("hunter2"), changed, "{name} after {step}");
        };
        desk.kthw(&["encrypt", "-i", name], "").ended_with(0);
        open("encrypt", false);
        desk.kthw(&["rotate", name], "").ended_with(0);
        open("rotate", false);
        let (alice, bob) = (&desk.alice.public, &desk.bob.public);
        desk.write(".sops.yaml", &format!("creation_rules:\n  - age: [{bob}, {alice}]\n"));
        desk.kthw(&["updatekeys", "-y", name], "").ended_with(0);
        open("updatekeys", false);
        assert!(run(&desk, &sops, &["updatekeys", "-y", name]).is_empty(), "{name}: sops finds nothing to change");
        desk.edit("sed -i s/abc/hunter2/ \"$1\"", &[name]).ended_with(0);
        open("edit", true);
        run(&desk, &sops, &["rotate", "-i", name]);
        open("rotate by sops", true);
        desk.edit("sed -i s/hunter2/abc/ \"$1\"", &[name]).ended_with(0);
        open("edit after sops", false);
    }
}

#[test]
fn the_same_rule_counts_for_both() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let desk = Desk::new();
    let (alice, bob) = (&desk.alice.public, &desk.bob.public);
    desk.write(
        ".sops.yaml",
        &format!(
            "creation_rules:\n  - path_regex: ^prod/.*\\.yaml$\n    encrypted_regex: ^(data|stringData)$\n    age: '{alice},{bob}'\n  - path_regex: groups\n    shamir_threshold: 2\n    key_groups:\n      - age: [{alice}]\n      - merge: [{{age: [{bob}]}}]\n        age: [{alice}]\n  - age: {alice}\n    mac_only_encrypted: true\n    unencrypted_suffix: _plain\n"
        ),
    );
    for name in ["prod/a.yaml", "groups.yaml", "other.yaml"] {
        let plain = "data: x\nb_plain: z\n";
        desk.write(name, plain);
        let theirs = run(&desk, &sops, &["encrypt", name]);
        let ours = fed(desk.command(&["encrypt", name]), "").ended_with(0).stdout;
        let shape = |text: &str| {
            let told = |line: &&str| {
                !["enc:", "mac:", "lastmodified", "BEGIN AGE", "version", "hc_vault: []"].iter().any(|word| line.contains(word))
            };
            let lines: Vec<String> = text.lines().filter(told).map(|line| line.trim().trim_start_matches("- ").to_owned()).collect();
            let mut lines: Vec<String> =
                lines.into_iter().filter(|line| line.contains(':')).map(|line| line.split("ENC[").next().unwrap().to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(shape(&ours), shape(&theirs), "{name}:\n{ours}\n{theirs}");
        desk.write(name, &theirs);
        let said = fed(desk.command(&["updatekeys", name]), "").ended_with(0);
        assert!(said.stderr.starts_with("Nothing to change"), "{name}: {}{}", said.stdout, said.stderr);
        assert_eq!(fed(desk.command(&["decrypt", name]), "").ended_with(0).stdout, plain);
    }
}

#[test]
fn what_sops_writes_anew_is_not_taken_for_tampering() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let desk = Desk::new();
    // sops writes 1.0 as 1, and keeps the MAC.
    for (name, plain) in
        [("f.yaml", "a: x\nb_unencrypted: 1.0\nc_unencrypted: [1e3, 089]\n"), ("f.json", "{\"a\": \"x\", \"b_unencrypted\": 1.0}\n")]
    {
        desk.write(name, plain);
        desk.write(".sops.yaml", &format!("creation_rules:\n  - age: {}\n", desk.alice.public));
        desk.kthw(&["encrypt", "-i", name], "").ended_with(0);
        desk.write(".sops.yaml", &format!("creation_rules:\n  - age: [{}, {}]\n", desk.bob.public, desk.alice.public));
        run(&desk, &sops, &["updatekeys", "-y", name]);
        desk.kthw(&["rotate", name], "").ended_with(0);
        assert!(run(&desk, &sops, &["decrypt", name]).contains("unencrypted"), "{name}");
    }
}

#[test]
fn a_document_of_comments_only_has_its_own_block() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let plain = "---\n# only\n---\npw: x\n";
    let desk = Desk::with("f.yaml", plain);
    assert!(run(&desk, &sops, &["decrypt", "f.yaml"]).ends_with("---\npw: x\n"));
    assert_eq!(desk.kthw(&["decrypt", "f.yaml"], "").ended_with(0).stdout, plain);
}
