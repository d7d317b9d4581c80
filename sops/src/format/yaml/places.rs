//! Where things stand in a YAML text that the parser does not say: lines, columns, the end of a block or of a document.
use serde_saphyr::granit_parser::Span;
use std::ops::Range;

/// Where the line of `offset` begins.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |end| end + 1)
}

/// The column of `offset`, in characters.
pub(super) fn column(text: &str, offset: usize) -> usize {
    let line = line_start(text, offset);
    text[line..offset].chars().count()
}

/// Where an entry begins whose key begins at `key`: anchors, tags and a `?` stand before it on its line.
pub(super) fn entry_start(text: &str, key: usize) -> usize {
    let line = line_start(text, key);
    let mut start = key;
    loop {
        let before = text[line..start].trim_end();
        let word = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        if !(before[word..].starts_with(['&', '!']) || &before[word..] == "?") {
            return start;
        }
        start = line + word;
    }
}

/// A block of lines: spaces at the end of its last line belong to it, and those before what follows do not.
pub(super) fn block_lines(text: &str, span: Range<usize>) -> Range<usize> {
    let block = &text[span.clone()];
    let whole = if span.end == text.len() { block.len() } else { block.rfind('\n').map_or(block.len(), |at| at + 1) };
    span.start..span.start + block[..whole].trim_end_matches(['\n', '\r']).len()
}

/// Where the document ends that has nothing but comments from `offset` on.
pub(super) fn behind_comments(text: &str, offset: usize) -> usize {
    let mut at = offset;
    for line in text[offset..].split_inclusive('\n') {
        let begins = at == 0 || text[..at].ends_with('\n');
        if begins && (line.starts_with("---") || line.starts_with("...")) {
            return at;
        }
        at += line.len();
    }
    at
}

/// Where a directive stands: a line that begins with `%` and is not inside a document.
pub(super) fn directive(text: &str) -> Option<usize> {
    let (mut at, mut outside) = (0, true);
    for line in text.split_inclusive('\n') {
        if outside && line.starts_with('%') {
            return Some(at);
        }
        let bare = line.trim_start_matches('\u{feff}').trim();
        outside = line.starts_with("...") || outside && (bare.is_empty() || bare.starts_with('#'));
        at += line.len();
    }
    None
}

/// The bytes of a span.
pub(super) fn range(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or_default();
    start..span.end.byte_offset().unwrap_or_default().max(start)
}

/// The part of `text` that a value takes, without line ends behind it.
pub(super) fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    span.start..span.start + text[span.clone()].trim_end_matches(['\n', '\r', ' ', '\t']).len()
}
