//! INI: sections of `name = value` lines with comments; the `sops` block as a section of that name at the end.
//!
//! sops keeps one comment for each section and key, behind it in the order of its walk
//! (<https://github.com/getsops/sops/blob/v3.11.0/stores/ini/store.go>); here it stays where it stands.
use super::{
    super::{
        error::SopsError,
        plain::Plain,
        text::{Edit, Empty, Layout, Leaf, Step, Style, Text, What, dotted, edited, malformed},
    },
    flat,
};
use serde_json::Value;
use std::collections::HashMap;
use zeroize::Zeroizing;

mod reader;

use reader::{Comment, NotIni, Section};

/// The section of the block.
const BLOCK: &str = "sops";
const CANNOT_SPELL: &str = "no quotes of INI can hold it";

pub(super) struct Ini;

impl Layout for Ini {
    fn read(&self, file: &str, text: &str) -> Result<Text, SopsError> {
        let sections = sections(file, text)?;
        let mut found = Text::default();
        for (section, path) in sections.iter().zip(paths(&sections)) {
            if section.name == BLOCK {
                let refused = |reason: &str| malformed(file, text, section.span.start, reason);
                if found.block.is_some() {
                    return Err(refused("the section `sops` stands there twice"));
                }
                if section.comment.is_some() {
                    return Err(refused("a comment stands in front of the section `sops`, where sops would drop it; move it"));
                }
                let flat: Vec<_> = section.keys.iter().map(|key| (key.name.clone(), key.value.text.to_string())).collect();
                found.block = Some(flat::unflatten(&flat).map_err(|reason| refused(&reason))?);
                found.block_spans.push(block_span(text, section));
                continue;
            }
            let comment = |comment: &Comment| Leaf {
                document: 0,
                path: path.clone(),
                span: comment.span.clone(),
                what: What::Comment(comment.text.clone()),
                style: Style::default(),
            };
            found.leaves.extend(section.comment.as_ref().map(comment));
            if section.keys.is_empty() {
                found.empty.push(Empty { document: 0, path: path.clone(), is_list: false, before: found.leaves.len() });
            }
            for key in &section.keys {
                found.leaves.push(Leaf {
                    document: 0,
                    path: path.iter().cloned().chain([Step::Key(key.name.clone())]).collect(),
                    span: key.value.span.clone(),
                    what: What::Value(Plain::Text(key.value.text.clone())),
                    style: Style { quote: key.value.quote, ..Style::default() },
                });
                found.leaves.extend(key.comment.as_ref().map(comment));
            }
        }
        Ok(found)
    }

    fn spell(&self, leaf: &Leaf, value: &Plain) -> Result<Zeroizing<String>, &'static str> {
        spelled(&Zeroizing::new(flat::text(value)?), leaf.style.quote)
    }

    fn spell_sealed(&self, leaf: &Leaf, sealed: &str) -> String {
        let quote = leaf.style.quote.map(String::from).unwrap_or_default();
        format!("{quote}{sealed}{quote}")
    }

    fn holds_comment(&self, comment: &str) -> bool {
        comment.lines().skip(1).all(|line| line.starts_with(['#', ';'])) && !comment.is_empty() && !comment.starts_with('\n')
    }

    fn comment_item(&self, _text: &str, leaf: &Leaf, _comment: &str, _alone: bool) -> Edit {
        // There are no lists.
        (leaf.span.clone(), Zeroizing::default())
    }

    fn with_block(&self, text: &str, block: &Value, _gap: bool) -> Result<String, SopsError> {
        let malformed = |reason| SopsError::Malformed { file: "the new text".into(), reason };
        let mut out = text.to_owned();
        if !out.is_empty() {
            out.push_str(if out.ends_with('\n') { "\n" } else { "\n\n" });
        }
        out.push_str(&format!("[{BLOCK}]\n"));
        for (name, value) in flat::flatten(block).map_err(malformed)? {
            let value = spelled(&value, None).map_err(|reason| malformed(format!("`sops.{name}`: {reason}")))?;
            out.push_str(&format!("{name} = {}\n", *value));
        }
        Ok(out)
    }

    fn set(&self, file: &str, text: &str, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError> {
        let refused = |reason: &str| SopsError::CannotSet { file: file.into(), name: dotted(path), reason: reason.into() };
        let wanted = flat::text_of_json(value).map(Zeroizing::new).map_err(refused)?;
        let Some((Step::Key(name), section)) = path.split_last() else { return Err(refused("name a section and a key")) };
        let sections = sections(file, text)?;
        let there = sections.iter().zip(paths(&sections)).find(|(_, path)| path == section).map(|(section, _)| section);
        let line = |value: &str| spelled_name(name).map(|name| format!("{name} = {value}\n"));
        let (at, by) = match there.map(|there| (there, there.keys.iter().find(|key| key.name == *name))) {
            Some((_, Some(key))) => {
                let value = spelled(&wanted, key.value.quote).map_err(refused)?;
                (key.value.span.clone(), value)
            }
            Some((there, None)) => {
                let newline = if there.end == 0 || text[..there.end].ends_with(['\n', '\u{feff}']) { "" } else { "\n" };
                let line = line(&spelled(&wanted, None).map_err(refused)?).map_err(refused)?;
                (there.end..there.end, Zeroizing::new(format!("{newline}{line}")))
            }
            None => {
                let [Step::Key(section)] = section else { return Err(refused("name a section and a key")) };
                if section == BLOCK {
                    return Err(refused("that is the name of the block that sops adds"));
                }
                let space = if text.is_empty() {
                    ""
                } else if text.ends_with('\n') {
                    "\n"
                } else {
                    "\n\n"
                };
                let line = line(&spelled(&wanted, None).map_err(refused)?).map_err(refused)?;
                (text.len()..text.len(), Zeroizing::new(format!("{space}[{section}]\n{line}")))
            }
        };
        let new = edited(text, vec![(at, by)]);
        // What a name or a section may look like is the reader's decision.
        let fits = |leaf: &Leaf| leaf.path == path && matches!(&leaf.what, What::Value(Plain::Text(text)) if *text == wanted);
        match self.read(file, &new) {
            Ok(read) if read.leaves.iter().any(fits) => Ok(new),
            _ => Err(refused("no line of an INI file can have that name")),
        }
    }
}

fn sections(file: &str, text: &str) -> Result<Vec<Section>, SopsError> {
    reader::read(text).map_err(|NotIni { reason, offset }| malformed(file, text, offset, &reason))
}

/// The path of every section. One that stands there again has a position, which is no part of its values' additional data.
fn paths(sections: &[Section]) -> Vec<Vec<Step>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut paths = Vec::with_capacity(sections.len());
    for (index, section) in sections.iter().enumerate() {
        let count = seen.entry(&section.name).or_default();
        let mut path = vec![Step::Key(section.name.clone())];
        if *count > 0 {
            path.push(Step::Index(*count));
        }
        // What stands above all headers counts when there is something.
        *count += usize::from(index > 0 || !section.keys.is_empty());
        paths.push(path);
    }
    paths
}

/// The block's section with the empty line that kthw and sops put in front of it.
fn block_span(text: &str, section: &Section) -> std::ops::Range<usize> {
    let before = &text[..section.span.start];
    let blank = if before.ends_with("\n\n") { 1 } else { 0 };
    section.span.start - blank..section.span.end
}

/// How a value is written: with `quote` if that can hold it, else with the least that can.
fn spelled(value: &str, quote: Option<char>) -> Result<Zeroizing<String>, &'static str> {
    let wanted = quote.map(String::from);
    let usual = if value.contains('`') { "\"\"\"" } else { "`" };
    let marks = wanted.as_deref().into_iter().chain(["", usual, "`", "\"\"\"", "\"", "'"]);
    let written = marks.map(|mark| Zeroizing::new(format!("{mark}{value}{mark}")));
    let mut fitting = written.filter(|written| {
        let line = Zeroizing::new(format!("a = {}\n", **written));
        let read = reader::read(&line);
        let Ok([Section { keys, .. }]) = read.as_deref() else { return false };
        matches!(&keys[..], [key] if *key.value.text == value && key.comment.is_none())
    });
    fitting.next().ok_or(CANNOT_SPELL)
}

/// How the name of a key is written.
fn spelled_name(name: &str) -> Result<String, &'static str> {
    let mut fitting = ["", "`", "\"", "\"\"\""].into_iter().map(|mark| format!("{mark}{name}{mark}")).filter(|written| {
        let read = reader::read(&format!("{written} = a\n")).ok();
        read.is_some_and(|sections| matches!(&sections[..], [Section { keys, .. }] if matches!(&keys[..], [key] if key.name == name)))
    });
    fitting.next().ok_or("no line of an INI file can have that name")
}

#[cfg(test)]
mod tests;
