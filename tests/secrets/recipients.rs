//! `kthw secrets updatekeys`, as transcripts.
use super::desk::{Desk, PLAIN, check, fed};
use expect_test::expect;

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
