//! A second opinion: rops, an independent implementation of the format, opens what kthw writes (docs/adr/0005-own-sops-module.md).
use super::{Format, KeyServices, MasterKey, Metadata, Recipient, Rules, encrypt, new_data_key};
use rops::{
    cryptography::{cipher::AES256GCM, hasher::SHA512},
    file::{RopsFile, format::YamlFileFormat, state::EncryptedFile},
};
use std::{path::Path, process::Command};

const IDENTITY: &str = include_str!("fixtures/age-key.txt");

/// Only what rops can read: no empty text, no comments, no dates (ADR 5 lists them).
const PLAIN: &str = "\
proxmox:
  token: root@pam!kthw=abc
  port: 8006
  ratio: 1.5
  on: true
  nothing: null
  pem: |
    -----BEGIN
    two
keys:
- first
- [ü, 7]
- name: x
note_unencrypted: plain
";

#[test]
fn rops_opens_what_kthw_writes() {
    if let Some(path) = std::env::var_os("KTHW_ROPS_FILE") {
        return as_rops(path.as_ref());
    }
    let recipient = IDENTITY.split("public key: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it");
    let key = new_data_key();
    let mut metadata = Metadata::new(vec![vec![MasterKey::to(Recipient::Age(recipient.into()))]], None, Rules::default(), false);
    KeyServices::new(|_| None).seal_to("f", &mut metadata.groups, None, &key).expect("the recipient is right");
    let sealed = encrypt("f", Format::Yaml, PLAIN.as_bytes(), &metadata, &key, None).expect("it is YAML");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("f.yaml");
    std::fs::write(&path, &sealed).expect("the folder is ours");
    // rops takes keys from its environment only, so it runs in a process of its own: this test once more.
    let secret = IDENTITY.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).expect("the fixture has it");
    let child = Command::new(std::env::current_exe().expect("tests have a path"))
        .args(["--exact", "rops_tests::rops_opens_what_kthw_writes", "--nocapture"])
        .env("ROPS_AGE", secret)
        .env("KTHW_ROPS_FILE", &path)
        .output()
        .expect("this binary runs");
    let said = String::from_utf8_lossy(&child.stdout);
    let plain = said.split("<<<").nth(1).unwrap_or_else(|| panic!("{said}\n{}", String::from_utf8_lossy(&child.stderr)));
    let tree = |text: &str| serde_saphyr::from_str::<serde_json::Map<String, serde_json::Value>>(text).expect("it is YAML");
    let mut opened = tree(plain);
    // rops prints the block too.
    assert!(opened.shift_remove("sops").is_some());
    assert_eq!(opened, tree(PLAIN));
}

/// The half that runs in a process of its own.
fn as_rops(path: &Path) {
    let text = std::fs::read_to_string(path).expect("the other half wrote it");
    let file = text.parse::<RopsFile<EncryptedFile<AES256GCM, SHA512>, YamlFileFormat>>().expect("rops reads it");
    let plain = file.decrypt::<YamlFileFormat>().expect("rops opens it");
    println!("<<<{plain}<<<");
}
