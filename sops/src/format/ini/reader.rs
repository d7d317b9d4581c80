//! Reads INI text as sops does (<https://github.com/go-ini/ini/blob/v1.67.0/parser.go>), with the place of every value and comment.
//!
//! What that reader drops or cuts without a word is refused here: text that would not come back after decryption.
use std::{collections::HashSet, ops::Range};
use zeroize::Zeroizing;

/// The section of the keys that stand above all sections.
const DEFAULT: &str = "DEFAULT";

/// A section; the first is the one above all headers.
#[derive(Debug)]
pub(super) struct Section {
    pub name: String,
    pub comment: Option<Comment>,
    pub keys: Vec<Key>,
    /// From the header's line to the next header; a comment above it is not in it.
    pub span: Range<usize>,
    /// Behind the last line that belongs to it.
    pub end: usize,
}

#[derive(Debug)]
pub(super) struct Key {
    pub name: String,
    pub value: Value,
    pub comment: Option<Comment>,
}

#[derive(Debug)]
pub(super) struct Value {
    pub text: Zeroizing<String>,
    /// With its quotes.
    pub span: Range<usize>,
    /// The one quote character on each side, if any.
    pub quote: Option<char>,
}

/// The one comment of a section or a key: the lines above it, or what stands beside a value.
#[derive(Debug)]
pub(super) struct Comment {
    /// Without the mark in front; the lines below the first keep theirs.
    pub text: Zeroizing<String>,
    pub span: Range<usize>,
}

/// What cannot be read, and where.
#[derive(Debug)]
pub(super) struct NotIni {
    pub reason: String,
    pub offset: usize,
}

pub(super) fn read(text: &str) -> Result<Vec<Section>, NotIni> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let top = Section { name: DEFAULT.into(), comment: None, keys: Vec::new(), span: start..text.len(), end: start };
    let mut reader = Reader { text, at: start, above: None, sections: vec![top], known: HashSet::new() };
    while reader.at < text.len() {
        reader.line()?;
    }
    match reader.above {
        // sops drops it, and leaves it where it is when encrypting.
        Some(comment) => Err(NotIni { reason: "a comment has no key or section below it; move it".into(), offset: comment.span.start }),
        None => Ok(reader.sections),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    /// The comment that waits for its key or section.
    above: Option<Comment>,
    sections: Vec<Section>,
    /// The names of the keys of the last section.
    known: HashSet<String>,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Result<(), NotIni> {
        let begin = self.at;
        let line = self.text[begin..].split_inclusive('\n').next().unwrap_or_default();
        self.at += line.len();
        let start = begin + line.len() - line.trim_start().len();
        match self.text[start..self.at.max(start)].chars().next() {
            None => Ok(()),
            Some('#' | ';') => self.comment_line(start),
            Some('[') => self.header(begin, start),
            Some(_) => self.key(start),
        }
    }

    /// The rest of the line from `start`, without space at its end.
    fn rest(&self, start: usize) -> &'a str {
        self.text[start..self.at].trim_end()
    }

    fn comment_line(&mut self, start: usize) -> Result<(), NotIni> {
        let line = self.rest(start);
        match &mut self.above {
            None => self.above = Some(comment(line, start)),
            // sops itself ends in a panic when it decrypts such a comment.
            Some(above) if above.text.is_empty() => {
                let reason = "the first line of a comment is empty, which sops cannot write again; delete that line";
                return Err(NotIni { reason: reason.into(), offset: above.span.start });
            }
            Some(above) => {
                above.text.push('\n');
                above.text.push_str(line);
                above.span.end = start + line.len();
            }
        }
        Ok(())
    }

    /// The comment of what stands on this line: the one above, or the one beside it.
    fn take_comment(&mut self, beside: Option<Comment>) -> Result<Option<Comment>, NotIni> {
        match (self.above.take(), beside) {
            (Some(_), Some(beside)) => Err(NotIni {
                reason: "comments stand both above and beside it, and sops keeps one; join them".into(),
                offset: beside.span.start,
            }),
            (above, beside) => Ok(above.or(beside)),
        }
    }

    fn header(&mut self, begin: usize, start: usize) -> Result<(), NotIni> {
        let refused = |reason: &str| NotIni { reason: reason.into(), offset: start };
        let line = self.rest(start);
        let close = line.rfind(']').ok_or_else(|| refused("the name of a section has no `]`"))?;
        let name = &line[1..close];
        if name.is_empty() || name.contains(']') {
            return Err(refused("the name of a section is empty or has a `]` in it or in the comment beside it"));
        }
        match line[close + 1..].trim_start() {
            "" => {}
            // An encrypted comment holds a `]`, with which sops would take it for a part of the name.
            behind if behind.starts_with(['#', ';']) => {
                return Err(refused("a comment stands beside the name of a section, where sops cannot read it encrypted; move it above"));
            }
            _ => return Err(refused("something stands behind the name of a section")),
        }
        let comment = self.above.take();
        if let Some(last) = self.sections.last_mut() {
            last.span.end = comment.as_ref().map_or(begin, |comment| line_of(self.text, comment.span.start)).min(begin);
        }
        self.known.clear();
        self.sections.push(Section { name: name.into(), comment, keys: Vec::new(), span: begin..self.text.len(), end: self.at });
        Ok(())
    }

    fn key(&mut self, start: usize) -> Result<(), NotIni> {
        let refused = |reason: String| NotIni { reason, offset: start };
        let (name, behind) = name(self.rest(start)).map_err(|reason| refused(reason.into()))?;
        let name = name.to_owned();
        if name == "-" {
            return Err(refused("sops gives a key `-` another name; rename it".into()));
        }
        if name.is_empty() {
            return Err(refused("a line has no name in front of its `=`".into()));
        }
        let (value, beside) = self.value(start + behind)?;
        let comment = self.take_comment(beside)?;
        if !self.known.insert(name.clone()) {
            return Err(refused(format!("the name `{name}` stands twice in one section")));
        }
        let end = self.at;
        if let Some(section) = self.sections.last_mut() {
            section.keys.push(Key { name, value, comment });
            section.end = end;
        }
        Ok(())
    }

    /// The value behind a delimiter, and the comment beside it. A quoted one may go on over more lines.
    fn value(&mut self, behind: usize) -> Result<(Value, Option<Comment>), NotIni> {
        let raw = &self.text[behind..self.at];
        let start = behind + raw.len() - raw.trim_start().len();
        let refused = |reason: &str| NotIni { reason: reason.into(), offset: start.min(self.text.len()) };
        let line = self.rest(start.min(self.at));
        if line.is_empty() {
            // A new value goes behind one space.
            let at = behind + usize::from(raw.starts_with(' '));
            return Ok((Value { text: Zeroizing::default(), span: at..at, quote: None }, None));
        }
        let long = if raw.trim_start().len() > 3 && line.starts_with("\"\"\"") { Some("\"\"\"") } else { None };
        if let Some(mark) = long.or(line.starts_with('`').then_some("`")) {
            return self.quoted(start, mark).map(|value| (value, None));
        }
        if line.ends_with('\\') {
            return Err(refused("a line that ends with a backslash goes on in the next, which kthw does not read; write it in backquotes"));
        }
        let mark = line.find(['#', ';']);
        let value = line[..mark.unwrap_or(line.len())].trim_end();
        let beside = match mark {
            None => None,
            Some(mark) if value.len() == mark && mark > 0 => {
                return Err(refused("sops takes what follows `#` or `;` for a comment; write the value in backquotes"));
            }
            Some(_) if value.starts_with(['"', '\'']) && surrounding(value).is_none() => {
                return Err(refused("sops does not see quotes around `#` or `;`; write the value in backquotes"));
            }
            Some(mark) => Some(comment(&line[mark..], start + mark)),
        };
        let quote = surrounding(value);
        let inner = if quote.is_some() { &value[1..value.len() - 1] } else { value };
        Ok((Value { text: Zeroizing::new(inner.to_owned()), span: start..start + value.len(), quote }, beside))
    }

    fn quoted(&mut self, start: usize, mark: &str) -> Result<Value, NotIni> {
        let refused = |reason: &str| NotIni { reason: reason.into(), offset: start };
        let inner = start + mark.len();
        let mut close = self.text[inner..self.at].rfind(mark).map(|at| inner + at);
        while close.is_none() {
            let begin = self.at;
            let line = self.text[begin..].split_inclusive('\n').next().ok_or_else(|| refused("a quote is not closed"))?;
            self.at += line.len();
            close = line.rfind(mark).map(|at| begin + at);
        }
        let close = close.ok_or_else(|| refused("a quote is not closed"))?;
        let end = close + mark.len();
        if !self.text[end..self.at].trim().is_empty() {
            return Err(refused("something stands behind a closing quote, which sops would drop"));
        }
        let quote = if mark == "`" { Some('`') } else { None };
        Ok(Value { text: Zeroizing::new(self.text[inner..close].to_owned()), span: start..end, quote })
    }
}

/// A comment that begins at `start` with `line`.
fn comment(line: &str, start: usize) -> Comment {
    let marks: &[char] = if line.starts_with(';') { &[';', ' '] } else { &['#', ' '] };
    let text = line.trim_start_matches(marks);
    let end = start + line.len();
    Comment { text: Zeroizing::new(text.to_owned()), span: end - text.len()..end }
}

/// Where the line of `offset` begins.
fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |at| at + 1)
}

/// The name in front of a delimiter, and where what is behind the delimiter begins.
fn name(line: &str) -> Result<(&str, usize), &'static str> {
    let quote = match line.as_bytes() {
        [b'"', b'"', b'"', ..] if line.len() > 5 => "\"\"\"",
        [b'"', ..] => "\"",
        [b'`', ..] => "`",
        _ => {
            let end = line.find(['=', ':']).ok_or("a line has neither `=` nor `:`")?;
            return Ok((line[..end].trim(), end + 1));
        }
    };
    let inner = &line[quote.len()..];
    let end = inner.find(quote).ok_or("the quote around a name is not closed")?;
    let behind = &inner[end + quote.len()..];
    let space = behind.len() - behind.trim_start().len();
    if !behind[space..].starts_with(['=', ':']) {
        return Err("something else than `=` or `:` stands behind a quoted name");
    }
    Ok((inner[..end].trim(), line.len() - behind.len() + space + 1))
}

/// The quote on both sides of a value that has no other such quote.
fn surrounding(value: &str) -> Option<char> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let closes = value.len() >= 2 && value[1..].find(quote) == Some(value.len() - 2);
    closes.then_some(quote)
}
