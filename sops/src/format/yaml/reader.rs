//! Walks the events of a YAML text: values with paths and places, the maps and lists that they stand in, comments, document ends.
use super::{
    BLOCK, NotYaml,
    places::{self, behind_comments, block_lines, directive, entry_start, line_start, range, trimmed},
    reading::{Collection, Comment, End, FlowRoot, Header, Reading},
    scalar::{scalar, yaml_tag},
};
use crate::{
    plain::Plain,
    text::{Leaf, Step, Style, What},
};
use serde_saphyr::granit_parser::{Event, Parser, Placement, ScalarStyle, Span, StrInput, StructureStyle};
use std::{collections::HashSet, ops::Range};

/// A file with more nodes than this is refused.
const MAX_NODES: usize = 100_000;
/// A file nested deeper than this is refused.
const MAX_DEPTH: usize = 64;

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
        let line = line_start(self.text, span.start);
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
        let offset = behind_comments(self.text, span.start);
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
                let span = if block { block_lines(self.text, start..span.end) } else { trimmed(self.text, start..span.end) };
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
        loop {
            let (event, span) = self.inside()?;
            match event {
                Event::MappingEnd => {
                    self.close(flow, start, &span);
                    let brace = flow.then(|| span.end - 1);
                    let end = self.last;
                    let (document, path) = (self.document, self.path.clone());
                    self.reading.collections.push(Collection { document, path, is_list: false, column, end, items: keys.len(), brace });
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
                        column = places::column(self.text, entry_start(self.text, span.start));
                    }
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
                let column = if flow { 0 } else { places::column(self.text, from) };
                let brace = flow.then(|| span.end - 1);
                self.reading.collections.push(Collection { document, path, is_list: true, column, end, items, brace });
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
        let line = line_start(self.text, at);
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

    fn note_header(&mut self, header: usize, mark: usize) {
        let from = self.text[..mark].trim_end().len();
        let end = self.text[mark..].find(['\r', '\n']).map_or(self.text.len(), |at| mark + at);
        let owner = if matches!(self.path.last(), Some(Step::Key(_))) { self.last } else { header };
        let line = line_start(self.text, owner);
        self.reading.headers.push(Header { comment: from..end, line });
    }
}
