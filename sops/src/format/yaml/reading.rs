//! What a YAML text holds, with its places: what the reader finds and everything else works on.
use crate::text::{Leaf, Step};
use std::ops::Range;

/// A map or a list of a text.
#[derive(Debug)]
pub(super) struct Collection {
    pub document: usize,
    pub path: Vec<Step>,
    pub is_list: bool,
    /// The column of its keys or dashes; 0 for one in braces.
    pub column: usize,
    /// Behind its last byte.
    pub end: usize,
    /// How many entries it has.
    pub items: usize,
    /// Where its closing bracket stands, for one on a line.
    pub brace: Option<usize>,
}

/// A comment of a text.
#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub document: usize,
    /// With its `#`.
    pub span: Range<usize>,
    pub text: String,
    /// Whether something stands before it on its line.
    pub beside: bool,
}

/// Where a document ends, and how to add to it.
#[derive(Debug)]
pub(super) struct End {
    pub offset: usize,
    /// The column of the keys of its map.
    pub column: usize,
    pub flow_root: Option<FlowRoot>,
}

/// A document whose map is written in braces.
#[derive(Debug)]
pub(super) struct FlowRoot {
    pub brace: usize,
    pub empty: bool,
}

/// A comment beside the `|` or `>` of a block of lines.
#[derive(Debug)]
pub(super) struct Header {
    /// With its `#` and the spaces before it.
    pub comment: Range<usize>,
    /// The line of its key or dash begins here.
    pub line: usize,
}

/// What a text holds, in its order.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub leaves: Vec<Leaf>,
    pub collections: Vec<Collection>,
    pub comments: Vec<Comment>,
    pub ends: Vec<End>,
    pub headers: Vec<Header>,
    pub block_spans: Vec<Range<usize>>,
}
