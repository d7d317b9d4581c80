//! How much happens at once: lanes, their end after a failure, and stopping.
use crate::tiny::{At, Do, World, peers, phases, plan, run, told};
use kthw_engine::{RunOptions, Stop, silent};
use std::sync::{Arc, atomic::Ordering};

async fn crowd(world: &Arc<World>, body: &str) -> (usize, String) {
    let (declared, peers) = (phases(&[("one", body)]), peers(world));
    let report = run(plan(&declared, &peers).await, &peers).await;
    (world.crowd.load(Ordering::SeqCst), told(&report))
}

#[tokio::test]
async fn a_lane_lets_in_as_many_as_it_is_wide() {
    for (wide, expected) in [(1, 1), (2, 2), (9, 6)] {
        let world = Arc::new(World::default());
        let body = format!(
            "for name in [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"] {{ tiny::step(name, #{{ lane: \"clones\", at_most: {wide} }}); }}"
        );
        let (crowd, told) = crowd(&world, &body).await;
        assert_eq!((crowd, world.steps.lock().unwrap().len()), (expected, 6), "{told}");
    }
}

#[tokio::test]
async fn after_a_failure_a_lane_that_stops_lets_nobody_in() {
    for stop in [true, false] {
        let world = Arc::new(World::default());
        world.broken.lock().unwrap().insert("b".into());
        let body = format!(
            r#"
            for name in ["a", "b", "c"] {{ tiny::step(name, #{{ lane: "control planes", at_most: 1, stop_after_failure: {stop} }}); }}
            tiny::step("other", #{{}});
            "#
        );
        let (_, told) = crowd(&world, &body).await;
        let last = if stop {
            r#"Skipped { because: "tiny.step/b failed, and nothing else of its kind is touched after that" }"#
        } else {
            r#"Changed { change: "create" }"#
        };
        let expected = format!(
            "tiny.step/a: Changed {{ change: \"create\" }}\ntiny.step/b: Failed {{ error: \"b cannot be made\" }}\ntiny.step/c: {last}\n\
             tiny.step/other: Changed {{ change: \"create\" }}\n"
        );
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_lane_reaches_over_nodes() {
    let body = |lane: &str| {
        format!(
            r#"
            for name in ["a", "b", "c"] {{
                tiny::file(name, "/before", #{{ content: "0" }});
                tiny::file(name, "/one", #{{ content: "1"{lane} }});
            }}
            "#
        )
    };
    for (lane, expected) in [(r#", lane: "one by one""#, 1), ("", 3)] {
        let world = Arc::new(World::default());
        world.machines.lock().unwrap().extend(["a", "b", "c"].map(|name| (name.to_owned(), 1)));
        ["a", "b", "c"].iter().for_each(|name| world.write(name, "/before", "0", 0o644));
        let (crowd, told) = crowd(&world, &body(lane)).await;
        assert_eq!((crowd, told.matches("Changed").count()), (expected, 3), "{told}");
    }
}

#[tokio::test]
async fn on_nodes_too_the_first_failure_ends_a_lane() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend(["a", "b"].map(|name| (name.to_owned(), 1)));
    world.broken.lock().unwrap().insert("/one".into());
    let body = r#"
        for name in ["a", "b"] { tiny::file(name, "/one", #{ content: "1", lane: "one by one", stop_after_failure: true }); }
    "#;
    let (_, told) = crowd(&world, body).await;
    expect_test::expect![[r#"
        tiny.file/a/one: Failed { error: "tiny.file/a/one: writing /one on a ended with status 1" }
        tiny.file/b/one: Skipped { because: "tiny.file/a/one failed, and nothing else of its kind is touched after that" }
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_begins_nothing_new() {
    let world = Arc::new(World::default());
    let body = r#"let a = tiny::step("a", #{}); tiny::step("b", #{ needs: [a] });"#;
    let (declared, peers) = (phases(&[("one", body)]), peers(&world));
    let stop = Stop::default();
    let ledger = Arc::new(At { number: 1, action: Do::Stop(stop.clone()) });
    let options = RunOptions { stop, ledger, ..RunOptions::default() };
    let planned = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    let report = kthw_engine::run(planned, &peers, &silent(), &options).await;
    assert!(report.stopped);
    expect_test::expect![[r#"
        tiny.step/a: Changed { change: "create" }
        tiny.step/b: Skipped { because: "the run was asked to stop" }
    "#]]
    .assert_eq(&told(&report));
}
