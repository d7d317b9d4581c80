//! Writes aliases out. An encrypted value belongs to its path, so what two places share must be encrypted twice, as sops does.
use super::{NotYaml, scalar::scalar, spelling};
use crate::{
    plain::Plain,
    text::{Edit, Style, edited},
};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};
use std::{collections::HashMap, ops::Range};
use zeroize::Zeroizing;

/// More text than this is not written out.
const MAX_BYTES: usize = 4 << 20;

/// `text` with every alias replaced by what it names, on its line. Anchors stay; nothing refers to them any more.
pub(super) fn written_out(text: &str) -> Result<Zeroizing<String>, NotYaml> {
    if !text.contains('*') {
        // No alias, and no need to look for one.
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let mut events = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) =
            event.map_err(|error| NotYaml::new(error.info().to_owned(), error.marker().byte_offset().unwrap_or(text.len())))?;
        if !matches!(event, Event::Comment(..)) {
            events.push((event, span));
        }
    }
    let mut anchors: HashMap<usize, Range<usize>> = HashMap::new();
    let mut edits: Vec<Edit> = Vec::new();
    let mut size = text.len();
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (at, (event, span)) in events.iter().enumerate() {
        match event {
            Event::Scalar(_, _, anchor, _) if *anchor != 0 => drop(anchors.insert(*anchor, at..at + 1)),
            Event::MappingStart(_, anchor, _) | Event::SequenceStart(_, anchor, _) => open.push((*anchor, at)),
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some((anchor, from)) = open.pop().filter(|(anchor, _)| *anchor != 0) {
                    anchors.insert(anchor, from..at + 1);
                }
            }
            Event::Alias(id) => {
                let named =
                    anchors.get(id).cloned().ok_or_else(|| NotYaml::new("this alias names the block that it stands in", start(span)))?;
                let mut out = Zeroizing::new(String::new());
                let mut writing = Writing { events: &events, anchors: &anchors, at: named.start, out: &mut out };
                writing.node()?;
                size += out.len();
                if size > MAX_BYTES {
                    return Err(NotYaml::new("written out, the aliases are more than kthw takes", start(span)));
                }
                edits.push((start(span)..end(span), out));
            }
            _ => {}
        }
    }
    Ok(edited(text, edits))
}

/// Writes the node of an anchor on one line.
struct Writing<'a> {
    events: &'a [(Event<'a>, Span)],
    anchors: &'a HashMap<usize, Range<usize>>,
    at: usize,
    out: &'a mut Zeroizing<String>,
}

impl Writing<'_> {
    fn node(&mut self) -> Result<(), NotYaml> {
        let (event, span) = &self.events[self.at];
        self.at += 1;
        if self.out.len() > MAX_BYTES {
            return Err(NotYaml::new("written out, the aliases are more than kthw takes", start(span)));
        }
        match event {
            Event::Scalar(text, style, _, tag) => {
                let value = scalar(text, *style, tag.as_deref()).map_err(|reason| NotYaml::new(reason, start(span)))?;
                match value {
                    // As it was written: a number keeps its spelling.
                    Plain::Text(_) => self.out.push_str(&spelling::text(quoted(), text)),
                    Plain::Null => self.out.push_str("null"),
                    _ if *style == ScalarStyle::Plain => self.out.push_str(text),
                    value => self.out.push_str(&spelling::value(quoted(), &value)),
                }
            }
            Event::MappingStart(..) => {
                self.out.push('{');
                let mut first = true;
                while !matches!(self.events[self.at].0, Event::MappingEnd) {
                    self.comma(&mut first);
                    self.node()?;
                    self.out.push_str(": ");
                    self.node()?;
                }
                self.at += 1;
                self.out.push('}');
            }
            Event::SequenceStart(..) => {
                self.out.push('[');
                let mut first = true;
                while !matches!(self.events[self.at].0, Event::SequenceEnd) {
                    self.comma(&mut first);
                    self.node()?;
                }
                self.at += 1;
                self.out.push(']');
            }
            Event::Alias(id) => {
                let named =
                    self.anchors.get(id).ok_or_else(|| NotYaml::new("this alias names the block that it stands in", start(span)))?;
                let back = std::mem::replace(&mut self.at, named.start);
                self.node()?;
                self.at = back;
            }
            _ => return Err(NotYaml::new("unexpected YAML here", start(span))),
        }
        Ok(())
    }

    fn comma(&mut self, first: &mut bool) {
        if !std::mem::replace(first, false) {
            self.out.push_str(", ");
        }
    }
}

fn quoted() -> Style {
    Style { quote: Some('"'), flow: true, ..Style::default() }
}

fn start(span: &Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}

fn end(span: &Span) -> usize {
    span.end.byte_offset().unwrap_or_default()
}
