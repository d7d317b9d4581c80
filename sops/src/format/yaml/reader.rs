//! Walks the events of a YAML text: values with paths and places, the maps and lists that they stand in, comments, document ends.
use super::{BLOCK, NotYaml, trimmed};
use crate::{
    plain::Plain,
    text::{Leaf, Step, Style, What},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_saphyr::granit_parser::{Event, Parser, Placement, ScalarStyle, Span, StrInput, StructureStyle, Tag};
use std::{collections::HashSet, ops::Range};
use zeroize::Zeroizing;

/// A file with more nodes than this is refused.
const MAX_NODES: usize = 100_000;
/// A file nested deeper than this is refused.
const MAX_DEPTH: usize = 64;

/// A map or a list of a text.
#[derive(Debug)]
pub(super) struct Collection {
    pub document: usize,
    pub path: Vec<Step>,
    pub is_list: bool,
    /// The column of its keys or dashes; 0 for one in braces.
    pub column: usize,
    /// From its first byte to behind its last.
    pub start: usize,
    pub end: usize,
    /// How many entries it has.
    pub items: usize,
    /// Where its closing bracket stands, for one on a line.
    pub brace: Option<usize>,
}

/// A comment of a text.
#[derive(Debug)]
pub(super) struct Comment {
    pub document: usize,
    /// With its `#`.
    pub span: Range<usize>,
    pub text: String,
    /// Whether something stands before it on its line.
    pub beside: bool,
}

/// Where a document ends, and how to add to it.
#[derive(Debug)]
pub(super) struct End {
    pub offset: usize,
    /// The column of the keys of its map.
    pub column: usize,
    pub flow_root: Option<FlowRoot>,
}

/// A document whose map is written in braces.
#[derive(Debug)]
pub(super) struct FlowRoot {
    pub brace: usize,
    pub empty: bool,
}

/// A comment beside the `|` or `>` of a block of lines.
#[derive(Debug)]
pub(super) struct Header {
    /// With its `#` and the spaces before it.
    pub comment: Range<usize>,
    /// The line of its key or dash begins here.
    pub line: usize,
}

/// What a text holds, in its order.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub leaves: Vec<Leaf>,
    pub collections: Vec<Collection>,
    pub comments: Vec<Comment>,
    /// Where keys begin.
    pub keys: Vec<usize>,
    pub ends: Vec<End>,
    pub headers: Vec<Header>,
    pub block_spans: Vec<Range<usize>>,
}

pub(super) struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    reading: Reading,
    document: usize,
    nodes: usize,
    path: Vec<Step>,
    /// Behind the last thing that was read.
    last: usize,
}

impl<'a> Reader<'a> {
    /// Reads a text without aliases.
    pub fn read(text: &'a str) -> Result<Reading, NotYaml> {
        let mut reader = Self {
            text,
            parser: Parser::new_from_str(text),
            reading: Reading::default(),
            document: 0,
            nodes: 0,
            path: Vec::new(),
            last: 0,
        };
        if let Some(at) = directive(text) {
            return Err(NotYaml::new("a directive (`%…`), which sops does not keep; leave it out", at));
        }
        while let Some((event, span)) = reader.next()? {
            match event {
                Event::DocumentStart(..) => reader.document()?,
                Event::Comment(text, placement) => reader.comment(&text, placement, &span),
                _ => {}
            }
        }
        if reader.reading.ends.is_empty() {
            // Nothing, or nothing but comments.
            reader.reading.ends.push(End { offset: text.len(), column: 0, flow_root: None });
        }
        Ok(reader.reading)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, NotYaml> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(NotYaml::new(error.info().to_owned(), error.marker().byte_offset().unwrap_or(self.text.len()))),
        }
    }

    /// The next event that is not a comment.
    fn inside(&mut self) -> Result<(Event<'a>, Range<usize>), NotYaml> {
        loop {
            match self.next()? {
                Some((Event::Comment(text, placement), span)) => self.comment(&text, placement, &span),
                Some((event, span)) => return Ok((event, range(&span))),
                None => return Err(NotYaml::new("the document ends too early", self.text.len())),
            }
        }
    }

    fn comment(&mut self, text: &str, placement: Placement, span: &Span) {
        let span = range(span);
        let line = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let beside = placement == Placement::Right || !self.text[line..span.start].trim().is_empty();
        self.reading.comments.push(Comment { document: self.document, span, text: text.to_owned(), beside });
    }

    fn document(&mut self) -> Result<(), NotYaml> {
        let (event, span) = self.inside()?;
        let flow = match event {
            Event::MappingStart(style, ..) => {
                self.map(style, &span)?;
                let root = self.reading.collections.iter().rfind(|one| one.document == self.document && one.path.is_empty());
                root.and_then(|root| root.brace.map(|brace| FlowRoot { brace, empty: root.items == 0 }))
            }
            // An empty document is an empty map.
            Event::Scalar(text, ScalarStyle::Plain, ..) if Plain::of_yaml(&text) == Ok(Plain::Null) => None,
            _ => return Err(NotYaml::new("the top level is not a map, and sops keeps only maps", span.start)),
        };
        let (event, span) = self.inside()?;
        debug_assert!(matches!(event, Event::DocumentEnd));
        let offset = self.behind_comments(span.start);
        let root = self.reading.collections.iter().rfind(|one| one.document == self.document && one.path.is_empty());
        let column = root.map_or(0, |root| root.column);
        self.reading.ends.push(End { offset, column, flow_root: flow });
        for block in self.reading.block_spans.iter_mut().filter(|block| block.end == usize::MAX) {
            block.end = offset;
        }
        self.document += 1;
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: &Range<usize>) -> Result<(), NotYaml> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(NotYaml::new(format!("more than {MAX_NODES} values"), span.start));
        }
        if self.path.len() > MAX_DEPTH {
            return Err(NotYaml::new(format!("nested deeper than {MAX_DEPTH} levels"), span.start));
        }
        match event {
            Event::Scalar(text, style, _, tag) => {
                let quote = match style {
                    ScalarStyle::SingleQuoted => Some('\''),
                    ScalarStyle::DoubleQuoted => Some('"'),
                    _ => None,
                };
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let mut start = if block { self.block_header(span.start) } else { span.start };
                // The last line of a text that has no end has none in Go's value either.
                let endless = block && span.end == self.text.len() && !self.text.ends_with('\n');
                let text = if endless { text.trim_end_matches('\n') } else { &text };
                let value = scalar(text, style, tag.as_deref()).map_err(|reason| NotYaml::new(reason, span.start))?;
                if tag.as_deref().and_then(yaml_tag) == Some("binary") {
                    // The tag goes with the value: what is encrypted is no base64.
                    start = self.text[self.last..start].rfind('!').map_or(start, |at| self.last + at);
                    start = self.text[self.last..start].trim_end_matches(['!', '<']).len() + self.last;
                }
                let span = if block { self.lines(start..span.end) } else { trimmed(self.text, start..span.end) };
                let line_end = self.text[span.end..].find('\n').map_or(self.text.len(), |at| span.end + at);
                let tail = !self.text[span.end..line_end].trim().is_empty();
                self.last = span.end;
                let style = Style { quote, tail, ..Style::default() };
                self.reading.leaves.push(Leaf { document: self.document, path: self.path.clone(), span, what: What::Value(value), style });
                Ok(())
            }
            Event::SequenceStart(style, ..) => self.list(style, span),
            Event::MappingStart(style, ..) => self.map(style, span),
            Event::Alias(_) => Err(NotYaml::new("an alias in an encrypted file; sops writes them out", span.start)),
            _ => Err(NotYaml::new("unexpected YAML here", span.start)),
        }
    }

    fn map(&mut self, style: StructureStyle, start: &Range<usize>) -> Result<(), NotYaml> {
        let flow = style == StructureStyle::Flow;
        let (first, mut keys, mut column) = (self.reading.leaves.len(), HashSet::new(), 0);
        let mut from = start.start;
        loop {
            let (event, span) = self.inside()?;
            match event {
                Event::MappingEnd => {
                    self.close(flow, start, &span);
                    let brace = flow.then(|| span.end - 1);
                    let end = self.last;
                    let (document, path) = (self.document, self.path.clone());
                    self.reading.collections.push(Collection {
                        document,
                        path,
                        is_list: false,
                        column,
                        start: from,
                        end,
                        items: keys.len(),
                        brace,
                    });
                    break;
                }
                Event::Scalar(key, style, _, tag) => {
                    let plain = scalar(&key, style, tag.as_deref());
                    if !matches!(&plain, Ok(Plain::Text(text)) if text.as_str() == key) {
                        return Err(NotYaml::new(format!("the key `{key}` is not text; write it in quotes"), span.start));
                    }
                    if !keys.insert(key.to_string()) {
                        return Err(NotYaml::new(format!("the key `{key}` stands here twice"), span.start));
                    }
                    if keys.len() == 1 && !flow {
                        from = self.entry_start(span.start);
                        column = self.column(from);
                    }
                    self.reading.keys.push(span.start);
                    let is_block = self.path.is_empty() && key == BLOCK;
                    if self.path.is_empty() && !flow {
                        self.root_key(span.start, is_block);
                    } else if is_block {
                        // In braces: from the comma before it.
                        let comma = self.text[..span.start].rfind(',').unwrap_or(span.start);
                        self.reading.block_spans.push(comma..usize::MAX - 1);
                    }
                    self.last = span.end;
                    self.path.push(Step::Key(key.into_owned()));
                    let (event, mut value) = self.inside()?;
                    if value.is_empty() {
                        // Nothing stands behind the colon; the parser says no more than where it noticed.
                        let colon = self.text[span.end..].find(':').map_or(span.end, |at| span.end + at + 1);
                        value = colon..colon;
                    }
                    let span = value;
                    self.node(event, &span)?;
                    if let Some(open) =
                        self.reading.block_spans.last_mut().filter(|block| block.end == usize::MAX - 1 && self.path.len() == 1)
                    {
                        open.end = self.last;
                    }
                    self.path.pop();
                }
                _ => return Err(NotYaml::new("a key must be plain text", span.start)),
            }
        }
        self.styled(first, flow, column);
        Ok(())
    }

    fn list(&mut self, style: StructureStyle, start: &Range<usize>) -> Result<(), NotYaml> {
        let flow = style == StructureStyle::Flow;
        let (first, mut items) = (self.reading.leaves.len(), 0);
        let mut from = start.start;
        let column = loop {
            let (event, span) = self.inside()?;
            if items == 0 && !flow && !self.text[from..].starts_with('-') {
                from = self.text[..span.start].rfind('-').unwrap_or(from);
            }
            if matches!(event, Event::SequenceEnd) {
                self.close(flow, start, &span);
                let (document, path, end) = (self.document, self.path.clone(), self.last);
                let column = if flow { 0 } else { self.column(from) };
                let brace = flow.then(|| span.end - 1);
                self.reading.collections.push(Collection { document, path, is_list: true, column, start: from, end, items, brace });
                break column;
            }
            self.path.push(Step::Index(items));
            // An item that is not there has its place behind its dash.
            let behind = usize::from(span.is_empty() && self.text[span.start..].starts_with('-'));
            self.node(event, &(span.start + behind..span.end + behind))?;
            self.path.pop();
            items += 1;
        };
        self.styled(first, flow, column);
        Ok(())
    }

    /// Notes where a collection ends that is written in brackets.
    fn close(&mut self, flow: bool, start: &Range<usize>, end: &Range<usize>) {
        self.last = if flow { end.end } else { self.last.max(start.start) };
    }

    /// Values directly in this collection belong to its column; all values below one in brackets are on a line.
    fn styled(&mut self, first: usize, flow: bool, column: usize) {
        let depth = self.path.len() + 1;
        for leaf in &mut self.reading.leaves[first..] {
            leaf.style.flow |= flow;
            if leaf.path.len() == depth {
                leaf.style.indent = column;
            }
        }
    }

    /// A key of the root: the `sops` block goes from the line of its key to the line of the next one.
    fn root_key(&mut self, at: usize, is_block: bool) {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        for block in self.reading.block_spans.iter_mut().filter(|block| block.end == usize::MAX) {
            block.end = line;
        }
        if is_block {
            self.reading.block_spans.push(line..usize::MAX);
        }
    }

    /// Where the `|` or `>` of a block of lines stands, whose first line begins at `offset`: behind the key or the item before, and in no
    /// comment. Notes a comment beside it.
    fn block_header(&mut self, offset: usize) -> usize {
        let (mut before, mut in_comment, mut header) = (b'\n', false, None);
        for (at, byte) in self.text.bytes().enumerate().take(offset).skip(self.last) {
            match byte {
                b'\n' if header.is_some() => break,
                b'\n' => in_comment = false,
                b'#' if before.is_ascii_whitespace() && !in_comment => {
                    in_comment = true;
                    if let Some(header) = header {
                        self.note_header(header, at);
                    }
                }
                b'|' | b'>' if before.is_ascii_whitespace() && !in_comment && header.is_none() => header = Some(at),
                _ => {}
            }
            before = byte;
        }
        header.unwrap_or(offset)
    }

    /// A block of lines: spaces at the end of its last line belong to it, and those before what follows do not.
    fn lines(&self, span: Range<usize>) -> Range<usize> {
        let text = &self.text[span.clone()];
        let whole = if span.end == self.text.len() { text.len() } else { text.rfind('\n').map_or(text.len(), |at| at + 1) };
        span.start..span.start + text[..whole].trim_end_matches(['\n', '\r']).len()
    }

    fn note_header(&mut self, header: usize, mark: usize) {
        let from = self.text[..mark].trim_end().len();
        let end = self.text[mark..].find(['\r', '\n']).map_or(self.text.len(), |at| mark + at);
        let owner = if matches!(self.path.last(), Some(Step::Key(_))) { self.last } else { header };
        let line = self.text[..owner].rfind('\n').map_or(0, |at| at + 1);
        self.reading.headers.push(Header { comment: from..end, line });
    }

    /// Where the document ends that has nothing but comments from `offset` on.
    fn behind_comments(&self, offset: usize) -> usize {
        let mut at = offset;
        for line in self.text[offset..].split_inclusive('\n') {
            let begins = at == 0 || self.text[..at].ends_with('\n');
            if begins && (line.starts_with("---") || line.starts_with("...")) {
                return at;
            }
            at += line.len();
        }
        at
    }

    /// Where an entry begins whose key begins at `key`: anchors, tags and a `?` stand before it on its line.
    fn entry_start(&self, key: usize) -> usize {
        let line = self.text[..key].rfind('\n').map_or(0, |end| end + 1);
        let mut start = key;
        loop {
            let before = self.text[line..start].trim_end();
            let word = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
            if !(before[word..].starts_with(['&', '!']) || &before[word..] == "?") {
                return start;
            }
            start = line + word;
        }
    }

    fn column(&self, offset: usize) -> usize {
        let line = self.text[..offset].rfind('\n').map_or(0, |end| end + 1);
        self.text[line..offset].chars().count()
    }
}

/// What a scalar is: quoted and block text is text, and so is what a tag of one's own marks.
pub(super) fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Plain, String> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { Plain::of_yaml(text).map_err(str::to_owned) } else { Ok(Plain::text(text)) };
    };
    match yaml_tag(tag) {
        Some("binary") => {
            let compact = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
            let bytes = STANDARD.decode(compact.as_bytes()).map(Zeroizing::new).map_err(|_| "`!!binary` is not base64".to_owned())?;
            Ok(std::str::from_utf8(&bytes).map(Plain::text).unwrap_or(Plain::Bytes(bytes)))
        }
        None if tag.parts() == ("", "!") => Err("the tag `!`, which readers take differently; leave it out, or write quotes".into()),
        // `!!merge <<` is how sops writes a merge key that it wrote out.
        None | Some("str" | "merge") => Ok(Plain::text(text)),
        Some(name) => Err(format!("the tag `!!{name}` is nothing that kthw encrypts; leave it out")),
    }
}

/// The name of one of YAML's own tags, such as `str` of `!!str`.
fn yaml_tag(tag: &Tag) -> Option<&str> {
    const OWN: &str = "tag:yaml.org,2002:";
    match tag.parts() {
        (OWN, name) => Some(name),
        ("", whole) => whole.strip_prefix(OWN),
        _ => None,
    }
}

/// Where a directive stands: a line that begins with `%` and is not inside a document.
fn directive(text: &str) -> Option<usize> {
    let (mut at, mut outside) = (0, true);
    for line in text.split_inclusive('\n') {
        if outside && line.starts_with('%') {
            return Some(at);
        }
        let bare = line.trim_start_matches('\u{feff}').trim();
        outside = line.starts_with("...") || outside && (bare.is_empty() || bare.starts_with('#'));
        at += line.len();
    }
    None
}

fn range(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or_default();
    start..span.end.byte_offset().unwrap_or_default().max(start)
}
