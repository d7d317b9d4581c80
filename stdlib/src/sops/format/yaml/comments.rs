//! Finds out which map or list a comment counts as standing in: its encryption depends on the path to it.
//!
//! sops goes by what go-yaml attaches a comment to (<https://github.com/go-yaml/yaml/blob/v3.0.1/decode.go>): the key or item beside
//! or below it. Here its column decides: it stands in the deepest map or list around it that does not begin further right.
use super::reader::{Collection, Comment};
use crate::sops::text::{Leaf, Style, What};
use std::ops::Range;
use zeroize::Zeroizing;

/// The comments as leaves; those inside a `sops` block are dropped.
pub(super) fn place(
    text: &str,
    leaves: &[Leaf],
    block: &[Leaf],
    collections: &[Collection],
    comments: Vec<Comment>,
    blocks: &[Range<usize>],
) -> Vec<Leaf> {
    // Where values, keys and dashes begin; a comment stands between two of them.
    let mut marks: Vec<usize> = leaves.iter().chain(block).map(|leaf| leaf.span.start).collect();
    marks.extend(collections.iter().map(|one| one.start));
    marks.sort_unstable();
    let comments = comments.into_iter().filter(|comment| !blocks.iter().any(|block| block.contains(&comment.span.start)));
    let placed = comments.map(|comment| {
        let at = comment.span.start;
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let column = text[line..at].chars().count();
        let next = marks.iter().copied().find(|mark| *mark > at);
        let before = marks.iter().rev().copied().find(|mark| *mark < at);
        let holds = |one: &&Collection| {
            let around = |mark: Option<usize>| mark.is_some_and(|mark| one.start <= mark && mark <= one.end);
            one.document == comment.document && (around(before) || !comment.beside && around(next))
        };
        let around = collections.iter().filter(holds).filter(|one| comment.beside || one.column <= column);
        let holder = around.max_by_key(|one| one.path.len());
        let beside_value = comment.beside.then(|| leaves.iter().rfind(|leaf| leaf.span.end <= at && leaf.span.start >= line)).flatten();
        let path = match beside_value {
            Some(value) => value.path[..value.path.len() - 1].to_vec(),
            None => holder.map(|holder| holder.path.clone()).unwrap_or_default(),
        };
        let span = comment.span.start + 1..comment.span.end;
        let style = Style { tail: comment.beside, ..Style::default() };
        Leaf { document: comment.document, path, span, what: What::Comment(Zeroizing::new(comment.text)), style }
    });
    placed.collect()
}

/// The order in which sops walks: as in the text, but a comment beside a value comes before it.
pub(super) fn sort(leaves: &mut [Leaf]) {
    let mut values: Vec<Range<usize>> =
        leaves.iter().filter(|leaf| matches!(leaf.what, What::Value(_))).map(|leaf| leaf.span.clone()).collect();
    values.sort_unstable_by_key(|span| span.start);
    leaves.sort_by_key(|leaf| match leaf.what {
        What::Comment(_) if leaf.style.tail => {
            let value = values.iter().rfind(|span| span.end <= leaf.span.start);
            value.map_or((leaf.span.start, 0), |span| (span.start, 0))
        }
        _ => (leaf.span.start, 1),
    });
}
