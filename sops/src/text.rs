//! What every format makes of a text: leaves with their places, and edits at those places.
//!
//! Encryption replaces values and comments where they stand, so a user's layout, order and comments survive. Everything that does not
//! depend on a format (MAC, encryption, names) is a walk over leaves.
use super::{error::SopsError, plain::Plain};
use serde_json::Value;
use std::ops::Range;
use zeroize::Zeroizing;

/// One value or comment of a text.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Which of several documents it stands in, from 0.
    pub document: usize,
    /// The keys and positions on the way to a value; for a comment, to the map or list that it stands in.
    pub path: Vec<Step>,
    /// The bytes that are replaced.
    pub span: Range<usize>,
    /// What it holds.
    pub what: What,
    /// How it is written; what the numbers mean is the format's own affair.
    pub style: Style,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// A key of a map.
    Key(String),
    /// A position in a list, from 0. It is no part of a value's additional data.
    Index(usize),
}

/// What a leaf holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A value.
    Value(Plain),
    /// The text of a comment, without its mark (`#`, `;`).
    Comment(Zeroizing<String>),
    /// The text of a comment that sops drops when it reads the file. It stands nowhere, so nothing tells what it is about: it is encrypted.
    Stray(Zeroizing<String>),
}

/// How a leaf is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// The quote character around it, if any.
    pub quote: Option<char>,
    /// Whether it stands inside `[…]` or `{…}` on a line.
    pub flow: bool,
    /// Whether something else follows on its line.
    pub tail: bool,
    /// The column of the block that it belongs to.
    pub indent: usize,
}

/// A text as a format reads it.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// All leaves but those of the `sops` block, in the order in which sops walks them: a comment comes before the value beside it.
    pub leaves: Vec<Leaf>,
    /// The `sops` block of the first document, with all scalars as strings.
    pub block: Option<Value>,
    /// Where the block stands, in every document; what to cut to be rid of it.
    pub block_spans: Vec<Range<usize>>,
    /// The lists and maps that hold nothing, outside of the block.
    pub empty: Vec<Empty>,
}

/// A list or a map that holds nothing.
#[derive(Debug)]
pub(super) struct Empty {
    /// Which of several documents it stands in, from 0.
    pub document: usize,
    /// The keys and positions on the way to it.
    pub path: Vec<Step>,
    pub is_list: bool,
    /// How many leaves come before it; 0 in a text without comments, where that does not matter.
    pub before: usize,
}

/// A file format.
pub(super) trait Layout: Sync {
    /// The leaves and the `sops` block of an encrypted text.
    fn read(&self, file: &str, text: &str) -> Result<Text, SopsError>;

    /// The source and the leaves of a plain file that is to be encrypted. The source is the text that edits are made in; it differs from
    /// the plain file where values cannot be replaced as they stand (YAML's aliases, a binary file).
    fn read_plain(&self, file: &str, plain: &[u8]) -> Result<(Zeroizing<String>, Text), SopsError> {
        let source = Zeroizing::new(utf8(file, plain)?.to_owned());
        let text = self.read(file, &source)?;
        Ok((source, text))
    }

    /// The plain file, from the source with all values decrypted in place, and the values themselves.
    fn plain(&self, edited: Zeroizing<String>, _values: &[Plain]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(edited.as_bytes().to_vec())
    }

    /// How `value` is written at the place of `leaf`.
    ///
    /// # Errors
    /// In words, when the format cannot hold it.
    fn spell(&self, leaf: &Leaf, value: &Plain) -> Result<Zeroizing<String>, &'static str>;

    /// How an encrypted value is written at the place of `leaf`. (The text of an encrypted comment stands as it is.)
    fn spell_sealed(&self, leaf: &Leaf, sealed: &str) -> String;

    /// Whether a text stays one comment when it is written as such.
    fn holds_comment(&self, comment: &str) -> bool {
        !comment.contains(['\n', '\r'])
    }

    /// The edit for a list item that is an encrypted comment (sops makes such): the comment as text, or nothing where there are none.
    /// `alone` says that the list holds nothing but comments.
    fn comment_item(&self, text: &str, leaf: &Leaf, comment: &str, alone: bool) -> Edit;

    /// `text` (which has no block) with the `sops` block; `gap` asks for an empty line before it, where comments may stand there.
    fn with_block(&self, text: &str, block: &Value, gap: bool) -> Result<String, SopsError>;

    /// `text`, a plain file, with `value` at `path`, where something may or may not stand now.
    fn set(&self, file: &str, text: &str, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError>;

    /// As `set`, in one of several documents, where the format has such.
    fn set_in(&self, file: &str, text: &str, _document: usize, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError> {
        self.set(file, text, path, value)
    }
}

/// The text of a file.
pub(super) fn utf8<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, SopsError> {
    std::str::from_utf8(bytes).map_err(|error| SopsError::Malformed {
        file: file.into(),
        reason: format!("byte {} is not UTF-8; encrypt it as a binary file", error.valid_up_to()),
    })
}

/// The error for what stands at `offset`.
pub(super) fn malformed(file: &str, text: &str, offset: usize, reason: &str) -> SopsError {
    let line = text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
    SopsError::Malformed { file: file.into(), reason: format!("{reason} (line {line})") }
}

/// Bytes to replace, and by what.
pub(super) type Edit = (Range<usize>, Zeroizing<String>);

/// `text` with all `edits` made; they do not overlap.
pub(super) fn edited(text: &str, mut edits: Vec<Edit>) -> Zeroizing<String> {
    edits.sort_by_key(|(span, _)| span.start);
    let grown = edits.iter().map(|(span, by)| by.len().saturating_sub(span.len())).sum::<usize>();
    let mut out = Zeroizing::new(String::with_capacity(text.len() + grown));
    let mut at = 0;
    for (span, by) in &edits {
        debug_assert!(at <= span.start, "edits overlap");
        // A slice that panicked would print its text.
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(by);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The dotted name of a path: `proxmox.token`, `ssh_keys.0`.
pub(super) fn dotted(path: &[Step]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    });
    steps.collect::<Vec<_>>().join(".")
}

/// The keys of a path, without its positions.
pub(super) fn keys<'p>(path: &'p [Step]) -> Vec<&'p str> {
    let key = |step: &'p Step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    };
    path.iter().filter_map(key).collect()
}

/// The `sops` block as a tree, out of its leaves: their paths begin with the block's own key.
pub(super) fn block_of(leaves: &[&Leaf]) -> Option<Value> {
    let mut root = Value::Null;
    for leaf in leaves {
        let What::Value(value) = &leaf.what else { continue };
        let text = match value {
            Plain::Bool(on) => on.to_string(),
            other => other.bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default(),
        };
        place(&mut root, &leaf.path[1..], Value::String(text));
    }
    (!leaves.is_empty()).then_some(root)
}

/// Puts `value` at `path`; the leaves of a text come in order, so a list grows by one at a time.
fn place(root: &mut Value, path: &[Step], value: Value) {
    match path {
        [] => *root = value,
        [Step::Key(key), rest @ ..] => {
            if !root.is_object() {
                *root = Value::Object(serde_json::Map::new());
            }
            if let Value::Object(map) = root {
                place(map.entry(key.clone()).or_insert(Value::Null), rest, value);
            }
        }
        [Step::Index(index), rest @ ..] => {
            if !root.is_array() {
                *root = Value::Array(Vec::new());
            }
            if let Value::Array(items) = root {
                if items.len() <= *index {
                    items.push(Value::Null);
                }
                if let Some(last) = items.last_mut() {
                    place(last, rest, value);
                }
            }
        }
    }
}
