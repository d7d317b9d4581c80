//! A SOPS file before anything is decrypted: its values, and the `sops` block that says how they are encrypted.
use super::error::SopsError;
use crate::yaml::{self, Entry, Node, Value};
use regex::Regex;

/// A parsed file.
#[derive(Debug)]
pub(super) struct Document {
    /// Everything but the `sops` block, in the order of the file.
    pub values: Vec<Entry>,
    /// The age recipients and the data key encrypted to each.
    pub age: Vec<AgeKey>,
    /// Keys of other kinds that the file is encrypted to, in words.
    pub other_keys: Vec<String>,
    /// Which values are encrypted.
    pub rules: Rules,
    /// Exactly as written: it is the additional data of the MAC.
    pub last_modified: String,
    /// The encrypted MAC.
    pub mac: String,
    /// Whether the MAC leaves out values that are not encrypted.
    pub mac_only_encrypted: bool,
}

/// The data key encrypted to one age recipient.
#[derive(Debug)]
pub(super) struct AgeKey {
    pub recipient: String,
    /// An ASCII-armored age file.
    pub armored: String,
}

/// Which values of a file are encrypted, decided by the keys on the way to them.
/// <https://github.com/getsops/sops/blob/v3.11.0/sops.go> applies the four in this order.
#[derive(Debug, Default)]
pub(super) struct Rules {
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<Regex>,
    encrypted_regex: Option<Regex>,
}

impl Rules {
    /// Whether the value at `path` is encrypted.
    pub fn encrypts(&self, path: &[&str]) -> bool {
        let any = |fits: &dyn Fn(&str) -> bool| path.iter().any(|key| fits(key));
        let mut encrypted = true;
        if let Some(suffix) = &self.unencrypted_suffix {
            encrypted &= !any(&|key| key.ends_with(suffix.as_str()));
        }
        if let Some(suffix) = &self.encrypted_suffix {
            encrypted = any(&|key| key.ends_with(suffix.as_str()));
        }
        if let Some(regex) = &self.unencrypted_regex {
            encrypted &= !any(&|key| regex.is_match(key));
        }
        if let Some(regex) = &self.encrypted_regex {
            encrypted = any(&|key| regex.is_match(key));
        }
        encrypted
    }
}

impl Document {
    /// Reads the structure of `text`, which people know as `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, SopsError> {
        let malformed = |reason: String| SopsError::Malformed { file: file.into(), reason };
        let root = yaml::parse(text).map_err(|error| {
            let line = text.as_bytes().iter().take(error.offset).filter(|byte| **byte == b'\n').count() + 1;
            malformed(format!("{} (line {line})", error.reason))
        })?;
        let Value::Map(mut values) = root.value else { return Err(malformed("its top level is not a map".into())) };
        let Some(position) = values.iter().position(|entry| entry.key == "sops") else {
            return Err(SopsError::NotEncrypted { file: file.into() });
        };
        let block = values.remove(position).node;
        let text = |key: &str| block.get(key).and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_owned);
        let regex = |key: &str| -> Result<Option<Regex>, SopsError> {
            let Some(pattern) = text(key) else { return Ok(None) };
            Regex::new(&pattern).map(Some).map_err(|_| malformed(format!("`sops.{key}` is not a regular expression that kthw understands")))
        };
        for unsupported in ["key_groups", "encrypted_comment_regex", "unencrypted_comment_regex"] {
            if block.get(unsupported).is_some_and(|node| node.text().is_none_or(|text| !text.is_empty())) {
                return Err(SopsError::Unsupported { file: file.into(), what: format!("`sops.{unsupported}`") });
            }
        }
        let mut rules = Rules {
            unencrypted_suffix: text("unencrypted_suffix"),
            encrypted_suffix: text("encrypted_suffix"),
            unencrypted_regex: regex("unencrypted_regex")?,
            encrypted_regex: regex("encrypted_regex")?,
        };
        if matches!(&rules, Rules { unencrypted_suffix: None, encrypted_suffix: None, unencrypted_regex: None, encrypted_regex: None }) {
            rules.unencrypted_suffix = Some("_unencrypted".into());
        }
        Ok(Self {
            values,
            age: age_keys(&block),
            other_keys: other_keys(&block),
            rules,
            last_modified: text("lastmodified").ok_or_else(|| malformed("`sops.lastmodified` is missing".into()))?,
            mac: text("mac").ok_or_else(|| malformed("`sops.mac` is missing".into()))?,
            mac_only_encrypted: text("mac_only_encrypted").as_deref() == Some("true"),
        })
    }
}

fn age_keys(block: &Node) -> Vec<AgeKey> {
    let items = block.get("age").map(Node::items).unwrap_or_default();
    let key = |item: &Node| Some(AgeKey { recipient: item.get("recipient")?.text()?.into(), armored: item.get("enc")?.text()?.into() });
    items.iter().filter_map(key).collect()
}

/// The other kinds of keys that sops knows, with the field that tells one from another.
const OTHER_KINDS: [(&str, &str, &str); 5] = [
    ("pgp", "PGP", "fp"),
    ("kms", "AWS KMS", "arn"),
    ("gcp_kms", "GCP KMS", "resource_id"),
    ("azure_kv", "Azure Key Vault", "name"),
    ("hc_vault", "HashiCorp Vault", "key_name"),
];

fn other_keys(block: &Node) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, words, field) in OTHER_KINDS {
        for item in block.get(kind).map(Node::items).unwrap_or_default() {
            found.push(format!("{words} {}", item.get(field).and_then(Node::text).unwrap_or_default()).trim_end().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(block: &str) -> Rules {
        let text = format!("a: 1\nsops:\n  lastmodified: x\n  mac: x\n{block}");
        Document::parse("f", &text).expect("a small document").rules
    }

    #[test]
    fn rules_decide_by_the_keys_on_the_way() {
        for (block, path, encrypted) in [
            ("", &["a"][..], true),
            ("", &["a_unencrypted"], false),
            ("", &["a_unencrypted", "b"], false),
            ("  unencrypted_suffix: _plain\n", &["a_unencrypted"], true),
            ("  encrypted_suffix: _secret\n", &["a"], false),
            ("  encrypted_suffix: _secret\n", &["a_secret", "b"], true),
            ("  encrypted_regex: ^(token|key)$\n", &["proxmox", "token"], true),
            ("  encrypted_regex: ^(token|key)$\n", &["proxmox", "user"], false),
            ("  unencrypted_regex: ^user$\n", &["proxmox", "user"], false),
        ] {
            assert_eq!(rules(block).encrypts(path), encrypted, "{block}{path:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, expected) in [
            ("a: 1\n", "f is not encrypted"),
            ("- a\n", "f is not a SOPS file: its top level is not a map"),
            ("a: [\n", "f is not a SOPS file: "),
            ("a: 1\nsops: {mac: x}\n", "f is not a SOPS file: `sops.lastmodified` is missing"),
            ("a: 1\nsops: {lastmodified: x}\n", "f is not a SOPS file: `sops.mac` is missing"),
            ("a: 1\nsops: {lastmodified: x, mac: x, key_groups: [{}]}\n", "f uses `sops.key_groups`, which kthw cannot read yet"),
        ] {
            let message = Document::parse("f", text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
