//! When a token is made anew, and which ones go, as plans show it.
use super::*;
use crate::proxmox::vm::tests::a_cluster;
use expect_test::{Expect, expect};
use jiff::civil::date;

fn token(rotation: Rotation) -> Token {
    let spec = TokenSpec { secret: SecretRef { name: "proxmox.token".into() }, user: None };
    Token { rotation, ..Token::new(&a_cluster(), "kthw", spec).expect("a name") }
}

fn listed(tokenid: &str, comment: &str) -> Listed {
    Listed { tokenid: tokenid.into(), comment: comment.into(), expire: 0, privsep: true }
}

/// Tokens are `id comment`; a `*` marks the one in the secrets file.
fn check(rotation: Rotation, tokens: &[&str], expected: Expect) {
    let current =
        tokens.iter().find_map(|token| token.strip_prefix('*')).map(|token| token.split(' ').next().unwrap_or_default().to_owned());
    let tokens = tokens.iter().map(|token| token.trim_start_matches('*').split_once(' ').unwrap_or((token.trim_start_matches('*'), "")));
    let tokens = tokens.map(|(id, comment)| listed(id, comment)).collect();
    let live = Live { user: "kthw@pve".into(), current, tokens, today: date(2026, 8, 31) };
    let change = token(rotation).diff(Some(&live));
    let mut shown = format!("{}\n", change.mark());
    change.fields().iter().for_each(|field| shown.push_str(&format!("    {field}\n")));
    expected.assert_eq(&shown);
}

#[test]
fn what_is_due_is_made_anew_and_what_is_left_over_goes() {
    let ours = ["kthw:blue:token/kthw:1:2026-08-01", "kthw:blue:token/kthw:2:2026-08-30"];
    let ours = ours.map(|comment| comment.replace("blue", &a_cluster().workspace().name));
    let (first, second) = (format!("kthw-1 {}", ours[0]), format!("kthw-2 {}", ours[1]));
    let rotation = |generation, max_age_days| Rotation { generation, max_age_days };
    check(
        rotation(1, None),
        &[],
        expect![[r#"
        ~
            token: none -> generation 1
    "#]],
    );
    check(
        rotation(1, None),
        &["*ci made by hand"],
        expect![[r#"
        ~
            token: ci, not made by kthw -> generation 1
    "#]],
    );
    check(
        rotation(1, Some(30)),
        &[&format!("*{first}"), "ci"],
        expect![[r#"
        =
    "#]],
    );
    check(
        rotation(1, Some(29)),
        &[&format!("*{first}")],
        expect![[r#"
        ~
            token: generation 1, made on 2026-08-01 -> generation 2
    "#]],
    );
    check(
        rotation(2, None),
        &[&first, &format!("*{second}")],
        expect![[r#"
        ~
            unused token: kthw-1 -> removed
    "#]],
    );
    check(
        rotation(1, None),
        &[&format!("*{first}"), &second, "kthw-3 kthw:other:token/kthw:3:2026-08-01", "kthw-4"],
        expect![[r#"
        ~
            unused token: kthw-2 -> removed
    "#]],
    );
}

#[test]
fn names_and_users_are_checked() {
    let wrong = |name: &str, user: Option<&str>| {
        let spec = TokenSpec { secret: SecretRef { name: "proxmox.token".into() }, user: user.map(str::to_owned) };
        Token::new(&a_cluster(), name, spec).expect_err("wrong").to_string()
    };
    assert_eq!(wrong("1st", None), "\"1st\" is not a token's name: a letter, then letters, digits and `._-`");
    assert_eq!(wrong("kthw", Some("kthw")), "\"kthw\" is not a user with its realm, such as `kthw@pve`");
}

#[test]
fn proxmox_writes_truth_in_many_ways() {
    let privsep = |text| serde_json::from_str::<Listed>(text).expect("a token").privsep;
    assert!(privsep(r#"{"tokenid":"a"}"#) && privsep(r#"{"tokenid":"a","privsep":1}"#));
    assert!(!privsep(r#"{"tokenid":"a","privsep":0}"#) && !privsep(r#"{"tokenid":"a","privsep":"0"}"#));
}
