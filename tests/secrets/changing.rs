//! Verbs that change values, as transcripts.
use super::desk::{Desk, PLAIN, check};
use expect_test::expect;

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
            kthw::sops::cannot_set

              × cannot set `proxmox.token.deeper` in secrets.sops.yaml: `proxmox.token` is a value, and nothing can
              │ stand below it
              help: `kthw secrets show secrets.sops.yaml` shows its names

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

/// What a person types at a prompt is not shown.
#[test]
fn a_terminal_is_asked_without_echo() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let Some(shown) = desk.on_terminal(&["set", "proxmox.token"], &[], &["hunter5\n"]) else { return };
    assert!(shown.contains("Value of `proxmox.token`") && shown.contains("Set `proxmox.token`"), "{shown}");
    assert!(!shown.contains("hunter5"), "{shown}");
    assert_eq!(desk.kthw(&["get", "proxmox.token"], "").stdout, "hunter5");
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
#[cfg_attr(not(target_os = "linux"), ignore = "only Linux has /dev/full")]
fn an_answer_that_cannot_be_printed_is_no_success() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    for arguments in [&["decrypt"][..], &["get", "proxmox.token"], &["show"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = desk.command(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"), "{arguments:?}");
    }
}

#[test]
fn nothing_is_set_from_a_pipe_that_failed_or_from_the_command_line() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let before = desk.read("secrets.sops.yaml");
    let said = desk.kthw(&["set", "proxmox.token"], "").ended_with(2);
    assert!(said.stderr.contains("nothing came over standard input"), "{}", said.stderr);
    let said = desk.kthw(&["set", "nginx.password=hunter2"], "x").ended_with(2);
    assert!(said.stderr.contains("`nginx.password` must not stand on the command line"), "{}", said.stderr);
    assert_eq!(desk.read("secrets.sops.yaml"), before);
    desk.kthw(&["set", "proxmox.token"], "\n").ended_with(0);
    assert_eq!(desk.kthw(&["get", "proxmox.token"], "").stdout, "");
}

#[test]
fn of_changes_at_the_same_time_none_is_lost() {
    let desk = Desk::with("secrets.sops.yaml", PLAIN);
    let done: Vec<String> = std::thread::scope(|scope| {
        let set = |at: usize| {
            let (desk, name) = (&desk, format!("new.k{at}"));
            scope.spawn(move || (desk.kthw(&["set", &name], "v").code == 0).then_some(name))
        };
        let running: Vec<_> = (0..8).map(set).collect();
        running.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    assert!(!done.is_empty());
    for name in done {
        desk.kthw(&["get", &name], "").ended_with(0);
    }
}
