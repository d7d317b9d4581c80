//! What creation rules come to, and which of them counts. Wrong ones are in tests/bad-sops-rules.
use super::CreationRules;
use expect_test::{Expect, expect};
use std::{fmt::Write, path::Path};

const ALICE: &str = "age1zca64m4559v4nqqatl0ls5mn7ca9qd053cdqlzj9uxtu3d7uxfns0zdx7p";

/// What the rules in `text` (with `ALICE` in it) say about a file below their folder.
fn told(text: &str, file: &str) -> String {
    let text = text.replace("ALICE", ALICE);
    let rules = match CreationRules::parse(".sops.yaml", Path::new("/project"), &text) {
        Ok(rules) => rules,
        Err(error) => return format!("{error}\n"),
    };
    let metadata = match rules.metadata_for(Path::new(file)) {
        Ok(metadata) => metadata,
        Err(error) => return format!("{error}\n"),
    };
    let mut told = String::new();
    for group in &metadata.groups {
        let names: Vec<String> = group.iter().map(|key| key.recipient.to_string().replace(ALICE, "ALICE")).collect();
        writeln!(told, "[{}]", names.join(", ")).expect("text takes everything");
    }
    if let Some(threshold) = metadata.shamir_threshold {
        writeln!(told, "{threshold} of {}", metadata.groups.len()).expect("text takes everything");
    }
    let (field, value) = metadata.rules.field();
    writeln!(told, "{field} {value}{}", if metadata.mac_only_encrypted { ", MAC of encrypted values" } else { "" })
        .expect("text takes everything");
    told
}

#[track_caller]
fn check(text: &str, file: &str, expected: Expect) {
    expected.assert_eq(&told(text, file));
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rules =
        "creation_rules:\n  - {path_regex: '^prod/', pgp: AAAAAAAA}\n  - {path_regex: \\.yaml$, pgp: BBBBBBBB}\n  - pgp: CCCCCCCC\n";
    for (file, expected) in [
        ("/project/prod/a.yaml", "[PGP AAAAAAAA]"),
        ("/project/x/../prod/a.env", "[PGP AAAAAAAA]"),
        ("/project/test/a.yaml", "[PGP BBBBBBBB]"),
        ("/elsewhere/prod/a.yaml", "[PGP BBBBBBBB]"),
        ("/project/a.env", "[PGP CCCCCCCC]"),
    ] {
        assert_eq!(told(rules, file).lines().next(), Some(expected), "{file}");
    }
    check(
        "creation_rules:\n  - {path_regex: a, pgp: AAAAAAAA}\n",
        "/project/b",
        expect![[r#"
        no creation rule matches `b`
    "#]],
    );
}

#[test]
fn recipients_stand_between_commas_or_in_lists() {
    check(
        "creation_rules:\n  - age: >-\n      ALICE,\n      ALICE\n    pgp: [AAAA AAAA, '0xBBBBBBBBBBBBBBBB']\n    kms: arn:aws:kms:eu-1:1:key/a+arn:aws:iam::1:role/r, arn:aws:kms:eu-1:1:alias/b\n    aws_profile: p\n    gcp_kms: projects/p/locations/l/keyRings/r/cryptoKeys/k\n    azure_keyvault: https://v.vault.azure.net/keys/k/1\n    hc_vault_transit_uri: https://vault:8200/v1/a/b/keys/k\n",
        "/project/f",
        expect![[r#"
            [age ALICE, PGP AAAAAAAA, PGP 0xBBBBBBBBBBBBBBBB, AWS KMS arn:aws:kms:eu-1:1:key/a, AWS KMS arn:aws:kms:eu-1:1:alias/b, GCP KMS projects/p/locations/l/keyRings/r/cryptoKeys/k, Azure Key Vault https://v.vault.azure.net/keys/k/1, HashiCorp Vault https://vault:8200/v1/a/b/keys/k]
            unencrypted_suffix _unencrypted
        "#]],
    );
}

#[test]
fn groups_merge_and_share() {
    check(
        "keys:\n  - &alice ALICE\ncreation_rules:\n  - shamir_threshold: 2\n    key_groups:\n      - age: [*alice]\n        merge:\n          - pgp: [AAAAAAAA]\n          - age: [*alice]\n      - pgp: [BBBBBBBB]\n      - kms: [{arn: 'arn:aws:kms:eu-1:1:key/a', role: r, context: {a: b}, aws_profile: p}]\n        hc_vault: [https://vault:8200/v1/transit/keys/k]\n",
        "/project/f",
        expect![[r#"
            [PGP AAAAAAAA, age ALICE]
            [PGP BBBBBBBB]
            [AWS KMS arn:aws:kms:eu-1:1:key/a, HashiCorp Vault https://vault:8200/v1/transit/keys/k]
            2 of 3
            unencrypted_suffix _unencrypted
        "#]],
    );
}

#[test]
fn a_rule_says_which_values_are_encrypted() {
    for (fields, expected) in [
        ("encrypted_regex: ^data$", "encrypted_regex ^data$"),
        ("encrypted_regex: (?i)token", "encrypted_regex (?i)token"),
        ("unencrypted_suffix: '', encrypted_suffix: _s", "encrypted_suffix _s"),
        ("unencrypted_comment_regex: plain, mac_only_encrypted: yes", "unencrypted_comment_regex plain, MAC of encrypted values"),
        ("kms: '', gcp_kms: ~, encrypted_regex:", "unencrypted_suffix _unencrypted"),
    ] {
        let told = told(&format!("creation_rules: [{{pgp: AAAAAAAA, {fields}}}]\n"), "/project/f");
        assert_eq!(told, format!("[PGP AAAAAAAA]\n{expected}\n"), "{fields}");
    }
}

#[test]
fn merge_keys_and_other_fields_of_the_file_are_taken() {
    check(
        "defaults: &all {pgp: AAAAAAAA, encrypted_suffix: _s}\nstores: {yaml: {indent: 2}}\ncreation_rules:\n  - <<: *all\n    encrypted_suffix: _t\n",
        "/project/f",
        expect![[r#"
            [PGP AAAAAAAA]
            encrypted_suffix _t
        "#]],
    );
}
