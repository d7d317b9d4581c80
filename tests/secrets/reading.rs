//! Verbs that read, and files that cannot be read, as transcripts.
use super::desk::{Desk, PLAIN, check, fed};
use expect_test::expect;

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
              help: restore it from version control (`git log -p broken.yaml` shows what became of it), or mend that
                    place in an editor

            (ended with 2)
            $ kthw secrets show gone.yaml
            kthw::secrets::no_file

              × there is no file gone.yaml
              help: make it with `kthw secrets edit gone.yaml`

            (ended with 2)
            $ kthw secrets decrypt tampered.yaml
            kthw::sops::tampered

              × tampered.yaml was changed after it was encrypted: its MAC does not fit its values
              help: nothing of it was used. Restore it from version control (`git log -p tampered.yaml` shows what
                    became of it); a change that is wanted is made after that, with `kthw secrets edit`

            (ended with 2)
            $ kthw secrets show -w workspace
            kthw::secrets::no_file

              × there is no file workspace/secrets.sops.yaml
              help: make it with `kthw secrets edit workspace/secrets.sops.yaml`

            (ended with 2)
            $ kthw secrets show -w nowhere
            kthw::workspace::missing

              × no workspace `nowhere`
              help: there are: current, debian, edge, rocky, suse, ubuntu; or name a folder that holds a workspace.yaml

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
