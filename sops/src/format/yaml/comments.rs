//! Finds out which map or list a comment counts as standing in: its encryption depends on the path to it.
//!
//! sops goes by what go-yaml attaches a comment to (<https://github.com/go-yaml/yaml/blob/v3.0.1/decode.go>): the key or item beside
//! or below it. Here its column decides: it stands in the deepest map or list around it that does not begin further right.
use super::{
    places::line_start,
    reading::{Collection, Reading},
};
use crate::text::{Leaf, Step, Style, What};
use std::ops::Range;
use zeroize::Zeroizing;

/// The comments as leaves; those inside a `sops` block are dropped. `leaves` are all values.
pub(super) fn place(text: &str, leaves: &[Leaf], reading: &mut Reading) -> Vec<Leaf> {
    let comments = std::mem::take(&mut reading.comments);
    let (collections, blocks) = (&reading.collections, &reading.block_spans);
    // Where values, keys and dashes begin; a comment stands between two of them.
    let mut marks = reading.keys.clone();
    marks.extend(leaves.iter().map(|leaf| leaf.span.start).chain(collections.iter().map(|one| one.start)));
    marks.sort_unstable();
    let comments = comments.into_iter().filter(|comment| !blocks.iter().any(|block| block.contains(&comment.span.start)));
    let placed = comments.map(|comment| {
        let at = comment.span.start;
        let line = line_start(text, at);
        let column = text[line..at].chars().count();
        let next = marks.iter().copied().find(|mark| *mark > at);
        let before = marks.iter().rev().copied().find(|mark| *mark < at);
        let holds = |one: &&Collection| {
            let around = |mark: Option<usize>| mark.is_some_and(|mark| one.start <= mark && mark <= one.end);
            let here = match one.brace {
                Some(brace) => one.start <= at && at < brace,
                None => around(before) || !comment.beside && around(next),
            };
            one.document == comment.document && here
        };
        let around = collections.iter().filter(holds).filter(|one| comment.beside || one.column <= column);
        let holder = around.max_by_key(|one| one.path.len());
        let beside_value = comment.beside.then(|| leaves.iter().rfind(|leaf| leaf.span.end <= at && leaf.span.start >= line)).flatten();
        let path = match (beside_value, holder) {
            (Some(value), _) => value.path[..value.path.len() - 1].to_vec(),
            (None, None) => Vec::new(),
            (None, Some(holder)) if comment.beside || next.is_some_and(|next| next <= holder.end) => holder.path.clone(),
            (None, Some(holder)) => {
                let inner = collections
                    .iter()
                    .filter(|one| one.brace.is_none() && holds(one) && before.is_some_and(|mark| one.start <= mark && mark <= one.end));
                let inner = inner.max_by_key(|one| one.path.len()).unwrap_or(holder);
                tail(text, &comment.span, holder, inner, next)
            }
        };
        let span = comment.span.start + 1..comment.span.end;
        let style = Style { tail: comment.beside, ..Style::default() };
        Leaf { document: comment.document, path, span, what: What::Comment(Zeroizing::new(comment.text)), style }
    });
    placed.collect()
}

/// Where a comment behind the last entry of `holder` belongs; `inner` holds the last value before it, and `next` is what follows.
///
/// Found by asking sops for many layouts; a layout that is not among them may be taken for another place. Then sops shows that comment
/// encrypted, and kthw, which tries all places, still reads it.
fn tail(text: &str, span: &Range<usize>, holder: &Collection, inner: &Collection, next: Option<usize>) -> Vec<Step> {
    let parent = || holder.path[..holder.path.len().saturating_sub(1)].to_vec();
    // The lines around the block of comments in this column.
    let line = line_start(text, span.start);
    let mark = &text[line..=span.start];
    let below = text[span.end..].lines().skip(1).find(|line| !line.starts_with(mark)).unwrap_or_default().trim();
    let above = text[..line].lines().rev().find(|line| !line.starts_with(mark)).unwrap_or_default().trim();
    let followed = next.is_some() && !below.is_empty() && !below.starts_with('#');
    if holder.is_list && inner.path.len() > holder.path.len() {
        // Below a list whose last item is a map or a list.
        parent()
    } else if holder.is_list && holder.column == 0 && (followed || next.is_none()) {
        // Dashes in the first column: the comment looks as if it stood above the next key.
        parent()
    } else if !holder.is_list && followed && !above.starts_with('#') {
        // One line between a nested map and the end of the outer one counts as the end of the nested one.
        inner.path.clone()
    } else {
        holder.path.clone()
    }
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
