//! The kinds of keys of the matrix, made on the spot: age, SSH, PGP in a throw-away home, AWS KMS of a moto server, Vault where it is there, groups
//! of them.
use super::{ENCRYPTED, KEY};
use crate::{
    Group, MasterKey, Metadata, Recipient, Rules,
    keys::peer_tests::{moto::Moto, pgp, vault::Vault},
};
use kthw_peers::{VAULT, VaultServer, find, make_key};
use serde_json::{Value, json};
use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

/// A kind of key.
pub(super) struct Kind {
    pub name: &'static str,
    /// The creation rule for sops.
    pub creation: Value,
    /// What both programs need to open and seal.
    pub variables: BTreeMap<String, OsString>,
    groups: Vec<Group>,
    threshold: Option<usize>,
}

impl Kind {
    /// The block of a file that kthw encrypts.
    pub fn metadata(&self, rules: Rules, mac_only_encrypted: bool) -> Metadata {
        Metadata::new(self.groups.clone(), self.threshold, rules, mac_only_encrypted)
    }
}

/// All kinds; what they need runs until this is dropped.
pub(super) struct Kinds {
    /// age is the first.
    pub all: Vec<Kind>,
    _running: (Moto, pgp::Keys, Option<Vault>),
}

impl Kinds {
    pub fn start(folder: &Path, [moto, gpg, ssh_keygen]: [&Path; 3]) -> Self {
        let age = ENCRYPTED.split("recipient: ").nth(1).and_then(|rest| rest.lines().next()).expect("the fixture has it").to_owned();

        let key = folder.join("id_ed25519");
        make_key(ssh_keygen, &key, "ed25519", "");
        let ssh = fs::read_to_string(key.with_extension("pub")).expect("ssh-keygen wrote it").trim().to_owned();

        let moto = Moto::start(moto);
        let home = moto.home().with("SOPS_AGE_KEY", KEY).with("SOPS_AGE_SSH_PRIVATE_KEY_FILE", key);
        let home = home.with("VAULT_TOKEN", VaultServer::ROOT);
        let vault = find(&VAULT).map(|vault| Vault::start(&vault, None));
        let keys = pgp::Keys::new(home, gpg, "");
        let (pgp, arn) = (keys.fingerprint.clone(), moto.key(&keys.home));
        let variables: BTreeMap<String, OsString> = keys.home.variables.iter().cloned().collect();

        let context = BTreeMap::from([("Role".to_owned(), "kthw".to_owned())]);
        let kms = |context| Recipient::AwsKms { arn: arn.clone(), role: None, context, profile: None };
        let [age, ssh, pgp, kms, kms_with_context] = [
            (json!({ "age": [age] }), Recipient::Age(age.clone())),
            (json!({ "age": [ssh] }), Recipient::Age(ssh.clone())),
            (json!({ "pgp": [pgp] }), Recipient::Pgp(pgp.clone())),
            (json!({ "kms": [{ "arn": arn }] }), kms(BTreeMap::new())),
            (json!({ "kms": [{ "arn": arn, "context": context }] }), kms(context.clone())),
        ];
        let kind = |name, groups: &[&[&(Value, Recipient)]], threshold: Option<usize>| {
            let key_groups: Vec<Value> = groups.iter().map(|group| merged(group.iter().map(|key| &key.0))).collect();
            let mut creation = json!({ "key_groups": key_groups });
            if let Some(threshold) = threshold {
                creation["shamir_threshold"] = threshold.into();
            }
            let groups = groups.iter().map(|group| group.iter().map(|key| MasterKey::to(key.1.clone())).collect()).collect();
            Kind { name, creation, variables: variables.clone(), groups, threshold }
        };
        let mut all = vec![
            kind("age", &[&[&age]], None),
            kind("ssh-ed25519", &[&[&ssh]], None),
            kind("pgp", &[&[&pgp]], None),
            kind("aws kms", &[&[&kms]], None),
            kind("aws kms with context", &[&[&kms_with_context]], None),
            kind("one group of all", &[&[&age, &ssh, &pgp, &kms]], None),
            kind("groups (2 of 3)", &[&[&age], &[&pgp, &ssh], &[&kms]], Some(2)),
            kind("groups (all of 2)", &[&[&ssh], &[&kms_with_context]], None),
        ];
        if let Some(vault) = &vault {
            let vault = (json!({ "hc_vault": [vault.uri("transit", "k")] }), vault.recipient("transit", "k"));
            all.push(kind("vault", &[&[&vault]], None));
        }
        Self { all, _running: (moto, keys, vault) }
    }
}

/// The lists of several keys as one group.
fn merged<'a>(keys: impl Iterator<Item = &'a Value>) -> Value {
    let mut group = serde_json::Map::new();
    for (name, list) in keys.filter_map(Value::as_object).flatten() {
        let known = group.entry(name).or_insert_with(|| json!([]));
        if let (Value::Array(known), Value::Array(list)) = (known, list) {
            known.extend(list.iter().cloned());
        }
    }
    Value::Object(group)
}
