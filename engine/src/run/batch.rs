//! Turns ready resources of one node into one batch of blocks: guard, actions, what to read again.
use crate::{
    id::Id,
    node::{Action, Block, Finding},
    order::Item,
};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

/// The changes of one node that travel together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The node's position in the order.
    pub node: usize,
    pub members: Vec<usize>,
    pub blocks: Vec<Block>,
    /// Resources that have nothing to do and wait for some of the blocks: what comes after them comes after those blocks.
    through: HashMap<usize, Vec<usize>>,
}

impl Batch {
    pub fn new(node: usize) -> Self {
        Self { node, members: Vec::new(), blocks: Vec::new(), through: HashMap::new() }
    }

    /// Adds a resource; what it waits for inside the batch becomes `after`.
    pub fn push(&mut self, position: usize, item: &Item, seen: &[Finding], actions: Vec<Action>) {
        let query = item.step.query();
        let after = self.blocks_before(item);
        let guard = query.iter().cloned().zip(seen.iter().cloned()).collect();
        self.blocks.push(Block { after, guard, actions, reread: query });
        self.members.push(position);
    }

    /// Lets a resource that has nothing to do stand for what it waits for in the batch.
    pub fn pass(&mut self, position: usize, item: &Item) {
        self.through.insert(position, self.blocks_before(item));
    }

    /// Whether a resource is in the batch, or passed through it.
    pub fn holds(&self, position: usize) -> bool {
        self.through.contains_key(&position) || self.members.contains(&position)
    }

    /// The blocks that a resource comes after, in order.
    fn blocks_before(&self, item: &Item) -> Vec<usize> {
        let passed = item.edges.iter().filter_map(|edge| self.through.get(edge)).flatten().copied();
        let inside = item.edges.iter().filter_map(|edge| self.members.iter().position(|member| member == edge));
        inside.chain(passed).collect::<BTreeSet<usize>>().into_iter().collect()
    }
}

/// What it does, for the ledger: never any content.
impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut actions = self.blocks.iter().flat_map(|block| &block.actions);
        let Some(first) = actions.next() else { return f.write_str("looking again") };
        write!(f, "{first}")?;
        match actions.count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The reason for skipping a resource, with the identity that caused it.
pub(crate) fn because_of(id: &Id, why: &str) -> String {
    format!("{id} {why}")
}
