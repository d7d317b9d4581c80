//! Nodes with the comments that go-yaml's parser gives them: it hands what its scanner collected to the next event, and moves some feet.
//!
//! Reference: <https://github.com/yaml/go-yaml/blob/v3.0.4/parserc.go> and `decode.go` beside it. What an event overwrites there is lost
//! here too.
use super::{
    Piece, Unlike,
    scan::{Kind as Mark, Remark, Scanned, Token},
};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    Map,
    List,
}

/// A node: keys and values of a map take turns in `content`.
#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub text: String,
    pub head: Vec<Piece>,
    pub line: Vec<Piece>,
    pub foot: Vec<Piece>,
    pub content: Vec<Node>,
}

impl Node {
    fn new(kind: Kind) -> Self {
        Self { kind, text: String::new(), head: Vec::new(), line: Vec::new(), foot: Vec::new(), content: Vec::new() }
    }
}

/// The documents of a text, each a node around its root.
///
/// # Errors
/// When go-yaml would not take a token where it stands.
pub(super) fn documents(scanned: Scanned) -> Result<Vec<Node>, Unlike> {
    let mut parser = Parser { tokens: scanned.tokens, at: 0, remarks: scanned.remarks, next_remark: 0, held: Held::default(), stem: None };
    parser.skip();
    let mut documents = Vec::new();
    while let Some(document) = parser.document(documents.is_empty())? {
        documents.push(document);
    }
    Ok(documents)
}

/// What waits for the next event.
#[derive(Debug, Default)]
struct Held {
    head: Vec<Piece>,
    line: Vec<Piece>,
    foot: Vec<Piece>,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    remarks: Vec<Remark>,
    next_remark: usize,
    held: Held,
    /// The head of a list item whose map or list begins on the line of its dash.
    stem: Option<Vec<Piece>>,
}

impl Parser {
    /// The next token; the remarks before it are collected.
    fn peek(&mut self) -> Mark {
        let token = &self.tokens[self.at.min(self.tokens.len() - 1)];
        while let Some(remark) = self.remarks.get_mut(self.next_remark) {
            // The end of a block takes no head: it waits for what follows.
            if token.at < remark.token || !remark.head.is_empty() && token.kind == Mark::BlockEnd {
                break;
            }
            join(&mut self.held.head, &mut remark.head);
            join(&mut self.held.foot, &mut remark.foot);
            join(&mut self.held.line, &mut remark.line);
            self.next_remark += 1;
        }
        token.kind
    }

    fn skip(&mut self) {
        self.at += 1;
    }

    fn unlike<T>(&self) -> Result<T, Unlike> {
        let token = &self.tokens[self.at.min(self.tokens.len() - 1)];
        Err(Unlike { offset: usize::try_from(token.at).unwrap_or_default() })
    }

    /// All that waits goes to the node of this event.
    fn give(&mut self, node: &mut Node) {
        let held = std::mem::take(&mut self.held);
        (node.head, node.line, node.foot) = (held.head, held.line, held.foot);
        self.stem = None;
    }

    fn document(&mut self, first: bool) -> Result<Option<Node>, Unlike> {
        let mut document = Node::new(Kind::Scalar);
        let mut token = self.peek();
        while !first && token == Mark::DocumentEnd {
            self.skip();
            token = self.peek();
        }
        match token {
            Mark::StreamEnd => return Ok(None),
            Mark::DocumentStart => {
                self.skip();
                let root = match self.peek() {
                    Mark::DocumentStart | Mark::DocumentEnd | Mark::StreamEnd => Node::new(Kind::Scalar),
                    _ => self.node(true, false)?,
                };
                document.content.push(root);
            }
            _ if first => {
                document.head = self.document_head();
                let root = self.node(true, false)?;
                document.content.push(root);
            }
            _ => return self.unlike(),
        }
        if self.peek() == Mark::DocumentEnd {
            self.skip();
        }
        let mut end = Node::new(Kind::Scalar);
        self.give(&mut end);
        document.foot = if end.foot.is_empty() { end.head } else { end.foot };
        Ok(Some(document))
    }

    /// Comments at the top, up to their last empty line, are the document's; the rest belongs to what follows.
    fn document_head(&mut self) -> Vec<Piece> {
        let head = &self.held.head;
        let last = head.len().saturating_sub(1);
        let split = (1..head.len()).rev().find_map(|at| match (head[at], head[at - 1]) {
            (Piece::Break, _) if at == last => Some((at, at + 1)),
            (Piece::Break, Piece::Break) => Some((at - 1, at + 1)),
            _ => None,
        });
        let Some((end, rest)) = split else { return Vec::new() };
        let rest = self.held.head.split_off(rest);
        let mut head = std::mem::replace(&mut self.held.head, rest);
        head.truncate(end);
        head
    }

    fn node(&mut self, block: bool, indentless: bool) -> Result<Node, Unlike> {
        let mut token = self.peek();
        if token == Mark::Alias {
            return Ok(self.scalar());
        }
        let mut properties = 0;
        while token == Mark::Property && properties < 2 {
            self.skip();
            properties += 1;
            token = self.peek();
        }
        match token {
            Mark::BlockEntry if indentless => {
                let mut list = Node::new(Kind::List);
                while self.peek() == Mark::BlockEntry {
                    let ends = [Mark::BlockEntry, Mark::Key, Mark::Value, Mark::BlockEnd];
                    list.content.push(self.item(&ends)?);
                }
                Ok(list)
            }
            Mark::Scalar => Ok(self.scalar()),
            Mark::FlowListStart => self.flow_list(),
            Mark::FlowMapStart => self.flow_map(),
            Mark::BlockListStart if block => self.block_list(),
            Mark::BlockMapStart if block => self.block_map(),
            _ if properties > 0 => Ok(Node::new(Kind::Scalar)),
            _ => self.unlike(),
        }
    }

    fn scalar(&mut self) -> Node {
        let mut node = Node::new(Kind::Scalar);
        self.give(&mut node);
        node.text = std::mem::take(&mut self.tokens[self.at].text);
        self.skip();
        node
    }

    /// The item behind a dash; nothing where one of `ends` follows at once.
    fn item(&mut self, ends: &[Mark]) -> Result<Node, Unlike> {
        let before = self.held.head.len();
        self.skip();
        if before > 0 && matches!(self.peek(), Mark::BlockListStart | Mark::BlockMapStart) {
            let rest = if self.held.head.len() == before { Vec::new() } else { self.held.head.split_off(before + 1) };
            self.held.head.truncate(before);
            self.stem = Some(std::mem::replace(&mut self.held.head, rest));
        }
        if ends.contains(&self.peek()) { Ok(Node::new(Kind::Scalar)) } else { self.node(true, false) }
    }

    fn block_list(&mut self) -> Result<Node, Unlike> {
        let mut list = Node::new(Kind::List);
        list.head = self.stem.take().unwrap_or_default();
        self.peek();
        self.skip();
        loop {
            match self.peek() {
                Mark::BlockEntry => list.content.push(self.item(&[Mark::BlockEntry, Mark::BlockEnd])?),
                Mark::BlockEnd => {
                    self.skip();
                    return Ok(list);
                }
                _ => return self.unlike(),
            }
        }
    }

    fn block_map(&mut self) -> Result<Node, Unlike> {
        const ENDS: [Mark; 3] = [Mark::Key, Mark::Value, Mark::BlockEnd];
        let mut map = Node::new(Kind::Map);
        map.head = self.stem.take().unwrap_or_default();
        self.peek();
        self.skip();
        loop {
            match self.peek() {
                Mark::Key => {}
                Mark::BlockEnd => {
                    self.ended(&mut map);
                    let before = map.content.len();
                    if !map.foot.is_empty() && before > 1 {
                        map.content[before - 2].foot = std::mem::take(&mut map.foot);
                    }
                    return Ok(map);
                }
                _ => return self.unlike(),
            }
            self.skip();
            let mut key = if ENDS.contains(&self.peek()) { Node::new(Kind::Scalar) } else { self.node(true, true)? };
            // A foot that arrives with a key belongs to the pair before it.
            let before = map.content.len();
            if !key.foot.is_empty() && before >= 2 {
                map.content[before - 2].foot = std::mem::take(&mut key.foot);
            }
            let value = if self.peek() == Mark::Value {
                self.skip();
                if ENDS.contains(&self.peek()) { Node::new(Kind::Scalar) } else { self.node(true, true)? }
            } else {
                Node::new(Kind::Scalar)
            };
            pair(&mut map, key, value);
        }
    }

    fn flow_list(&mut self) -> Result<Node, Unlike> {
        let mut list = Node::new(Kind::List);
        self.give(&mut list);
        self.skip();
        let mut first = true;
        while self.peek() != Mark::FlowListEnd {
            if !std::mem::replace(&mut first, false) {
                self.comma()?;
            }
            match self.peek() {
                Mark::FlowListEnd => break,
                Mark::Key => {
                    self.skip();
                    let mut map = Node::new(Kind::Map);
                    let ends = [Mark::Value, Mark::FlowEntry, Mark::FlowListEnd];
                    let key = if ends.contains(&self.peek()) { Node::new(Kind::Scalar) } else { self.node(false, false)? };
                    let value = self.flow_value(&[Mark::FlowEntry, Mark::FlowListEnd])?;
                    pair(&mut map, key, value);
                    list.content.push(map);
                }
                _ => {
                    let item = self.node(false, false)?;
                    list.content.push(item);
                }
            }
        }
        self.ended(&mut list);
        Ok(list)
    }

    fn flow_map(&mut self) -> Result<Node, Unlike> {
        let mut map = Node::new(Kind::Map);
        self.give(&mut map);
        self.skip();
        let mut first = true;
        while self.peek() != Mark::FlowMapEnd {
            if !std::mem::replace(&mut first, false) {
                self.comma()?;
            }
            match self.peek() {
                Mark::FlowMapEnd => break,
                Mark::Key => {
                    self.skip();
                    let ends = [Mark::Value, Mark::FlowEntry, Mark::FlowMapEnd];
                    let key = if ends.contains(&self.peek()) { Node::new(Kind::Scalar) } else { self.node(false, false)? };
                    let value = self.flow_value(&[Mark::FlowEntry, Mark::FlowMapEnd])?;
                    pair(&mut map, key, value);
                }
                _ => {
                    let key = self.node(false, false)?;
                    self.peek();
                    pair(&mut map, key, Node::new(Kind::Scalar));
                }
            }
        }
        self.ended(&mut map);
        Ok(map)
    }

    fn comma(&mut self) -> Result<(), Unlike> {
        if self.peek() != Mark::FlowEntry {
            return self.unlike();
        }
        self.skip();
        Ok(())
    }

    fn flow_value(&mut self, ends: &[Mark]) -> Result<Node, Unlike> {
        if self.peek() == Mark::Value {
            self.skip();
            if !ends.contains(&self.peek()) {
                return self.node(false, false);
            }
        }
        Ok(Node::new(Kind::Scalar))
    }

    /// What waits at the end of a collection: its line and its foot count, and nothing of them from its beginning.
    fn ended(&mut self, node: &mut Node) {
        let mut end = Node::new(node.kind);
        self.give(&mut end);
        (node.line, node.foot) = (end.line, end.foot);
        self.skip();
    }
}

/// Adds a pair; the foot of its value is its key's.
fn pair(map: &mut Node, mut key: Node, mut value: Node) {
    if key.foot.is_empty() {
        key.foot = std::mem::take(&mut value.foot);
    }
    map.content.extend([key, value]);
}

fn join(all: &mut Vec<Piece>, more: &mut Vec<Piece>) {
    if !more.is_empty() {
        if !all.is_empty() {
            all.push(Piece::Break);
        }
        all.append(more);
    }
}
