//! No help leads in a circle: what it advises is done, and then the same error does not come again.
use super::desk::Desk;
use std::collections::BTreeSet;

/// An error and the way out of it.
struct Case {
    code: &'static str,
    /// What leads to it.
    before: fn(&Desk),
    call: &'static [&'static str],
    stdin: &'static str,
    /// What the help says in words; the commands of kthw in it are run before.
    then: fn(&Desk),
    /// What the help says to call now; the same again when empty.
    again: &'static [&'static str],
}

const FILE: &str = "secrets.sops.yaml";
const PLAIN: &str = "proxmox:\n  token: abc\nlist: [x]\n";
const NOTHING: fn(&Desk) = |_| {};
const CASE: Case = Case { code: "", before: |desk| sealed(desk, PLAIN), call: &[], stdin: "", then: NOTHING, again: &[] };

fn sealed(desk: &Desk, plain: &str) {
    desk.write(FILE, plain);
    desk.kthw(&["encrypt", "--in-place", FILE], "").ended_with(0);
    desk.write("good.yaml", &desk.read(FILE));
}

fn restored(desk: &Desk) {
    desk.write(FILE, &desk.read("good.yaml"));
}

fn rules(desk: &Desk, rule: &str) {
    desk.write(".sops.yaml", &format!("creation_rules:\n  - {}\n", rule.replace("ALICE", &desk.alice.public)));
}

fn plain(desk: &Desk) {
    desk.write(FILE, PLAIN);
}

/// A plain file under a rule that is wrong.
macro_rules! wrong_rule {
    ($code:literal, $wrong:literal, $right:literal) => {
        Case {
            code: $code,
            before: |desk| {
                plain(desk);
                rules(desk, $wrong);
            },
            call: &["encrypt", FILE],
            then: |desk| rules(desk, $right),
            ..CASE
        }
    };
}

const CASES: &[Case] = &[
    Case {
        code: "kthw::sops::malformed",
        before: |desk| {
            sealed(desk, PLAIN);
            desk.write(FILE, &desk.read(FILE).replace("lastmodified:", "last:"));
        },
        call: &["show"],
        then: restored,
        ..CASE
    },
    Case {
        code: "kthw::sops::tampered",
        before: |desk| {
            sealed(desk, PLAIN);
            desk.write(FILE, &desk.read(FILE).replace("  token: ", "  tokem: "));
        },
        call: &["get", "proxmox.token"],
        then: restored,
        ..CASE
    },
    Case { code: "kthw::sops::not_encrypted", before: plain, call: &["show"], ..CASE },
    Case { code: "kthw::sops::already_encrypted", call: &["encrypt", "--in-place"], again: &["show"], ..CASE },
    Case { code: "kthw::sops::cannot_set", call: &["set", "proxmox"], stdin: "x", again: &["set", "proxmox.token"], ..CASE },
    Case {
        code: "kthw::sops::ambiguous",
        before: |desk| sealed(desk, "a.b: one\na:\n  b: two\n"),
        call: &["get", "a.b"],
        again: &["get", "[\"a.b\"]"],
        ..CASE
    },
    Case { code: "kthw::sops::missing_secret", call: &["get", "proxmox.tokn"], again: &["get", "proxmox.token"], ..CASE },
    Case {
        code: "kthw::sops::no_key",
        call: &["decrypt", "bobs.yaml"],
        before: |desk| {
            rules(desk, &format!("age: {}", desk.bob.public));
            desk.write("bobs.yaml", PLAIN);
            desk.kthw(&["encrypt", "--in-place", "bobs.yaml"], "").ended_with(0);
        },
        then: |desk| {
            // A holder gives the file its new recipients.
            rules(desk, &format!("age: [{}, ALICE]", desk.bob.public));
            let mut bob = desk.command(&["updatekeys", "--yes", "bobs.yaml"]);
            bob.env("SOPS_AGE_KEY", &desk.bob.private);
            super::desk::fed(bob, "").ended_with(0);
        },
        ..CASE
    },
    Case {
        code: "kthw::sops::too_few_groups",
        before: |desk| {
            desk.write(FILE, PLAIN);
            rules(desk, &format!("{{shamir_threshold: 2, key_groups: [{{age: [ALICE]}}, {{age: [{}]}}]}}", desk.bob.public));
            desk.kthw(&["encrypt", "--in-place", FILE], "").ended_with(0);
        },
        call: &["decrypt"],
        then: |desk| {
            rules(desk, &format!("age: [{}, ALICE]", desk.bob.public));
            let mut both = desk.command(&["updatekeys", "--yes", FILE]);
            both.env("SOPS_AGE_KEY", format!("{}\n{}", desk.alice.private, desk.bob.private));
            super::desk::fed(both, "").ended_with(0);
        },
        ..CASE
    },
    Case {
        code: "kthw::sops::no_creation_rules",
        before: |desk| {
            plain(desk);
            std::fs::remove_file(desk.file(".sops.yaml")).unwrap();
        },
        call: &["encrypt"],
        then: |desk| rules(desk, "{path_regex: 'secrets\\.sops\\.yaml$', age: ALICE}"),
        ..CASE
    },
    Case {
        code: "kthw::sops::malformed_recipient",
        before: plain,
        call: &["encrypt", "--age", "age1wrong"],
        again: &["encrypt", "--age", "age1zca64m4559v4nqqatl0ls5mn7ca9qd053cdqlzj9uxtu3d7uxfns0zdx7p"],
        ..CASE
    },
    Case {
        code: "kthw::sops::threshold",
        before: |desk| {
            plain(desk);
            rules(desk, "key_groups: [{age: [ALICE]}, {age: [age1zca64m4559v4nqqatl0ls5mn7ca9qd053cdqlzj9uxtu3d7uxfns0zdx7p]}]");
        },
        call: &["encrypt", "--shamir-secret-sharing-threshold", "3"],
        again: &["encrypt", "--shamir-secret-sharing-threshold", "2"],
        ..CASE
    },
    wrong_rule!("kthw::sops::no_matching_rule", "{path_regex: other, age: ALICE}", "{path_regex: 'secrets\\.sops\\.yaml$', age: ALICE}"),
    wrong_rule!("kthw::sops::nobody", "{encrypted_regex: a}", "{encrypted_regex: a, age: ALICE}"),
    wrong_rule!("kthw::sops::bad_regex", "{path_regex: '(', age: ALICE}", "{path_regex: '\\(|s', age: ALICE}"),
    wrong_rule!("kthw::sops::two_rules", "{encrypted_regex: a, encrypted_suffix: b, age: ALICE}", "{encrypted_regex: a, age: ALICE}"),
    wrong_rule!("kthw::sops::wrong_type", "{path_regex: [a], age: ALICE}", "{path_regex: s, age: ALICE}"),
    wrong_rule!("kthw::sops::unknown_field", "{path_regx: s, age: ALICE}", "{path_regex: s, age: ALICE}"),
    wrong_rule!("kthw::sops::not_yaml", "{age: ALICE, age: ALICE}", "{age: ALICE}"),
    wrong_rule!("kthw::sops::private_key", "{age: AGE-SECRET-KEY-1X}", "{age: ALICE}"),
    Case {
        code: "kthw::secrets::in_argument",
        call: &["set", "proxmox.token", "value"],
        again: &["set", "proxmox.token"],
        stdin: "x",
        ..CASE
    },
    Case {
        code: "kthw::secrets::not_json",
        call: &["set", "proxmox.token", "--json-value"],
        stdin: "x",
        again: &["set", "proxmox.token"],
        ..CASE
    },
    Case { code: "kthw::secrets::nothing_sent", call: &["set", "proxmox.token"], again: &["get", "proxmox.token"], ..CASE },
    Case {
        code: "kthw::secrets::which",
        before: NOTHING,
        call: &["show"],
        then: |desk| sealed(desk, PLAIN),
        again: &["show", FILE],
        ..CASE
    },
    Case { code: "kthw::secrets::both", call: &["show", FILE, "-w", "x"], again: &["show", FILE], ..CASE },
    Case { code: "kthw::secrets::no_file", before: NOTHING, call: &["show", FILE], ..CASE },
    Case {
        code: "kthw::secrets::exists",
        before: old,
        call: &["import", "old.yaml"],
        again: &["import", "old.yaml", "--file", "new.yaml"],
        ..CASE
    },
    Case {
        code: "kthw::secrets::not_valid",
        before: |desk| desk.write(FILE, "a: [\n"),
        call: &["encrypt"],
        then: |desk| desk.write(FILE, "a: []\n"),
        ..CASE
    },
    Case {
        code: "kthw::secrets::not_asked",
        before: |desk| {
            sealed(desk, PLAIN);
            rules(desk, &format!("age: [{}, ALICE]", desk.bob.public));
        },
        call: &["updatekeys"],
        again: &["updatekeys", "--yes"],
        ..CASE
    },
    Case {
        code: "kthw::secrets::no_such_name",
        before: old,
        call: &["import", "old.yaml", "--file", "n.yaml", "--prefer", "x"],
        again: &["import", "old.yaml", "--file", "n.yaml", "--prefer", "proxmox_password"],
        ..CASE
    },
    Case {
        code: "kthw::secrets::nothing_known",
        before: |desk| desk.write("old.yaml", "x: y\n"),
        call: &["import", "old.yaml"],
        then: old,
        again: &["import", "old.yaml", "--file", "n.yaml"],
        ..CASE
    },
    Case {
        code: "kthw::secrets::not_yaml",
        before: old,
        call: &["import", "old.yaml", "--file", "n.json"],
        again: &["import", "old.yaml", "--file", "n.yaml"],
        ..CASE
    },
    Case { code: "kthw::secrets::no_kept", call: &["edit", "--from", "gone"], again: &["edit"], ..CASE },
];

fn old(desk: &Desk) {
    sealed(desk, PLAIN);
    desk.write("old.yaml", "proxmox_endpoint: https://pve:8006\nproxmox_username: root@pam\nproxmox_password: made-up\n");
}

/// Errors that need something that this test has not: another test follows them, or nobody can in a test.
const ELSEWHERE: &[(&str, &str)] = &[
    ("kthw::sops::read_file", "root reads every file"),
    ("kthw::sops::write_file", "kill.rs and the tests of replace"),
    ("kthw::sops::changed", "edit.rs: a change by somebody else"),
    ("kthw::sops::no_file", "a run writes a secret; its advice is that of kthw::secrets::no_file"),
    ("kthw::sops::not_kept", "a mistake in kthw"),
    ("kthw::sops::other_keys", "needs the services that kthw does not use"),
    ("kthw::sops::open_key", "part of kthw::sops::no_key"),
    ("kthw::sops::seal_key", "needs a service that refuses"),
    ("kthw::sops::no_recipients", "kthw::sops::nobody comes before it"),
    ("kthw::sops::read_key", "sops/src/tests.rs: keys come from the places that sops knows"),
    ("kthw::secrets::conflict", "import.rs"),
    ("kthw::secrets::old_not_text", "no advice but another file"),
    ("kthw::secrets::no_value", "changing.rs, on a terminal"),
    ("kthw::secrets::not_text", "no advice but another value"),
    ("kthw::secrets::editor", "edit.rs"),
    ("kthw::secrets::ended", "edit.rs"),
    ("kthw::secrets::no_memory", "needs a machine without such a folder"),
    ("kthw::secrets::shelter", "needs a full memory"),
    ("kthw::secrets::not_saved", "edit.rs"),
    ("kthw::secrets::outdated", "edit.rs"),
    ("kthw::secrets::several_files", "needs two workspaces"),
];

/// A call with an editor that adds a line.
fn call(desk: &Desk, arguments: &[&str], stdin: &str) -> crate::support::Said {
    let mut command = desk.command(arguments);
    command.env("EDITOR", "f() { printf 'added: abc\\n' >>\"$1\"; }; f");
    super::desk::fed(command, stdin)
}

#[test]
fn what_a_help_advises_does_not_end_in_the_same_error() {
    for case in CASES {
        let desk = Desk::new();
        (case.before)(&desk);
        let said = desk.kthw(case.call, case.stdin);
        assert!(said.stderr.contains(case.code), "{}: {}{}", case.code, said.stdout, said.stderr);
        let told = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let help = told.split("help:").nth(1).unwrap_or_else(|| panic!("{}: no help", case.code));
        for advised in help.split('`').skip(1).step_by(2).filter_map(|command| command.strip_prefix("kthw secrets ")) {
            let command = advised.split(" <").next().unwrap();
            let arguments: Vec<&str> = command.split_whitespace().collect();
            if arguments.len() < 2 {
                continue;
            }
            let followed = call(&desk, &arguments, "value");
            assert!(!followed.stderr.contains(case.code), "{}: `kthw secrets {advised}` says\n{}", case.code, followed.stderr);
        }
        (case.then)(&desk);
        let arguments = if case.again.is_empty() { case.call } else { case.again };
        let again = call(&desk, arguments, if case.code.ends_with("nothing_sent") { "x" } else { case.stdin });
        assert!(!again.stderr.contains(case.code) && again.code == 0, "{} again: {}{}", case.code, again.stdout, again.stderr);
    }
}

#[test]
fn every_error_of_secrets_is_followed_somewhere() {
    let known: BTreeSet<&str> = CASES.iter().map(|case| case.code).chain(ELSEWHERE.iter().map(|one| one.0)).collect();
    let mut found = BTreeSet::new();
    let mut folders = vec![crate::support::root().join("src/commands/secrets"), crate::support::root().join("sops/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let text = std::fs::read_to_string(entry).unwrap_or_default();
            for part in ["kthw::sops::", "kthw::secrets::"] {
                let codes = text.split(part).skip(1).map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_lowercase()).next().unwrap());
                found.extend(codes.filter(|code| !code.is_empty()).map(|code| format!("{part}{code}")));
            }
        }
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(known, found);
}
