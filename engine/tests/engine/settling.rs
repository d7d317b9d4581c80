//! Whether what was done is there, and what is done at all when the world is not as it was planned.
use crate::tiny::{At, Do, World, peers, phases, plan, run, told};
use kthw_engine::{Kind, RunOptions, Stop, silent};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

fn nodes(names: &[&str]) -> Arc<World> {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend(names.iter().map(|name| ((*name).to_owned(), 1)));
    world
}

#[tokio::test]
async fn what_is_not_there_after_its_change_is_waited_for_and_then_it_failed() {
    let world = nodes(&["a"]);
    world.lost.lock().unwrap().extend(["step".to_owned(), "/one".to_owned()]);
    let peers = peers(&world);
    for (body, seconds) in [(r#"tiny::step("step", #{});"#, 16), (r#"tiny::file("a", "/one", #{ content: "1" });"#, 15)] {
        let report = run(plan(&phases(&[("one", body)]), &peers).await, &peers).await;
        let error = &report.failures[0].1;
        assert!(error.to_string().contains("did not settle: still to create"), "{error}");
        assert_eq!((error.kind(), report.took), (Kind::Settle, Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn a_machine_that_is_still_forbidden_at_its_turn_is_not_made_anew() {
    let world = nodes(&["a"]);
    world.unreadable.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), phases(&[("one", r#"tiny::machine("a", 2);"#)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert_eq!(told(&report), "tiny.machine/a: Failed { error: \"403: no permission for a\" }\n");
    assert_eq!((report.effects, world.machines.lock().unwrap()["a"]), (0, 1));
}

#[tokio::test]
async fn what_counted_as_absent_below_something_new_is_looked_at_before_it_is_made() {
    let world = Arc::new(World::default());
    let body = r#"let machine = tiny::machine("a", 1); tiny::step("step", #{ needs: [machine] });"#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let planned = plan(&declared, &peers).await;
    assert_eq!(planned.changes(), 2);
    world.steps.lock().unwrap().insert("step".into());
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Changed { change: "create" }
        tiny.step/step: Unchanged
    "#]]
    .assert_eq(&told(&report));
}

#[tokio::test]
async fn after_a_change_of_what_it_needs_more_may_differ_than_was_shown() {
    let body = r#"
        let one = tiny::file("b", "/one", #{ content: "1" });
        let two = tiny::file("a", "/two", #{ content: "2", needs: [one] });
        tiny::file("b", "/three", #{ content: "3", needs: [two] });
    "#;
    let world = nodes(&["a", "b"]);
    world.write("b", "/one", "old", 0o644);
    world.write("a", "/two", "2", 0o600);
    world.write("b", "/three", "3", 0o600);
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let planned = plan(&declared, &peers).await;
    // What `/one` does to `/two`, which takes nothing to be right, and to `/three` behind it.
    world.write("a", "/two", "2", 0o644);
    world.write("b", "/three", "by the change of /one", 0o600);
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.file/b/one: Changed { change: "update" }
        tiny.file/a/two: Unchanged
        tiny.file/b/three: Changed { change: "update" }
    "#]]
    .assert_eq(&told(&report));
}

#[tokio::test]
async fn a_batch_that_breaks_as_a_whole_is_one_failure_and_the_rest_of_it_is_tried_again() {
    let declared = phases(&[
        ("one", r#"tiny::file("a", "/one", #{ content: "1" }); tiny::file("a", "/behind", #{ content: "1" });"#),
        ("two", r#"tiny::file("a", "/two", #{ content: "2" });"#),
    ]);
    let world = nodes(&["a"]);
    let peers = peers(&world);
    let planned = plan(&declared, &peers).await;
    world.dead.lock().unwrap().insert("a".into());
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Failed { error: "a does not answer" }
        tiny.file/a/behind: Skipped { because: "tiny.file/a/one failed" }
        tiny.file/a/two: Failed { error: "a does not answer" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(world.changes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_batch_that_a_stop_came_before_is_skipped_and_did_not_fail() {
    let world = nodes(&["a"]);
    let body = r#"tiny::step("step", #{}); tiny::file("a", "/one", #{ content: "1" });"#;
    let (peers, declared, stop) = (peers(&world), phases(&[("one", body)]), Stop::default());
    let ledger = Arc::new(At { number: 1, action: Do::Stop(stop.clone()) });
    let options = RunOptions { stop, ledger, ..RunOptions::default() };
    let report = kthw_engine::run(plan(&declared, &peers).await, &peers, &silent(), &options).await;
    expect_test::expect![[r#"
        tiny.step/step: Changed { change: "create" }
        tiny.file/a/one: Skipped { because: "the run was asked to stop" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!((report.stopped, report.failures.len(), report.effects), (true, 0, 1));
}
