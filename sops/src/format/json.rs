//! JSON: values with their places, the `sops` member in front of the last brace.
//!
//! sops writes the whole text anew with tabs; here the layout stays. There are no comments in JSON.
use crate::{
    error::SopsError,
    plain::Plain,
    text::{Edit, Empty, Layout, Leaf, Step, Style, Text, What, block_of, dotted, edited, malformed},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::ops::Range;
use zeroize::Zeroizing;

mod tree;

use tree::{Kind, Node, NotJson};

/// The key of the block.
const BLOCK: &str = "sops";
/// How an encrypted comment ends; sops makes list items of them.
const COMMENT_ITEM: &str = ",type:comment]\"";

pub(super) struct Json;

impl Layout for Json {
    fn read(&self, file: &str, text: &str) -> Result<Text, SopsError> {
        let root = read_object(file, text)?;
        let Kind::Object(members) = &root.kind else { return Err(not_an_object(file)) };
        let mut found = Text::default();
        for (index, member) in members.iter().enumerate() {
            if member.key == BLOCK {
                let mut block = Text::default();
                walk(&member.value, &mut vec![Step::Key(BLOCK.into())], &mut block);
                found.block = Some(block_of(&block.leaves.iter().collect::<Vec<_>>()).unwrap_or_else(|| json!({})));
                found.block_spans.push(with_comma(&root, index));
                continue;
            }
            // Go's reader of JSON does not tell such a key from the block.
            if member.key.eq_ignore_ascii_case(BLOCK) {
                let reason = format!("sops cannot read a JSON file with the key `{}`; rename it", member.key);
                return Err(malformed(file, text, member.start, &reason));
            }
            walk(&member.value, &mut vec![Step::Key(member.key.clone())], &mut found);
        }
        Ok(found)
    }

    fn spell(&self, _leaf: &Leaf, value: &Plain) -> Result<Zeroizing<String>, &'static str> {
        Ok(Zeroizing::new(match value {
            Plain::Null => "null".into(),
            Plain::Bool(on) => on.to_string(),
            Plain::Int(number) => number.to_string(),
            Plain::Float(number) if number.is_finite() => number.to_string(),
            Plain::Float(_) => return Err("JSON has no such number"),
            Plain::Text(text) => return Ok(quoted(text)),
            Plain::Time(time) => return Ok(quoted(time)),
            Plain::Bytes(_) => return Err("it is not text"),
        }))
    }

    fn spell_sealed(&self, _leaf: &Leaf, sealed: &str) -> String {
        quoted(sealed).to_string()
    }

    fn comment_item(&self, text: &str, leaf: &Leaf, _comment: &str, _alone: bool) -> Edit {
        (item_with_comma(text, leaf.span.clone()), Zeroizing::default())
    }

    fn with_block(&self, text: &str, block: &Value, _gap: bool) -> Result<String, SopsError> {
        let root = read_object("the new text", text)?;
        Ok(edited(text, vec![added(text, &root, &root, Some(BLOCK), block)]).to_string())
    }

    fn set(&self, file: &str, text: &str, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError> {
        let root = read_object(file, text)?;
        let refused = |reason: &str| SopsError::CannotSet { file: file.into(), name: dotted(path), reason: reason.into() };
        let mut node = &root;
        for (depth, step) in path.iter().enumerate() {
            let next = match (&node.kind, step) {
                (Kind::Object(_), Step::Key(key)) if depth == 0 && key.eq_ignore_ascii_case(BLOCK) => {
                    return Err(refused("that is the name of the block that sops adds"));
                }
                (Kind::Object(_), Step::Key(key)) => node.member(key),
                (Kind::List(items), Step::Index(index)) if *index <= items.len() => items.get(*index),
                (Kind::List(_), Step::Index(_)) => return Err(refused("the list is shorter than that")),
                (Kind::List(_), Step::Key(_)) => return Err(refused("a list item is named by its position from 0")),
                (Kind::Object(_), Step::Index(_)) => return Err(refused("only a list has positions")),
                (Kind::Scalar(_), _) => return Err(refused("there is nothing that it could stand in")),
            };
            let Some(next) = next else {
                let key = if let Step::Key(key) = step { Some(key.as_str()) } else { None };
                let value = nested(&path[depth + 1..], value).ok_or_else(|| refused("a new list begins with position 0"))?;
                return Ok(edited(text, vec![added(text, &root, node, key, &value)]));
            };
            node = next;
        }
        if !matches!(node.kind, Kind::Scalar(_)) {
            return Err(refused("it is a group; name one of its values, or use `kthw secrets edit`"));
        }
        Ok(edited(text, vec![(node.span.clone(), Zeroizing::new(value.to_string()))]))
    }
}

fn not_an_object(file: &str) -> SopsError {
    SopsError::Malformed { file: file.into(), reason: "its root is no object, and sops encrypts nothing else in JSON".into() }
}

fn read_object(file: &str, text: &str) -> Result<Node, SopsError> {
    let root = tree::read(text).map_err(|NotJson { reason, offset }| malformed(file, text, offset, &reason))?;
    if matches!(root.kind, Kind::Object(_)) { Ok(root) } else { Err(not_an_object(file)) }
}

/// Collects the leaves below a node.
fn walk(node: &Node, path: &mut Vec<Step>, found: &mut Text) {
    if matches!(&node.kind, Kind::Object(members) if members.is_empty()) || matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        found.empty.push(Empty { document: 0, path: path.clone(), is_list: matches!(node.kind, Kind::List(_)), before: 0 });
    }
    match &node.kind {
        Kind::Object(members) => members.iter().for_each(|member| {
            path.push(Step::Key(member.key.clone()));
            walk(&member.value, path, found);
            path.pop();
        }),
        Kind::List(items) => items.iter().enumerate().for_each(|(index, item)| {
            path.push(Step::Index(index));
            walk(item, path, found);
            path.pop();
        }),
        Kind::Scalar(value) => {
            let what = What::Value(value.clone());
            found.leaves.push(Leaf { document: 0, path: path.clone(), span: node.span.clone(), what, style: Style::default() });
        }
    }
}

fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(Value::from(text).to_string())
}

/// The member at `index` with the comma that goes with it, so that what is left is an object again.
fn with_comma(object: &Node, index: usize) -> Range<usize> {
    let items = object.items();
    match index.checked_sub(1).map(|before| &items[before]) {
        Some(before) => before.end..items[index].end,
        None => match items.get(1) {
            Some(next) => items[0].start..next.start,
            None => object.span.start + 1..object.span.end - 1,
        },
    }
}

/// A list item that is an encrypted comment, with the comma that goes with it. Where several follow each other, the pieces do not overlap.
fn item_with_comma(text: &str, span: Range<usize>) -> Range<usize> {
    let mut before = text[..span.start].trim_end();
    while let Some(item) = before.strip_suffix(',') {
        let item = item.trim_end();
        match item.strip_suffix(COMMENT_ITEM).and_then(|text| text.rfind('"')) {
            Some(start) => before = text[..start].trim_end(),
            None => {
                // A value comes first: everything from the end of the item before this one.
                let before = text[..span.start].trim_end().len() - 1;
                return text[..before].trim_end().len()..span.end;
            }
        }
    }
    let behind = &text[span.end..];
    let rest = behind.trim_start();
    let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    span.start..text.len() - rest.len()
}

/// `value` inside of what `path` asks for; `None` for a list that does not begin with its first item.
fn nested(path: &[Step], value: &Value) -> Option<Value> {
    Some(match path {
        [] => value.clone(),
        [Step::Key(key), rest @ ..] => json!({ key: nested(rest, value)? }),
        [Step::Index(0), rest @ ..] => json!([nested(rest, value)?]),
        [Step::Index(_), ..] => return None,
    })
}

/// The edit that adds `value` as the last in `holder`, an object or a list, in the style of the text.
fn added(text: &str, root: &Node, holder: &Node, key: Option<&str>, value: &Value) -> Edit {
    let key = key.map(|key| format!("{}: ", *quoted(key))).unwrap_or_default();
    let items = holder.items();
    let indent_of = |node: &Node| {
        let first = node.items().first()?.start;
        let space = &text[node.span.start + 1..first];
        space.rfind('\n').map(|at| space[at + 1..].to_owned())
    };
    let unit = indent_of(root).unwrap_or_else(|| "\t".into());
    let Some(last) = items.last() else {
        let inside = holder.span.start + 1..holder.span.end - 1;
        let is_root = holder.span == root.span;
        let by = if is_root { format!("\n\t{key}{}\n", pretty(value, "\t", "\t")) } else { format!("{key}{value}") };
        return (inside, Zeroizing::new(by));
    };
    let by = match indent_of(holder) {
        Some(indent) => format!(",\n{indent}{key}{}", pretty(value, &unit, &indent)),
        None => format!(", {key}{value}"),
    };
    (last.end..last.end, Zeroizing::new(by))
}

/// `value` over several lines, of which all but the first begin with `indent`.
fn pretty(value: &Value, unit: &str, indent: &str) -> String {
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format));
    let text = written.ok().and_then(|()| String::from_utf8(out).ok()).expect("a value is always written as UTF-8");
    text.replace('\n', &format!("\n{indent}"))
}

#[cfg(test)]
mod tests;
