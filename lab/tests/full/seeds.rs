//! Whatever goes wrong: the runs say so, and a bounded number of plain ones after it end in the world that an undisturbed run makes.
//!
//! `KTHW_LAB_SEEDS=FROM..TO` hunts through other seeds.
use super::{FULL, Lab, failures};
use kthw_engine::{Error, Events, Peers, Plan, Report, silent};
use kthw_lab::{Audience, LabRecords, Schedule, World, differences, play};
use kthw_store::Records;
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// How the runs of a play ended, for a message.
#[derive(Default)]
struct Notes(Vec<String>);

impl Audience for Notes {
    fn events(&mut self, _: usize, _: &Peers) -> Events {
        silent()
    }

    fn planned(&mut self, plan: &Plan) {
        self.0.extend(plan.failures().iter().map(|(id, error)| format!("not planned: {id}: {error}")));
    }

    fn store_failed(&mut self, error: &Error) {
        self.0.push(format!("store: {error}"));
    }

    fn ended(&mut self, report: Option<&Report>) {
        self.0.push(report.map_or("killed".into(), |report| format!("ran: {} changed\n{}", report.changed(), failures(report))));
    }
}

fn seeds() -> Range<u64> {
    let asked = std::env::var("KTHW_LAB_SEEDS").ok().map(|text| {
        let (from, to) = text.split_once("..").unwrap();
        from.parse().unwrap()..to.parse().unwrap()
    });
    asked.unwrap_or(0..36)
}

async fn undisturbed() -> Value {
    let lab = Lab::new("undisturbed");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.at_rest().await
}

/// What is wrong with the end of a play, and how many faults struck in it.
async fn wrong(seed: u64, wanted: &Value) -> (Schedule, Vec<String>, usize) {
    let lab = Lab::changed(&format!("seed-{seed}"), World::of_seed(seed), &[]);
    let schedule = Schedule::of_seed(seed, &lab.workspace);
    let mut notes = Notes::default();
    let records: Arc<dyn Records> = LabRecords::new(&lab.world, Arc::default());
    let played = play(&schedule, &lab.world, &lab.evaluated(FULL), &records, || Ok(lab.peers_again()), &mut notes).await.unwrap();
    let mut wrong: Vec<String> = played.untrue.iter().map(|left| format!("a run said that it did everything, but: {left}")).collect();
    if !played.settled {
        wrong.push(format!("{} plain runs did not settle it", played.runs));
    }
    lab.world.with_state(|state| state.faults.clear());
    let struck = lab.world.journal().iter().filter(|line| line.starts_with("fault ")).count();
    wrong.extend(lab.world.unknown().into_iter().map(|what| format!("not played: {what}")));
    if wrong.is_empty() {
        wrong.extend(differences(&lab.again().at_rest().await, wanted));
    }
    if !wrong.is_empty() {
        wrong.extend(notes.0);
    }
    (schedule, wrong, struck)
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_plain_runs_end_in_the_same_world() {
    let wanted = undisturbed().await;
    let (mut faults, mut strikes) = (Vec::new(), Vec::new());
    for seed in seeds() {
        let (schedule, wrong, struck) = wrong(seed, &wanted).await;
        strikes.push(struck);
        if !wrong.is_empty() {
            faults.push(format!("`kthw lab replay {seed}`:\n{schedule}    {}\n", wrong.join("\n    ")));
            println!("{}", faults[faults.len() - 1]);
        }
    }
    println!("faults that struck, seed by seed: {strikes:?}");
    assert!(strikes.iter().sum::<usize>() > 2 * strikes.len(), "too little went wrong to show anything: {strikes:?}");
    assert!(faults.is_empty(), "{} seeds:\n{}", faults.len(), faults.concat());
}
