//! Which keys are made, missing and left over, as plans show it.
use super::*;
use crate::ssh::testing::{a_file, workspace};
use expect_test::{Expect, expect};
use jiff::civil::date;

const SECRET: &str = "ssh.private_key";

fn pair(generation: u32, max_age_days: Option<u32>) -> KeyPair {
    let mut workspace = workspace();
    workspace.rotation = Rotation { generation, max_age_days };
    workspace.nodes.truncate(1);
    let cluster = Cluster::new(Arc::new(workspace)).expect("a cluster");
    KeyPair::new(&cluster, KeyPairSpec { secret: Some(SecretRef { name: SECRET.into() }) })
}

/// A key that is the same for the same comment.
fn key(comment: &str) -> (Secret, String) {
    let mut seed = [7; 32];
    comment.bytes().enumerate().for_each(|(at, byte)| seed[at % 32] ^= byte);
    let secret = private_key(&seed, comment).expect("a key");
    let public = public_half("seed", &secret).expect("a key");
    (secret, public)
}

fn check(pair: &KeyPair, current: Option<&str>, on_node: &[&str], expected: Expect) {
    let current = current.map(|comment| Current::of(SECRET, &key(comment).0, |stamp| pair.is_ours(stamp)).expect("a key"));
    let text: String = on_node.iter().map(|comment| format!("{}\n", key(comment).1)).collect();
    let finding = Finding::Path(Some(a_file(&text, false)));
    let keys = Keys::of("cu1", Probe::path("/k"), finding, "/k").expect("text");
    let change = pair.diff(Some(&Live { current, nodes: vec![keys], today: date(2026, 8, 31) }));
    let mut shown = format!("{}\n", change.mark());
    change.fields().iter().for_each(|field| shown.push_str(&format!("    {field}\n")));
    expected.assert_eq(&shown);
}

#[test]
fn what_is_due_missing_or_left_over_shows() {
    let (one, two) = ("kthw:ubuntu:ssh-key/ssh.private_key:1:2026-08-01", "kthw:ubuntu:ssh-key/ssh.private_key:2:2026-08-30");
    check(
        &pair(1, None),
        None,
        &["me@home"],
        expect![[r#"
        ~
            key: none -> generation 1
    "#]],
    );
    check(
        &pair(1, None),
        Some("me@home"),
        &["me@home"],
        expect![[r#"
        ~
            key: SHA256:2P/CiMkvstM5p8kw//c646ti0oJVM2wGoIMoDuwe6+c, not made by kthw -> generation 1
    "#]],
    );
    check(
        &pair(1, Some(30)),
        Some(one),
        &["me@home", one],
        expect![[r#"
        =
    "#]],
    );
    check(
        &pair(1, Some(29)),
        Some(one),
        &[one],
        expect![[r#"
        ~
            key: generation 1, made on 2026-08-01 -> generation 2
    "#]],
    );
    check(
        &pair(1, None),
        Some(two),
        &[one, "me@home", "kthw:other:ssh-key/ssh.private_key:1:2026-08-01"],
        expect![[r#"
        ~
            key on cu1: missing -> SHA256:WJ5CXlQBaMJnxzmQoRCSUz7jLaQzqEV+qIJEr7YFUZg
            unused key on cu1: SHA256:k160NvvxibhAVEW9CHe/tOAQ0jzd9PiuXFtgLaYAblY -> removed
    "#]],
    );
}

#[test]
fn the_key_whose_place_was_taken_is_left_over_unless_the_workspace_lists_it() {
    let old = key("me@home");
    let mut pair = pair(1, None);
    let replaced = fingerprint(old.1.parse::<Entry>().expect("a line").public_key());
    let new = format!("kthw:ubuntu:ssh-key/ssh.private_key:1:2026-08-30 replaces {replaced}");
    let keys = |pair: &KeyPair| {
        let current = Current::of(SECRET, &key(&new).0, |stamp| pair.is_ours(stamp)).expect("a key");
        let text = format!("from=\"10.0.0.1\" {}\n# a note\n{}\n", old.1, current.line);
        let keys = Keys::of("cu1", Probe::path("/k"), Finding::Path(Some(a_file(&text, false))), "/k").expect("text");
        pair.leftovers(&keys, Some(&current)).iter().map(|entry| entry.comment.clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&pair), ["me@home"]);
    pair.listed.push(replaced);
    assert_eq!(keys(&pair), Vec::<String>::new());
}

#[test]
fn a_new_key_reads_back_with_its_comment() {
    let secret = new_private_key("kthw:ubuntu:ssh-key/x:1:2026-08-01", &kthw_engine::SystemRandom).expect("a key");
    let line = public_half("x", &secret).expect("a public key");
    assert!(line.starts_with("ssh-ed25519 ") && line.ends_with(" kthw:ubuntu:ssh-key/x:1:2026-08-01"), "{line}");
    let error = public_half("x", &Secret::new("nonsense")).expect_err("no key").to_string();
    assert_eq!(error, "cannot use the secret `x` as an SSH key: it is no private key");
}

#[test]
fn a_key_outside_of_the_secrets_file_is_nobodys_to_change() {
    let mut workspace = workspace();
    workspace.ssh.key_file = Some("~/.ssh/id".into());
    let pair = KeyPair::new(&Cluster::new(Arc::new(workspace)).expect("a cluster"), KeyPairSpec { secret: None });
    assert!(pair.diff(None).is_none() && pair.needs().is_empty());
    assert_eq!(pair.id().to_string(), "ssh.key_pair/not in the secrets file");
}
