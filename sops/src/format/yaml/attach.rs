//! Where sops finds the comments of a YAML text: in which map or list, and before which value.
//!
//! sops walks what go-yaml attaches to its nodes, and go-yaml decides while it scans: by the token before, by columns and by empty lines
//! (<https://github.com/yaml/go-yaml/blob/v3.0.4/scannerc.go>, `yaml_parser_scan_comments`). A comment's encryption depends on the path to
//! it, and with a rule about comments so does that of values. So the same decisions are taken here, in three steps: tokens and remarks with
//! their marks ([`scan`]), nodes that hold the remarks ([`tree`]), and the order in which sops walks them (here).
mod scan;
mod tree;

use crate::text::Step;
use tree::{Kind, Node};

/// One thing that sops comes by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// The next scalar of the text that is no key.
    Value,
    /// A comment: where its `#` stands, and the path to the map or list that it is in.
    Comment { at: usize, path: Vec<Step> },
    /// A map or a list that holds nothing.
    Empty { path: Vec<Step>, is_list: bool },
}

/// A place where go-yaml reads something else than kthw.
#[derive(Debug)]
pub(super) struct Unlike {
    pub offset: usize,
}

/// A comment line, or the end of a line between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Break,
    Comment(usize),
}

/// Walks all documents of a text, each in a list of its own. Comments that go-yaml drops are in none.
///
/// # Errors
/// When go-yaml would not read the text, or not with the same tokens.
pub(super) fn walk(text: &str) -> Result<Vec<Vec<Walked>>, Unlike> {
    let scanned = scan::scan(text)?;
    let documents = tree::documents(scanned)?;
    Ok(documents
        .into_iter()
        .map(|document| {
            let mut walk = Walk { path: Vec::new(), walked: Vec::new() };
            walk.document(&document);
            walk.walked
        })
        .collect())
}

struct Walk {
    path: Vec<Step>,
    walked: Vec<Walked>,
}

impl Walk {
    /// As sops does it: <https://github.com/getsops/sops/blob/v3.11.0/stores/yaml/store.go>, `appendYamlNodeToTreeBranch`.
    fn document(&mut self, document: &Node) {
        self.comments(&document.head);
        self.comments(&document.line);
        for root in &document.content {
            match root.kind {
                Kind::Scalar => {
                    self.comments(&root.head);
                    self.comments(&root.line);
                }
                Kind::Map | Kind::List => self.node(root, false),
            }
        }
        self.comments(&document.foot);
    }

    /// A value; `told` says that its comments belong to what holds it, and are walked already.
    fn node(&mut self, node: &Node, told: bool) {
        if node.kind == Kind::Scalar {
            self.walked.push(Walked::Value);
            return;
        }
        if !told {
            self.comments(&node.head);
            self.comments(&node.line);
        }
        match node.kind {
            Kind::List => {
                for (index, item) in node.content.iter().enumerate() {
                    self.comments(&item.head);
                    self.comments(&item.line);
                    self.below(Step::Index(index), item, true);
                    self.comments(&item.foot);
                }
            }
            _ => {
                for pair in node.content.chunks(2) {
                    let [key, value] = pair else { continue };
                    self.comments(&key.head);
                    self.comments(&key.line);
                    let is_scalar = value.kind == Kind::Scalar;
                    if is_scalar {
                        self.comments(&value.head);
                        self.comments(&value.line);
                    }
                    self.below(Step::Key(key.text.clone()), value, is_scalar);
                    if is_scalar {
                        self.comments(&value.foot);
                    }
                    self.comments(&key.foot);
                }
            }
        }
        if !told {
            self.comments(&node.foot);
        }
        if node.content.is_empty() {
            self.walked.push(Walked::Empty { path: self.path.clone(), is_list: node.kind == Kind::List });
        }
    }

    fn below(&mut self, step: Step, node: &Node, told: bool) {
        self.path.push(step);
        self.node(node, told);
        self.path.pop();
    }

    fn comments(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            if let Piece::Comment(at) = piece {
                self.walked.push(Walked::Comment { at: *at, path: self.path.clone() });
            }
        }
    }
}
