//! What a run tells about itself: its events, its numbers, and the one action that a person asks for by hand.
use crate::tiny::{World, peers, phases, plan};
use kthw_engine::{Event, Events, RunOptions, execute, node::Action, silent};
use std::sync::{Arc, Mutex};

/// Events that are kept, each as a line.
fn kept() -> (Arc<Mutex<Vec<String>>>, Events) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = lines.clone();
    let events: Events = Arc::new(move |event: Event| into.lock().unwrap().push(serde_json::to_string(&event).unwrap()));
    (lines, events)
}

#[tokio::test]
async fn a_plan_tells_each_resource_that_was_chosen() {
    let world = Arc::new(World::default());
    let declared = phases(&[("one", r#"tiny::step("a", #{}); tiny::step("b", #{});"#)]);
    let planned = plan(&declared, &peers(&world)).await;
    let choice = kthw_engine::Choice { only: vec!["tiny.step/b".into()], ..Default::default() };
    let (lines, events) = kept();
    planned.only(&choice).unwrap().announce(&events);
    expect_test::expect![[r#"{"event":"planned","id":"tiny.step/b","phase":"one","change":"create"}"#]]
        .assert_eq(&lines.lock().unwrap().join("\n"));
}

#[tokio::test]
async fn a_run_tells_what_it_begins_how_it_ends_and_how_long_that_took() {
    let world = Arc::new(World::default());
    world.steps.lock().unwrap().insert("there".into());
    world.broken.lock().unwrap().insert("broken".into());
    world.machines.lock().unwrap().insert("big".into(), 8);
    let body = r#"
        tiny::step("there", #{});
        tiny::step("new", #{});
        let broken = tiny::step("broken", #{});
        tiny::step("behind", #{ needs: [broken] });
        tiny::machine("big", 2);
        let machine = tiny::machine("a", 1);
        tiny::file("a", "/one", #{ content: "1", needs: [machine] });
    "#;
    let (lines, events) = kept();
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let report = kthw_engine::run(plan(&declared, &peers).await, &peers, &events, &RunOptions::default()).await;
    expect_test::expect![[r#"
        {"event":"started","id":"tiny.step/new"}
        {"event":"started","id":"tiny.step/broken"}
        {"event":"started","id":"tiny.machine/a"}
        {"event":"ended","id":"tiny.machine/a","outcome":"changed","change":"create","seconds":0.0}
        {"event":"started","id":"tiny.file/a/one"}
        {"event":"ended","id":"tiny.file/a/one","outcome":"changed","change":"create","seconds":0.0}
        {"event":"ended","id":"tiny.step/broken","outcome":"failed","error":"broken cannot be made","seconds":1.0}
        {"event":"ended","id":"tiny.step/behind","outcome":"skipped","because":"tiny.step/broken failed","seconds":0.0}
        {"event":"ended","id":"tiny.step/new","outcome":"changed","change":"create","seconds":2.0}
        {"event":"finished","changed":3,"unchanged":1,"failed":1,"skipped":1,"refused":1,"seconds":2.0}"#]]
    .assert_eq(&lines.lock().unwrap().join("\n"));
    assert!(report.took.as_secs() >= 1, "{:?}", report.took);
    assert_eq!((report.changed(), report.skipped(), report.refused(), report.failures.len()), (3, 1, 1, 1));
}

#[tokio::test]
async fn what_an_action_noticed_is_told_of_its_resource_without_the_peers_control_characters() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 1);
    let body = r#"tiny::file("a", "/one", #{ content: "1" }); tiny::file("a", "/odd", #{ content: "2" });"#;
    let (lines, events) = kept();
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    kthw_engine::run(plan(&declared, &peers).await, &peers, &events, &RunOptions::default()).await;
    let noticed: Vec<String> = lines.lock().unwrap().iter().filter(|line| line.contains("noticed")).cloned().collect();
    expect_test::expect![[r#"{"event":"noticed","id":"tiny.file/a/odd","text":"somebody's file is\\u{1b}[31m odd"}"#]]
        .assert_eq(&noticed.join("\n"));
}

#[tokio::test]
async fn one_action_by_hand_comes_back_as_it_ended() {
    let world = Arc::new(World::default());
    let output = execute("a", &Action::run(["uptime"]), &peers(&world), &RunOptions::default()).await.unwrap();
    assert_eq!(output.status, 3);
    assert_eq!(*world.log.lock().unwrap(), ["a: `uptime`"]);
    world.dead.lock().unwrap().insert("a".into());
    let error = execute("a", &Action::run(["uptime"]), &peers(&world), &RunOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "a does not answer");
}

#[tokio::test]
async fn a_command_that_fails_is_told_with_what_it_said() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 1);
    world.broken.lock().unwrap().insert("/one".into());
    let (peers, declared) = (peers(&world), phases(&[("one", r#"tiny::file("a", "/one", #{ content: "1" });"#)]));
    let report = kthw_engine::run(plan(&declared, &peers).await, &peers, &silent(), &RunOptions::default()).await;
    let help = report.failures[0].1.diagnostic().help().unwrap().to_string();
    assert_eq!(help, "it said:\ndisk full");
}
