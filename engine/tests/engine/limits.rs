//! A machine of which nothing is ever heard: whatever a transport does, it is given up.
use kthw_engine::{
    BoxFuture, Effect, Peers, Result, RunOptions, SystemClock, execute,
    node::{Action, Block, BlockOutcome, Finding, Nodes, Output, Probe, Told},
};
use std::{future::pending, sync::Arc};

struct Mute;

impl Nodes for Mute {
    fn read<'a>(&'a self, _: &'a str, _: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(pending())
    }
    fn change<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Block],
        _: &'a Effect,
        _: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(pending())
    }
    fn keep_host_key<'a>(&'a self, _: &'a str, _: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(pending())
    }
    fn act<'a>(&'a self, _: &'a str, _: &'a Action, _: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_never_answers_is_given_up() {
    let peers = Peers::new(Arc::new(Mute), Arc::new(SystemClock::default()));
    let looked = peers.nodes().read("cu1", &[]).await.unwrap_err();
    assert_eq!(looked.to_string(), "cu1 has not answered for 300 s; asked for was a look at it");
    for (limit_s, waited_s) in [(60, 665), (300, 905)] {
        let done = execute("cu1", &Action::run_for(limit_s, ["true"]), &peers, &RunOptions::default()).await.unwrap_err();
        assert_eq!(done.to_string(), format!("cu1 has not answered for {waited_s} s; asked for was a change of it"));
    }
}
