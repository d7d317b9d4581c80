//! Setting one value of a plain file, by the name that people use.
use super::{
    error::SopsError,
    format::Format,
    text::{Leaf, Step, Text, What, dotted},
};
use serde_json::Value;
use zeroize::Zeroizing;

/// A plain file with `value` at `path`: a dotted name such as `proxmox.token`, or as sops writes it, `["proxmox"]["token"]`.
///
/// # Errors
/// When the path is malformed, names a group, or leads through a value.
pub fn set(name: &str, format: Format, plain: &[u8], path: &str, value: &Value) -> Result<Zeroizing<Vec<u8>>, SopsError> {
    let layout = format.layout();
    let (source, text) = layout.read_plain(name, plain)?;
    let steps = steps(path, &text).ok_or_else(|| SopsError::CannotSet {
        file: name.into(),
        name: path.into(),
        reason: "the path is malformed".into(),
    })?;
    let changed = layout.set(name, &source, &steps, value)?;
    Ok(Zeroizing::new(changed.as_bytes().to_vec()))
}

/// What a path names in `text`. A number is a position where a list is, and else a key.
fn steps(path: &str, text: &Text) -> Option<Vec<Step>> {
    if let Some(leaf) = text.leaves.iter().find(|leaf| matches!(leaf.what, What::Value(_)) && dotted(&leaf.path) == path) {
        return Some(leaf.path.clone());
    }
    if path.starts_with('[') {
        let parts = path.strip_prefix('[')?.strip_suffix(']')?.split("][");
        return parts
            .map(|part| match part.parse() {
                Ok(index) => Some(Step::Index(index)),
                Err(_) => serde_json::from_str(&part.replace('\'', "\"")).ok().map(Step::Key),
            })
            .collect();
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let in_list = |leaf: &&Leaf| {
            leaf.path.len() > steps.len() && leaf.path.starts_with(&steps) && matches!(leaf.path[steps.len()], Step::Index(_))
        };
        let step = match part.parse() {
            Ok(index) if text.leaves.iter().any(|leaf| in_list(&leaf)) => Step::Index(index),
            _ if part.is_empty() => return None,
            _ => Step::Key(part.into()),
        };
        steps.push(step);
    }
    Some(steps)
}
