//! Whole files: decrypting all values and checking the MAC (either everything fits, or nothing is used), and encrypting in place.
use super::{
    cipher::{self, Sealed},
    error::SopsError,
    format::Format,
    keys::DataKey,
    metadata::Metadata,
    plain::Plain,
    rules::CommentsAbove,
    text::{Edit, Leaf, Step, Text, What, dotted, edited, keys},
};
use kthw_engine::Secret;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};
use zeroize::Zeroizing;

/// An encrypted file of which nothing is decrypted yet.
#[derive(Debug)]
pub struct File {
    name: String,
    format: Format,
    source: String,
    text: Text,
    metadata: Metadata,
}

/// A decrypted file: the plain file, its values, and what is needed to encrypt it again with few changes.
pub struct Opened {
    plain: Zeroizing<Vec<u8>>,
    values: Vec<(String, Secret)>,
    sealed: Sealings,
}

/// The encrypted texts of a file by a digest of what they hold.
type Sealings = HashMap<[u8; 32], String>;

/// The digest of an encrypted text's additional data, type and plain bytes.
fn held(aad: &str, kind: &str, plain: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [aad.as_bytes(), kind.as_bytes(), plain] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

impl File {
    /// Reads the structure of `source`, which people know as `name`.
    ///
    /// # Errors
    /// When it is not of that format, not encrypted, or its `sops` block is malformed.
    pub fn parse(name: &str, format: Format, source: &str) -> Result<Self, SopsError> {
        let text = format.layout().read(name, source)?;
        let block = text.block.as_ref().ok_or_else(|| SopsError::NotEncrypted { file: name.into() })?;
        let metadata = Metadata::of_block(name, block)?;
        Ok(Self { name: name.into(), format, source: source.into(), text, metadata })
    }

    /// The file, as people know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What its `sops` block says.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The dotted names of all values that are there, in the order of the file. Nothing is decrypted for it.
    pub fn names(&self) -> Vec<String> {
        let comments = comment_items(&self.text);
        let values = self.text.leaves.iter().filter(|leaf| matches!(&leaf.what, What::Value(value) if *value != Plain::Null));
        values.filter(|leaf| !is_comment_item(leaf)).map(|leaf| dotted(&without_comments(leaf, &comments))).collect()
    }

    /// Decrypts everything and checks the MAC.
    ///
    /// # Errors
    /// When one value or the MAC does not fit: then nothing is used.
    pub fn open(&self, key: &DataKey) -> Result<Opened, SopsError> {
        let tampered = |what: String| SopsError::Tampered { file: self.name.clone(), what };
        let layout = self.format.layout();
        let mut mac = Mac::new(&self.metadata);
        let mut above = CommentsAbove::default();
        let mut edits: Vec<Edit> = self.text.block_spans.iter().map(|span| (span.clone(), Zeroizing::default())).collect();
        let (mut plains, mut values, mut sealings) = (Vec::new(), Vec::new(), Sealings::new());
        let comments = comment_items(&self.text);
        for leaf in &self.text.leaves {
            let rule = Rule::at(&self.metadata, leaf, &mut above);
            match &leaf.what {
                What::Comment(text) => {
                    let sealed = if rule.encrypts { Sealed::parse(text) } else { None };
                    if let Some((aad, comment)) = sealed.and_then(|sealed| self.open_comment(&sealed, &rule, key)) {
                        sealings.insert(held(&aad, "comment", comment.as_bytes()), text.to_string());
                        edits.push((leaf.span.clone(), comment));
                    }
                }
                What::Value(found) => {
                    let name = || dotted(&without_comments(leaf, &comments));
                    let mut value = found.clone();
                    if let (true, Some(_)) = (rule.encrypts, found.kind()) {
                        let Plain::Text(text) = found else {
                            return Err(tampered(format!("`{}` should be encrypted and is not", name())));
                        };
                        let sealed =
                            Sealed::parse(text).ok_or_else(|| tampered(format!("`{}` should be encrypted and is not", name())))?;
                        if sealed.kind == "comment" && matches!(leaf.path.last(), Some(Step::Index(_))) {
                            let (_, comment) = self
                                .open_comment(&sealed, &rule, key)
                                .ok_or_else(|| tampered(format!("a comment in `{}` does not decrypt", dotted(&leaf.path))))?;
                            edits.push(layout.comment_item(&self.source, leaf, &comment));
                            continue;
                        }
                        let opened = sealed.open(key, &rule.aad).ok_or_else(|| tampered(format!("`{}` does not decrypt", name())))?;
                        value = Plain::of_sealed(&sealed.kind, opened)
                            .ok_or_else(|| tampered(format!("`{}` does not hold what its type says", name())))?;
                        if let (Some(kind), Some(bytes)) = (value.kind(), value.bytes()) {
                            sealings.insert(held(&rule.aad, kind, &bytes), text.to_string());
                        }
                        let spelled = layout.spell(leaf, &value).map_err(|reason| SopsError::Malformed {
                            file: self.name.clone(),
                            reason: format!("`{}` cannot be written in this format: {reason}", name()),
                        })?;
                        edits.push((leaf.span.clone(), spelled));
                    }
                    mac.add(&value, rule.encrypts);
                    if let Some(text) = value.bytes().and_then(|bytes| std::str::from_utf8(&bytes).ok().map(Secret::new)) {
                        values.push((name(), text));
                    }
                    plains.push(value);
                }
            }
        }
        let stored = Sealed::parse(&self.metadata.mac).and_then(|mac| mac.open(key, &self.metadata.last_modified));
        if stored.is_none_or(|stored| stored.as_slice() != mac.hex().as_bytes()) {
            return Err(tampered("its MAC does not fit its values".into()));
        }
        Ok(Opened { plain: layout.plain(edited(&self.source, edits), &plains), values, sealed: sealings })
    }

    /// The same values under another `sops` block: other recipients of the same data key.
    ///
    /// # Errors
    /// When the format cannot hold the block.
    pub fn with_metadata(&self, metadata: &Metadata) -> Result<String, SopsError> {
        let cut = self.text.block_spans.iter().map(|span| (span.clone(), Zeroizing::default())).collect();
        self.format.layout().with_block(&edited(&self.source, cut), &metadata.to_block())
    }

    /// Where a comment counts as standing is go-yaml's decision, which layout alone does not always tell; so what it stands in comes
    /// first, and every other place is tried after that. The cipher tells which one is right.
    fn open_comment(&self, sealed: &Sealed, rule: &Rule, key: &DataKey) -> Option<(String, Zeroizing<String>)> {
        let others = self.text.leaves.iter().flat_map(|leaf| (0..=leaf.path.len()).map(|depth| aad(&leaf.path[..depth])));
        let mut tried = BTreeSet::new();
        for place in std::iter::once(rule.aad.clone()).chain(others) {
            if !tried.insert(place.clone()) {
                continue;
            }
            if let Some(opened) = sealed.open(key, &place) {
                let text = std::str::from_utf8(&opened).ok()?.to_owned();
                return self.format.layout().holds_comment(&text).then(|| (place, Zeroizing::new(text)));
            }
        }
        None
    }
}

impl Opened {
    /// The plain file.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// All values by their dotted names, in the order of the file; without those that are not text.
    pub fn values(&self) -> &[(String, Secret)] {
        &self.values
    }
}

/// Names only; never a value.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}

/// Encrypts a plain file. The keys of `metadata` are sealed already; its MAC and date are made here.
///
/// What did not change since `before` keeps its encrypted text, so that a diff shows only what changed.
///
/// # Errors
/// When the text is not of that format, is encrypted already, or holds what sops cannot encrypt.
pub fn encrypt(
    name: &str,
    format: Format,
    plain: &[u8],
    metadata: &Metadata,
    key: &DataKey,
    before: Option<&Opened>,
) -> Result<String, SopsError> {
    let layout = format.layout();
    let (source, text) = layout.read_plain(name, plain)?;
    if text.block.is_some() {
        return Err(SopsError::AlreadyEncrypted { file: name.into() });
    }
    let mut mac = Mac::new(metadata);
    let mut above = CommentsAbove::default();
    let mut edits = Vec::new();
    let sealed = |plain: &[u8], aad: &str, kind: &str| {
        let kept = before.and_then(|before| before.sealed.get(&held(aad, kind, plain)).cloned());
        kept.unwrap_or_else(|| cipher::seal(key, plain, aad, kind))
    };
    for leaf in &text.leaves {
        let rule = Rule::at(metadata, leaf, &mut above);
        match &leaf.what {
            What::Comment(comment) if rule.encrypts && !comment.is_empty() => {
                let sealed = sealed(comment.as_bytes(), &rule.aad, "comment");
                edits.push((leaf.span.clone(), Zeroizing::new(sealed)));
            }
            What::Comment(_) => {}
            What::Value(value) => {
                mac.add(value, rule.encrypts);
                if let (true, Some(kind), Some(bytes)) = (rule.encrypts, value.kind(), value.bytes()) {
                    let sealed = sealed(&bytes, &rule.aad, kind);
                    edits.push((leaf.span.clone(), Zeroizing::new(layout.spell_sealed(leaf, &sealed))));
                }
            }
        }
    }
    let last_modified = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mac = cipher::seal(key, mac.hex().as_bytes(), &last_modified, "str");
    let metadata = Metadata { mac, last_modified, ..metadata.clone() };
    layout.with_block(&edited(&source, edits), &metadata.to_block())
}

/// A plain file with `value` at `path`: a dotted name such as `proxmox.token`, or as sops writes it, `["proxmox"]["token"]`.
///
/// # Errors
/// When the path is malformed, names a group, or leads through a value.
pub fn set(name: &str, format: Format, plain: &[u8], path: &str, value: &Value) -> Result<Zeroizing<Vec<u8>>, SopsError> {
    let layout = format.layout();
    let (source, text) = layout.read_plain(name, plain)?;
    let steps = steps(path, &text)
        .ok_or_else(|| SopsError::CannotSet { file: name.into(), name: path.into(), reason: "the path is malformed".into() })?;
    let changed = layout.set(name, &source, &steps, value)?;
    Ok(Zeroizing::new(changed.as_bytes().to_vec()))
}

/// What a path names in `text`. A number is a position where a list is, and else a key.
fn steps(path: &str, text: &Text) -> Option<Vec<Step>> {
    if let Some(leaf) = text.leaves.iter().find(|leaf| matches!(leaf.what, What::Value(_)) && dotted(&leaf.path) == path) {
        return Some(leaf.path.clone());
    }
    if path.starts_with('[') {
        let parts = path.strip_prefix('[')?.strip_suffix(']')?.split("][");
        return parts
            .map(|part| match part.parse() {
                Ok(index) => Some(Step::Index(index)),
                Err(_) => serde_json::from_str(&part.replace('\'', "\"")).ok().map(Step::Key),
            })
            .collect();
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let in_list = |leaf: &&Leaf| leaf.path.len() > steps.len() && leaf.path.starts_with(&steps) && matches!(leaf.path[steps.len()], Step::Index(_));
        let step = match part.parse() {
            Ok(index) if text.leaves.iter().any(|leaf| in_list(&leaf)) => Step::Index(index),
            _ if part.is_empty() => return None,
            _ => Step::Key(part.into()),
        };
        steps.push(step);
    }
    Some(steps)
}

/// What the rules say about one leaf.
struct Rule {
    encrypts: bool,
    aad: String,
}

impl Rule {
    /// Takes the next leaf of a walk in the order of the file.
    fn at(metadata: &Metadata, leaf: &Leaf, above: &mut CommentsAbove) -> Self {
        let is_comment = matches!(leaf.what, What::Comment(_));
        if metadata.rules.by_comments() {
            match &leaf.what {
                What::Comment(text) => above.comment(leaf.document, &leaf.path, text),
                What::Value(_) => above.value(leaf.document, &leaf.path),
            }
        }
        Self { encrypts: metadata.rules.encrypts(&keys(&leaf.path), &above.all(), is_comment), aad: aad(&leaf.path) }
    }
}

/// A value's additional data: the keys on the way to it, each followed by a colon; none at the top leaves one colon.
fn aad(path: &[Step]) -> String {
    format!("{}:", keys(path).join(":"))
}

/// The running MAC: SHA-512 over all values in the order of the file.
struct Mac {
    digest: Sha512,
    only_encrypted: bool,
}

impl Mac {
    fn new(metadata: &Metadata) -> Self {
        let mut digest = Sha512::new();
        if metadata.mac_only_encrypted {
            // A fixed start keeps this MAC apart from one over all values: the digest of the word `sops`.
            digest.update(Sha256::digest(b"sops"));
        }
        Self { digest, only_encrypted: metadata.mac_only_encrypted }
    }

    fn add(&mut self, value: &Plain, encrypted: bool) {
        if let Some(bytes) = value.bytes().filter(|_| encrypted || !self.only_encrypted) {
            self.digest.update(bytes.as_slice());
        }
    }

    fn hex(self) -> String {
        hex::encode_upper(self.digest.finalize())
    }
}

/// The lists of a file that hold encrypted comments as items, and which of their items those are.
type CommentItems = HashMap<(usize, Vec<Step>), BTreeSet<usize>>;

fn comment_items(text: &Text) -> CommentItems {
    let mut items = CommentItems::new();
    for leaf in text.leaves.iter().filter(|leaf| is_comment_item(leaf)) {
        if let [list @ .., Step::Index(index)] = &leaf.path[..] {
            items.entry((leaf.document, list.to_vec())).or_default().insert(*index);
        }
    }
    items
}

fn is_comment_item(leaf: &Leaf) -> bool {
    let What::Value(Plain::Text(text)) = &leaf.what else { return false };
    matches!(leaf.path.last(), Some(Step::Index(_))) && Sealed::parse(text).is_some_and(|sealed| sealed.kind == "comment")
}

/// The path of a leaf with positions that do not count comments among the items of a list.
fn without_comments(leaf: &Leaf, comments: &CommentItems) -> Vec<Step> {
    let step = |(depth, step): (usize, &Step)| match step {
        Step::Index(index) if !comments.is_empty() => {
            let here = comments.get(&(leaf.document, leaf.path[..depth].to_vec()));
            Step::Index(index - here.map_or(0, |here| here.range(..index).count()))
        }
        step => step.clone(),
    };
    leaf.path.iter().enumerate().map(step).collect()
}
