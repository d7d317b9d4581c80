//! What an earlier run left open is settled, each in the way that its intent says; and a run that was overtaken changes nothing more.
use crate::tiny::{TWO_MACHINES, World, evaluated, peers, plan, told};
use kthw_engine::{
    BoxFuture, Entry, Error, Fence, Intent, Leftover, MemoryLedger, Peers, Permit, Recoverer, Recovery, Result, RunOptions, Unsettled,
    recover, silent,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{0}")]
#[diagnostic(code(tiny::trouble), help("none"))]
struct Trouble(&'static str);

/// Notes what it is asked; a leftover called `stuck` cannot be taken back.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Recoverer for Asked {
    fn wait_for<'a>(&'a self, name: &'a str, _: &'a Peers) -> BoxFuture<'a, Result<String>> {
        self.0.lock().unwrap().push(format!("waited for {name}"));
        Box::pin(async { Ok("it ended".into()) })
    }

    fn take_back<'a>(&'a self, leftover: &'a Leftover, _: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let what = leftover.0.as_str().unwrap_or_default();
            if what == "stuck" {
                return Err(Error::peer(Trouble("the peer is silent")));
            }
            let intent = Intent::on("tiny", format!("the end of {what}"), Recovery::Look).taking_back(leftover.clone());
            permit.effect(intent, async |_| Ok(format!("took back {what}"))).await
        })
    }
}

fn open(number: u64, peer: &str, recovery: Recovery, names: &[&str]) -> Unsettled {
    let entry = Entry { number, run: 5, resources: Vec::new(), intent: Intent::on(peer, format!("effect {number}"), recovery) };
    Unsettled { entry, names: names.iter().map(|name| (*name).to_owned()).collect(), ended: false }
}

#[tokio::test]
async fn each_is_settled_as_its_intent_says() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 1);
    world.dead.lock().unwrap().insert("b".into());
    let (peers, asked, ledger) = (peers(&world), Asked::default(), Arc::new(MemoryLedger::default()));
    let left = |what: &str| Recovery::TakeBack(Leftover(what.into()));
    let all = vec![
        open(1, "tiny", Recovery::Look, &[]),
        open(2, "a", Recovery::Script, &[]),
        open(3, "a", Recovery::Script, &[]),
        open(4, "b", Recovery::Script, &[]),
        open(5, "tiny", Recovery::Task, &["job 1", "job 2"]),
        open(6, "tiny", Recovery::Task, &[]),
        open(7, "tiny", left("a token"), &[]),
        open(8, "tiny", left("stuck"), &[]),
    ];
    let options = RunOptions { ledger: ledger.clone(), number: Some(7), ..RunOptions::default() };
    let recovered = recover(all, &asked, &peers, &silent(), &options).await;
    let shown: String = recovered
        .settled
        .iter()
        .map(|(one, how)| match how {
            Ok(how) => format!("{}: {how}\n", one.entry.number),
            Err(error) => format!("{}: still open, {error}\n", one.entry.number),
        })
        .collect();
    expect_test::expect![[r#"
        1: the plan tells
        2: no script of an earlier run goes on there
        3: no script of an earlier run goes on there
        4: not asked, because b does not answer; what may go on there is waited for before anything is changed
        5: it ended
        6: the plan tells
        7: took back a token
        8: still open, the peer is silent
    "#]]
    .assert_eq(&shown);
    assert_eq!(*asked.0.lock().unwrap(), ["waited for job 2"]);
    assert_eq!(*world.log.lock().unwrap(), ["a: `true`"], "a node is asked once");
    let begun: Vec<(u64, u64)> = ledger.effects().iter().map(|effect| (effect.entry.run, effect.entry.number)).collect();
    assert_eq!(begun, [(7, 1), (7, 2), (7, 3)]);
    assert_eq!(recovered.effects, 3, "the run's own effects are counted on from there");
}

/// Belongs to this run for so many effects.
#[derive(Debug)]
struct Until(AtomicU64);

impl Fence for Until {
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        Box::pin(async move { if left { Ok(()) } else { Err(Error::overtaken(Trouble("somebody else has it"))) } })
    }
}

#[tokio::test]
async fn a_run_that_was_overtaken_changes_nothing_more_and_says_so() {
    let mut told_why = 0;
    for allowed in 0..4 {
        let world = Arc::new(World::default());
        let (peers, ledger) = (peers(&world), Arc::new(MemoryLedger::default()));
        let fence = Arc::new(Until(AtomicU64::new(allowed)));
        let options = RunOptions { ledger: ledger.clone(), fence, effects_before: 10, ..RunOptions::default() };
        let planned = plan(&evaluated(TWO_MACHINES), &peers).await;
        let report = kthw_engine::run(planned, &peers, &silent(), &options).await;
        let begun: Vec<u64> = ledger.effects().iter().map(|effect| effect.entry.number).collect();
        assert_eq!(begun, (11..11 + allowed).collect::<Vec<u64>>());
        assert_eq!(report.effects, allowed);
        assert!(report.failures.iter().any(|(_, error)| error.exit_code() == 5), "{allowed}: {}", told(&report));
        let reasons = told(&report);
        let skipped: Vec<&str> = reasons.lines().filter(|line| line.contains("Skipped")).collect();
        let reasons_to_skip = ["another run has this workspace now", "failed", "asked to stop before"];
        let why = |line: &&&str| reasons_to_skip.iter().any(|reason| line.contains(reason));
        assert_eq!(skipped.iter().filter(why).count(), skipped.len(), "{reasons}");
        told_why += usize::from(reasons.contains("another run has this workspace now"));
    }
    assert!(told_why > 0, "what had not begun says why it never does");
}
