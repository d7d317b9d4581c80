//! A YAML document as a tree that knows its places, and the problems that point into it.
//!
//! Typed data is read by `serde-saphyr`; this tree uses the same parser underneath, so both agree on every position.
mod problem;
mod problems;

pub use problem::Problem;
pub use problems::Problems;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

/// A file with more nodes than this, after its aliases are filled in, is refused.
const MAX_NODES: usize = 100_000;
/// A file nested deeper than this is refused.
const MAX_DEPTH: usize = 64;

/// One node and the bytes that it spans.
#[derive(Clone, Debug)]
pub struct Node {
    /// The bytes of the text.
    pub span: Range<usize>,
    /// What it holds.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text as YAML reads it; `plain` when it was written without quotes and could be a number, a boolean or nothing.
    Scalar {
        /// What it says.
        text: String,
        /// Whether it was written without quotes and without a tag.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The bytes of the key.
    pub key_span: Range<usize>,
    /// The value.
    pub node: Node,
}

/// Why a text is not a YAML document of ours, and at which byte.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct NotYaml {
    /// In plain words.
    pub reason: String,
    /// The byte at which it was noticed.
    pub offset: usize,
}

impl Node {
    /// The value under `key`, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// A key that stands in its map for the second time, if there is one: nothing says which of the two counts.
    pub fn repeated_key(&self) -> Option<&Entry> {
        match &self.value {
            Value::Scalar { .. } => None,
            Value::List(items) => items.iter().find_map(Self::repeated_key),
            Value::Map(entries) => {
                let mut seen = HashSet::new();
                entries.iter().find_map(|entry| if seen.insert(&entry.key) { entry.node.repeated_key() } else { Some(entry) })
            }
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
}

/// Reads the one document of `text`. Merge keys stay ordinary keys, aliases become copies of what they name.
///
/// # Errors
/// When it is not YAML, is empty, holds several documents, or a key that is no text, or is deeper or larger than any file of ours.
pub fn parse(text: &str) -> Result<Node, NotYaml> {
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, end: text.len() };
    let mut root = None;
    while let Some((event, span)) = builder.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd | Event::Comment(..) => {}
            _ if root.is_some() => {
                return Err(NotYaml { reason: "the file holds several YAML documents; only one is allowed".into(), offset: start(&span) });
            }
            event => root = Some(builder.node(event, &span, 0)?),
        }
    }
    root.ok_or(NotYaml { reason: "the file is empty".into(), offset: 0 })
}

struct Builder<'a> {
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    end: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, NotYaml> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let offset = error.marker().byte_offset().unwrap_or(self.end);
                Err(NotYaml { reason: error.info().to_owned(), offset })
            }
        }
    }

    /// The next event that is not a comment; the parser ends every collection that it starts.
    fn next_inside(&mut self) -> Result<(Event<'a>, Span), NotYaml> {
        loop {
            match self.next()? {
                Some((Event::Comment(..), _)) => {}
                Some(event) => return Ok(event),
                None => return Err(NotYaml { reason: "the document ends too early".into(), offset: self.end }),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, NotYaml> {
        let from = start(span);
        let before = self.nodes;
        self.count(1, from)?;
        if depth > MAX_DEPTH {
            return Err(NotYaml { reason: format!("nested deeper than {MAX_DEPTH} levels"), offset: from });
        }
        let (value, anchor, to) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (Value::Scalar { text: text.into_owned(), plain }, anchor, end(span))
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                let to = loop {
                    match self.next_inside()? {
                        (Event::SequenceEnd, span) => break end(&span),
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                };
                (Value::List(items), anchor, to)
            }
            Event::MappingStart(_, anchor, _) => {
                let mut entries = Vec::new();
                let to = loop {
                    match self.next_inside()? {
                        (Event::MappingEnd, span) => break end(&span),
                        (Event::Scalar(key, ..), key_span) => {
                            let (event, span) = self.next_inside()?;
                            let node = self.node(event, &span, depth + 1)?;
                            entries.push(Entry { key: key.into_owned(), key_span: range(&key_span), node });
                        }
                        (_, span) => return Err(NotYaml { reason: "a key must be plain text".into(), offset: start(&span) }),
                    }
                };
                (Value::Map(entries), anchor, to)
            }
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(NotYaml { reason: "this alias names the block that it stands in".into(), offset: from });
                };
                self.count(size, from)?;
                return Ok(Node { span: range(span), ..node });
            }
            _ => return Err(NotYaml { reason: "unexpected YAML here".into(), offset: from }),
        };
        let node = Node { span: from..to.max(from), value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, offset: usize) -> Result<(), NotYaml> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(NotYaml { reason: format!("more than {MAX_NODES} values, counting what aliases repeat"), offset });
        }
        Ok(())
    }
}

fn range(span: &Span) -> Range<usize> {
    start(span)..end(span).max(start(span))
}

fn start(span: &Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}

fn end(span: &Span) -> usize {
    span.end.byte_offset().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node, text: &str) -> String {
        match &node.value {
            Value::Scalar { text: value, plain } => format!("{}{value:?}@{:?}", if *plain { "" } else { "q" }, &text[node.span.clone()]),
            Value::List(items) => format!("[{}]", items.iter().map(|item| show(item, text)).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let entries = entries.iter().map(|entry| format!("{}: {}", &text[entry.key_span.clone()], show(&entry.node, text)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse(text) {
            Ok(node) => show(&node, text),
            Err(error) => format!("{} at {}", error.reason, error.offset),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_key_that_stands_twice_is_found_however_deep() {
        let repeated = |text: &str| parse(text).expect("YAML").repeated_key().map(|entry| (entry.key.clone(), entry.key_span.start));
        assert_eq!(repeated("a: {b: 1}\nc: [{b: 1, \"b\": 2}]\n"), Some(("b".into(), 21)));
        assert_eq!(repeated("a: {b: 1}\nc: {b: 1}\n"), None);
    }

    #[test]
    fn values_know_their_places() {
        check("a: 1\nb: 'x'\n", r#"{a: "1"@"1", b: q"x"@"'x'"}"#);
        check("# é\nl: [1, {k: v}]", r#"{l: ["1"@"1", {k: "v"@"v"}]}"#);
        check("a: &x {k: 1}\nb: *x\n", r#"{a: {k: "1"@"1"}, b: {k: "1"@"1"}}"#);
        check("a: &x 1\n<<: *x\n", r#"{a: "1"@"1", <<: "1"@"*x"}"#);
    }

    #[test]
    fn what_is_no_document_of_ours_is_refused() {
        check("", "the file is empty at 0");
        check("a: 1\n---\nb: 2\n", "the file holds several YAML documents; only one is allowed at 9");
        check("? [a]\n: 1\n", "a key must be plain text at 2");
    }

    #[test]
    fn repeated_aliases_are_bounded() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..10 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(parse(&text).unwrap_err().reason.starts_with("more than 100000 values"));
    }
}
