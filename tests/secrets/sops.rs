//! The verbs beside the real sops: each reads and changes what the other wrote.
use super::desk::{Desk, fed};
use crate::support::said;
use kthw_peers::{AGE_PLUGIN_PQ, SOPS, VAULT, VaultServer, ask};
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

/// The same where sops may refuse.
fn sops_said(desk: &Desk, sops: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new(sops);
    command.args(arguments).current_dir(desk.path()).env_clear().env("HOME", desk.path()).env("SOPS_DISABLE_VERSION_CHECK", "1");
    let output = command.env("SOPS_AGE_KEY", &desk.alice.private).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

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
        assert_eq!(shape(&ours), shape(&theirs), "{name}:\n{ours}\n{theirs}");
        desk.write(name, &theirs);
        let said = fed(desk.command(&["updatekeys", name]), "").ended_with(0);
        assert!(said.stderr.starts_with("Nothing to change"), "{name}: {}{}", said.stdout, said.stderr);
        assert_eq!(fed(desk.command(&["decrypt", name]), "").ended_with(0).stdout, plain);
    }
}

/// What a file says but for keys, dates and encrypted texts.
fn shape(text: &str) -> Vec<String> {
    let told =
        |line: &&str| !["enc:", "mac:", "lastmodified", "BEGIN AGE", "version", "hc_vault: []"].iter().any(|word| line.contains(word));
    let lines: Vec<String> = text.lines().filter(told).map(|line| line.trim().trim_start_matches("- ").to_owned()).collect();
    let mut lines: Vec<String> =
        lines.into_iter().filter(|line| line.contains(':')).map(|line| line.split("ENC[").next().unwrap().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn recipients_on_the_command_line_count_as_in_sops() {
    let Some([sops]) = ask([&SOPS]) else { return };
    let desk = Desk::new();
    let (alice, bob) = (&desk.alice.public, &desk.bob.public);
    let both = format!("{alice},{bob}");
    let groups = format!("creation_rules:\n  - key_groups: [{{age: [{alice}]}}, {{age: [{bob}]}}, {{age: [{alice}]}}]\n");
    let rule = format!("creation_rules:\n  - {{age: {bob}, encrypted_regex: ^data$, path_regex: ^f.yaml$}}\n");
    for (rules, options) in [
        (None, vec!["--age", both.as_str()]),
        (Some(&rule), vec!["--age", alice.as_str()]),
        (Some(&rule.replace("^f.yaml$", "other")), vec!["--age", alice.as_str()]),
        (Some(&groups), vec!["--shamir-secret-sharing-threshold", "2"]),
    ] {
        match rules {
            Some(rules) => desk.write(".sops.yaml", rules),
            None => std::fs::remove_file(desk.file(".sops.yaml")).unwrap(),
        }
        desk.write("f.yaml", "data: x\nother: z\n");
        let arguments = [&["encrypt"], &options[..], &["f.yaml"]].concat();
        let ours = desk.kthw(&arguments, "").ended_with(0).stdout;
        let theirs = sops_said(&desk, &sops, &arguments);
        match theirs {
            Some(theirs) => assert_eq!(shape(&ours), shape(&theirs), "{options:?} with {rules:?}:\n{ours}\n{theirs}"),
            None => assert!(
                rules.is_some_and(|rules| rules.contains("other")),
                "{options:?} with {rules:?}: sops refuses, and kthw says\n{ours}"
            ),
        }
        desk.write("f.yaml", &ours);
        assert_eq!(run(&desk, &sops, &["decrypt", "f.yaml"]), "data: x\nother: z\n");
    }
    desk.write("g.yaml", "a: 1\n");
    for option in ["--age", "--pgp", "--kms", "--gcp-kms", "--azure-kv", "--hc-vault", "--hc-vault-transit"] {
        let said = desk.kthw(&["encrypt", option, "AGE-SECRET-KEY-1SECRET", "g.yaml"], "").ended_with(2);
        assert!(said.stderr.contains("kthw::sops::malformed_recipient") && !said.stderr.contains("1SECRET"), "{}", said.stderr);
        assert!(said.stderr.contains(&format!("a recipient in `{option}")), "{option}: {}", said.stderr);
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

/// What both programs make with one option and these variables opens in the other.
fn both_ways(sops: &Path, option: [&str; 2], variables: &[(&str, &str)]) {
    let desk = Desk::new();
    std::fs::remove_file(desk.file(".sops.yaml")).unwrap();
    desk.write("plain.yaml", "a: hunter2\n");
    let run = |mut command: Command, arguments: &[&str]| {
        command.args(arguments).current_dir(desk.path()).envs(variables.iter().copied());
        fed(command, "").ended_with(0).stdout
    };
    let theirs = || {
        let mut command = Command::new(sops);
        command.env_clear().env("HOME", desk.path()).env("SOPS_DISABLE_VERSION_CHECK", "1");
        command
    };
    let encrypt = ["encrypt", option[0], option[1], "plain.yaml"];
    desk.write("theirs.yaml", &run(theirs(), &encrypt));
    desk.write("ours.yaml", &run(desk.command(&[]), &encrypt));
    assert_eq!(run(desk.command(&[]), &["decrypt", "theirs.yaml"]), "a: hunter2\n", "{option:?}");
    assert_eq!(run(theirs(), &["decrypt", "ours.yaml"]), "a: hunter2\n", "{option:?}");
    // A new data key is sealed to the same recipient.
    run(desk.command(&[]), &["rotate", "ours.yaml"]);
    assert_eq!(run(theirs(), &["decrypt", "ours.yaml"]), "a: hunter2\n", "{option:?}");
}

#[test]
fn keys_of_vault_named_on_the_command_line() {
    let Some([sops, vault]) = ask([&SOPS, &VAULT]) else { return };
    let vault = VaultServer::start(&vault, None);
    vault.tell("sys/mounts/transit", "{\"type\": \"transit\"}");
    let uri = format!("{}/v1/transit/keys/k", vault.endpoint());
    both_ways(&sops, ["--hc-vault-transit", &uri], &[("VAULT_TOKEN", VaultServer::ROOT), ("NO_PROXY", "127.0.0.1")]);
}

#[test]
fn a_post_quantum_key_named_on_the_command_line() {
    let Some([sops, plugin]) = ask([&SOPS, &AGE_PLUGIN_PQ]) else { return };
    let keys = include_str!("../../sops/src/keys/peer_tests/post-quantum.txt");
    let recipient = keys.split("public key: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let path = format!("{}:{}", plugin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut converts = Command::new(&plugin);
    converts.arg("-identity");
    let converted = fed(converts, keys).ended_with(0).stdout;
    both_ways(&sops, ["--age", recipient], &[("PATH", &path), ("SOPS_AGE_KEY", &converted)]);
}
