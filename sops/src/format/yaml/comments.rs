//! Puts the values and comments of a text in the order in which sops walks them, each comment in the map or list where sops finds it.
use super::{
    NotYaml,
    attach::{self, Walked},
    is_block,
    reading::{Comment, Reading},
};
use crate::text::{Empty, Leaf, Step, Style, What};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// What of a text is walked, in its order.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// All leaves but those of the `sops` block.
    pub leaves: Vec<Leaf>,
    pub block: Vec<Leaf>,
    pub empty: Vec<Empty>,
}

/// The order of what `reading` found. Comments inside a `sops` block are dropped.
///
/// # Errors
/// When go-yaml reads the text otherwise: what it would take for a comment or a value is not known then.
pub(super) fn in_order(text: &str, reading: &mut Reading) -> Result<Order, NotYaml> {
    let comments = comments(reading);
    if comments.is_empty() {
        return Ok(without_comments(reading));
    }
    let documents = walk(text, reading)
        .map_err(|offset| NotYaml::new("sops reads this otherwise than YAML 1.2 says; write it in a simpler way", offset))?;
    Ok(walked(documents, reading, comments))
}

/// The same for a file that is encrypted already, whatever go-yaml makes of it: all comments count as lost then.
pub(super) fn in_any_order(text: &str, reading: &mut Reading) -> Order {
    let comments = comments(reading);
    if comments.is_empty() {
        return without_comments(reading);
    }
    match walk(text, reading) {
        Ok(documents) => walked(documents, reading, comments),
        Err(_) => {
            let mut order = without_comments(reading);
            order.leaves.extend(strays(comments));
            order
        }
    }
}

/// What sops walks, if it finds the same values; else where it does not.
fn walk(text: &str, reading: &Reading) -> Result<Vec<Vec<Walked>>, usize> {
    let documents = attach::walk(text).map_err(|place| place.offset)?;
    let mut leaves = reading.leaves.iter();
    for (document, walked) in documents.iter().enumerate() {
        let values = walked.iter().filter(|one| matches!(one, Walked::Value)).count();
        if leaves.by_ref().take(values).filter(|leaf| leaf.document == document).count() < values {
            return Err(text.len());
        }
    }
    leaves.next().map_or(Ok(documents), |leaf| Err(leaf.span.start))
}

fn walked(documents: Vec<Vec<Walked>>, reading: &mut Reading, comments: Vec<Comment>) -> Order {
    let mut values = std::mem::take(&mut reading.leaves).into_iter();
    let mut comments: HashMap<usize, Comment> = comments.into_iter().map(|comment| (comment.span.start, comment)).collect();
    let mut order = Order::default();
    for (document, walked) in documents.into_iter().enumerate() {
        for one in walked {
            match one {
                Walked::Value => {
                    let value = values.next();
                    let of_block = value.as_ref().is_some_and(|value| is_block(&value.path));
                    if of_block { order.block.extend(value) } else { order.leaves.extend(value) }
                }
                Walked::Comment { at, path } => {
                    if let Some(comment) = comments.remove(&at) {
                        order.leaves.push(leaf(comment, document, path));
                    }
                }
                Walked::Empty { path, is_list } if !path.is_empty() && !is_block(&path) => {
                    order.empty.push(Empty { document, path, is_list, before: order.leaves.len() });
                }
                Walked::Empty { .. } => {}
            }
        }
    }
    order.leaves.extend(strays(comments.into_values().collect()));
    order
}

fn without_comments(reading: &mut Reading) -> Order {
    let (block, leaves) = std::mem::take(&mut reading.leaves).into_iter().partition(|leaf| is_block(&leaf.path));
    let empty = reading.collections.iter().filter(|one| one.items == 0 && !one.path.is_empty() && !is_block(&one.path));
    let empty = empty.map(|one| Empty { document: one.document, path: one.path.clone(), is_list: one.is_list, before: 0 }).collect();
    Order { leaves, block, empty }
}

fn comments(reading: &mut Reading) -> Vec<Comment> {
    let mut comments = std::mem::take(&mut reading.comments);
    comments.retain(|comment| !reading.block_spans.iter().any(|block| block.contains(&comment.span.start)));
    comments
}

/// Comments that sops drops when it reads the text: they stand nowhere for it.
fn strays(mut comments: Vec<Comment>) -> impl Iterator<Item = Leaf> {
    comments.sort_unstable_by_key(|comment| comment.span.start);
    comments.into_iter().map(|comment| {
        let document = comment.document;
        let mut leaf = leaf(comment, document, Vec::new());
        if let What::Comment(text) = leaf.what {
            leaf.what = What::Stray(text);
        }
        leaf
    })
}

fn leaf(comment: Comment, document: usize, path: Vec<Step>) -> Leaf {
    let style = Style { tail: comment.beside, ..Style::default() };
    Leaf { document, path, span: comment.span.start + 1..comment.span.end, what: What::Comment(Zeroizing::new(comment.text)), style }
}
