//! What the MAC of sops leaves out: names of plain values, nulls, empty lists and maps, types, and where one value ends and the next begins.
//!
//! sops takes a random nonce for the MAC. kthw makes that nonce from the data key and all of the above, so a file that kthw wrote opens in
//! sops as any other, and kthw still refuses it when only its structure was changed. Half of the nonce is a mark that tells kthw's files
//! from those of sops; without the data key nobody can make one, or take it away.
use super::{
    keys::DataKey,
    metadata::Metadata,
    plain::Plain,
    text::{Empty, Step, Text},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Other structures would need another mark.
const MARK: &[u8] = b"kthw: the nonce of this MAC is a digest of the file's structure, 1";
const HALF: usize = 16;

/// The running digest over the structure of a file.
pub(super) struct Shape {
    digest: Hmac<Sha256>,
    mark: [u8; HALF],
    /// Such files are for editing the other parts by hand, so only what is encrypted counts.
    only_encrypted: bool,
}

impl Shape {
    /// Of a file that is encrypted with `key`.
    pub fn new(metadata: &Metadata, key: &DataKey) -> Self {
        let keyed = || <Hmac<Sha256>>::new_from_slice(key).expect("HMAC takes keys of any length");
        let mark = half(keyed().chain_update(MARK));
        Self { digest: keyed(), mark, only_encrypted: metadata.mac_only_encrypted }
    }

    /// Adds the next value of a file.
    pub fn add(&mut self, document: usize, path: &[Step], value: &Plain, encrypted: bool) {
        if encrypted || !self.only_encrypted {
            self.path(document, path);
            // The empty text has no type in the file, and sops writes an unencrypted 1.0 as 1.
            let kind = match value {
                Plain::Null => "null",
                Plain::Int(_) | Plain::Float(_) if !encrypted => "number",
                value => value.kind().unwrap_or("str"),
            };
            self.part(kind.as_bytes());
            self.part(value.bytes().as_deref().map_or(&[], Vec::as_slice));
        }
    }

    /// The nonce for the MAC of a file whose values were all added.
    pub fn nonce(mut self, text: &Text, mac: &str, last_modified: &str) -> [u8; 2 * HALF] {
        let empty: &[Empty] = if self.only_encrypted { &[] } else { &text.empty };
        for empty in empty {
            self.path(empty.document, &empty.path);
            self.part(if empty.is_list { b"[]" } else { b"{}" });
        }
        self.part(mac.as_bytes());
        self.part(last_modified.as_bytes());
        let mut nonce = [0; 2 * HALF];
        nonce[..HALF].copy_from_slice(&self.mark);
        nonce[HALF..].copy_from_slice(&half(self.digest));
        nonce
    }

    /// Whether the nonce of a MAC fits: it is of this structure, or kthw did not make it.
    pub fn fits(self, text: &Text, nonce: &[u8], mac: &str, last_modified: &str) -> bool {
        !nonce.starts_with(&self.mark) || nonce == self.nonce(text, mac, last_modified)
    }

    fn part(&mut self, bytes: &[u8]) {
        self.digest.update(&(bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    fn path(&mut self, document: usize, path: &[Step]) {
        self.part(&document.to_le_bytes());
        for step in path {
            match step {
                Step::Key(key) => self.part(format!(".{key}").as_bytes()),
                Step::Index(index) if !self.only_encrypted => self.part(format!("#{index}").as_bytes()),
                Step::Index(_) => {}
            }
        }
    }
}

fn half(digest: Hmac<Sha256>) -> [u8; HALF] {
    let bytes = digest.finalize().into_bytes();
    let mut half = [0; HALF];
    half.copy_from_slice(&bytes[..HALF]);
    half
}
