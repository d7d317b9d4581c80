//! What one walk over the leaves of a file needs, whether it encrypts or decrypts: what the rules say of each leaf, its additional data, the MAC.
use super::{
    cipher::Sealed,
    metadata::Metadata,
    plain::Plain,
    rules::CommentsAbove,
    text::{Leaf, Step, Text, What, keys},
};
use sha2::{Digest, Sha256, Sha512};
use std::collections::{BTreeSet, HashMap};

/// What the rules say about one leaf.
pub(super) struct Rule {
    pub encrypts: bool,
    pub aad: String,
}

impl Rule {
    /// What the rules say of a leaf whose place in the walk is not known, or does not matter to them.
    pub fn of_path(metadata: &Metadata, path: &[Step]) -> Self {
        Self { encrypts: metadata.rules.encrypts(&keys(path), &[], false), aad: aad(path) }
    }
}

/// A walk over the leaves of a text, in their order.
pub(super) struct Walk<'a> {
    metadata: &'a Metadata,
    text: &'a Text,
    above: CommentsAbove,
    leaf: usize,
    empty: usize,
}

impl<'a> Walk<'a> {
    pub fn new(metadata: &'a Metadata, text: &'a Text) -> Self {
        Self { metadata, text, above: CommentsAbove::default(), leaf: 0, empty: 0 }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (&'a Leaf, Rule);

    fn next(&mut self) -> Option<Self::Item> {
        let leaf = self.text.leaves.get(self.leaf)?;
        let rules = &self.metadata.rules;
        let rule = match &leaf.what {
            What::Stray(_) => Rule { encrypts: true, aad: aad(&leaf.path) },
            _ if !rules.by_comments() => Rule::of_path(self.metadata, &leaf.path),
            what => {
                // The comments above something empty are over with it.
                while let Some(empty) = self.text.empty.get(self.empty).filter(|empty| empty.before <= self.leaf) {
                    self.above.value(empty.document, &empty.path);
                    self.empty += 1;
                }
                match what {
                    What::Comment(text) => self.above.comment(leaf.document, &leaf.path, text),
                    _ => self.above.value(leaf.document, &leaf.path),
                }
                let is_comment = matches!(what, What::Comment(_));
                Rule { encrypts: rules.encrypts(&keys(&leaf.path), &self.above.all(), is_comment), aad: aad(&leaf.path) }
            }
        };
        self.leaf += 1;
        Some((leaf, rule))
    }
}

/// A value's additional data: the keys on the way to it, each followed by a colon; none at the top leaves one colon.
pub(super) fn aad(path: &[Step]) -> String {
    format!("{}:", keys(path).join(":"))
}

/// The running MAC: SHA-512 over all values in the order of the file.
pub(super) struct Mac {
    digest: Sha512,
    only_encrypted: bool,
}

impl Mac {
    pub fn new(metadata: &Metadata) -> Self {
        let mut digest = Sha512::new();
        if metadata.mac_only_encrypted {
            // A fixed start keeps this MAC apart from one over all values: the digest of the word `sops`.
            digest.update(Sha256::digest(b"sops"));
        }
        Self { digest, only_encrypted: metadata.mac_only_encrypted }
    }

    pub fn add(&mut self, value: &Plain, encrypted: bool) {
        if let Some(bytes) = value.bytes().filter(|_| encrypted || !self.only_encrypted) {
            self.digest.update(bytes.as_slice());
        }
    }

    pub fn hex(self) -> String {
        hex::encode_upper(self.digest.finalize())
    }
}

/// The lists of a file that hold encrypted comments as items, and which of their items those are.
pub(super) type CommentItems = HashMap<(usize, Vec<Step>), BTreeSet<usize>>;

pub(super) fn comment_items(text: &Text) -> CommentItems {
    let mut items = CommentItems::new();
    for leaf in text.leaves.iter().filter(|leaf| is_comment_item(leaf)) {
        if let [list @ .., Step::Index(index)] = &leaf.path[..] {
            items.entry((leaf.document, list.to_vec())).or_default().insert(*index);
        }
    }
    items
}

/// Whether the list of an item that is a comment holds nothing else.
pub(super) fn comments_alone(text: &Text, comments: &CommentItems, item: &Leaf) -> bool {
    let Some((_, list)) = item.path.split_last() else { return false };
    let here = comments.get(&(item.document, list.to_vec()));
    let is_other = |path: &[Step]| {
        path.len() > list.len()
            && path.starts_with(list)
            && !matches!(&path[list.len()], Step::Index(index) if here.is_some_and(|here| here.contains(index)))
    };
    let in_document = text.leaves.iter().filter(|leaf| leaf.document == item.document && matches!(leaf.what, What::Value(_)));
    let empties = text.empty.iter().filter(|empty| empty.document == item.document);
    !in_document.map(|leaf| &leaf.path).chain(empties.map(|empty| &empty.path)).any(|path| is_other(path))
}

pub(super) fn is_comment_item(leaf: &Leaf) -> bool {
    let What::Value(Plain::Text(text)) = &leaf.what else { return false };
    matches!(leaf.path.last(), Some(Step::Index(_))) && Sealed::parse(text).is_some_and(|sealed| sealed.kind == "comment")
}

/// The path of a leaf with positions that do not count comments among the items of a list.
pub(super) fn without_comments(leaf: &Leaf, comments: &CommentItems) -> Vec<Step> {
    let step = |(depth, step): (usize, &Step)| match step {
        Step::Index(index) if !comments.is_empty() => {
            let here = comments.get(&(leaf.document, leaf.path[..depth].to_vec()));
            Step::Index(index - here.map_or(0, |here| here.range(..index).count()))
        }
        step => step.clone(),
    };
    leaf.path.iter().enumerate().map(step).collect()
}

/// The encrypted texts of a file by a digest of what they hold.
pub(super) type Sealings = HashMap<[u8; 32], String>;

/// The digest of an encrypted text's additional data, type and plain bytes.
pub(super) fn held(aad: &str, kind: &str, plain: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [aad.as_bytes(), kind.as_bytes(), plain] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
