//! Whatever goes wrong: the runs say so, and a bounded number of plain ones after it end in the world that an undisturbed run makes.
//!
//! `KTHW_LAB_SEEDS=FROM..TO` hunts through other seeds.
use super::{
    FULL, Lab,
    cores::{in_lab_time, on_all_cores},
    failures, shelf,
};
use kthw_engine::{Error, Events, Peers, Plan, Report, silent};
use kthw_lab::{Audience, Fault, Harm, LabRecords, Observer, Schedule, World, at_rest, differences, play};
use kthw_store::Records;
use serde_json::Value;
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The seeds that everybody plays.
const SEEDS: Range<u64> = 0..2000;

/// How the runs of a play ended.
struct Notes {
    struck: Arc<Struck>,
    /// What their errors do not tell.
    wrong: Vec<String>,
    /// For a message.
    notes: Vec<String>,
}

impl Notes {
    fn look_at(&mut self, of: &str, error: &Error) {
        let untold = self.struck.untold(error);
        if !untold.is_empty() {
            self.wrong.push(format!("the error of {of} does not tell {}: {error}", untold.join(" and ")));
        }
    }
}

/// The faults that have struck so far.
#[derive(Default)]
struct Struck(Mutex<Vec<Fault>>);

impl Observer for Struck {
    fn fault(&self, fault: &Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault.clone());
    }
}

/// What an error may call the peers of a play.
const PEERS: &[&str] = &["Proxmox", "homelab", "cu1", "wu1", "wu2", "API server", "store"];

impl Struck {
    fn faults(&self) -> Vec<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which of the three things an error does not tell: whom it is about, what happened, what to do next.
    fn untold(&self, error: &Error) -> Vec<&'static str> {
        let help = error.diagnostic().help().map(|help| help.to_string()).unwrap_or_default();
        let text = format!("{error}\n{help}");
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let symptom = |fault: &Fault| match &fault.outcome {
            Harm::Refused { text, .. } => says(&[text]),
            Harm::BrokenBefore | Harm::BrokenAfter | Harm::StopsAfter { .. } => says(&["connection refused", "connection reset"]),
            Harm::Hangs { .. } => says(&["no answer within", "has not answered for", "has not shown"]),
            Harm::Dies { .. } => says(&["Killed"]),
            Harm::TaskStops { exit } | Harm::TaskEnds { exit } => says(&[exit]),
        };
        // That the world is another one than the plan showed is what a fault came to, and is told without it.
        let happened = self.faults().iter().any(symptom) || says(&["which the plan did not show"]);
        let told = [(says(PEERS), "whom it is about"), (happened, "what happened"), (!help.is_empty(), "what to do next")];
        told.into_iter().filter(|(told, _)| !told).map(|(_, what)| what).collect()
    }
}

impl Audience for Notes {
    fn events(&mut self, _: usize, _: &Peers) -> Events {
        silent()
    }

    fn planned(&mut self, plan: &Plan) {
        self.notes.extend(plan.failures().iter().map(|(id, error)| format!("not planned: {id}: {error}")));
    }

    fn store_failed(&mut self, error: &Error) {
        self.look_at("the store", error);
        self.notes.push(format!("store: {error}"));
    }

    fn ended(&mut self, report: Option<&Report>) {
        for (id, error) in report.into_iter().flat_map(|report| &report.failures) {
            self.look_at(&id.to_string(), error);
        }
        self.notes.push(report.map_or("killed".into(), |report| format!("ran: {} changed\n{}", report.changed(), failures(report))));
    }
}

/// The seeds that `KTHW_LAB_SEEDS` asks for, or these.
pub(crate) fn seeds(usual: Range<u64>) -> Vec<u64> {
    let asked = std::env::var("KTHW_LAB_SEEDS").ok().map(|text| {
        let (from, to) = text.split_once("..").unwrap();
        from.parse().unwrap()..to.parse().unwrap()
    });
    asked.unwrap_or(usual).collect()
}

async fn undisturbed() -> Value {
    let lab = Lab::new("undisturbed");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    at_rest(&lab.world)
}

/// What is wrong with the end of a play, and how many faults struck in it.
async fn wrong(seed: u64, wanted: &Value) -> (Vec<String>, usize) {
    let lab = Lab::changed(&format!("seed-{seed}"), World::of_seed(seed), &[]);
    let schedule = Schedule::of_seed(seed, &lab.workspace);
    let struck = Arc::new(Struck::default());
    lab.world.observe(struck.clone());
    let mut notes = Notes { struck: struck.clone(), wrong: Vec::new(), notes: Vec::new() };
    let records: Arc<dyn Records> = LabRecords::new(&lab.world, Arc::default());
    let played = play(&schedule, &lab.world, &lab.evaluated(FULL), &records, || Ok(lab.peers_again()), &mut notes).await.unwrap();
    let mut wrong: Vec<String> = played.untrue.iter().map(|left| format!("a run said that it did everything, but: {left}")).collect();
    if !played.settled {
        wrong.push(format!("{} plain runs did not settle it", played.runs));
    }
    wrong.extend(lab.world.unknown().into_iter().map(|what| format!("not played: {what}")));
    if wrong.is_empty() {
        wrong.extend(differences(&at_rest(&lab.world), wanted));
    }
    wrong.extend(notes.wrong);
    if !wrong.is_empty() {
        wrong.extend(notes.notes);
        wrong = vec![format!("`kthw lab replay {seed}`:\n{schedule}    {}\n", wrong.join("\n    "))];
        eprintln!("{}", wrong[0]);
    }
    (wrong, struck.faults().len())
}

#[test]
fn whatever_goes_wrong_plain_runs_end_in_the_same_world() {
    let seeds = seeds(SEEDS);
    let wanted = in_lab_time(undisturbed());
    // Every play has them, and none has to make them.
    shelf::declared(FULL, &shelf::workspace(&[]));
    let begun = Instant::now();
    let played = on_all_cores(&seeds, async |seed| wrong(*seed, &wanted).await);
    let strikes: usize = played.iter().map(|(_, struck)| struck).sum();
    let faults: Vec<&String> = played.iter().flat_map(|(wrong, _)| wrong).collect();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} seeds in {seconds:.1} s, {:.1} a second; {strikes} faults struck", seeds.len(), seeds.len() as f64 / seconds);
    assert!(strikes > 2 * seeds.len(), "too little went wrong to show anything: {strikes}");
    assert!(faults.is_empty(), "{} seeds:\n{}", faults.len(), faults.iter().map(|fault| fault.as_str()).collect::<String>());
}
