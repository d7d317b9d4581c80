//! The one door: what is told of every effect, and what it takes to keep one from happening.
use crate::tiny::{At, Do, TWO_MACHINES, World, evaluated, peers, phases, plan, told};
use kthw_engine::{Ledger, MemoryLedger, Report, RunOptions, Stop, silent};
use std::sync::{Arc, atomic::Ordering};

async fn run(world: &Arc<World>, text: &str, ledger: Arc<dyn Ledger>, stop: Stop) -> Report {
    let (peers, declared) = (peers(world), evaluated(text));
    let options = RunOptions { stop, ledger, number: Some(7) };
    kthw_engine::run(plan(&declared, &peers).await, &peers, &silent(), &options).await
}

fn shown(ledger: &MemoryLedger) -> String {
    let one = |effect: kthw_engine::Remembered| {
        let entry = &effect.entry;
        let resources: Vec<String> = entry.resources.iter().map(ToString::to_string).collect();
        let told_by = entry.intent.told_by.as_deref().unwrap_or("reading");
        format!(
            "{}: {} ({}) for {}; told by {told_by}; {:?} {:?}\n",
            entry.number,
            entry.intent.what,
            entry.intent.peer,
            resources.join(" "),
            effect.names,
            effect.ended
        )
    };
    ledger.effects().into_iter().map(one).collect()
}

#[tokio::test]
async fn every_effect_is_told_before_and_after() {
    let world = Arc::new(World::default());
    world.broken.lock().unwrap().insert("/two".into());
    let ledger = Arc::new(MemoryLedger::default());
    let report = run(&world, TWO_MACHINES, ledger.clone(), Stop::default()).await;
    expect_test::expect![[r#"
        1: the machine a (tiny) for tiny.machine/a; told by its name; ["job a"] Some(Ok(()))
        2: the machine b (tiny) for tiny.machine/b; told by its name; ["job b"] Some(Ok(()))
        3: writing /one and 1 more (a) for tiny.file/a/one tiny.file/a/two; told by reading; [] Some(Ok(()))
        4: writing /one and 1 more (b) for tiny.file/b/one tiny.file/b/two; told by reading; [] Some(Ok(()))
    "#]]
    .assert_eq(&shown(&ledger));
    assert_eq!(report.effects, 4);
    assert!(ledger.effects().iter().all(|effect| effect.entry.run == 7));
}

#[tokio::test]
async fn a_plan_has_no_effect() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    drop(plan(&declared, &peers).await);
    assert!(world.log.lock().unwrap().is_empty() && world.machines.lock().unwrap().is_empty());
    assert_eq!(world.changes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let world = Arc::new(World::default());
    let report = run(&world, TWO_MACHINES, Arc::new(At { number: 1, action: Do::Fail }), Stop::default()).await;
    expect_test::expect![[r#"
        tiny.machine/a: Failed { error: "the disk is full" }
        tiny.file/a/one: Skipped { because: "tiny.machine/a failed" }
        tiny.file/a/two: Skipped { because: "tiny.machine/a failed" }
        tiny.machine/b: Changed { change: "create" }
        tiny.file/b/one: Changed { change: "create" }
        tiny.file/b/two: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert!(!world.machines.lock().unwrap().contains_key("a"));
}

#[tokio::test]
async fn a_run_that_ends_at_an_effect_has_done_those_before_it() {
    for number in 1..=4 {
        let world = Arc::new(World::default());
        let ended = Arc::new(tokio::sync::Notify::new());
        let ledger = Arc::new(At { number, action: Do::End(ended.clone()) });
        let made = || world.machines.lock().unwrap().len() as u64 + world.changes.load(Ordering::Relaxed) as u64;
        tokio::select! {
            biased;
            () = ended.notified() => {}
            _ = run(&world, TWO_MACHINES, ledger, Stop::default()) => panic!("it has no effect {number}"),
        }
        assert!(made() < 4, "{number}: {}", made());
        let again = run(&world, TWO_MACHINES, Arc::new(MemoryLedger::default()), Stop::default()).await;
        assert!(again.failures.is_empty(), "{number}: {}", told(&again));
        assert_eq!(world.files.lock().unwrap().len(), 4, "{number}");
    }
}

#[tokio::test]
async fn after_a_stop_only_what_rounds_off_is_done() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), phases(&[("one", r#"tiny::step("a", #{ tidies: true });"#)]));
    let stop = Stop::default();
    let options = RunOptions { stop: stop.clone(), ledger: Arc::new(At { number: 1, action: Do::Stop(stop) }), number: None };
    let report = kthw_engine::run(plan(&declared, &peers).await, &peers, &silent(), &options).await;
    expect_test::expect![[r#"
        tiny.step/a: Skipped { because: "the run was asked to stop before a polish of a (tiny)" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(*world.log.lock().unwrap(), ["a"]);
}
