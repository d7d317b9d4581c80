//! The structure of a JSON text with the place of every value. serde_json reads values but does not say where they stand.
use crate::plain::Plain;
use std::{collections::HashSet, ops::Range};
use zeroize::Zeroizing;

/// A file with more values than this is refused.
const MAX_NODES: usize = 100_000;
/// A file nested deeper than this is refused.
const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub span: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Object(Vec<Member>),
    List(Vec<Node>),
    Scalar(Plain),
}

/// A key of an object and its value.
#[derive(Debug)]
pub(super) struct Member {
    pub key: String,
    /// Where the quote in front of the key stands.
    pub start: usize,
    pub value: Node,
}

/// What is not JSON, or not what sops can hold, and where.
#[derive(Debug)]
pub(super) struct NotJson {
    pub reason: String,
    pub offset: usize,
}

impl Node {
    /// Where the things in a list or an object begin and end; empty for a value.
    pub fn items(&self) -> Vec<Range<usize>> {
        match &self.kind {
            Kind::Object(members) => members.iter().map(|member| member.start..member.value.span.end).collect(),
            Kind::List(items) => items.iter().map(|item| item.span.clone()).collect(),
            Kind::Scalar(_) => Vec::new(),
        }
    }

    /// The value of a key, or of a position.
    pub fn member(&self, key: &str) -> Option<&Node> {
        let Kind::Object(members) = &self.kind else { return None };
        members.iter().find(|member| member.key == key).map(|member| &member.value)
    }
}

/// Reads a whole text.
pub(super) fn read(text: &str) -> Result<Node, NotJson> {
    let mut scanner = Scanner { text, at: 0, nodes: 0 };
    scanner.space();
    let root = scanner.node(0)?;
    scanner.space();
    match scanner.rest() {
        "" => Ok(root),
        _ => Err(scanner.error("something stands behind the end of its root")),
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, reason: impl Into<String>) -> NotJson {
        NotJson { reason: reason.into(), offset: self.at }
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Steps over `mark`, if it stands here, and the space behind it.
    fn step(&mut self, mark: char) -> bool {
        let here = self.rest().starts_with(mark);
        if here {
            self.at += mark.len_utf8();
            self.space();
        }
        here
    }

    fn node(&mut self, depth: usize) -> Result<Node, NotJson> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.error(format!("it has more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(self.error(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        let start = self.at;
        let kind = match self.rest().as_bytes().first() {
            Some(b'{') => Kind::Object(self.object(depth)?),
            Some(b'[') => Kind::List(self.list(depth)?),
            Some(b'"') => Kind::Scalar(Plain::Text(self.string()?)),
            _ => Kind::Scalar(self.word()?),
        };
        Ok(Node { span: start..self.at, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member>, NotJson> {
        let (mut members, mut known) = (Vec::new(), HashSet::new());
        self.step('{');
        while !self.rest().starts_with('}') {
            if !members.is_empty() && !self.step(',') {
                return Err(self.error("a comma or `}` is missing"));
            }
            let start = self.at;
            if !self.rest().starts_with('"') {
                return Err(self.error("a key in double quotes is missing"));
            }
            let key = self.string()?.to_string();
            if !known.insert(key.clone()) {
                return Err(NotJson { reason: format!("the key `{key}` stands twice in one object"), offset: start });
            }
            self.space();
            if !self.step(':') {
                return Err(self.error("a colon is missing"));
            }
            let value = self.node(depth + 1)?;
            members.push(Member { key, start, value });
            self.space();
        }
        self.at += 1;
        Ok(members)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, NotJson> {
        let mut items = Vec::new();
        self.step('[');
        while !self.rest().starts_with(']') {
            if !items.is_empty() && !self.step(',') {
                return Err(self.error("a comma or `]` is missing"));
            }
            items.push(self.node(depth + 1)?);
            self.space();
        }
        self.at += 1;
        Ok(items)
    }

    fn string(&mut self) -> Result<Zeroizing<String>, NotJson> {
        let mut escaped = false;
        let end = self.rest().bytes().skip(1).position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let Some(end) = end else { return Err(self.error("a double quote is missing")) };
        let text = &self.rest()[..end + 2];
        let string = serde_json::from_str(text).map_err(|_| self.error("a text has a character or escape that JSON does not allow"))?;
        self.at += text.len();
        Ok(Zeroizing::new(string))
    }

    fn word(&mut self) -> Result<Plain, NotJson> {
        let rest = self.rest();
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len())];
        let plain = match word {
            "null" => Plain::Null,
            "true" => Plain::Bool(true),
            "false" => Plain::Bool(false),
            _ if serde_json::from_str::<serde::de::IgnoredAny>(word).is_ok() => number(word).map_err(|reason| self.error(reason))?,
            _ => return Err(self.error("a value is missing")),
        };
        self.at += word.len();
        Ok(plain)
    }
}

/// sops reads every number of JSON as a float of 64 bits, so whole numbers that such a float does not hold are refused.
fn number(word: &str) -> Result<Plain, &'static str> {
    let float = word.parse::<f64>().ok().filter(|float| float.is_finite()).ok_or("a number is beyond what sops can hold")?;
    let is_whole = !word.contains(['.', 'e', 'E']);
    match word.parse::<i64>() {
        Ok(int) if word != "-0" && float as i128 == i128::from(int) => Ok(Plain::Int(int)),
        _ if !is_whole || float.to_string() == word => Ok(Plain::Float(float)),
        _ => Err("a whole number has more digits than sops keeps in JSON; write it as text in quotes"),
    }
}
