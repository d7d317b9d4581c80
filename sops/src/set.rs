//! Setting one value of a plain file, by the name that people use.
use super::{
    error::SopsError,
    format::Format,
    name::{Name, Way, ambiguous, spelled},
    text::{Step, Text, What, dotted},
};
use serde_json::Value;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// A plain file with `value` at `path`: a name as [`crate::resolve`] takes it. What is not there yet is made below the groups that are.
///
/// # Errors
/// When the path is malformed, names a group, leads through a value, or could mean several places.
pub fn set(name: &str, format: Format, plain: &[u8], path: &str, value: &Value) -> Result<Zeroizing<Vec<u8>>, SopsError> {
    let layout = format.layout();
    let (source, text) = layout.read_plain(name, plain)?;
    let (document, steps) = place(name, path, &text)?;
    let changed = layout.set_in(name, &source, document, &steps, value)?;
    Ok(Zeroizing::new(changed.as_bytes().to_vec()))
}

/// Which document and which path a name means.
fn place(file: &str, path: &str, text: &Text) -> Result<(usize, Vec<Step>), SopsError> {
    let malformed = || SopsError::CannotSet { file: file.into(), name: path.into(), reason: "the path is malformed".into() };
    let name = Name::read(path).ok_or_else(malformed)?;
    let there = places(text);
    let exact: Vec<(usize, Vec<Step>)> = there.iter().filter(|(document, path)| name.is(*document, path)).cloned().collect();
    one(file, path, exact, text)?.map_or_else(|| new_place(file, path, &name, text), Ok)
}

/// All values, and all groups: what something may be set at, or stand in.
fn places(text: &Text) -> Vec<(usize, Vec<Step>)> {
    let values = text.leaves.iter().filter(|leaf| matches!(leaf.what, What::Value(_))).map(|leaf| (leaf.document, leaf.path.clone()));
    values.chain(groups(text)).collect()
}

/// The groups of all documents, the documents themselves among them.
fn groups(text: &Text) -> BTreeSet<(usize, Vec<Step>)> {
    let leaves = text.leaves.iter().filter(|leaf| matches!(leaf.what, What::Value(_)));
    let inside = leaves.flat_map(|leaf| (0..leaf.path.len()).map(|depth| (leaf.document, leaf.path[..depth].to_vec())));
    let empty = text.empty.iter().flat_map(|empty| (0..=empty.path.len()).map(|depth| (empty.document, empty.path[..depth].to_vec())));
    inside.chain(empty).collect()
}

/// Where something new goes: below the longest group that the name begins with.
fn new_place(file: &str, asked: &str, name: &Name<'_>, text: &Text) -> Result<(usize, Vec<Step>), SopsError> {
    let mut groups = groups(text);
    if groups.is_empty() {
        groups.insert((name.document.unwrap_or_default(), Vec::new()));
    }
    let mut found: Vec<(usize, (usize, Vec<Step>))> = Vec::new();
    for (document, group) in groups.into_iter().filter(|(document, _)| name.document.is_none_or(|named| named == *document)) {
        let rest = match &name.way {
            Way::Steps(steps) if steps.starts_with(&group) => Some((group.len(), steps.clone())),
            Way::Steps(_) => None,
            Way::Dotted(way) => {
                let begin = dotted(&group);
                let rest = if group.is_empty() { Some(*way) } else { way.strip_prefix(&begin).and_then(|rest| rest.strip_prefix('.')) };
                rest.map(|rest| (begin.len(), below(text, document, &group, rest)))
            }
        };
        found.extend(rest.map(|(length, path)| (length, (document, path))));
    }
    let longest = found.iter().map(|(length, _)| *length).max().unwrap_or_default();
    let deepest = found.into_iter().filter(|(length, _)| *length == longest).map(|(_, place)| place).collect();
    let nowhere = || SopsError::CannotSet { file: file.into(), name: asked.into(), reason: "the file has no such document".into() };
    one(file, asked, deepest, text)?.ok_or_else(nowhere)
}

/// The path of what is `rest` below a group. A number is a position where the group is a list, and else a key.
fn below(text: &Text, document: usize, group: &[Step], rest: &str) -> Vec<Step> {
    let values = text.leaves.iter().filter(|leaf| matches!(leaf.what, What::Value(_)) && leaf.document == document);
    let mut inside = values.map(|leaf| &leaf.path).chain(text.empty.iter().filter(|one| one.document == document).map(|one| &one.path));
    let is_list = inside.any(|path| path.len() > group.len() && path.starts_with(group) && matches!(path[group.len()], Step::Index(_)))
        || text.empty.iter().any(|empty| empty.document == document && empty.is_list && empty.path == group);
    let mut path = group.to_vec();
    for (depth, part) in rest.split('.').enumerate() {
        path.push(match part.parse() {
            Ok(index) if depth == 0 && is_list => Step::Index(index),
            _ => Step::Key(part.to_owned()),
        });
    }
    path
}

fn one(file: &str, asked: &str, mut places: Vec<(usize, Vec<Step>)>, text: &Text) -> Result<Option<(usize, Vec<Step>)>, SopsError> {
    if places.len() > 1 {
        let several = several_documents(text);
        let names = places.iter().map(|(document, path)| spelled(several.then_some(*document), path)).collect();
        return Err(ambiguous(file, asked, names));
    }
    Ok(places.pop())
}

/// Whether values stand in more than one document.
pub(super) fn several_documents(text: &Text) -> bool {
    text.leaves.iter().any(|leaf| leaf.document > 0) || text.empty.iter().any(|empty| empty.document > 0)
}
