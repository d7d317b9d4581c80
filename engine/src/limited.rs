//! Limits for machines: whatever a transport does, no look at a node and no change of it takes for ever.
use crate::{
    door::Effect,
    error::{Error, Result},
    node::{Action, Block, BlockOutcome, Finding, Heard, Nodes, Output, Probe, Told},
    peers::BoxFuture,
};
use std::{future::Future, sync::Arc, time::Duration};

/// The longest that a look may take. A transport that knows better ends before, and says more.
const LOOK: Duration = Duration::from_secs(300);
/// What a change may take on top of the time that its programs are allowed: the way there, and another script that is waited for.
const CHANGE: Duration = Duration::from_secs(600);
/// What a program that is stopped at its limit takes to end.
const TO_END: u64 = 5;

/// Machines whose every answer has a limit.
pub(crate) struct Limited(pub Arc<dyn Nodes>);

/// Waits for a node's answer, at most so long.
async fn answer<T>(node: &str, what: &'static str, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let silent = |_| Error::peer(NoAnswer { node: node.to_owned(), what, seconds: limit.as_secs() });
    tokio::time::timeout(limit, work).await.map_err(silent)?
}

/// The longest that these actions may take.
fn limit_of<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Duration {
    let programs = actions.into_iter().map(|action| match action {
        Action::Run { timeout_s, .. } => u64::from(*timeout_s) + TO_END,
        _ => 0,
    });
    CHANGE + Duration::from_secs(programs.sum())
}

impl Nodes for Limited {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(answer(node, "a look at it", LOOK, self.0.read(node, probes)))
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        effect: &'a Effect,
        told: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        let limit = limit_of(batch.iter().flat_map(|block| &block.actions));
        Box::pin(answer(node, "a change of it", limit, self.0.change(node, batch, effect, told)))
    }

    fn keep_host_key<'a>(&'a self, node: &'a str, effect: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(answer(node, "keeping its host key", LOOK, self.0.keep_host_key(node, effect)))
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, effect: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(answer(node, "a change of it", limit_of([action]), self.0.act(node, action, effect)))
    }

    fn act_heard<'a>(
        &'a self,
        node: &'a str,
        action: &'a Action,
        effect: &'a Effect,
        heard: &'a (dyn Fn(Heard<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Output>> {
        Box::pin(answer(node, "a change of it", limit_of([action]), self.0.act_heard(node, action, effect, heard)))
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} has not answered for {seconds} s; asked for was {what}")]
#[diagnostic(
    code(kthw::node::no_answer),
    help(
        "look at the machine's load and its logs (`journalctl -b`), then run it again: kthw reads the node first and goes on from what it finds"
    )
)]
struct NoAnswer {
    node: String,
    what: &'static str,
    seconds: u64,
}
