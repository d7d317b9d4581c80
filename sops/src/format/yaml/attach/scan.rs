//! Tokens as go-yaml sees them, and what its scanner makes of the comments between them: a head, a foot, or beside something.
//!
//! Reference: <https://github.com/yaml/go-yaml/blob/v3.0.4/scannerc.go>. Numbers such as the 512 bytes that it looks ahead, and lines that
//! it counts in its own way, are part of what it decides.
use super::{Piece, Unlike};
use serde_saphyr::granit_parser::{ScalarStyle, Scanner, StrInput, TokenType};

/// go-yaml looks no further than this for the next comment.
const LOOK_AHEAD: usize = 512;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StreamStart,
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    BlockListStart,
    BlockMapStart,
    BlockEnd,
    FlowListStart,
    FlowListEnd,
    FlowMapStart,
    FlowMapEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias,
    /// An anchor or a tag.
    Property,
    Scalar,
}

/// A token, where it counts as standing, and what a scalar says.
#[derive(Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: i64,
    pub text: String,
}

/// Some comment lines that belong together.
#[derive(Debug, Default)]
pub(super) struct Remark {
    /// They belong to the first token that stands here or behind.
    pub token: i64,
    pub head: Vec<Piece>,
    pub line: Vec<Piece>,
    pub foot: Vec<Piece>,
    scan: i64,
    start: Mark,
    end: i64,
}

/// A place: bytes from the start, lines and columns from 0.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at: i64,
    line: i64,
    column: i64,
}

/// All tokens and remarks of a text, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub tokens: Vec<Token>,
    pub remarks: Vec<Remark>,
}

/// Scans a text.
///
/// # Errors
/// When it is not YAML, or the tokens do not stand where go-yaml looks for them.
pub(super) fn scan(text: &str) -> Result<Scanned, Unlike> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut scan = Scan {
        text: text.as_bytes(),
        mark: Mark { at: place(start), ..Mark::default() },
        newlines: 0,
        indent: -1,
        indents: Vec::new(),
        flow: 0,
        key_comes: false,
        names_key: false,
        keyed: false,
        out: Scanned::default(),
    };
    for token in Scanner::new(StrInput::new(text)) {
        let (span, token) = token.map_err(|error| Unlike { offset: error.marker().byte_offset().unwrap_or(text.len()) })?.into_parts();
        let from = span.start.byte_offset().unwrap_or_default();
        let to = span.end.byte_offset().unwrap_or_default().max(from);
        scan.take(&token, from, to)?;
    }
    Ok(scan.out)
}

struct Scan<'a> {
    text: &'a [u8],
    mark: Mark,
    /// Line ends since the last byte that is not blank.
    newlines: i64,
    /// The column of the innermost block, and of those around it.
    indent: i64,
    indents: Vec<i64>,
    /// How many brackets are open.
    flow: usize,
    /// The next token begins a key without `?`.
    key_comes: bool,
    /// The next scalar is the key itself, whose text is wanted.
    names_key: bool,
    /// The next `:` outside of brackets belongs to a key without `?`.
    keyed: bool,
    out: Scanned,
}

impl Scan<'_> {
    fn take(&mut self, token: &TokenType<'_>, from: usize, to: usize) -> Result<(), Unlike> {
        match token {
            TokenType::StreamStart => self.push(Kind::StreamStart),
            TokenType::StreamEnd => {
                let scan = self.mark;
                self.gap(self.text.len(), scan)?;
                if self.mark.column != 0 {
                    self.mark.column = 0;
                    self.mark.line += 1;
                }
                self.unroll(-1, self.mark);
                self.push(Kind::StreamEnd);
            }
            TokenType::DocumentStart | TokenType::DocumentEnd => {
                let kind = if matches!(token, TokenType::DocumentStart) { Kind::DocumentStart } else { Kind::DocumentEnd };
                let scan = self.mark;
                self.gap(from, scan)?;
                self.unroll(-1, self.mark);
                self.push(kind);
                self.advance(from + 3);
            }
            // Blocks begin and end by their columns, here as there.
            TokenType::BlockSequenceStart | TokenType::BlockMappingStart | TokenType::BlockEnd | TokenType::Comment(_) => {}
            // A pair inside of `[…]`, which go-yaml has no brackets for.
            TokenType::FlowMappingStart | TokenType::FlowMappingEnd if !matches!(self.text.get(from), Some(b'{' | b'}')) || to == from => {}
            TokenType::FlowSequenceStart => self.indicator(Kind::FlowListStart, b'[')?,
            TokenType::FlowSequenceEnd => self.indicator(Kind::FlowListEnd, b']')?,
            TokenType::FlowMappingStart => self.indicator(Kind::FlowMapStart, b'{')?,
            TokenType::FlowMappingEnd => self.indicator(Kind::FlowMapEnd, b'}')?,
            TokenType::BlockEntry => self.indicator(Kind::BlockEntry, b'-')?,
            TokenType::FlowEntry => self.indicator(Kind::FlowEntry, b',')?,
            TokenType::Value => self.indicator(Kind::Value, b':')?,
            TokenType::Key => {
                let next = &self.text[self.first_mark()..];
                let explicit = matches!(next, [b'?'] | [b'?', b' ' | b'\t' | b'\n' | b'\r', ..]);
                if explicit { self.indicator(Kind::Key, b'?')? } else { self.key_comes = true }
            }
            TokenType::Alias(_) => self.real(Kind::Alias, from, self.trimmed(from, to), "")?,
            TokenType::Anchor(_) | TokenType::Tag(..) => self.real(Kind::Property, from, self.trimmed(from, to), "")?,
            TokenType::Scalar(style, text) => match style {
                ScalarStyle::Literal | ScalarStyle::Folded => self.block(to, text)?,
                ScalarStyle::Plain => {
                    self.real(Kind::Scalar, from, self.behind_blanks(to), text)?;
                }
                _ => self.real(Kind::Scalar, from, self.trimmed(from, to), text)?,
            },
            _ => return Err(Unlike { offset: from }),
        }
        Ok(())
    }

    /// A token of one byte, wherever the parser says that it stands.
    fn indicator(&mut self, kind: Kind, byte: u8) -> Result<(), Unlike> {
        let at = self.first_mark();
        if self.text.get(at) != Some(&byte) {
            return Err(Unlike { offset: at });
        }
        self.real(kind, at, at + 1, "")
    }

    /// A token of the text: what stands before it, the blocks that end before it, the token, and a comment beside it.
    fn real(&mut self, kind: Kind, from: usize, to: usize, text: &str) -> Result<(), Unlike> {
        let scan = self.mark;
        self.gap(from, scan)?;
        let beside = self.beside(from);
        self.token(kind, text);
        self.advance(to);
        if kind != Kind::BlockEntry {
            self.line_comment(beside);
        }
        Ok(())
    }

    /// A block of lines: its mark stands where the gap ends, and a comment may stand beside that.
    fn block(&mut self, to: usize, text: &str) -> Result<(), Unlike> {
        let scan = self.mark;
        let from = self.first_mark();
        self.gap(from, scan)?;
        if !matches!(self.text.get(from), Some(b'|' | b'>')) {
            return Err(Unlike { offset: from });
        }
        let start = self.mark.at;
        self.token(Kind::Scalar, text);
        let header =
            self.text[from..].iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).map_or(self.text.len(), |at| from + at);
        self.advance(header);
        self.line_comment(start);
        self.advance(self.behind_blanks(to.max(index(self.mark.at))));
        if self.newlines == 0 {
            self.line_comment(start);
        }
        Ok(())
    }

    fn token(&mut self, kind: Kind, text: &str) {
        match kind {
            Kind::FlowListStart | Kind::FlowMapStart => {}
            Kind::FlowListEnd | Kind::FlowMapEnd => self.flow = self.flow.saturating_sub(1),
            Kind::BlockEntry => self.roll(Kind::BlockListStart),
            Kind::Key => {
                self.roll(Kind::BlockMapStart);
                self.names_key = true;
            }
            Kind::Value if self.flow == 0 && !std::mem::take(&mut self.keyed) => self.roll(Kind::BlockMapStart),
            _ => {}
        }
        if std::mem::take(&mut self.key_comes) {
            self.roll(Kind::BlockMapStart);
            self.push(Kind::Key);
            self.names_key = true;
            self.keyed |= self.flow == 0;
        }
        if matches!(kind, Kind::FlowListStart | Kind::FlowMapStart) {
            self.flow += 1;
        }
        // A pair without `:` in brackets is a key too, whatever was said of it.
        let wanted = kind == Kind::Scalar && (std::mem::take(&mut self.names_key) || self.flow > 0);
        let text = if wanted { text.to_owned() } else { String::new() };
        self.out.tokens.push(Token { kind, at: self.mark.at, text });
    }

    fn push(&mut self, kind: Kind) {
        self.out.tokens.push(Token { kind, at: self.mark.at, text: String::new() });
    }

    /// Begins a block where nothing of this column is open.
    fn roll(&mut self, kind: Kind) {
        if self.flow == 0 && self.indent < self.mark.column {
            self.indents.push(self.indent);
            self.indent = self.mark.column;
            self.push(kind);
        }
    }

    /// Ends the blocks that are deeper than `column`. Each ends before the comments that stand in the column of one around it.
    fn unroll(&mut self, column: i64, scan: Mark) {
        if self.flow > 0 {
            return;
        }
        let mut at = scan.at - 1;
        while self.indent > column {
            let mut stop = at;
            for remark in self.out.remarks.iter().rev() {
                if remark.end < stop {
                    break;
                }
                if remark.start.column == self.indent + 1 {
                    at = remark.start.at;
                }
                stop = remark.scan;
            }
            self.out.tokens.push(Token { kind: Kind::BlockEnd, at, text: String::new() });
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    /// Goes to the next token, which is to stand at `to`, through comments; then ends the blocks that are deeper.
    fn gap(&mut self, to: usize, scan: Mark) -> Result<(), Unlike> {
        loop {
            while matches!(self.byte(0), b' ' | b'\t') {
                self.step();
            }
            if self.byte(0) == b'#' {
                self.comments(scan);
            }
            if !is_break(self.byte(0)) {
                break;
            }
            self.step();
        }
        if index(self.mark.at) != to {
            return Err(Unlike { offset: to });
        }
        self.unroll(self.mark.column, scan);
        Ok(())
    }

    /// Where the next byte stands that is neither blank nor in a comment.
    fn first_mark(&self) -> usize {
        let mut at = index(self.mark.at);
        loop {
            match self.text.get(at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
                Some(b'#') => at = self.line_end(at),
                _ => return at,
            }
        }
    }

    /// To which token a comment beside the one at `from` belongs: behind a `:` or a `,` to the token before it.
    fn beside(&self, from: usize) -> i64 {
        let before = matches!((self.text.get(from), self.flow), (Some(b':'), 0)) || self.flow > 0 && self.text.get(from) == Some(&b',');
        match self.out.tokens.last() {
            Some(last) if before => last.at,
            _ => self.mark.at,
        }
    }

    fn line_comment(&mut self, token: i64) {
        if self.newlines > 0 {
            return;
        }
        let blanks = (0..LOOK_AHEAD).take_while(|ahead| matches!(self.byte(*ahead), b' ' | b'\t')).count();
        if blanks == LOOK_AHEAD || self.byte(blanks) != b'#' {
            return;
        }
        let at = index(self.mark.at) + blanks;
        self.advance(at);
        let start = self.mark;
        self.advance(self.line_end(at));
        self.out.remarks.push(Remark { token, start, line: vec![Piece::Comment(at)], ..Remark::default() });
    }

    /// The comments from here on: which are a foot of what came before, and which a head of what follows.
    fn comments(&mut self, mut scan: Mark) {
        let (mut token, after_value) = match &self.out.tokens[..] {
            [.., before, last] if last.kind == Kind::FlowEntry => (before.at, before.kind == Kind::Value),
            [.., last] => (last.at, last.kind == Kind::Value),
            [] => (0, false),
        };
        let indent = self.indent.max(0);
        let (mut start, mut text) = (Mark::default(), Vec::new());
        let (mut recent_empty, mut first_empty) = (false, self.newlines <= 1);
        let (mut line, mut column) = (self.mark.line, self.mark.column);
        // A comment that begins on this line is a foot, unless more follows.
        let below = self.mark.line - self.newlines + 1 + i64::from(self.newlines == 0 && self.mark.column > 1);
        let foot_line = if scan.line > 0 { below } else { -1 };
        let mut ahead = 0;
        while ahead < LOOK_AHEAD {
            column += 1;
            let byte = self.byte(ahead);
            if matches!(byte, b' ' | b'\t') {
                ahead += 1;
                continue;
            }
            let here = Mark { at: self.mark.at + place(ahead), line, column };
            let closes = self.flow > 0 && matches!(byte, b']' | b'}');
            let dedented = start.column - 1 < indent;
            if closes || is_break(byte) || byte == 0 {
                if closes || !recent_empty {
                    if closes || first_empty && (start.line == foot_line && !after_value || dedented) {
                        if !text.is_empty() {
                            if dedented {
                                token = start.at;
                            }
                            self.foot(&mut text, token, scan, start, here.at);
                            (scan, token) = (here, here.at);
                        }
                    } else if !text.is_empty() && byte != 0 {
                        text.push(Piece::Break);
                    }
                }
                if !is_break(byte) {
                    break;
                }
                (first_empty, recent_empty, column) = (false, true, 0);
                line += 1;
                ahead += 1;
                continue;
            }
            if !text.is_empty() && column - 1 < indent && column != start.column {
                self.foot(&mut text, token, scan, start, here.at);
                (scan, token) = (here, here.at);
            }
            if byte != b'#' {
                break;
            }
            if text.is_empty() {
                start = here;
            } else {
                text.push(Piece::Break);
            }
            recent_empty = false;
            text.push(Piece::Comment(index(here.at)));
            self.advance(index(here.at));
            self.advance(self.line_end(index(here.at)));
            // The end of this line is not looked at again.
            (ahead, column, line) = (1, 0, self.mark.line);
        }
        if !text.is_empty() {
            let end = self.mark.at + place(ahead) - 1;
            self.out.remarks.push(Remark { token: start.at, scan: scan.at, start, end, head: text, ..Remark::default() });
        }
    }

    fn foot(&mut self, text: &mut Vec<Piece>, token: i64, scan: Mark, start: Mark, end: i64) {
        self.out.remarks.push(Remark { token, scan: scan.at, start, end, foot: std::mem::take(text), ..Remark::default() });
    }

    /// The byte so far ahead; 0 behind the last.
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(index(self.mark.at) + ahead).copied().unwrap_or_default()
    }

    fn advance(&mut self, to: usize) {
        while index(self.mark.at) < to.min(self.text.len()) {
            self.step();
        }
    }

    /// One character on, or one line end.
    fn step(&mut self) {
        let byte = self.byte(0);
        self.mark.at += if byte == b'\r' && self.byte(1) == b'\n' { 2 } else { 1 };
        if is_break(byte) {
            self.mark.line += 1;
            self.mark.column = 0;
            self.newlines += 1;
            return;
        }
        // The later bytes of a character take no column.
        self.mark.column += i64::from(byte & 0xc0 != 0x80);
        if !matches!(byte, b' ' | b'\t') {
            self.newlines = 0;
        }
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..].iter().position(|byte| is_break(*byte)).map_or(self.text.len(), |at| from + at)
    }

    /// Without what is blank at the end.
    fn trimmed(&self, from: usize, to: usize) -> usize {
        from + self.text[from..to].trim_ascii_end().len()
    }

    /// go-yaml takes all that is blank behind a plain text or a block of lines as part of it.
    fn behind_blanks(&self, to: usize) -> usize {
        let blanks = self.text[to..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        to + blanks
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn index(at: i64) -> usize {
    usize::try_from(at).unwrap_or_default()
}

fn place(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
