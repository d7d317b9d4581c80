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
    let unlike = |offset| NotYaml::new("sops reads this otherwise than YAML 1.2 says; write it in a simpler way", offset);
    let documents = attach::walk(text).map_err(|place| unlike(place.offset))?;
    let mut values = std::mem::take(&mut reading.leaves).into_iter();
    let mut comments: HashMap<usize, Comment> = comments.into_iter().map(|comment| (comment.span.start, comment)).collect();
    let mut order = Order::default();
    for (document, walked) in documents.into_iter().enumerate() {
        for one in walked {
            match one {
                Walked::Value => {
                    let value = values.next().filter(|value| value.document == document).ok_or_else(|| unlike(text.len()))?;
                    if is_block(&value.path) { order.block.push(value) } else { order.leaves.push(value) }
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
    if let Some(value) = values.next() {
        return Err(unlike(value.span.start));
    }
    order.leaves.extend(strays(comments.into_values().collect()));
    Ok(order)
}

/// The same for a file that is encrypted already, whatever go-yaml makes of it: all comments count as lost then.
pub(super) fn in_any_order(text: &str, reading: &mut Reading) -> Order {
    let (leaves, found) = (reading.leaves.clone(), comments(reading));
    reading.comments.clone_from(&found);
    in_order(text, reading).unwrap_or_else(|_| {
        reading.leaves = leaves;
        let mut order = without_comments(reading);
        order.leaves.extend(strays(found));
        order
    })
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
