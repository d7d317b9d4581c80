//! Encrypting a plain file in place.
use super::{
    cipher,
    error::SopsError,
    file::{File, Opened},
    format::Format,
    keys::DataKey,
    metadata::Metadata,
    plain::Plain,
    rules::Rules,
    shape::Shape,
    text::{Edit, Leaf, Step, Text, What, dotted, edited, malformed},
    walk::{Mac, Rule, Walk, held},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use zeroize::Zeroizing;

/// Encrypts a plain file. The keys of `metadata` are sealed already; its MAC and date are made here.
///
/// What did not change since `before` keeps its encrypted text, so that a diff shows only what changed.
///
/// # Errors
/// When the text is not of that format, is encrypted already, or holds what sops cannot encrypt; or, by a mistake in kthw, when the
/// result would not read back as the same.
pub fn encrypt(
    name: &str,
    format: Format,
    plain: &[u8],
    metadata: &Metadata,
    key: &DataKey,
    before: Option<&Opened>,
) -> Result<String, SopsError> {
    let (source, text) = format.layout().read_plain(name, plain)?;
    if text.block.is_some() {
        return Err(SopsError::AlreadyEncrypted { file: name.into() });
    }
    let mut sealing =
        Sealing { name, format, source: &source, text: &text, metadata, key, before, ends: Ends::default(), moved: BTreeMap::new() };
    let mut sealed = sealing.sealed()?;
    let has_comments = text.leaves.iter().any(|leaf| !matches!(leaf.what, What::Value(_)));
    let mut read = if has_comments { sealing.follow_comments(&sealed)? } else { Some(format.layout().read(name, &sealed)?) };
    if read.is_none() {
        sealed = sealing.sealed()?;
    }
    let file = read.take().map_or_else(|| File::parse(name, format, &sealed), |read| File::of(name, format, &sealed, read));
    check(name, file, key, &text)?;
    Ok(sealed)
}

/// How often a comment is encrypted anew whose encrypted text would change what the rules say.
const ATTEMPTS: usize = 32;

/// How a document ends, before its `sops` block: the block follows where the plain text ended, and that changes what sops takes the last
/// comments for.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// Whether an empty line stands before the block.
    gap: bool,
    /// Where its last comments begin.
    column: Column,
}

/// A column for the last comments of a document.
#[derive(Clone, Copy, Debug, Default)]
enum Column {
    /// Where they stand.
    #[default]
    Kept,
    /// That of the map or list that they are in.
    OfHolder,
    /// This one.
    At(usize),
}

impl Ends {
    fn is_default(self) -> bool {
        !self.gap && matches!(self.column, Column::Kept)
    }

    /// From the least change to the strangest layouts.
    fn all() -> impl Iterator<Item = Self> {
        const DEEPEST: usize = 16;
        let columns = [Column::Kept, Column::OfHolder].into_iter().chain((0..DEEPEST).map(Column::At));
        columns.flat_map(|column| [false, true].map(|gap| Self { gap, column }))
    }
}

/// A plain text on its way to an encrypted one.
struct Sealing<'a> {
    name: &'a str,
    format: Format,
    source: &'a str,
    text: &'a Text,
    metadata: &'a Metadata,
    key: &'a DataKey,
    before: Option<&'a Opened>,
    ends: Ends,
    /// Where sops finds a comment in the encrypted text, by its number, when that is another place than in the plain one: quotes and blocks
    /// of lines are not what they were.
    moved: BTreeMap<usize, Vec<Step>>,
}

impl Sealing<'_> {
    fn sealed(&self) -> Result<String, SopsError> {
        let (layout, metadata) = (self.format.layout(), self.metadata);
        let mut mac = Mac::new(metadata);
        let mut shape = Shape::new(metadata, self.key);
        let mut edits = Vec::new();
        let numbers = numbers(self.text);
        edits.extend(self.indents_of_last_comments());
        for (leaf, mut rule) in Walk::new(metadata, self.text) {
            match &leaf.what {
                What::Comment(comment) | What::Stray(comment) => {
                    if let Some(moved) = numbers.get(&leaf.span.start).and_then(|number| self.moved.get(number)) {
                        let there = Rule::of_path(metadata, moved);
                        rule = Rule { encrypts: rule.encrypts || !metadata.rules.by_comments() && there.encrypts, aad: there.aad };
                    }
                    // An empty comment stays one, but in a list, where sops makes an empty text of it.
                    let comment = if comment.is_empty() && self.in_list(leaf) { " " } else { comment };
                    if rule.encrypts && !comment.is_empty() {
                        edits.push((leaf.span.clone(), Zeroizing::new(self.comment(comment, &rule)?)));
                    }
                }
                What::Value(value) => {
                    mac.add(value, rule.encrypts);
                    shape.add(leaf.document, &leaf.path, value, rule.encrypts);
                    if !rule.encrypts && matches!(value, Plain::Bytes(_)) {
                        let reason = "it is not UTF-8, and its rules leave it unencrypted".into();
                        return Err(SopsError::Malformed { file: self.name.into(), reason });
                    }
                    if let (true, Some(kind), Some(bytes)) = (rule.encrypts, value.kind(), value.bytes()) {
                        let sealed = self.seal(&bytes, &rule.aad, kind);
                        edits.push((leaf.span.clone(), Zeroizing::new(layout.spell_sealed(leaf, &sealed))));
                    }
                }
            }
        }
        let last_modified = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mac = mac.hex();
        let nonce = shape.nonce(self.text, &mac, &last_modified);
        let mac = cipher::seal_with(self.key, nonce, mac.as_bytes(), &last_modified, "str");
        let metadata = Metadata { mac, last_modified, ..metadata.clone() };
        layout.with_block(&edited(self.source, edits), &metadata.to_block(), self.ends.gap)
    }

    fn seal(&self, plain: &[u8], aad: &str, kind: &str) -> String {
        let kept = self.before.and_then(|before| before.sealed.get(&held(aad, kind, plain)).cloned());
        kept.unwrap_or_else(|| cipher::seal(self.key, plain, aad, kind))
    }

    /// Whether a comment stands in a list.
    fn in_list(&self, comment: &Leaf) -> bool {
        let depth = comment.path.len();
        let below = |document: usize, path: &[Step]| {
            document == comment.document && matches!(path.get(depth), Some(Step::Index(_))) && path.starts_with(&comment.path)
        };
        self.text.leaves.iter().any(|leaf| below(leaf.document, &leaf.path))
            || self.text.empty.iter().any(|empty| empty.is_list && empty.path == comment.path || below(empty.document, &empty.path))
    }

    /// An encrypted comment. It must not look like one that leaves values unencrypted: they would be read as plain text then.
    fn comment(&self, comment: &str, rule: &Rule) -> Result<String, SopsError> {
        let mut sealed = self.seal(comment.as_bytes(), &rule.aad, "comment");
        let Rules::UnencryptedCommentRegex(regex) = &self.metadata.rules else { return Ok(sealed) };
        for _ in 0..ATTEMPTS {
            if !regex.is_match(&sealed) {
                return Ok(sealed);
            }
            sealed = cipher::seal(self.key, comment.as_bytes(), &rule.aad, "comment");
        }
        let reason = "`unencrypted_comment_regex` matches encrypted comments too; write it so that it cannot match `ENC[…]`".into();
        Err(SopsError::Malformed { file: self.name.into(), reason })
    }

    /// What stands before the comments at the end of each document, and what is to stand there.
    fn indents_of_last_comments(&self) -> Vec<Edit> {
        let wanted = match self.ends.column {
            Column::Kept => return Vec::new(),
            Column::OfHolder => None,
            Column::At(column) => Some(column),
        };
        let values = || self.text.leaves.iter().filter(|leaf| matches!(leaf.what, What::Value(_)));
        let last: HashMap<usize, usize> = values().map(|leaf| (leaf.document, leaf.span.start)).collect();
        let at_the_end =
            |leaf: &&Leaf| matches!(leaf.what, What::Comment(_)) && last.get(&leaf.document).is_some_and(|last| *last < leaf.span.start);
        let indent = |leaf: &Leaf| {
            let beside = |value: &&Leaf| {
                value.document == leaf.document
                    && !value.style.flow
                    && value.path.len() == leaf.path.len() + 1
                    && value.path.starts_with(&leaf.path)
            };
            let of_holder = || values().find(beside).map(|value| value.style.indent).or(leaf.path.is_empty().then_some(0));
            let column = wanted.or_else(of_holder)?;
            let mark = leaf.span.start - 1;
            let from = self.source[..mark].trim_end_matches([' ', '\t']).len();
            let alone = from == 0 || self.source[..from].ends_with(['\n', '\r']);
            alone.then(|| (from..mark, Zeroizing::new(" ".repeat(column))))
        };
        self.text.leaves.iter().filter(at_the_end).filter_map(indent).collect()
    }

    /// Looks where sops finds the comments in the encrypted text: there they must stand where they stand in the plain one, and the end of
    /// each document is laid out until they do. What was read, or nothing when the text has to be made anew.
    ///
    /// # Errors
    /// When no end of the documents keeps a comment in its place.
    fn follow_comments(&mut self, sealed: &str) -> Result<Option<Text>, SopsError> {
        let numbers_before = numbers(self.text);
        let strays = self.text.leaves.iter().filter(|leaf| matches!(leaf.what, What::Stray(_)));
        let strays: BTreeSet<usize> = strays.filter_map(|leaf| numbers_before.get(&leaf.span.start).copied()).collect();
        let wanted = places(self.text, &strays);
        let mut found = self.format.layout().read(self.name, sealed)?;
        for ends in Ends::all() {
            if !ends.is_default() {
                self.ends = ends;
                found = self.format.layout().read(self.name, &self.sealed()?)?;
            }
            if places(&found, &strays) == wanted {
                // What sops dropped from the plain text it may find now.
                let after = numbers(&found);
                let there = |leaf: &Leaf| after.get(&leaf.span.start).copied().filter(|number| strays.contains(number));
                let there = found.leaves.iter().filter_map(|leaf| Some((there(leaf)?, leaf.path.clone())));
                self.moved = there.filter(|(_, path)| !path.is_empty()).collect();
                let same = ends.is_default() && self.moved.is_empty();
                return Ok(same.then_some(found));
            }
        }
        let found = places(&found, &strays);
        let elsewhere = wanted.iter().zip(&found).find(|(wanted, found)| wanted != found);
        let number = elsewhere.and_then(|(wanted, found)| wanted.as_ref().or(found.as_ref())).map_or(0, |place| place.0);
        let offset = numbers_before.iter().find(|(_, one)| **one == number).map_or(0, |(start, _)| *start);
        let reason = "once the file is encrypted, sops would find this comment elsewhere; put it into the column of what it is about";
        Err(malformed(self.name, self.source, offset, reason))
    }
}

/// The walk over a text: where each comment stands, by its number, and where values are; without those that are `left_out`.
fn places<'t>(text: &'t Text, left_out: &BTreeSet<usize>) -> Vec<Option<(usize, &'t [Step], bool)>> {
    let numbers = numbers(text);
    let place = |leaf: &'t Leaf| match &leaf.what {
        What::Value(_) => Some(None),
        what => {
            let number = numbers.get(&leaf.span.start).copied().unwrap_or_default();
            let stray = matches!(what, What::Stray(_));
            (!left_out.contains(&number)).then_some(Some((number, leaf.path.as_slice(), stray)))
        }
    };
    text.leaves.iter().filter_map(place).collect()
}

/// The comments of a text by where they begin, numbered in their order.
fn numbers(text: &Text) -> BTreeMap<usize, usize> {
    let comments = text.leaves.iter().filter(|leaf| !matches!(leaf.what, What::Value(_)));
    let mut starts: Vec<usize> = comments.map(|leaf| leaf.span.start).collect();
    starts.sort_unstable();
    starts.into_iter().enumerate().map(|(number, start)| (start, number)).collect()
}

/// Reads an encrypted text back before it takes the place of anything: it must hold what `plain` does, at the same names.
fn check(name: &str, file: Result<File, SopsError>, key: &DataKey, plain: &Text) -> Result<(), SopsError> {
    let lost = |what: String| SopsError::NotKept { file: name.into(), what };
    let file = file.map_err(|error| lost(error.to_string()))?;
    let (format, opened) = (file.format(), file.open(key).map_err(|error| lost(error.to_string()))?);
    let (_, again) = format.layout().read_plain(name, opened.plain()).map_err(|error| lost(error.to_string()))?;
    // A name and a digest of what stands there.
    let values = |text: &Text| -> Vec<(usize, String, [u8; 32])> {
        let value = |leaf: &Leaf| {
            let What::Value(value) = &leaf.what else { return None };
            let kind = match value {
                Plain::Null => "null",
                // 1.0 is 1 to sops in JSON, and a number all the same.
                Plain::Int(_) | Plain::Float(_) => "number",
                value => value.kind().unwrap_or("str"),
            };
            Some((leaf.document, dotted(&leaf.path), held("", kind, &value.bytes().unwrap_or_default())))
        };
        text.leaves.iter().filter_map(value).collect()
    };
    let (wanted, found) = (values(plain), values(&again));
    match wanted.iter().zip(&found).find(|(wanted, found)| wanted != found) {
        Some((wanted, _)) => Err(lost(format!("`{}` would read back otherwise", wanted.1))),
        None if wanted.len() != found.len() => Err(lost(format!("{} values would read back as {}", wanted.len(), found.len()))),
        None => Ok(()),
    }
}
