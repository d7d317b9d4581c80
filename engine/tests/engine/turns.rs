//! What a run meets at the turn of a resource: a node that moved, a look that comes too late, a check that may write.
use crate::tiny::{At, Do, World, peers, phases, plan, run, told};
use kthw_engine::{Report, RunOptions, Stop, plan_for_run, silent};
use std::sync::{Arc, atomic::Ordering};

fn nodes(names: &[&str]) -> Arc<World> {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend(names.iter().map(|name| ((*name).to_owned(), 1)));
    world
}

/// A run that is asked to stop while its first effect is done.
async fn stopped(world: &Arc<World>, body: &str) -> Report {
    let (declared, peers, stop) = (phases(&[("one", body)]), peers(world), Stop::default());
    let ledger = Arc::new(At { number: 1, action: Do::Stop(stop.clone()) });
    let options = RunOptions { stop, ledger, ..RunOptions::default() };
    kthw_engine::run(plan(&declared, &peers).await, &peers, &silent(), &options).await
}

#[tokio::test]
async fn a_stop_during_a_batch_whose_node_moved_is_not_answered_by_trying_again() {
    let world = nodes(&["a"]);
    *world.restless.lock().unwrap() = Some(("a".into(), "/one".into()));
    let body = r#"tiny::file("a", "/one", #{ content: "1" }); tiny::file("a", "/two", #{ content: "2" });"#;
    let report = stopped(&world, body).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Skipped { because: "the run was asked to stop" }
        tiny.file/a/two: Skipped { because: "the run was asked to stop" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!((report.stopped, report.failures.len(), world.changes.load(Ordering::Relaxed)), (true, 0, 1));
    assert!(world.log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_too_late_was_not_stopped() {
    let report = stopped(&Arc::default(), r#"tiny::step("a", #{});"#).await;
    assert_eq!((report.stopped, report.changed(), report.skipped()), (false, 1, 0));
}

#[tokio::test]
async fn what_came_after_what_kept_moving_is_skipped_and_does_not_fail_too() {
    let world = nodes(&["a"]);
    *world.restless.lock().unwrap() = Some(("a".into(), "/one".into()));
    let body = r#"tiny::file("a", "/one", #{ content: "1" }); tiny::file("a", "/two", #{ content: "2" });"#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Failed { error: "tiny.file/a/one: a changed between reading and writing, 4 times in a row" }
        tiny.file/a/two: Skipped { because: "tiny.file/a/one failed" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!((report.failures.len(), report.skipped(), report.refused()), (1, 1, 0));
}

#[tokio::test]
async fn what_turns_out_to_be_as_wanted_lets_the_batch_go_through() {
    let world = nodes(&["a"]);
    let body = r#"for path in ["/one", "/two", "/three"] { tiny::file("a", path, #{ content: "x" }); }"#;
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let planned = plan(&declared, &peers).await;
    world.write("a", "/two", "x", 0o644);
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Changed { change: "create" }
        tiny.file/a/two: Unchanged
        tiny.file/a/three: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(world.changes.load(Ordering::Relaxed), 2, "the one that found it moved, and one for both files");
}

/// Two files on one silent node, in phases that do not wait for each other; the first needs a step that fails while both are looked at.
async fn looked_at_too_late(answers: bool) -> (String, usize) {
    let world = nodes(&["a"]);
    world.dead.lock().unwrap().insert("a".into());
    world.broken.lock().unwrap().insert("step".into());
    let declared = phases(&[
        ("one", r#"let step = tiny::step("step", #{}); tiny::file("a", "/one", #{ content: "1", needs: [step] });"#),
        ("two", r#"tiny::file("a", "/two", #{ content: "2" });"#),
    ]);
    let peers = peers(&world);
    let planned = plan(&declared, &peers).await;
    if answers {
        world.dead.lock().unwrap().clear();
    }
    world.look_takes.store(20, Ordering::SeqCst);
    let report = run(planned, &peers).await;
    assert!(!world.files.lock().unwrap().contains_key(&("a".to_owned(), "/one".to_owned())));
    (told(&report), report.failures.len())
}

#[tokio::test]
async fn a_look_that_ends_after_some_of_its_members_were_skipped_is_about_the_others() {
    let (told, failures) = looked_at_too_late(true).await;
    expect_test::expect![[r#"
        tiny.step/step: Failed { error: "step cannot be made" }
        tiny.file/a/one: Skipped { because: "tiny.step/step failed" }
        tiny.file/a/two: Changed { change: "create" }
    "#]]
    .assert_eq(&told);
    assert_eq!(failures, 1);
}

#[tokio::test]
async fn a_look_that_fails_after_some_of_its_members_were_skipped_is_the_failure_of_the_first_other() {
    let (told, failures) = looked_at_too_late(false).await;
    expect_test::expect![[r#"
        tiny.step/step: Failed { error: "step cannot be made" }
        tiny.file/a/one: Skipped { because: "tiny.step/step failed" }
        tiny.file/a/two: Failed { error: "a does not answer" }
    "#]]
    .assert_eq(&told);
    assert_eq!(failures, 2);
}

#[tokio::test]
async fn a_look_that_ends_after_a_stop_is_about_nobody() {
    let world = nodes(&["a"]);
    world.dead.lock().unwrap().insert("a".into());
    world.look_takes.store(20, Ordering::SeqCst);
    let report = stopped(&world, r#"tiny::step("step", #{}); tiny::file("a", "/one", #{ content: "1" });"#).await;
    expect_test::expect![[r#"
        tiny.step/step: Changed { change: "create" }
        tiny.file/a/one: Skipped { because: "the run was asked to stop" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!((report.failures.len(), report.stopped), (0, true));
}

#[tokio::test]
async fn a_check_that_may_change_something_is_asked_at_its_turn_and_not_together_with_others() {
    let body = r#"
        tiny::command("a", "first", #{});
        tiny::command("a", "reads", #{ reads: true });
        tiny::command("a", "writes", #{ reads: false });
    "#;
    let (world, declared) = (nodes(&["a"]), phases(&[("one", body)]));
    let peers = peers(&world);
    let asked = || std::mem::take(&mut *world.asked.lock().unwrap()).join(" ");
    let dry = plan(&declared, &peers).await;
    assert_eq!(asked(), "first");
    expect_test::expect![[r#"
        one
          + tiny.command/a/first
          + tiny.command/a/reads
              if: its own check says so, which is asked at its turn
          + tiny.command/a/writes
              if: its own check says so, which is asked at its turn
    "#]]
    .assert_eq(&dry.to_string());
    let planned = plan_for_run(&declared, &peers, &silent()).await.unwrap();
    assert_eq!(asked(), "first reads");
    let report = run(planned, &peers).await;
    assert_eq!(report.changed(), 3, "{}", told(&report));
    // Both are read again in their batch; `writes` is asked when they are done.
    assert_eq!(asked(), "first reads writes writes");
    assert_eq!(*world.log.lock().unwrap(), ["first", "reads", "writes"]);
    // A node that was silent in the plan is looked at in one go; still without `writes`.
    world.steps.lock().unwrap().clear();
    world.dead.lock().unwrap().insert("a".into());
    let unknown = plan_for_run(&declared, &peers, &silent()).await.unwrap();
    world.dead.lock().unwrap().clear();
    assert_eq!(asked(), "");
    let report = run(unknown, &peers).await;
    assert_eq!(report.changed(), 3, "{}", told(&report));
    assert_eq!(asked(), "first reads first reads writes writes");
}

#[tokio::test]
async fn what_is_done_by_itself_waits_for_the_batch_before_it_and_holds_what_comes_after() {
    let body = r#"
        tiny::command("a", "one", #{});
        tiny::command("a", "two", #{ alone: true });
        tiny::command("a", "three", #{});
    "#;
    for there in [false, true] {
        let (world, declared) = (nodes(&["a"]), phases(&[("one", body)]));
        let peers = peers(&world);
        if there {
            world.steps.lock().unwrap().insert("one".into());
        }
        let report = run(plan(&declared, &peers).await, &peers).await;
        assert_eq!(report.failures.len(), 0, "{}", told(&report));
        let expected: &[&str] = if there { &["two", "three"] } else { &["one", "two", "three"] };
        assert_eq!(*world.log.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn what_is_done_by_itself_does_not_go_before_a_batch_that_is_ready_too() {
    let declared =
        phases(&[("one", r#"tiny::file("a", "/one", #{ content: "1" });"#), ("two", r#"tiny::command("a", "alone", #{ alone: true });"#)]);
    let world = nodes(&["a"]);
    let peers = peers(&world);
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Changed { change: "create" }
        tiny.command/a/alone: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(*world.log.lock().unwrap(), ["a/one", "alone"]);
}

#[tokio::test]
async fn a_refresh_is_done_in_the_batch_of_its_cause_and_after_a_cause_elsewhere() {
    for cause in ["a", "b"] {
        let world = nodes(&["a", "b"]);
        world.write(cause, "/config", "old", 0o644);
        world.write("a", "/service", "on", 0o644);
        let body = format!(
            r#"
            tiny::file("{cause}", "/config", #{{ content: "new" }});
            tiny::file("a", "/service", #{{ content: "on", refreshed_by: "tiny.file/{cause}/config" }});
            "#
        );
        let (peers, declared) = (peers(&world), phases(&[("one", &body)]));
        let report = run(plan(&declared, &peers).await, &peers).await;
        assert!(told(&report).ends_with("tiny.file/a/service: Changed { change: \"update\" }\n"), "{}", told(&report));
        assert_eq!(*world.log.lock().unwrap(), [format!("{cause}/config"), "a/service".into()]);
        assert_eq!(world.changes.load(Ordering::Relaxed), if cause == "a" { 1 } else { 2 });
    }
}
