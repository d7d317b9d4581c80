//! What cannot be looked at, what is refused, and a world that moves between the plan and the run.
use crate::tiny::TWO_MACHINES;
use crate::tiny::{World, evaluated, peers, phases, plan, run, told};
use kthw_engine::{Choice, Kind};
use std::sync::{Arc, atomic::Ordering};

fn two_machines() -> Arc<World> {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 2), ("b".into(), 2)]);
    world
}

#[tokio::test]
async fn a_node_that_is_silent_is_unknown_and_the_rest_of_the_plan_stands() {
    let world = two_machines();
    world.dead.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    expect_test::expect![[r#"
        one
          = tiny.machine/a
          ? tiny.file/a/one  (unknown: a does not answer)
          ? tiny.file/a/two  (unknown: a does not answer)
          = tiny.machine/b
          + tiny.file/b/one
              content: 1 line
          + tiny.file/b/two
              content: 1 line
    "#]]
    .assert_eq(&planned.to_string());
    assert_eq!(
        planned.failures().iter().map(|(id, error)| format!("{id}: {error}")).collect::<Vec<_>>(),
        ["tiny.file/a/one: a does not answer"]
    );
    world.reads.store(0, Ordering::Relaxed);
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.file/a/one: Failed { error: "a does not answer" }
        tiny.file/a/two: Skipped { because: "tiny.file/a/one failed" }
        tiny.machine/b: Unchanged
        tiny.file/b/one: Changed { change: "create" }
        tiny.file/b/two: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(world.reads.load(Ordering::Relaxed), 1, "one look, not one for each file");
}

#[tokio::test]
async fn what_was_unknown_is_looked_at_again_at_its_turn() {
    let world = two_machines();
    world.dead.lock().unwrap().insert("a".into());
    world.write("a", "/one", "old", 0o600);
    world.write("a", "/two", "2\n", 0o644);
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    world.dead.lock().unwrap().clear();
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.file/a/one: Changed { change: "update" }
        tiny.file/a/two: Unchanged
        tiny.machine/b: Unchanged
        tiny.file/b/one: Changed { change: "create" }
        tiny.file/b/two: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_about_one_resource() {
    let world = two_machines();
    world.write("a", "/one", "rubbish", 0o644);
    let planned = plan(&evaluated(TWO_MACHINES), &peers(&world)).await;
    expect_test::expect![[r#"
        one
          = tiny.machine/a
          ? tiny.file/a/one  (unknown: what is this?)
          + tiny.file/a/two
              content: 1 line
          = tiny.machine/b
          + tiny.file/b/one
              content: 1 line
          + tiny.file/b/two
              content: 1 line
    "#]]
    .assert_eq(&planned.to_string());
}

#[tokio::test]
async fn a_machine_that_nobody_may_look_at_makes_what_is_on_it_unknown() {
    let world = two_machines();
    world.unreadable.lock().unwrap().insert("a".into());
    let planned = plan(&evaluated(TWO_MACHINES), &peers(&world)).await;
    expect_test::expect![[r#"
        one
          ? tiny.machine/a  (unknown: 403: no permission for a)
          ? tiny.file/a/one  (unknown: tiny.machine/a is unknown)
          ? tiny.file/a/two  (unknown: tiny.machine/a is unknown)
          = tiny.machine/b
          + tiny.file/b/one
              content: 1 line
          + tiny.file/b/two
              content: 1 line
    "#]]
    .assert_eq(&planned.to_string());
}

#[tokio::test]
async fn what_is_refused_is_judged_as_it_is_and_the_rest_is_done() {
    let world = two_machines();
    world.machines.lock().unwrap().insert("a".into(), 8);
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    expect_test::expect![[r#"
        one
          ! tiny.machine/a  (refused: it would have to be replaced, which is never done on its own)
              cores: 8 -> 2  (needs replacement)
              next: set the field back, or remove the old one yourself and run again
          + tiny.file/a/one
              content: 1 line
          + tiny.file/a/two
              content: 1 line
          = tiny.machine/b
          + tiny.file/b/one
              content: 1 line
          + tiny.file/b/two
              content: 1 line
    "#]]
    .assert_eq(&planned.to_string());
    assert_eq!((planned.changes(), planned.work()), (5, 4));
    let report = run(planned, &peers).await;
    assert_eq!((report.refused(), report.changed(), world.machines.lock().unwrap()["a"]), (1, 4, 8));
}

#[tokio::test]
async fn below_something_that_is_not_ours_nothing_is_touched() {
    let world = two_machines();
    world.foreign.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    expect_test::expect![[r#"
        one
          ! tiny.machine/a  (refused: a belongs to somebody else)
              next: do something else
          ? tiny.file/a/one  (unknown: tiny.machine/a is refused)
          ? tiny.file/a/two  (unknown: tiny.machine/a is refused)
          = tiny.machine/b
          + tiny.file/b/one
              content: 1 line
          + tiny.file/b/two
              content: 1 line
    "#]]
    .assert_eq(&planned.to_string());
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Refused { why: "a belongs to somebody else" }
        tiny.file/a/one: Skipped { because: "tiny.machine/a is refused" }
        tiny.file/a/two: Skipped { because: "tiny.machine/a is refused" }
        tiny.machine/b: Unchanged
        tiny.file/b/one: Changed { change: "create" }
        tiny.file/b/two: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert!(!world.files.lock().unwrap().keys().any(|(node, _)| node == "a"));
}

#[tokio::test]
async fn where_others_were_told_another_value_nothing_is_begun() {
    let world = two_machines();
    world.machines.lock().unwrap().insert("a".into(), 100);
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    assert!(planned.to_string().contains("cores: 100 -> 2  (cannot be changed)"), "{planned}");
    assert_eq!(planned.blocker().map(ToString::to_string).as_deref(), Some("tiny.machine/a"));
    let report = run(planned, &peers).await;
    assert_eq!((report.changed(), report.refused(), report.skipped()), (0, 1, 4));
    assert!(
        told(&report).contains("tiny.file/b/one: Skipped { because: \"tiny.machine/a differs in what the others were told too\" }"),
        "{}",
        told(&report)
    );
    // Leaving it out does not help: what is chosen would be told the new value.
    let choice = Choice { only: vec!["tiny.file/b/one".into()], nodes: Vec::new() };
    let chosen = plan(&declared, &peers).await.only(&choice).unwrap();
    assert_eq!(run(chosen, &peers).await.changed(), 0);
}

#[tokio::test]
async fn consent_to_a_mode_is_no_consent_to_content() {
    let world = two_machines();
    for node in ["a", "b"] {
        world.write(node, "/one", "1\n", 0o600);
        world.write(node, "/two", "2\n", 0o600);
    }
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    world.write("a", "/one", "by hand", 0o600);
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.file/a/one: Failed { error: "tiny.file/a/one would now also change content, which the plan did not show" }
        tiny.file/a/two: Skipped { because: "tiny.file/a/one failed" }
        tiny.machine/b: Unchanged
        tiny.file/b/one: Changed { change: "update" }
        tiny.file/b/two: Changed { change: "update" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(report.failures[0].1.kind(), Kind::Settle);
    assert_eq!(world.files.lock().unwrap()[&("a".to_owned(), "/one".to_owned())].0, "by hand");
}

#[tokio::test]
async fn less_than_planned_is_done_without_a_word() {
    let world = two_machines();
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    world.write("a", "/one", "1\n", 0o600);
    world.write("a", "/two", "2\n", 0o644);
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.file/a/one: Changed { change: "update" }
        tiny.file/a/two: Unchanged
        tiny.machine/b: Unchanged
        tiny.file/b/one: Changed { change: "create" }
        tiny.file/b/two: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
}

#[tokio::test]
async fn a_node_that_keeps_moving_is_left_alone_in_the_end() {
    let world = two_machines();
    *world.restless.lock().unwrap() = Some(("a".into(), "/one".into()));
    let (peers, declared) = (peers(&world), phases(&[("one", r#"tiny::file("a", "/one", #{ content: "1" });"#)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Failed { error: "tiny.file/a/one: a changed between reading and writing, 4 times in a row" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(world.changes.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_refresh_follows_what_changed_and_what_is_unknown() {
    let body = r#"
        tiny::file("a", "/config", #{ content: "new" });
        tiny::file("a", "/service", #{ content: "on", refreshed_by: "tiny.file/a/config" });
    "#;
    let world = two_machines();
    world.write("a", "/config", "old", 0o644);
    world.write("a", "/service", "on", 0o644);
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let shown = plan(&declared, &peers).await.to_string();
    world.write("a", "/config", "rubbish", 0o644);
    let unknown = plan(&declared, &peers).await.to_string();
    expect_test::expect![[r#"
        one
          ~ tiny.file/a/config
              content: old -> new
          ~ tiny.file/a/service
              refreshed by: tiny.file/a/config

        one
          ? tiny.file/a/config  (unknown: what is this?)
          ? tiny.file/a/service  (unknown: tiny.file/a/config is unknown, which refreshes it)
    "#]]
    .assert_eq(&format!("{shown}\n{unknown}"));
}

#[tokio::test]
async fn what_waits_behind_a_failure_in_its_batch_is_told_of_it() {
    let world = two_machines();
    world.broken.lock().unwrap().insert("/one".into());
    let body = r#"
        let one = tiny::file("a", "/one", #{ content: "1" });
        let two = tiny::file("a", "/two", #{ content: "2", needs: [one] });
        tiny::file("b", "/three", #{ content: "3", needs: [two] });
    "#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Failed { error: "tiny.file/a/one: writing /one on a ended with status 1" }
        tiny.file/a/two: Skipped { because: "tiny.file/a/one failed" }
        tiny.file/b/three: Skipped { because: "tiny.file/a/one failed" }
    "#]]
    .assert_eq(&told(&report));
}

#[tokio::test]
async fn what_goes_out_in_the_same_batch_moved_nothing_yet() {
    let world = two_machines();
    world.write("a", "/one", "old", 0o644);
    world.write("a", "/two", "2", 0o600);
    let body = r#"
        let one = tiny::file("a", "/one", #{ content: "1" });
        tiny::file("a", "/two", #{ content: "2", needs: [one] });
    "#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let planned = plan(&declared, &peers).await;
    world.write("a", "/two", "by hand", 0o600);
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Changed { change: "update" }
        tiny.file/a/two: Failed { error: "tiny.file/a/two would now also change content, which the plan did not show" }
    "#]]
    .assert_eq(&told(&report));
}
