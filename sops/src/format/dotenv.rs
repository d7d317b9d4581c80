//! dotenv: `NAME=value` lines and `#` comments; the `sops` block as `sops_…` lines at the end.
//!
//! As in sops there are no quotes: everything behind the first `=` is the value, and `\n` in it is a line end
//! (<https://github.com/getsops/sops/blob/v3.11.0/stores/dotenv/store.go>).
use super::{
    super::{
        error::SopsError,
        plain::Plain,
        text::{Edit, Layout, Leaf, Step, Style, Text, What, dotted, edited, malformed},
    },
    flat,
};
use serde_json::Value;
use std::collections::HashSet;
use zeroize::Zeroizing;

/// How the names of the block begin.
const BLOCK: &str = "sops_";
const TWO_CHARACTERS: &str = r"it holds a backslash and an n, which a dotenv file cannot tell from a line end";

pub(super) struct Dotenv;

impl Layout for Dotenv {
    fn read(&self, file: &str, text: &str) -> Result<Text, SopsError> {
        let mut found = Text::default();
        let (mut block, mut known) = (Vec::new(), HashSet::new());
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let line = line.strip_suffix('\n').unwrap_or(line);
            let refused = |reason: &str| malformed(file, text, start, reason);
            let mut leaf = |path, behind: usize, what| {
                let span = start + behind..start + line.len();
                found.leaves.push(Leaf { document: 0, path, span, what, style: Style::default() });
            };
            if line.is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#') {
                leaf(Vec::new(), 1, What::Comment(Zeroizing::new(comment.to_owned())));
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| refused("a line has no `=`"))?;
            if name.is_empty() {
                return Err(refused("a line has no name in front of its `=`"));
            }
            if !known.insert(name) {
                return Err(refused(&format!("the name `{name}` stands there twice")));
            }
            match name.strip_prefix(BLOCK) {
                Some(name) => {
                    block.push((name.to_owned(), value.to_owned()));
                    found.block_spans.push(start..at);
                }
                None => {
                    let value = Plain::text(value.replace(r"\n", "\n"));
                    leaf(vec![Step::Key(name.into())], name.len() + 1, What::Value(value));
                }
            }
        }
        if !block.is_empty() {
            let block = flat::unflatten(&block).map_err(|reason| SopsError::Malformed { file: file.into(), reason })?;
            found.block = Some(block);
        }
        Ok(found)
    }

    fn spell(&self, _leaf: &Leaf, value: &Plain) -> Result<Zeroizing<String>, &'static str> {
        let text = Zeroizing::new(flat::text(value)?);
        if text.contains(r"\n") {
            return Err(TWO_CHARACTERS);
        }
        Ok(Zeroizing::new(text.replace('\n', r"\n")))
    }

    fn spell_sealed(&self, _leaf: &Leaf, sealed: &str) -> String {
        sealed.to_owned()
    }

    fn holds_comment(&self, comment: &str) -> bool {
        !comment.contains('\n')
    }

    fn comment_item(&self, _text: &str, leaf: &Leaf, _comment: &str, _alone: bool) -> Edit {
        // There are no lists.
        (leaf.span.clone(), Zeroizing::default())
    }

    fn with_block(&self, text: &str, block: &Value, _gap: bool) -> Result<String, SopsError> {
        let malformed = |reason| SopsError::Malformed { file: "the new text".into(), reason };
        let mut out = text.to_owned();
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        for (name, value) in flat::flatten(block).map_err(malformed)? {
            out.push_str(&format!("{BLOCK}{name}={value}\n"));
        }
        Ok(out)
    }

    fn set(&self, file: &str, text: &str, path: &[Step], value: &Value) -> Result<Zeroizing<String>, SopsError> {
        let refused = |reason: &str| SopsError::CannotSet { file: file.into(), name: dotted(path), reason: reason.into() };
        let [Step::Key(name)] = path else { return Err(refused("a dotenv file has no groups")) };
        if name.is_empty() || name.starts_with('#') || name.starts_with(BLOCK) || name.contains(['=', '\n']) {
            return Err(refused("no line of a dotenv file can have that name"));
        }
        let value = Zeroizing::new(flat::text_of_json(value).map_err(refused)?);
        if value.contains(r"\n") {
            return Err(refused(TWO_CHARACTERS));
        }
        let value = Zeroizing::new(value.replace('\n', r"\n"));
        let there = self.read(file, text)?.leaves.into_iter().find(|leaf| leaf.path == path);
        Ok(match there {
            Some(leaf) => edited(text, vec![(leaf.span, value)]),
            None => {
                let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                edited(text, vec![(text.len()..text.len(), Zeroizing::new(format!("{newline}{name}={}\n", *value)))])
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> Vec<Step> {
        vec![Step::Key(name.into())]
    }

    #[test]
    fn lines_are_read_as_sops_does() {
        let text = "# c\r\n#\n\nA=b\\nc\nexport C= \"d\" # e\nE=";
        let read = Dotenv.read(".env", text).unwrap();
        let shown = |what: &What| match what {
            What::Value(value) => format!("{:?}", value.bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
            What::Comment(text) | What::Stray(text) => format!("# {:?}", text.as_str()),
        };
        let line = |leaf: &Leaf| format!("{} {} <{}>", dotted(&leaf.path), shown(&leaf.what), &text[leaf.span.clone()]);
        let lines: Vec<_> = read.leaves.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                " # \" c\\r\" < c\r>",
                " # \"\" <>",
                "A Some(\"b\\nc\") <b\\nc>",
                "export C Some(\" \\\"d\\\" # e\") < \"d\" # e>",
                "E Some(\"\") <>",
            ]
        );
        for (text, expected) in [
            ("A=1\nword\n", "a line has no `=` (line 2)"),
            ("=1\n", "a line has no name in front of its `=` (line 1)"),
            ("A=1\nA=2\n", "the name `A` stands there twice (line 2)"),
        ] {
            let error = Dotenv.read(".env", text).unwrap_err().to_string();
            assert_eq!(error, format!(".env is not a SOPS file: {expected}"));
        }
    }

    #[test]
    fn the_block_comes_last_and_goes_without_a_trace() {
        let block = json!({ "mac": "m", "age": [{ "enc": "a\nb" }] });
        let with = Dotenv.with_block("A=1", &block, false).unwrap();
        assert_eq!(with, "A=1\nsops_age__list_0__map_enc=a\\nb\nsops_mac=m\n");
        let read = Dotenv.read(".env", &with).unwrap();
        assert_eq!(read.block, Some(block));
        let cut = read.block_spans.into_iter().map(|span| (span, Zeroizing::default())).collect();
        assert_eq!(*edited(&with, cut), "A=1\n");
        assert!(Dotenv.with_block("", &json!({ "encrypted_regex": r"\n" }), false).is_err());
    }

    #[test]
    fn a_value_is_set_on_its_line() {
        for (name, value, expected) in [("A", "x\ny", "A=x\\ny\nB=2"), ("C", "3", "A=1\nB=2\nC=3\n")] {
            assert_eq!(*Dotenv.set(".env", "A=1\nB=2", &key(name), &json!(value)).unwrap(), expected);
        }
        for (name, value) in [("a=b", "x"), ("#", "x"), ("sops_x", "x"), ("", "x"), ("A", r"x\n")] {
            assert!(Dotenv.set(".env", "A=1\n", &key(name), &json!(value)).is_err(), "{name}");
        }
    }
}
