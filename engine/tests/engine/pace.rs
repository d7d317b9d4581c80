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

/// Removes a file of each of three nodes, one node after the other; one of them may be broken.
async fn removed(broken: &str, stop_after_failure: bool) -> (usize, String) {
    let world = Arc::new(World::default());
    for name in ["a", "b", "c"] {
        world.machines.lock().unwrap().insert(name.into(), 1);
        world.write(name, &format!("/{name}"), "1", 0o644);
    }
    world.broken.lock().unwrap().insert(broken.into());
    let body = format!(
        r#"
        for name in ["a", "b", "c"] {{
            tiny::file(name, `/${{name}}`, #{{ content: "1", lane: "one by one", stop_after_failure: {stop_after_failure}, present: false }});
        }}
        "#
    );
    crowd(&world, &body).await
}

#[tokio::test]
async fn what_is_removed_keeps_to_its_lane() {
    let (crowd, told) = removed("/none", true).await;
    assert_eq!((crowd, told.matches(r#"Changed { change: "delete" }"#).count()), (1, 3), "{told}");
}

#[tokio::test]
async fn a_removal_that_fails_ends_a_lane_that_stops() {
    let (crowd, told) = removed("/b", true).await;
    expect_test::expect![[r#"
        tiny.file/a/a: Changed { change: "delete" }
        tiny.file/b/b: Failed { error: "tiny.file/b/b: removing /b on b ended with status 1" }
        tiny.file/c/c: Skipped { because: "tiny.file/b/b failed, and nothing else of its kind is touched after that" }
    "#]]
    .assert_eq(&told);
    assert_eq!(crowd, 1);
    let (_, told) = removed("/b", false).await;
    assert!(told.contains("tiny.file/c/c: Changed"), "{told}");
}

#[tokio::test]
async fn what_is_removed_from_one_node_goes_backwards_even_one_by_one() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 1);
    ["/one", "/two", "/three"].iter().for_each(|path| world.write("a", path, "1", 0o644));
    let body = r#"
        for path in ["/one", "/two", "/three"] { tiny::file("a", path, #{ content: "1", lane: "one by one", present: false }); }
    "#;
    let (_, told) = crowd(&world, body).await;
    assert_eq!(told.matches("delete").count(), 3, "{told}");
    assert_eq!(*world.log.lock().unwrap(), ["-a/three", "-a/two", "-a/one"]);
    assert_eq!(world.changes.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn openers_keep_to_their_lane_too() {
    let body = |lane: &str| format!(r#"for name in ["a", "b"] {{ tiny::opener(name, #{{ {lane} needs: [tiny::machine(name, 1)] }}); }}"#);
    for (lane, expected) in [(r#"lane: "one by one","#, 1), ("", 2)] {
        let (crowd, told) = crowd(&Arc::default(), &body(lane)).await;
        assert_eq!((crowd, told.matches("Changed").count()), (expected, 4), "{told}");
    }
}

#[tokio::test]
async fn what_comes_after_what_was_not_let_in_is_told_the_same_reason() {
    let world = Arc::new(World::default());
    world.broken.lock().unwrap().insert("a".into());
    let body = r#"
        let options = #{ lane: "control planes", at_most: 1, stop_after_failure: true };
        tiny::step("a", options);
        let b = tiny::step("b", options);
        tiny::step("behind", #{ needs: [b] });
    "#;
    let (_, told) = crowd(&world, body).await;
    expect_test::expect![[r#"
        tiny.step/a: Failed { error: "a cannot be made" }
        tiny.step/b: Skipped { because: "tiny.step/a failed, and nothing else of its kind is touched after that" }
        tiny.step/behind: Skipped { because: "tiny.step/a failed, and nothing else of its kind is touched after that" }
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_lane_that_stops_is_closed_too_by_what_was_not_begun_because_its_need_failed() {
    let body = |stop: bool| {
        format!(
            r#"
            let options = #{{ lane: "restarts", at_most: 1, stop_after_failure: {stop} }};
            let open = tiny::step("open", #{{}});
            tiny::step("a", options + #{{ needs: [open] }});
            let slow = tiny::step("slow", #{{}});
            tiny::step("b", options + #{{ needs: [tiny::step("slower", #{{ needs: [slow] }})] }});
            tiny::step("other", #{{}});
            "#
        )
    };
    for (stop, expected) in [
        (true, r#"Skipped { because: "tiny.step/a was not done, and nothing else of its kind is touched after that" }"#),
        (false, r#"Changed { change: "create" }"#),
    ] {
        let world = Arc::new(World::default());
        world.broken.lock().unwrap().insert("open".into());
        let (_, told) = crowd(&world, &body(stop)).await;
        let of = |name: &str| told.lines().find_map(|line| line.strip_prefix(&format!("tiny.step/{name}: "))).unwrap_or_default();
        assert_eq!(of("a"), r#"Skipped { because: "tiny.step/open failed" }"#);
        assert_eq!(of("b"), expected);
        assert_eq!(of("other"), r#"Changed { change: "create" }"#);
    }
}

#[tokio::test]
async fn a_lane_that_stops_is_closed_by_a_node_that_does_not_answer() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend(["a", "b"].map(|name| (name.to_owned(), 1)));
    world.dead.lock().unwrap().insert("a".into());
    const OPTIONS: &str = r#"let options = #{ content: "1", lane: "one by one", stop_after_failure: true };"#;
    // Of a node that is looked at in one go, what waits for nothing else on it is skipped by itself.
    let two = format!(r#"{OPTIONS} tiny::file("a", "/one", options);"#);
    let three = format!(
        r#"{OPTIONS} let slow = tiny::step("slow", #{{}});
        tiny::file("b", "/one", options + #{{ needs: [tiny::step("slower", #{{ needs: [slow] }})] }});"#
    );
    let declared = phases(&[("one", r#"tiny::file("a", "/first", #{ content: "1" });"#), ("two", &two), ("three", &three)]);
    let peers = peers(&world);
    let told = told(&run(plan(&declared, &peers).await, &peers).await);
    expect_test::expect![[r#"
        tiny.file/a/first: Failed { error: "a does not answer" }
        tiny.file/a/one: Skipped { because: "tiny.file/a/first failed" }
        tiny.step/slow: Changed { change: "create" }
        tiny.step/slower: Changed { change: "create" }
        tiny.file/b/one: Skipped { because: "tiny.file/a/one could not be looked at, and nothing else of its kind is touched after that" }
    "#]]
    .assert_eq(&told);
}
