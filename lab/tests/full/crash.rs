//! A run that dies at any effect, and a plain run after it: the same world as if nothing had happened.
use super::{FULL, Lab, changes, failures};
use kthw_engine::{MemoryLedger, RunOptions, run, silent};
use kthw_lab::{EndsAt, Moment, differences};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn after_a_crash_at_any_effect_a_plain_run_ends_in_the_same_world() {
    let lab = Lab::new("crash-none");
    let ledger = Arc::new(MemoryLedger::default());
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    assert_eq!(failures(&run(lab.plan(FULL).await, &lab.peers, &silent(), &options).await), "");
    let wanted = lab.at_rest().await;
    let effects = ledger.effects();
    let (mut boundaries, mut faults, mut for_a_journal) = (0, Vec::new(), Vec::new());
    for effect in &effects {
        let number = effect.entry.number;
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let name = format!("{moment:?} effect {number}, {} ({})", effect.entry.intent.what, effect.entry.intent.peer);
            let lab = Lab::new(&format!("crash-{number}-{moment:?}"));
            let ends = EndsAt::new(number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            let plan = lab.plan(FULL).await;
            let ended = ends.cut(run(plan, &lab.peers, &silent(), &options)).await;
            assert!(ended.is_none(), "{name}: the run went on");
            boundaries += 1;
            let mut wrong: Vec<String> = failures(&lab.again().apply(FULL).await).lines().map(str::to_owned).collect();
            wrong.extend(changes(&lab.again().plan(FULL).await));
            // A token whose value died with the run ends by itself after a quarter of an hour; only a journal knows to take it back at once.
            let tokens = lab.world.with_state(|state| state.clusters[0].tokens.len());
            if tokens > 0 {
                for_a_journal.push(format!("{name}: {tokens}\n"));
            }
            wrong.extend(differences(&lab.at_rest().await, &wanted));
            if !wrong.is_empty() {
                faults.push(format!("{name}:\n    {}\n", wrong.join("\n    ")));
            }
        }
    }
    println!(
        "{boundaries} boundaries of {} effects; bootstrap tokens that live on, which only a journal can settle, after {}:\n{}",
        effects.len(),
        for_a_journal.len(),
        for_a_journal.concat()
    );
    assert!(boundaries > 100);
    assert!(faults.is_empty(), "{}", faults.concat());
}
