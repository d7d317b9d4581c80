//! Playing a seed: runs with its faults, one after the other, until one has nothing left to do. The tests and `kthw lab replay` share it,
//! so that both see the same.
use crate::{crash::EndsAt, schedule::Schedule, world::World};

use kthw_engine::{Error, Evaluated, Events, Peers, Plan, RecipeStamp, Report, Result, RunOptions, Stop, plan_for_run, run};
use kthw_stdlib::recovery::Recovery;
use kthw_store::{About, Hold, Records, lease::Owner};
use std::sync::Arc;

/// Watches a play.
pub trait Audience {
    /// Where the events of the run with this number, counted from 1, go.
    fn events(&mut self, number: usize, peers: &Peers) -> Events;
    /// The run has a plan.
    fn planned(&mut self, plan: &Plan);
    /// The store kept the run from beginning, or from giving the lock back.
    fn store_failed(&mut self, error: &Error);
    /// The run is over; without a report it was killed.
    fn ended(&mut self, report: Option<&Report>);
}

/// How a play ended.
#[derive(Debug)]
pub struct Played {
    /// How many runs there were, with the last, which may have had nothing to do.
    pub runs: usize,
    /// Whether the last plan had nothing left to do.
    pub settled: bool,
    /// The report of the last run that did anything and was not killed.
    pub last: Option<Report>,
    /// What a plan found to do right after a run that had said that it did everything.
    pub untrue: Vec<String>,
}

/// Plays `schedule` in `world`, with the lock and the journals in `records`. `open` gives each run the peers that a new process has.
///
/// # Errors
/// When there are no peers, or nothing can be planned at all.
pub async fn play(
    schedule: &Schedule,
    world: &World,
    evaluated: &[Evaluated],
    records: &Arc<dyn Records>,
    open: impl Fn() -> Result<Peers>,
    audience: &mut impl Audience,
) -> Result<Played> {
    schedule.faults.iter().for_each(|fault| world.add_fault(fault.clone()));
    let mut played = Played { runs: 0, settled: false, last: None, untrue: Vec::new() };
    let mut all_done = false;
    while played.runs < schedule.runs_at_most() {
        played.runs += 1;
        let peers = open()?;
        let events = audience.events(played.runs, &peers);
        let taken = Hold::take(records.clone(), peers.shared_clock(), a_run_that_is_gone(evaluated), &|_| ()).await;
        // A store that cannot be used keeps a run from beginning, or from settling what is open.
        let mut hold = match taken {
            Ok(hold) => hold,
            Err(error) => {
                audience.store_failed(&error);
                all_done = false;
                continue;
            }
        };
        let options = hold.options(Stop::default());
        if let Err(error) = hold.recover(&Recovery, &peers, &events, &options).await {
            audience.store_failed(&error);
            all_done = false;
            continue;
        }
        let options = hold.options(Stop::default());
        let plan = plan_for_run(evaluated, &peers, &events).await?;
        audience.planned(&plan);
        let differing = || plan.planned().iter().filter(|one| !one.change.is_none());
        if all_done {
            // What could not be looked at is no work that was left undone.
            let left = differing().filter(|one| one.change.word() != "unknown");
            played.untrue.extend(left.map(|one| format!("{} {}", one.change.word(), one.id)));
        }
        if differing().next().is_none() {
            played.settled = hold.open().is_empty();
            // Whether the lock could be given back is the next run's affair.
            let _ = hold.end(None).await;
            if played.settled {
                break;
            }
            continue;
        }
        let report = match schedule.killed.filter(|_| played.runs == 1) {
            None => Some(run(plan, &peers, &events, &options).await),
            Some((number, moment)) => {
                let ends = EndsAt::around(options.ledger.clone(), number, moment);
                ends.cut(run(plan, &peers, &events, &RunOptions { ledger: ends.clone(), ..options })).await
            }
        };
        audience.ended(report.as_ref());
        all_done = report.as_ref().is_some_and(|report| report.failures.is_empty() && report.skipped() + report.refused() == 0);
        // A run that was killed gives nothing back.
        if report.is_some()
            && let Err(error) = hold.end(report.as_ref()).await
        {
            audience.store_failed(&error);
        }
        played.last = report.or(played.last);
    }
    Ok(played)
}

/// What a run in the lab is: one whose process has ended by the time that anybody asks, so that the next run goes on at once.
pub fn a_run_that_is_gone(evaluated: &[Evaluated]) -> About {
    let me = Owner::me();
    // No process began together with the machine.
    let birth = me.birth.rsplit_once(' ').map(|(place, _)| format!("{place} 0")).unwrap_or_default();
    About {
        workspace: "lab".into(),
        verb: "run".into(),
        owner: Owner { birth, ..me },
        kthw: env!("CARGO_PKG_VERSION").into(),
        recipes: evaluated.iter().map(|one| RecipeStamp::of(&one.recipe)).collect(),
        workspace_sha256: String::new(),
    }
}
