//! Applying a plan: each resource as soon as what it needs is settled, nodes side by side, every change read back.
use crate::{
    door::{Door, Permit},
    error::{Error, Result},
    event::{Event, Events, Outcome},
    fence::{Fence, NoFence},
    id::Id,
    ledger::{Ledger, NoLedger},
    node::{Action, Heard, Output},
    peers::Peers,
    plan::Plan,
    stop::{Stop, stoppable},
};
use futures::stream::{FuturesUnordered, StreamExt};
use std::{sync::Arc, time::Duration};

mod batch;
mod ending;
mod errors;
mod lanes;
mod node_turn;
mod schedule;
mod settle;

use schedule::Schedule;

/// How a run is done.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Asked when the person at the terminal presses Ctrl-C.
    pub stop: Stop,
    /// Whether the workspace is still this run's.
    pub fence: Arc<dyn Fence>,
    /// Where effects are written down.
    pub ledger: Arc<dyn Ledger>,
    /// How many effects this run had before, when it settled what an earlier one left.
    pub effects_before: u64,
    /// The run's number, see [`RunStamp`](crate::RunStamp); by default the moment at which it begins.
    pub number: Option<u64>,
    /// Whether nothing is begun after the first failure; what is under way is finished.
    pub ends_at_failure: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            stop: Stop::default(),
            fence: Arc::new(NoFence),
            ledger: Arc::new(NoLedger),
            effects_before: 0,
            number: None,
            ends_at_failure: false,
        }
    }
}

/// What a run did, in plan order.
#[derive(Debug)]
pub struct Report {
    /// Every resource and how it ended.
    pub outcomes: Vec<(Id, Outcome)>,
    /// The failures, with their diagnostics.
    pub failures: Vec<(Id, Error)>,
    /// From the first to the last.
    pub took: Duration,
    /// Whether it was asked to stop.
    pub stopped: bool,
    /// How many effects on the world were begun.
    pub effects: u64,
}

impl Report {
    /// How many resources ended in this way.
    pub fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count()
    }

    /// How many resources were changed.
    pub fn changed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Changed { .. }))
    }

    /// How many were not tried.
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped { .. }))
    }

    /// How many are never done as declared.
    pub fn refused(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Refused { .. }))
    }
}

/// Carries out a plan.
///
/// Each resource is read again at its turn and may need less than the plan said, never more. A failure skips what depends on it;
/// everything else goes on. Failures are in the report, not in the result.
pub async fn run(plan: Plan, peers: &Peers, events: &Events, options: &RunOptions) -> Report {
    let door = Door::open(peers, options);
    let begun = peers.clock().now();
    let blocker = plan.blocker().map(|id| format!("{id} differs in what the others were told too"));
    let Plan { mut order, planned, seen, .. } = plan;
    order.reach_through(|one| planned[one].change.is_none());
    let mut schedule = Schedule::new(&order, planned, seen, events, peers.clock());
    if let Some(because) = blocker {
        schedule.skip_the_rest(&because);
    }
    let mut working = FuturesUnordered::new();
    loop {
        if schedule.is_overtaken() {
            schedule.skip_the_rest("another run has this workspace now");
            // Waits end too: nothing comes of them.
            options.stop.ask();
        }
        // This includes what comes back undone from a batch that was under way.
        if options.stop.is_asked() {
            schedule.skip_the_rest("the run was asked to stop");
        }
        if options.ends_at_failure && schedule.has_failed() {
            schedule.skip_the_rest("something failed, and this run begins nothing after that");
        }
        for task in schedule.tasks() {
            working.push(stoppable(options.stop.clone(), settle::work(task, &order, peers, &door, events)));
        }
        match working.next().await {
            Some(done) => schedule.take(done),
            None => break,
        }
    }
    let took = peers.clock().now().saturating_sub(begun);
    let report = Report { took, effects: door.effects() - options.effects_before, ..schedule.report(options.stop.is_asked()) };
    events(Event::Finished {
        changed: report.changed(),
        unchanged: report.count(|outcome| *outcome == Outcome::Unchanged),
        failed: report.failures.len(),
        skipped: report.skipped(),
        refused: report.refused(),
        seconds: took.as_secs_f64(),
    });
    report
}

/// Does one thing because a person asked for exactly that, and no plan was made for it: its effects pass the door like any other's, under the lock
/// and in the journal of `options`.
///
/// As of a run, a failure is in the report, and then there is no result.
pub async fn once<T>(
    id: Id,
    change: &str,
    peers: &Peers,
    options: &RunOptions,
    deed: impl AsyncFnOnce(&Permit) -> Result<T>,
) -> (Option<T>, Report) {
    let begun = peers.clock().now();
    let door = Door::open(peers, options);
    let done = deed(&door.permit(vec![id.clone()])).await;
    let (done, outcome, failures) = match done {
        Ok(done) => (Some(done), Outcome::Changed { change: change.to_owned() }, Vec::new()),
        Err(error) => (None, Outcome::Failed { error: error.to_string() }, vec![(id.clone(), error)]),
    };
    let report = Report {
        outcomes: vec![(id, outcome)],
        failures,
        took: peers.clock().now().saturating_sub(begun),
        stopped: options.stop.is_asked(),
        effects: door.effects() - options.effects_before,
    };
    (done, report)
}

/// Does one action on a node because a person asked for exactly that (`kthw exec`). It is not a run: its number is 0.
///
/// # Errors
/// When the node cannot be reached; the exit status of the action is part of the output.
pub async fn execute(node: &str, action: &Action, peers: &Peers, options: &RunOptions) -> Result<Output> {
    Door::numbered(0, options).permit(Vec::new()).act(peers, node, action).await
}

/// As [`execute`], for somebody who listens: `heard` gets what the action prints as it comes, and the output holds the status alone.
///
/// # Errors
/// As [`execute`].
pub async fn execute_heard(
    node: &str,
    action: &Action,
    peers: &Peers,
    options: &RunOptions,
    heard: &(dyn Fn(Heard<'_>) + Sync),
) -> Result<Output> {
    Door::numbered(0, options).permit(Vec::new()).act_heard(peers, node, action, heard).await
}
