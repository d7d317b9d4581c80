//! YAML: values and comments with their places, aliases written out, the `sops` block at the end of every document.
//!
//! sops reads YAML into a tree without aliases and writes it anew; here the text stays, and only values and comments are replaced.
use crate::{
    error::SopsError,
    plain::Plain,
    text::{Edit, Layout, Leaf, Step, Text, What, block_of, dotted, edited, utf8},
};
use serde_json::Value;
use zeroize::Zeroizing;

mod aliases;
mod attach;
mod comments;
mod places;
mod reader;
mod reading;
mod scalar;
mod spelling;
mod typed;

use comments::Order;
use places::line_start;
use reader::Reader;
use reading::Reading;

/// The key of the block.
const BLOCK: &str = "sops";

pub(super) struct Yaml;

impl Layout for Yaml {
    fn read(&self, file: &str, text: &str) -> Result<Text, SopsError> {
        let mut read = Reader::read(text).map_err(|error| error.placed(file, text))?;
        let order = comments::in_any_order(text, &mut read);
        Ok(walked(order, read))
    }

    fn read_plain(&self, file: &str, plain: &[u8]) -> Result<(Zeroizing<String>, Text), SopsError> {
        let source = utf8(file, plain)?;
        if let Some((at, found)) = source.char_indices().find(|(_, c)| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')) {
            let reason = format!("U+{:04X}, where a line ends for sops; write it as an escape in double quotes", u32::from(found));
            return Err(NotYaml::new(reason, at).placed(file, source));
        }
        let source = aliases::written_out(source).map_err(|error| error.placed(file, source))?;
        let source = ended(&source).map_err(|error| error.placed(file, &source))?.unwrap_or(source);
        let source = headers_freed(&source).map_err(|error| error.placed(file, &source))?.unwrap_or(source);
        let mut read = Reader::read(&source).map_err(|error| error.placed(file, &source))?;
        let order = comments::in_order(&source, &mut read).map_err(|error| error.placed(file, &source))?;
        Ok((source, walked(order, read)))
    }

    fn spell(&self, leaf: &Leaf, value: &Plain) -> Result<Zeroizing<String>, &'static str> {
        Ok(spelling::value(leaf.style, value))
    }

    fn spell_sealed(&self, leaf: &Leaf, sealed: &str) -> String {
        match leaf.style.quote {
            Some(quote) => format!("{quote}{sealed}{quote}"),
            None if leaf.style.flow => format!("\"{sealed}\""),
            None => sealed.to_owned(),
        }
    }

    fn comment_item(&self, text: &str, leaf: &Leaf, comment: &str, alone: bool) -> Edit {
        // `- ENC[…]` on a line of its own becomes `#…` there; the dash stands in the column of the list.
        let line = line_start(text, leaf.span.start);
        let dash = text[line..leaf.span.start].rfind('-').map_or(leaf.span.start, |at| line + at);
        // A list of comments only is empty. The brackets stand deeper than the key, wherever the dash stood.
        let brackets = if alone && matches!(leaf.path.last(), Some(Step::Index(0))) { "  [] " } else { "" };
        (dash..leaf.span.end, Zeroizing::new(format!("{brackets}#{comment}")))
    }

    fn with_block(&self, text: &str, block: &Value, gap: bool) -> Result<String, SopsError> {
        let read = Reader::read(text).map_err(|error| error.placed("the new text", text))?;
        let written = spelling::block(BLOCK, block);
        let edits = read.ends.iter().map(|end| match &end.flow_root {
            // A root in braces takes the block in front of its last brace.
            Some(root) => {
                let comma = if root.empty { "" } else { ", " };
                (root.brace..root.brace, Zeroizing::new(format!("{comma}\"{BLOCK}\": {block}")))
            }
            None => {
                let newline = if end.offset == 0 || text[..end.offset].ends_with('\n') { "" } else { "\n" };
                let indent = " ".repeat(end.column);
                let lines: String = written.split_inclusive('\n').map(|line| format!("{indent}{line}")).collect();
                let gap = if gap { "\n" } else { "" };
                (end.offset..end.offset, Zeroizing::new(format!("{newline}{gap}{lines}")))
            }
        });
        Ok(edited(text, edits.collect()).to_string())
    }

    fn set(&self, file: &str, text: &str, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError> {
        self.set_in(file, text, 0, path, value)
    }

    fn set_in(&self, file: &str, text: &str, document: usize, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError> {
        let read = Reader::read(text).map_err(|error| error.placed(file, text))?;
        if let Some(leaf) = read.leaves.iter().find(|leaf| leaf.document == document && leaf.path == path) {
            let spelled = spelling::json(leaf.style, value);
            // Nothing at all stands right behind the colon.
            let space = if leaf.span.is_empty() && text[..leaf.span.start].ends_with([':', '-']) { " " } else { "" };
            return Ok(edited(text, vec![(leaf.span.clone(), Zeroizing::new(format!("{space}{}", *spelled)))]));
        }
        let refused = |reason: String| SopsError::CannotSet { file: file.into(), name: dotted(path), reason };
        if read.collections.iter().any(|one| one.document == document && one.path == path) {
            return Err(refused("it is a group; name one of its values, or use `kthw secrets edit`".into()));
        }
        if let Some(leaf) = read.leaves.iter().find(|leaf| leaf.document == document && path.starts_with(&leaf.path)) {
            let rest = &path[leaf.path.len()..];
            if leaf.what != What::Value(Plain::Null) {
                return Err(refused(format!("`{}` is a value, and nothing can stand below it", dotted(&leaf.path))));
            }
            let spelled = match rest[0] {
                Step::Key(_) if leaf.style.flow || leaf.style.tail => format!(" {{{}}}", spelling::flow_entry(rest, value)),
                Step::Index(_) if leaf.style.flow || leaf.style.tail => format!(" [{}]", spelling::flow_entry(rest, value)),
                _ => format!("\n{}", spelling::entry(leaf.style.indent + 2, rest, value).trim_end_matches('\n')),
            };
            return Ok(edited(text, vec![(leaf.span.clone(), Zeroizing::new(spelled))]));
        }
        let holder = (0..path.len()).rev().find_map(|depth| {
            read.collections.iter().find(|one| one.document == document && one.path == path[..depth]).map(|holder| (depth, holder))
        });
        let Some((depth, holder)) = holder else {
            return match path {
                [Step::Key(_), ..] if text.trim().is_empty() => Ok(Zeroizing::new(spelling::entry(0, path, value))),
                _ => Err(refused("there is nothing that it could stand in".into())),
            };
        };
        let rest = &path[depth..];
        match (&rest[0], holder.is_list, holder.items) {
            (Step::Key(_), false, _) => {}
            (Step::Index(index), true, items) if *index == items => {}
            (Step::Index(index), true, items) => return Err(refused(format!("the list has {items} items; {index} is not the next"))),
            (Step::Key(_), true, _) => return Err(refused("a list item is named by its position from 0".into())),
            (Step::Index(_), false, _) => return Err(refused("only a list has positions".into())),
        }
        let (at, new) = match holder.brace {
            Some(brace) => {
                let comma = if holder.items == 0 { "" } else { ", " };
                (brace, format!("{comma}{}", spelling::flow_entry(rest, value)))
            }
            // Behind the whole line: a comment beside the last value stays there.
            None => (line_end(text, holder.end), format!("\n{}", spelling::entry(holder.column, rest, value).trim_end_matches('\n'))),
        };
        Ok(edited(text, vec![(at..at, Zeroizing::new(new))]))
    }
}

fn walked(order: Order, read: Reading) -> Text {
    let first: Vec<&Leaf> = order.block.iter().filter(|leaf| leaf.document == 0).collect();
    Text { block: block_of(&first), leaves: order.leaves, block_spans: read.block_spans, empty: order.empty }
}

/// A text whose last line has no end, which its last value is a block of: the same value, however the text goes on. `None` for any other.
fn ended(text: &str) -> Result<Option<Zeroizing<String>>, NotYaml> {
    if text.is_empty() || text.ends_with('\n') {
        return Ok(None);
    }
    let read = Reader::read(text)?;
    let Some(leaf) =
        read.leaves.last().filter(|leaf| text[leaf.span.clone()].starts_with(['|', '>']) && leaf.span.end >= text.trim_end().len())
    else {
        return Ok(None);
    };
    let header = &text[leaf.span.clone()].split([' ', '\t', '\n', '\r']).next().unwrap_or_default();
    let stripped = format!("{}-", header.replace(['+', '-'], ""));
    let edits = vec![(leaf.span.start..leaf.span.start + header.len(), Zeroizing::new(stripped))];
    Ok(Some(Zeroizing::new(format!("{}\n", *edited(text, edits)))))
}

/// The text with each comment that stands beside a `|` or `>` on a line of its own above, since the mark goes when its lines are
/// encrypted; `None` when there is none.
fn headers_freed(text: &str) -> Result<Option<Zeroizing<String>>, NotYaml> {
    let may_have = |line: &str| line.rfind('#').is_some_and(|at| line[..at].contains(['|', '>']));
    if !text.lines().any(may_have) {
        return Ok(None);
    }
    let read = Reader::read(text)?;
    let edits = read.headers.iter().flat_map(|header| {
        let comment = &text[header.comment.clone()];
        let indent = &text[header.line..][..text[header.line..].len() - text[header.line..].trim_start_matches(' ').len()];
        let above = Zeroizing::new(format!("{indent}{}\n", comment.trim_start()));
        [(header.line..header.line, above), (header.comment.clone(), Zeroizing::default())]
    });
    Ok(Some(edited(text, edits.collect())).filter(|_| !read.headers.is_empty()))
}

fn line_end(text: &str, offset: usize) -> usize {
    text[offset..].find('\n').map_or(text.len(), |at| offset + at)
}

fn is_block(path: &[Step]) -> bool {
    matches!(path.first(), Some(Step::Key(key)) if key == BLOCK)
}

/// A place in a text and what is wrong there.
#[derive(Debug)]
struct NotYaml {
    reason: String,
    offset: usize,
}

impl NotYaml {
    fn new(reason: impl Into<String>, offset: usize) -> Self {
        Self { reason: reason.into(), offset }
    }

    fn placed(self, file: &str, text: &str) -> SopsError {
        let line = text.as_bytes().iter().take(self.offset).filter(|byte| **byte == b'\n').count() + 1;
        SopsError::Malformed { file: file.into(), reason: format!("{} (line {line})", self.reason) }
    }
}

#[cfg(test)]
mod tests;
