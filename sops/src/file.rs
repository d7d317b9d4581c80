//! Encrypted files: decrypting all values and checking the MAC. Either everything fits, or nothing is used.
use super::{
    cipher::Sealed,
    error::SopsError,
    format::Format,
    keys::DataKey,
    metadata::Metadata,
    name::{resolve, spelled},
    plain::Plain,
    set::several_documents,
    shape::Shape,
    text::{Edit, Leaf, Step, Text, What, dotted, edited},
    walk::{CommentItems, Mac, Rule, Sealings, Walk, aad, comment_items, comments_alone, held, is_comment_item, without_comments},
};
use kthw_engine::Secret;
use std::{collections::BTreeSet, fmt};
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
    pub(super) sealed: Sealings,
}

impl File {
    /// Reads the structure of `source`, which people know as `name`.
    ///
    /// # Errors
    /// When it is not of that format, not encrypted, or its `sops` block is malformed.
    pub fn parse(name: &str, format: Format, source: &str) -> Result<Self, SopsError> {
        Self::of(name, format, source, format.layout().read(name, source)?)
    }

    /// The same with what was read of it already.
    pub(super) fn of(name: &str, format: Format, source: &str, text: Text) -> Result<Self, SopsError> {
        let block = text.block.as_ref().ok_or_else(|| SopsError::NotEncrypted { file: name.into() })?;
        let metadata = Metadata::of_block(name, block)?;
        Ok(Self { name: name.into(), format, source: source.into(), text, metadata })
    }

    /// The file, as people know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it, encrypted.
    pub(super) fn source(&self) -> &str {
        &self.source
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
        let (comments, several) = (comment_items(&self.text), several_documents(&self.text));
        let values = self.text.leaves.iter().filter(|leaf| matches!(&leaf.what, What::Value(value) if *value != Plain::Null));
        values.filter(|leaf| !is_comment_item(leaf)).map(|leaf| name_of(leaf, &comments, several)).collect()
    }

    /// Decrypts everything and checks the MAC.
    ///
    /// # Errors
    /// When one value or the MAC does not fit: then nothing is used.
    pub fn open(&self, key: &DataKey) -> Result<Opened, SopsError> {
        let tampered = |what: String| SopsError::Tampered { file: self.name.clone(), what };
        let layout = self.format.layout();
        let mut mac = Mac::new(&self.metadata);
        let mut shape = Shape::new(&self.metadata, key);
        let mut edits: Vec<Edit> = self.text.block_spans.iter().map(|span| (span.clone(), Zeroizing::default())).collect();
        let (mut plains, mut values, mut sealings) = (Vec::new(), Vec::new(), Sealings::new());
        let (comments, several) = (comment_items(&self.text), several_documents(&self.text));
        for (leaf, rule) in Walk::new(&self.metadata, &self.text) {
            match &leaf.what {
                // An encrypted comment is one wherever it stands: what the rules say of it depends on what was above it, in plain text.
                What::Comment(text) | What::Stray(text) => {
                    let Some(sealed) = Sealed::parse(text) else { continue };
                    match self.open_comment(&sealed, &rule, key) {
                        Some((aad, comment)) => {
                            sealings.insert(held(&aad, "comment", comment.as_bytes()), text.to_string());
                            edits.push((leaf.span.clone(), comment));
                        }
                        None if rule.encrypts => return Err(tampered("a comment does not decrypt".into())),
                        None => {}
                    }
                }
                What::Value(found) => {
                    let name = || name_of(leaf, &comments, several);
                    let mut value = found.clone();
                    if let (true, Some(_)) = (rule.encrypts, found.kind()) {
                        let Plain::Text(text) = found else {
                            return Err(tampered(format!("`{}` should be encrypted and is not", name())));
                        };
                        let sealed = Sealed::parse(text).ok_or_else(|| tampered(format!("`{}` should be encrypted and is not", name())))?;
                        if sealed.kind == "comment" && matches!(leaf.path.last(), Some(Step::Index(_))) {
                            let (_, comment) = self
                                .open_comment(&sealed, &rule, key)
                                .ok_or_else(|| tampered(format!("a comment in `{}` does not decrypt", dotted(&leaf.path))))?;
                            let alone = comments_alone(&self.text, &comments, leaf);
                            edits.push(layout.comment_item(&self.source, leaf, &comment, alone));
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
                    shape.add(leaf.document, &without_comments(leaf, &comments), &value, rule.encrypts);
                    if let Some(text) = value.bytes().and_then(|bytes| std::str::from_utf8(&bytes).ok().map(Secret::new)) {
                        values.push((name(), text));
                    }
                    plains.push(value);
                }
            }
        }
        let (mac, last_modified) = (mac.hex(), &self.metadata.last_modified);
        let sealed = Sealed::parse(&self.metadata.mac);
        let stored = sealed.as_ref().and_then(|sealed| sealed.open(key, last_modified));
        if stored.is_none_or(|stored| stored.as_slice() != mac.as_bytes()) {
            return Err(tampered("its MAC does not fit its values".into()));
        }
        if sealed.is_some_and(|sealed| !shape.fits(&self.text, &sealed.iv, &mac, last_modified)) {
            return Err(tampered("its MAC does not fit its structure: a name, a type, or what is null or empty".into()));
        }
        Ok(Opened { plain: layout.plain(edited(&self.source, edits), &plains), values, sealed: sealings })
    }

    /// The same values under another `sops` block: other recipients of the same data key.
    ///
    /// # Errors
    /// When the format cannot hold the block; or, by a mistake in kthw, when the result would not read back.
    pub fn with_metadata(&self, metadata: &Metadata) -> Result<String, SopsError> {
        let cut = self.text.block_spans.iter().map(|span| (span.clone(), Zeroizing::default())).collect();
        let text = self.format.layout().with_block(&edited(&self.source, cut), &metadata.to_block(), false)?;
        let again = Self::parse(&self.name, self.format, &text);
        if again.is_ok_and(|again| again.names() == self.names() && again.metadata.mac == metadata.mac) {
            return Ok(text);
        }
        Err(SopsError::NotKept { file: self.name.clone(), what: "it would not read back with its new recipients".into() })
    }

    /// Where a comment counts as standing is go-yaml's decision, which layout alone does not always tell; so what it stands in comes
    /// first, and every other place is tried after that. The cipher tells which one is right.
    fn open_comment(&self, sealed: &Sealed, rule: &Rule, key: &DataKey) -> Option<(String, Zeroizing<String>)> {
        let paths = self.text.leaves.iter().map(|leaf| &leaf.path).chain(self.text.empty.iter().map(|empty| &empty.path));
        let others = paths.flat_map(|path| (0..=path.len()).map(|depth| aad(&path[..depth])));
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

/// What people call a value.
fn name_of(leaf: &Leaf, comments: &CommentItems, several_documents: bool) -> String {
    spelled(several_documents.then_some(leaf.document), &without_comments(leaf, comments))
}

impl Opened {
    /// The value that `name` means, if it is there.
    ///
    /// # Errors
    /// When it means several; the message says which.
    pub fn get(&self, file: &str, name: &str) -> Result<Option<&Secret>, SopsError> {
        Ok(resolve(file, self.values.iter().map(|(name, _)| name.as_str()), name)?.map(|at| &self.values[at].1))
    }

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
