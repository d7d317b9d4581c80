//! Each verb, right and wrong, as a transcript.
use super::desk::{Desk, fed};
use expect_test::{Expect, expect};

const PLAIN: &str =
    "proxmox:\n  token: abc\n  port: 8006\n# Of the load balancer.\nnginx:\n  keys: [\"one\", \"two\\nlines\"]\nnote_unencrypted: seen\n";

#[track_caller]
fn check(desk: &Desk, calls: &[(&[&str], &str)], expected: Expect) {
    expected.assert_eq(&desk.transcript(calls));
}

#[test]
fn show_and_get_read_a_file() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    check(
        &desk,
        &[
            (&["show"], ""),
            (&["show", "--values"], ""),
            (&["get", "proxmox.port"], ""),
            (&["get", "nginx.keys.0", "--file", "secrets.sops.yaml"], ""),
            (&["get", "proxmox.tokn"], ""),
            (&["get", "proxmox"], ""),
            (&["get", "zzz"], ""),
            (&["--json", "show"], ""),
        ],
        expect![[r#"
            $ kthw secrets show
            proxmox.token: <secret>
            proxmox.port: <secret>
            nginx.keys.0: <secret>
            nginx.keys.1: <secret>
            note_unencrypted: <secret>
            secrets.sops.yaml, encrypted DATE, can be opened by
              age age1alice
            $ kthw secrets show --values
            proxmox.token: abc
            proxmox.port: 8006
            nginx.keys.0: one
            nginx.keys.1: "two\nlines"
            note_unencrypted: seen
            secrets.sops.yaml, encrypted DATE, can be opened by
              age age1alice
            $ kthw secrets get proxmox.port
            8006
            $ kthw secrets get nginx.keys.0 --file secrets.sops.yaml
            one
            $ kthw secrets get proxmox.tokn
            kthw::sops::missing_secret

              × no secret `proxmox.tokn` in secrets.sops.yaml
              help: did you mean `proxmox.token`?

            (ended with 2)
            $ kthw secrets get proxmox
            kthw::sops::missing_secret

              × no secret `proxmox` in secrets.sops.yaml
              help: `proxmox` is a group; name one of its secrets: proxmox.token, proxmox.port

            (ended with 2)
            $ kthw secrets get zzz
            kthw::sops::missing_secret

              × no secret `zzz` in secrets.sops.yaml
              help: `kthw secrets show secrets.sops.yaml` lists its names

            (ended with 2)
            $ kthw secrets --json show
            {"event":"secret","name":"proxmox.token"}
            {"event":"secret","name":"proxmox.port"}
            {"event":"secret","name":"nginx.keys.0"}
            {"event":"secret","name":"nginx.keys.1"}
            {"event":"secret","name":"note_unencrypted"}
        "#]],
    );
    assert_eq!(desk.kthw(&["get", "proxmox.token"], "").stdout, "abc", "nothing follows the value");
    assert_eq!(desk.kthw(&["decrypt"], "").stdout, PLAIN, "the text is as it was");
}

#[test]
fn set_takes_a_value_from_standard_input_only() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    check(
        &desk,
        &[
            (&["set", "proxmox.token"], "hunter2\n"),
            (&["set", "proxmox.token"], "hunter2\n"),
            (&["set", "proxmox.token", "hunter3"], ""),
            (&["set", "proxmox.port", "--json-value"], "8007"),
            (&["set", "proxmox.port", "--json-value"], "hunter4"),
            (&["set", "ssh.key"], "first\nsecond\n"),
            (&["set", "proxmox.token.deeper"], "x"),
            (&["decrypt"], ""),
        ],
        expect![[r#"
            $ printf "hunter2\n" | kthw secrets set proxmox.token
            Set `proxmox.token` in secrets.sops.yaml.
            $ printf "hunter2\n" | kthw secrets set proxmox.token
            Nothing changed: `proxmox.token` has this value already.
            $ kthw secrets set proxmox.token hunter3
            kthw::secrets::in_argument

              × the value of `proxmox.token` must not stand on the command line
              help: other users see it there, and the shell keeps it: change that value. Then leave it out to be asked
                    for it, or send it in: `kthw secrets set proxmox.token < FILE`

            (ended with 2)
            $ printf "8007" | kthw secrets set proxmox.port --json-value
            Set `proxmox.port` in secrets.sops.yaml.
            $ printf "hunter4" | kthw secrets set proxmox.port --json-value
            kthw::secrets::not_json

              × the value of `proxmox.port` is not JSON, from line 1, column 1 on
              help: a text needs its quotes: `"…"`; or leave out `--json-value`

            (ended with 2)
            $ printf "first\nsecond\n" | kthw secrets set ssh.key
            Set `ssh.key` in secrets.sops.yaml.
            $ printf "x" | kthw secrets set proxmox.token.deeper
            kthw::secrets::not_valid

              × the text for secrets.sops.yaml cannot be encrypted: the key `token` stands here twice (line 4)
              help: mend the text there; `--input-type` names another format than the file's name

            (ended with 2)
            $ kthw secrets decrypt
            proxmox:
              token: hunter2
              port: 8007
            # Of the load balancer.
            nginx:
              keys: ["one", "two\nlines"]
            note_unencrypted: seen
            ssh:
              key: |
                first
                second
        "#]],
    );
    let after = desk.read("secrets.sops.yaml");
    let kept = |text: &str| text.lines().filter(|line| line.contains("keys:")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(kept(&before), kept(&after), "what did not change keeps its encrypted text");
    for value in ["hunter2", "hunter3", "hunter4"] {
        assert!(!after.contains(value));
    }
}

#[test]
fn encrypt_and_decrypt_print_or_replace() {
    let desk = Desk::new();
    desk.write("plain.json", "{\"a\": 1}\n");
    let printed = desk.kthw(&["encrypt", "plain.json"], "").ended_with(0);
    assert!(printed.stdout.contains("ENC[") && printed.stdout.contains("\"sops\""), "{}", printed.stdout);
    desk.write("printed.json", &printed.stdout);
    check(
        &desk,
        &[
            (&["decrypt", "printed.json"], ""),
            (&["encrypt", "--in-place", "plain.json"], ""),
            (&["encrypt", "--in-place", "plain.json"], ""),
            (&["decrypt", "--in-place", "plain.json"], ""),
            (&["decrypt", "plain.json"], ""),
        ],
        expect![[r#"
            $ kthw secrets decrypt printed.json
            {"a": 1}
            $ kthw secrets encrypt --in-place plain.json
            Encrypted plain.json. If its plain text was ever committed or copied, change the secrets in it.
            $ kthw secrets encrypt --in-place plain.json
            kthw::sops::already_encrypted

              × plain.json is encrypted already
              help: change it with `kthw secrets edit plain.json`

            (ended with 2)
            $ kthw secrets decrypt --in-place plain.json
            plain.json holds plain text now. `kthw secrets encrypt --in-place plain.json` encrypts it again.
            $ kthw secrets decrypt plain.json
            kthw::sops::not_encrypted

              × plain.json is not encrypted
              help: encrypt it with `kthw secrets encrypt --in-place plain.json`, and change its secrets if it was ever
                    committed like this

            (ended with 2)
        "#]],
    );
    assert_eq!(desk.read("plain.json"), "{\"a\": 1}\n");
    desk.write("broken.yaml", "a: [\n");
    check(
        &desk,
        &[(&["encrypt", "broken.yaml"], ""), (&["encrypt", "gone.yaml"], "")],
        expect![[r#"
        $ kthw secrets encrypt broken.yaml
        kthw::secrets::not_valid

          × the text for broken.yaml cannot be encrypted: unclosed bracket '[' (line 1)
          help: mend the text there; `--input-type` names another format than the file's name

        (ended with 2)
        $ kthw secrets encrypt gone.yaml
        kthw::secrets::no_file

          × there is no file gone.yaml
          help: make it with `kthw secrets edit gone.yaml`

        (ended with 2)
    "#]],
    );
    assert_eq!(desk.read("broken.yaml"), "a: [\n");
}

#[test]
fn files_that_are_none_are_refused() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    desk.write("text.yaml", "just: text\n");
    desk.write("broken.yaml", "a: [\nsops: x\n");
    desk.write("tampered.yaml", &desk.read("secrets.sops.yaml").replace("note_unencrypted: seen", "note_unencrypted: changed"));
    desk.write("workspace/workspace.yaml", "name: x\n");
    check(
        &desk,
        &[
            (&["show", "text.yaml"], ""),
            (&["show", "broken.yaml"], ""),
            (&["show", "gone.yaml"], ""),
            (&["decrypt", "tampered.yaml"], ""),
            (&["show", "-w", "workspace"], ""),
            (&["show", "-w", "nowhere"], ""),
            (&["show", "secrets.sops.yaml", "-w", "workspace"], ""),
            (&["show", "secrets.sops.yaml", "--input-type", "yml"], ""),
        ],
        expect![[r#"
            $ kthw secrets show text.yaml
            kthw::sops::not_encrypted

              × text.yaml is not encrypted
              help: encrypt it with `kthw secrets encrypt --in-place text.yaml`, and change its secrets if it was ever
                    committed like this

            (ended with 2)
            $ kthw secrets show broken.yaml
            kthw::sops::malformed

              × broken.yaml is not a SOPS file: unclosed bracket '[' (line 1)
              help: open it with `kthw secrets edit broken.yaml`, or restore it from version control

            (ended with 2)
            $ kthw secrets show gone.yaml
            kthw::secrets::no_file

              × there is no file gone.yaml
              help: make it with `kthw secrets edit gone.yaml`

            (ended with 2)
            $ kthw secrets decrypt tampered.yaml
            kthw::sops::tampered

              × tampered.yaml was changed after it was encrypted: its MAC does not fit its values
              help: nothing of it was used. Compare it with version control (`git log -p tampered.yaml`); edit it only
                    with `kthw secrets edit tampered.yaml`

            (ended with 2)
            $ kthw secrets show -w workspace
            kthw::secrets::no_file

              × there is no file workspace/secrets.sops.yaml
              help: make it with `kthw secrets edit workspace/secrets.sops.yaml`

            (ended with 2)
            $ kthw secrets show -w nowhere
            kthw::workspace::missing

              × no workspace `nowhere`
              help: there are: ubuntu; or name a folder that holds a workspace.yaml

            (ended with 2)
            $ kthw secrets show secrets.sops.yaml -w workspace
            kthw::secrets::both

              × a file and a workspace are named, and only one of them can be meant
              help: leave out the file or `--workspace`

            (ended with 2)
            $ kthw secrets show secrets.sops.yaml --input-type yml
            error: invalid value 'yml' for '--input-type <FORMAT>': use one of yaml, json, dotenv, ini, binary

            For more information, try '--help'.
            (ended with 2)
        "#]],
    );
    std::fs::remove_file(desk.file("secrets.sops.yaml")).unwrap();
    check(
        &desk,
        &[(&["show"], "")],
        expect![[r#"
        $ kthw secrets show
        kthw::secrets::which

          × which file?
          help: name a file, or a workspace such as `-w ubuntu`; there is no secrets.sops.yaml in this folder

        (ended with 2)
    "#]],
    );
}

#[test]
fn without_a_key_nothing_opens() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    for verb in [&["decrypt"][..], &["rotate"], &["edit"], &["set", "a"], &["get", "proxmox.token"], &["show", "--values"]] {
        let mut command = desk.command(verb);
        command.env("SOPS_AGE_KEY", &desk.bob.private).env("EDITOR", "false");
        let said = fed(command, "x").ended_with(2);
        assert!(said.stderr.contains("kthw::sops::no_key") && said.stderr.contains("help:"), "{verb:?}: {}", said.stderr);
        assert!(!said.stdout.contains("abc"));
    }
}

#[test]
fn rotate_makes_a_new_data_key() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    check(
        &desk,
        &[(&["rotate"], ""), (&["decrypt"], "")],
        expect![[r#"
        $ kthw secrets rotate
        secrets.sops.yaml has a new data key, sealed to the same 1 recipient.
        $ kthw secrets decrypt
        proxmox:
          token: abc
          port: 8006
        # Of the load balancer.
        nginx:
          keys: ["one", "two\nlines"]
        note_unencrypted: seen
    "#]],
    );
    let after = desk.read("secrets.sops.yaml");
    let sealed =
        |text: &str| text.lines().filter(|line| line.contains("ENC[") || line.contains("BEGIN AGE")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(sealed(&before).len(), sealed(&after).len());
    assert!(
        sealed(&before).iter().zip(&sealed(&after)).all(|(old, new)| old != new || old.contains("BEGIN")),
        "everything is encrypted anew"
    );
}

#[test]
fn updatekeys_follows_the_rules() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    check(
        &desk,
        &[(&["updatekeys"], "")],
        expect![[r#"
        $ kthw secrets updatekeys
        Nothing to change: secrets.sops.yaml has the recipients of its creation rule.
    "#]],
    );
    let before = desk.read("secrets.sops.yaml");
    desk.write(".sops.yaml", &format!("creation_rules:\n  - age: [{}, {}]\n", desk.alice.public, desk.bob.public));
    check(
        &desk,
        &[(&["updatekeys"], "")],
        expect![[r#"
        $ kthw secrets updatekeys
        Recipients of secrets.sops.yaml:
          + age age1bob
        kthw::secrets::not_asked

          × there are recipients to change and nobody to ask
          help: standard input is not a terminal; look at the changes above and call again with `--yes`

        (ended with 2)
    "#]],
    );
    assert_eq!(desk.read("secrets.sops.yaml"), before, "nobody agreed");
    check(
        &desk,
        &[(&["updatekeys", "--yes"], ""), (&["updatekeys"], "")],
        expect![[r#"
        $ kthw secrets updatekeys --yes
        Recipients of secrets.sops.yaml:
          + age age1bob
        secrets.sops.yaml has new recipients.
        $ kthw secrets updatekeys
        Nothing to change: secrets.sops.yaml has the recipients of its creation rule.
    "#]],
    );
    let after = desk.read("secrets.sops.yaml");
    assert!(before.lines().all(|line| after.lines().any(|other| other == line)), "only the new recipient is added:\n{after}");

    desk.write(".sops.yaml", &format!("creation_rules:\n  - age: {}\n", desk.bob.public));
    check(
        &desk,
        &[(&["updatekeys", "--yes"], "")],
        expect![[r#"
        $ kthw secrets updatekeys --yes
        Recipients of secrets.sops.yaml:
          - age age1alice
        secrets.sops.yaml has new recipients.
        Who was removed may know its data key still: `kthw secrets rotate secrets.sops.yaml` makes a new one.
    "#]],
    );
    assert!(desk.kthw(&["decrypt"], "").ended_with(2).stderr.contains("no_key"));
    let mut command = desk.command(&["decrypt"]);
    command.env("SOPS_AGE_KEY", &desk.bob.private);
    assert_eq!(fed(command, "").ended_with(0).stdout, PLAIN);
}

#[test]
fn updatekeys_makes_groups_and_a_changed_threshold_counts() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let groups = |threshold: usize| {
        let (alice, bob) = (&desk.alice.public, &desk.bob.public);
        format!(
            "creation_rules:\n  - shamir_threshold: {threshold}\n    key_groups: [{{age: [{alice}]}}, {{age: [{bob}]}}, {{age: [{alice}, {bob}]}}]\n"
        )
    };
    desk.write(".sops.yaml", &groups(2));
    check(
        &desk,
        &[(&["updatekeys", "-y"], ""), (&["show"], "")],
        expect![[r#"
        $ kthw secrets updatekeys -y
        Recipients of secrets.sops.yaml:
          group 2:
            + age age1bob
          group 3:
            + age age1alice
            + age age1bob
          ~ groups needed: 1 -> 2
        secrets.sops.yaml has new recipients.
        $ kthw secrets show
        proxmox.token: <secret>
        proxmox.port: <secret>
        nginx.keys.0: <secret>
        nginx.keys.1: <secret>
        note_unencrypted: <secret>
        secrets.sops.yaml, encrypted DATE, can be opened by
          group 1:
            age age1alice
          group 2:
            age age1bob
          group 3:
            age age1alice
            age age1bob
          2 of 3 groups are needed
    "#]],
    );
    assert_eq!(desk.kthw(&["decrypt"], "").ended_with(0).stdout, PLAIN, "two groups are enough");
    desk.write(".sops.yaml", &groups(3));
    check(
        &desk,
        &[(&["updatekeys", "-y"], "")],
        expect![[r#"
        $ kthw secrets updatekeys -y
        Recipients of secrets.sops.yaml:
          ~ groups needed: 2 -> 3
        secrets.sops.yaml has new recipients.
    "#]],
    );
    assert!(!desk.kthw(&["decrypt"], "").stdout.contains("abc"), "three are needed now");
}

#[test]
fn a_workspace_has_its_file() {
    let desk = Desk::new();
    desk.write("workspaces/blue/workspace.yaml", "name: broken, and that does not matter here\n");
    desk.write("workspaces/blue/secrets.sops.yaml", PLAIN);
    check(
        &desk,
        &[(&["encrypt", "-i", "-w", "blue"], ""), (&["get", "proxmox.token", "-w", "workspaces/blue"], "")],
        expect![[r#"
        $ kthw secrets encrypt -i -w blue
        Encrypted workspaces/blue/secrets.sops.yaml. If its plain text was ever committed or copied, change the secrets in it.
        $ kthw secrets get proxmox.token -w workspaces/blue
        abc
    "#]],
    );
}

/// What a person types at a prompt is not shown; `script` gives the call a terminal.
#[test]
fn a_terminal_is_asked_without_echo() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let kthw = desk.command(&[]).get_program().to_string_lossy().into_owned();
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &format!("{kthw} secrets set proxmox.token"), "/dev/null"]).current_dir(desk.path());
    command.env("SOPS_AGE_KEY", &desk.alice.private).env("TERM", "dumb");
    let Ok(output) = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().map(|mut child| {
        use std::io::Write;
        let mut stdin = child.stdin.take().unwrap();
        // The prompt turns the echo off and drops what came before, so the answer comes after it.
        std::thread::sleep(std::time::Duration::from_secs(2));
        stdin.write_all(b"hunter5\n").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(1));
        drop(stdin);
        child.wait_with_output().unwrap()
    }) else {
        assert!(std::env::var_os("KTHW_REQUIRE_PEERS").is_none(), "there is no `script`");
        return eprintln!("SKIPPED: there is no `script` to make a terminal");
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("Value of `proxmox.token`") && shown.contains("Set `proxmox.token`"), "{shown}");
    assert!(!shown.contains("hunter5"), "{shown}");
    assert_eq!(desk.kthw(&["get", "proxmox.token"], "").stdout, "hunter5");
}
