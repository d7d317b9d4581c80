//! A smaller world is declared too: what is absent, in which order it goes, and what goes with what.
use crate::tiny::{TWO_MACHINES, World, engine, evaluated, peers, phases, plan, run, told};
use kthw_engine::{Choice, Evaluated, RunOptions, Source, all_absent, silent};
use std::sync::{Arc, atomic::Ordering};

async fn made(text: &str) -> Arc<World> {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), evaluated(text));
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert!(report.failures.is_empty());
    world.log.lock().unwrap().clear();
    world
}

async fn shown(world: &Arc<World>, declared: &[Evaluated]) -> String {
    plan(declared, &peers(world)).await.to_string()
}

#[tokio::test]
async fn a_file_that_is_declared_absent_goes_and_then_there_is_nothing_to_do() {
    let world = made(TWO_MACHINES).await;
    let body = r#"let m = tiny::machine("a", 2); tiny::file("a", "/one", #{ content: "1\n", needs: [m], present: false });"#;
    let declared = phases(&[("one", body)]);
    expect_test::expect![[r#"
        one
          = tiny.machine/a
          - tiny.file/a/one
    "#]]
    .assert_eq(&shown(&world, &declared).await);
    let peers = peers(&world);
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.file/a/one: Changed { change: "delete" }
    "#]]
    .assert_eq(&told(&report));
    assert!(!world.files.lock().unwrap().contains_key(&("a".into(), "/one".into())));
    assert_eq!(plan(&declared, &peers).await.changes(), 0);
}

#[tokio::test]
async fn a_removal_in_which_another_peer_has_a_part_is_done_alone() {
    let world = made(TWO_MACHINES).await;
    let body = r#"let m = tiny::machine("a", 2); tiny::file("a", "/one", #{ content: "1\n", needs: [m], leaves: true, present: false });"#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert!(report.failures.is_empty(), "{}", told(&report));
    expect_test::expect![[r#"["leave of 2 bytes"]"#]].assert_eq(&format!("{:?}", world.log.lock().unwrap()));
    assert!(!world.files.lock().unwrap().contains_key(&("a".into(), "/one".into())));
    assert_eq!(plan(&declared, &peers).await.changes(), 0);
}

#[tokio::test]
async fn everything_goes_in_the_opposite_order_and_what_is_inside_goes_with_it() {
    let body = r#"
        tiny::file("bare", "/first", #{ content: "1" });
        tiny::file("bare", "/second", #{ content: "2" });
        let m = tiny::machine("a", 2);
        tiny::file("a", "/inside", #{ content: "3", needs: [m] });
        tiny::step("stays", #{ needs: [m] });
    "#;
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("bare".into(), 1);
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    run(plan(&declared, &peers).await, &peers).await;
    world.log.lock().unwrap().clear();
    world.changes.store(0, Ordering::Relaxed);
    let gone = all_absent(declared);
    expect_test::expect![[r#"
        one
          - tiny.file/bare/first
          - tiny.file/bare/second
          - tiny.machine/a
    "#]]
    .assert_eq(&shown(&world, &gone).await);
    let report = run(plan(&gone, &peers).await, &peers).await;
    assert!(report.failures.is_empty(), "{}", told(&report));
    assert_eq!(world.changes.load(Ordering::Relaxed), 1, "one batch");
    expect_test::expect![[r#"["-a", "-bare/second", "-bare/first"]"#]].assert_eq(&format!("{:?}", world.log.lock().unwrap()));
    assert_eq!(plan(&gone, &peers).await.changes(), 0);
    assert!(world.steps.lock().unwrap().contains("stays"));
}

#[tokio::test]
async fn what_is_protected_stays_with_everything_in_it() {
    let world = made(TWO_MACHINES).await;
    world.machines.lock().unwrap().insert("a".into(), 64);
    let gone = all_absent(evaluated(TWO_MACHINES));
    expect_test::expect![[r#"
        one
          ! tiny.machine/a  (refused: it has 64 cores, which nobody throws away)
              next: it stays, with everything in it; if it shall really go, take away what keeps it, and run again
          - tiny.machine/b
    "#]]
    .assert_eq(&shown(&world, &gone).await);
    let peers = peers(&world);
    let report = run(plan(&gone, &peers).await, &peers).await;
    assert_eq!((report.changed(), report.refused()), (1, 1));
    assert_eq!(world.files.lock().unwrap().len(), 2, "the files on `a`");
}

#[tokio::test]
async fn what_somebody_else_owns_is_not_ours_to_remove() {
    let world = made(TWO_MACHINES).await;
    world.foreign.lock().unwrap().insert("a".into());
    let peers = peers(&world);
    run(plan(&all_absent(evaluated(TWO_MACHINES)), &peers).await, &peers).await;
    assert_eq!(world.machines.lock().unwrap().keys().collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn a_machine_that_cannot_be_looked_at_is_unknown_and_never_removed_unseen() {
    let world = made(TWO_MACHINES).await;
    world.unreadable.lock().unwrap().insert("a".into());
    let (peers, gone) = (peers(&world), all_absent(evaluated(TWO_MACHINES)));
    let planned = plan(&gone, &peers).await;
    expect_test::expect![[r#"
        one
          ? tiny.machine/a  (unknown: 403: no permission for a)
          ? tiny.file/a/one  (unknown: tiny.machine/a is unknown)
          ? tiny.file/a/two  (unknown: tiny.machine/a is unknown)
          - tiny.machine/b
    "#]]
    .assert_eq(&planned.to_string());
    world.unreadable.lock().unwrap().clear();
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Skipped { because: "tiny.file/a/two failed" }
        tiny.file/a/one: Skipped { because: "tiny.file/a/two failed" }
        tiny.file/a/two: Failed { error: "tiny.file/a/two would now delete, which the plan did not show" }
        tiny.machine/b: Changed { change: "delete" }
        tiny.file/b/one: Unchanged
        tiny.file/b/two: Unchanged
    "#]]
    .assert_eq(&told(&report));
}

#[test]
fn what_cannot_be_removed_or_is_needed_is_a_mistake_in_the_recipe() {
    let engine = engine();
    let wrong = |body: &str| {
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{body}\n}}\n");
        let source = Source { name: "one".into(), path: "one.rhai".into(), text };
        let recipe = kthw_engine::Recipe::parse(&engine, source).unwrap();
        match kthw_engine::evaluate(&engine, &recipe, rhai::Dynamic::UNIT) {
            Err(error) => error.to_string(),
            Ok(evaluated) => kthw_engine::check(&[evaluated]).unwrap_err().to_string(),
        }
    };
    let told = [
        wrong(r#"tiny::step("a", #{ present: false });"#),
        wrong(r#"tiny::step("a", #{ present: "no" });"#),
        wrong(r#"let m = tiny::machine("a", 2, #{ present: false }); tiny::file("a", "/one", #{ content: "", needs: [m] });"#),
    ];
    expect_test::expect![[r#"
        a `tiny.step` cannot be removed by itself, so it cannot be declared with `present: false`
        `present` is true or false, not string
        `tiny.file/a/one` needs `tiny.machine/a`, which is declared with `present: false`"#]]
    .assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn a_gate_holds_back_what_is_removed_too() {
    let world = made(TWO_MACHINES).await;
    world.broken.lock().unwrap().insert("backup".into());
    let (peers, declared) = (
        peers(&world),
        phases(&[
            ("backup", r#"tiny::step("backup", #{});"#),
            (
                "clean: backup, GATE",
                r#"let m = tiny::machine("a", 2); tiny::file("a", "/one", #{ content: "", needs: [m], present: false });"#,
            ),
        ]),
    );
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert!(told(&report).contains("tiny.file/a/one: Skipped"), "{}", told(&report));
    assert!(world.files.lock().unwrap().contains_key(&("a".into(), "/one".into())), "there is no backup of it");
}

#[tokio::test]
async fn the_order_of_removing_reaches_through_what_stays() {
    let body = r#"
        let first = tiny::machine("first", 2);
        let stays = tiny::step("stays", #{ needs: [first] });
        let last = tiny::machine("last", 2, #{ needs: [stays] });
    "#;
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    run(plan(&declared, &peers).await, &peers).await;
    world.log.lock().unwrap().clear();
    let report = run(plan(&all_absent(declared), &peers).await, &peers).await;
    assert!(report.failures.is_empty(), "{}", told(&report));
    assert_eq!(*world.log.lock().unwrap(), ["-last", "-first"]);
}

#[tokio::test]
async fn a_run_that_ends_at_its_first_failure_begins_nothing_after_it() {
    let body = r#"let a = tiny::step("a", #{}); let b = tiny::step("b", #{}); let c = tiny::step("c", #{ needs: [b] }); tiny::step("d", #{ needs: [c] });"#;
    let world = Arc::new(World::default());
    world.broken.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let options = RunOptions { ends_at_failure: true, ..RunOptions::default() };
    let report = kthw_engine::run(plan(&declared, &peers).await, &peers, &silent(), &options).await;
    assert!(told(&report).contains("tiny.step/b: Changed"), "what was under way goes on: {}", told(&report));
    assert!(told(&report).contains("tiny.step/d: Skipped { because: \"something failed"), "{}", told(&report));
}

#[tokio::test]
async fn what_cannot_be_removed_by_itself_is_neither_removed_nor_made() {
    for there in [true, false] {
        let world = Arc::new(World::default());
        if there {
            world.steps.lock().unwrap().insert("step".into());
        }
        let gone = plan(&all_absent(phases(&[("one", r#"tiny::step("step", #{});"#)])), &peers(&world)).await;
        assert_eq!((gone.changes(), gone.planned().iter().filter(|one| one.chosen).count()), (0, 0), "{gone}");
    }
}

#[tokio::test]
async fn of_two_that_go_the_one_below_is_not_chosen_without_the_one_above() {
    let there = r#"let a = tiny::machine("a", 2); let zero = tiny::file("a", "/zero", #{ content: "0\n", needs: [a] });
        tiny::file("a", "/two", #{ content: "2\n", needs: [zero] });"#;
    let world = Arc::new(World::default());
    run(plan(&phases(&[("one", there)]), &peers(&world)).await, &peers(&world)).await;
    let body = r#"let a = tiny::machine("a", 2); let zero = tiny::file("a", "/zero", #{ content: "0\n", needs: [a], present: false });
        tiny::file("a", "/two", #{ content: "2\n", needs: [zero], present: false });"#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let only = |words: &[&str]| Choice { only: words.iter().map(|word| (*word).to_owned()).collect(), nodes: Vec::new() };
    let error = plan(&declared, &peers).await.only(&only(&["tiny.file/a/zero"])).unwrap_err();
    assert_eq!(error.to_string(), "tiny.file/a/zero is to be removed, and tiny.file/a/two, which stands on it, is left out");
    let both = plan(&declared, &peers).await.only(&only(&["tiny.file/a/zero", "tiny.file/a/two"])).unwrap();
    assert_eq!(both.deletes(), 2);
    let above = plan(&declared, &peers).await.only(&only(&["tiny.file/a/two"])).unwrap();
    assert_eq!(above.deletes(), 1);
    // What stays below, and what is left out with all that stands on it, is nobody's matter.
    assert_eq!(plan(&declared, &peers).await.only(&only(&["tiny.machine/a"])).unwrap().deletes(), 0);
}

#[tokio::test]
async fn what_cannot_be_looked_at_before_its_machine_is_ready_is_removed_then_if_it_is_there() {
    let world = Arc::new(World::default());
    // A machine with no cores hides what is on it.
    world.machines.lock().unwrap().insert("a".into(), 0);
    let body = r#"let m = tiny::machine("a", 2); tiny::file("a", "/one", #{ content: "1\n", needs: [m], present: false });"#;
    let declared = phases(&[("one", body)]);
    expect_test::expect![[r#"
        one
          ~ tiny.machine/a
              cores: 0 -> 2
          - tiny.file/a/one
    "#]]
    .assert_eq(&shown(&world, &declared).await);
    let peers = peers(&world);
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert!(report.failures.is_empty(), "{}", told(&report));
    assert_eq!(plan(&declared, &peers).await.changes(), 0);
}
