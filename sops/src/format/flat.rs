//! The `sops` block as flat names and values, for formats without nesting:
//! `age__list_0__map_recipient` is `recipient` of the first in the list `age`.
//!
//! <https://github.com/getsops/sops/blob/v3.11.0/stores/flatten.go>
use crate::plain::Plain;
use serde_json::{Map, Value};

const MAP: &str = "__map_";
const LIST: &str = "__list_";

/// The names and values of a block, by name; line ends are written as `\n`.
///
/// # Errors
/// In words, when a value holds a `\n` of two characters: it would be read back as a line end.
pub(super) fn flatten(block: &Value) -> Result<Vec<(String, String)>, String> {
    let mut flat = Vec::new();
    for (name, value) in block.as_object().into_iter().flatten() {
        collect(name.clone(), value, &mut flat)?;
    }
    flat.sort();
    Ok(flat)
}

fn collect(name: String, value: &Value, flat: &mut Vec<(String, String)>) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| collect(format!("{name}{MAP}{key}"), value, flat)),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, value)| collect(format!("{name}{LIST}{index}"), value, flat)),
        Value::String(text) if text.contains(r"\n") => Err(format!(r"`sops.{name}` holds a backslash and an n")),
        Value::String(text) => {
            flat.push((name, text.replace('\n', r"\n")));
            Ok(())
        }
        other => {
            flat.push((name, other.to_string()));
            Ok(())
        }
    }
}

/// The block out of its flat names and values.
///
/// # Errors
/// In words, when the names contradict each other.
pub(super) fn unflatten(flat: &[(String, String)]) -> Result<Value, String> {
    let mut root = Value::Object(Map::new());
    for (name, value) in flat {
        let value = Value::String(value.replace(r"\n", "\n"));
        place(&mut root, &steps(name), value, flat.len()).ok_or_else(|| format!("`{name}` contradicts another name of the block"))?;
    }
    Ok(root)
}

enum FlatStep<'a> {
    Map(&'a str),
    List(&'a str),
}

fn steps(name: &str) -> Vec<FlatStep<'_>> {
    let next =
        |text: &str| text.match_indices("__").map(|(at, _)| at).find(|at| text[*at..].starts_with(MAP) || text[*at..].starts_with(LIST));
    let mut rest = name;
    let mut steps = Vec::new();
    loop {
        let (is_list, text) = match (rest.strip_prefix(MAP), rest.strip_prefix(LIST)) {
            (_, Some(text)) if !steps.is_empty() => (true, text),
            (Some(text), _) if !steps.is_empty() => (false, text),
            _ => (false, rest),
        };
        let end = next(text).unwrap_or(text.len());
        steps.push(if is_list { FlatStep::List(&text[..end]) } else { FlatStep::Map(&text[..end]) });
        rest = &text[end..];
        if rest.is_empty() {
            return steps;
        }
    }
}

/// `None` when something else stands there. No list is longer than there are names.
fn place(node: &mut Value, steps: &[FlatStep<'_>], value: Value, longest: usize) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return Some(());
    };
    let inner = match step {
        FlatStep::Map(key) => {
            if node.is_null() {
                *node = Value::Object(Map::new());
            }
            node.as_object_mut()?.entry(*key).or_insert(Value::Null)
        }
        FlatStep::List(index) => {
            if node.is_null() {
                *node = Value::Array(Vec::new());
            }
            let index = index.parse().ok().filter(|index: &usize| *index < longest)?;
            let items = node.as_array_mut()?;
            if items.len() <= index {
                items.resize(index + 1, Value::Null);
            }
            &mut items[index]
        }
    };
    if rest.is_empty() && !inner.is_null() {
        return None;
    }
    place(inner, rest, value, longest)
}

/// A value as text, in a format that holds nothing else.
///
/// # Errors
/// In words, when it is not text.
pub(super) fn text(value: &Plain) -> Result<String, &'static str> {
    Ok(match value {
        Plain::Null => String::new(),
        Plain::Bool(on) => on.to_string(),
        Plain::Int(number) => number.to_string(),
        Plain::Float(number) => number.to_string(),
        Plain::Text(text) => text.to_string(),
        Plain::Time(time) => time.clone(),
        Plain::Bytes(_) => return Err("it is not text"),
    })
}

/// The text that `secrets set` puts in.
///
/// # Errors
/// In words, when it is nothing, a list or a map.
pub(super) fn text_of_json(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err("this format holds text only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_block_is_the_same_after_flattening() {
        let block = json!({
            "age": [{ "recipient": "age1a", "enc": "l1\nl2\n" }, { "recipient": "age1b", "enc": "" }],
            "key_groups": [{ "pgp": [{ "fp": "AA" }] }, { "kms": [{ "context": { "Role": "x" } }] }],
            "mac_only_encrypted": "true",
        });
        let flat = flatten(&block).unwrap();
        let lines: Vec<_> = flat.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            lines,
            [
                r"age__list_0__map_enc=l1\nl2\n",
                "age__list_0__map_recipient=age1a",
                "age__list_1__map_enc=",
                "age__list_1__map_recipient=age1b",
                "key_groups__list_0__map_pgp__list_0__map_fp=AA",
                "key_groups__list_1__map_kms__list_0__map_context__map_Role=x",
                "mac_only_encrypted=true",
            ]
        );
        assert_eq!(unflatten(&flat).unwrap(), block);
        assert!(flatten(&json!({ "encrypted_regex": r"a\nb" })).is_err());
    }

    #[test]
    fn names_that_contradict_each_other_are_refused() {
        for names in [["a__map_b", "a"], ["a", "a__list_0"], ["a__list_0", "a__map_b"], ["a__list_9", "b"], ["a__list_x", "b"], ["a", "a"]]
        {
            let flat = names.map(|name| (name.to_owned(), "v".to_owned()));
            assert!(unflatten(&flat).is_err(), "{names:?}");
        }
    }
}
