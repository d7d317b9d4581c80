//! Decrypting all values of a file and checking its MAC: either everything fits, or nothing is used.
use super::{
    cipher::{DataKey, Sealed},
    document::Document,
    error::SopsError,
    plain,
};
use crate::yaml::{Entry, Node, Value};
use kthw_engine::Secret;
use sha2::{Digest, Sha256, Sha512};

/// All values of `document` by their dotted names, in the order of the file.
pub(super) fn decrypt(file: &str, document: &Document, key: &DataKey) -> Result<Vec<(String, Secret)>, SopsError> {
    let mut walk = Walk { file, document, key, path: Vec::new(), mac: Sha512::new(), found: Vec::new() };
    if document.mac_only_encrypted {
        // A fixed start keeps this MAC apart from one over all values: the digest of the word `sops`.
        walk.mac.update(Sha256::digest(b"sops"));
    }
    walk.entries("", &document.values)?;
    let computed = hex::encode_upper(walk.mac.finalize());
    let stored = Sealed::parse(&document.mac).and_then(|mac| mac.open(key, &document.last_modified));
    if stored.as_deref().map(String::as_str) != Some(computed.as_str()) {
        return Err(SopsError::Tampered { file: file.into(), what: "its MAC does not fit its values".into() });
    }
    Ok(walk.found)
}

/// The dotted names of all values that are there, without decrypting any.
pub(super) fn names(document: &Document) -> Vec<String> {
    fn walk(name: &str, node: &Node, names: &mut Vec<String>) {
        match &node.value {
            Value::Map(entries) => entries.iter().for_each(|entry| walk(&join(name, &entry.key), &entry.node, names)),
            Value::List(items) => {
                for (index, item) in items.iter().filter(|item| !is_comment(item)).enumerate() {
                    walk(&join(name, &index.to_string()), item, names);
                }
            }
            Value::Scalar { text, plain } => {
                if plain::bytes(text, *plain).is_some() {
                    names.push(name.to_owned());
                }
            }
        }
    }
    let mut names = Vec::new();
    document.values.iter().for_each(|entry| walk(&entry.key, &entry.node, &mut names));
    names
}

struct Walk<'a> {
    file: &'a str,
    document: &'a Document,
    key: &'a DataKey,
    /// The map keys on the way; positions in lists are no part of a value's additional data.
    path: Vec<&'a str>,
    mac: Sha512,
    found: Vec<(String, Secret)>,
}

impl<'a> Walk<'a> {
    fn entries(&mut self, name: &str, entries: &'a [Entry]) -> Result<(), SopsError> {
        for entry in entries {
            self.path.push(&entry.key);
            self.node(&join(name, &entry.key), &entry.node)?;
            self.path.pop();
        }
        Ok(())
    }

    fn node(&mut self, name: &str, node: &'a Node) -> Result<(), SopsError> {
        match &node.value {
            Value::Map(entries) => self.entries(name, entries),
            Value::List(items) => {
                // A comment between list items is kept as an item; it is neither a value nor in the MAC.
                for (index, item) in items.iter().filter(|item| !is_comment(item)).enumerate() {
                    self.node(&join(name, &index.to_string()), item)?;
                }
                Ok(())
            }
            Value::Scalar { text, plain } => self.scalar(name, text, *plain),
        }
    }

    fn scalar(&mut self, name: &str, text: &str, plain: bool) -> Result<(), SopsError> {
        let encrypted = self.document.rules.encrypts(&self.path);
        // Nothing and the empty string are never encrypted.
        let Some(bytes) = plain::bytes(text, plain) else { return Ok(()) };
        let value = if encrypted && !text.is_empty() {
            let tampered = |what: String| SopsError::Tampered { file: self.file.into(), what };
            let sealed = Sealed::parse(text).ok_or_else(|| tampered(format!("`{name}` should be encrypted and is not")))?;
            let mut aad = self.path.join(":");
            aad.push(':');
            let opened = sealed.open(self.key, &aad).ok_or_else(|| tampered(format!("`{name}` does not decrypt")))?;
            plain::normal(&sealed.kind, &opened).ok_or_else(|| tampered(format!("`{name}` does not hold what its type says")))?
        } else {
            bytes
        };
        if encrypted || !self.document.mac_only_encrypted {
            self.mac.update(value.as_bytes());
        }
        self.found.push((name.to_owned(), Secret::new(value)));
        Ok(())
    }
}

fn is_comment(item: &Node) -> bool {
    item.text().and_then(Sealed::parse).is_some_and(|sealed| sealed.kind == "comment")
}

fn join(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}
