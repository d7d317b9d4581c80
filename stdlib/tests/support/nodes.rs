//! Nodes that answer as a test says: for the tests beside the code and for those in this folder.
#![allow(dead_code)] // each test uses what it needs of it

use kthw_engine::{
    BoxFuture, Effect, Result,
    node::{Action, Block, BlockOutcome, Finding, Nodes, Output, Probe, Told},
};

type Answer = dyn Fn(&str, &Probe) -> Finding + Send + Sync;
type Deed = dyn Fn(&str, &Action) -> Output + Send + Sync;

/// Nodes that answer each probe, and do single actions, as they are told. A batch, or what nothing is told about, fails the test.
pub struct FakeNodes {
    answer: Box<Answer>,
    deed: Box<Deed>,
}

impl FakeNodes {
    /// No node is expected to be asked anything.
    pub fn unasked() -> Self {
        Self::answering(|node, probe| panic!("{node} is asked for {probe:?}"))
    }

    /// Nodes that are only asked.
    pub fn answering(answer: impl Fn(&str, &Probe) -> Finding + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer), deed: Box::new(|node, action| panic!("{node} is to do {action:?}")) }
    }

    /// The same nodes, which also act.
    pub fn acting(self, deed: impl Fn(&str, &Action) -> Output + Send + Sync + 'static) -> Self {
        Self { deed: Box::new(deed), ..self }
    }
}

impl Nodes for FakeNodes {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(async move { Ok(probes.iter().map(|probe| (self.answer)(node, probe)).collect()) })
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        _: &'a Effect,
        _: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        panic!("{node} is to be changed: {batch:?}")
    }

    fn keep_host_key<'a>(&'a self, _: &'a str, _: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, _: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move { Ok((self.deed)(node, action)) })
    }
}
