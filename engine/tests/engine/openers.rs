//! What opens a node: it is looked at first, waited for, and everything else on the node comes after it.
use crate::tiny::{World, peers, phases, plan, run, told};
use kthw_engine::Kind;
use std::sync::Arc;

fn node_a() -> Arc<World> {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 1);
    world
}

const OPENED: &str = r#"
    let machine = tiny::machine("a", 1);
    tiny::opener("a", #{ needs: [machine] });
    tiny::file("a", "/one", #{ content: "1" });
"#;

#[tokio::test]
async fn an_opener_of_a_node_that_answers_again_at_its_turn_has_nothing_to_do() {
    let world = node_a();
    world.dead.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), phases(&[("one", OPENED)]));
    let planned = plan(&declared, &peers).await;
    expect_test::expect![[r#"
        one
          = tiny.machine/a
          ? tiny.opener/a  (unknown: a does not answer)
          ? tiny.file/a/one  (unknown: tiny.opener/a is unknown)
    "#]]
    .assert_eq(&planned.to_string());
    world.dead.lock().unwrap().clear();
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.opener/a: Unchanged
        tiny.file/a/one: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(*world.log.lock().unwrap(), ["a/one"], "nobody waited for it");
}

#[tokio::test]
async fn an_opener_of_a_node_that_is_still_silent_at_its_turn_waits_for_it() {
    let world = node_a();
    world.dead.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), phases(&[("one", OPENED)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.opener/a: Changed { change: "create" }
        tiny.file/a/one: Changed { change: "create" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(*world.log.lock().unwrap(), ["waited for a", "a/one"]);
}

#[tokio::test]
async fn an_opener_of_a_node_that_is_somebody_else_by_now_waits_for_nobody() {
    let world = node_a();
    world.dead.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), phases(&[("one", OPENED)]));
    let planned = plan(&declared, &peers).await;
    world.foreign.lock().unwrap().insert("a".into());
    // The machine is settled already, so nobody asks for it again.
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.machine/a: Unchanged
        tiny.opener/a: Failed { error: "a is not who it was" }
        tiny.file/a/one: Skipped { because: "tiny.opener/a failed" }
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(report.failures[0].1.kind(), Kind::Refused);
    assert!(world.log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_opener_of_a_new_node_is_waited_for_and_not_looked_at_before() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), phases(&[("one", OPENED)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert_eq!((report.changed(), report.failures.len()), (3, 0), "{}", told(&report));
    assert_eq!(*world.log.lock().unwrap(), ["waited for a", "a/one"]);
    assert_eq!(plan(&declared, &peers).await.changes(), 0);
}

#[tokio::test]
async fn behind_an_opener_that_has_work_nothing_counts_as_looked_at() {
    let body = r#"
        tiny::opener("a", #{});
        tiny::file("a", "/one", #{ content: "1" });
    "#;
    let world = node_a();
    world.strangers.lock().unwrap().insert("a".into());
    world.write("a", "/one", "1", 0o644);
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let planned = plan(&declared, &peers).await;
    assert_eq!(planned.changes(), 2, "{planned}");
    let report = run(planned, &peers).await;
    expect_test::expect![[r#"
        tiny.opener/a: Changed { change: "create" }
        tiny.file/a/one: Unchanged
    "#]]
    .assert_eq(&told(&report));
    assert_eq!(plan(&declared, &peers).await.changes(), 0);
}

#[tokio::test]
async fn what_opens_a_node_is_kept_with_its_answers_and_of_the_rest_what_differs() {
    let world = node_a();
    world.write("a", "/two", "2", 0o644);
    let more = format!("{OPENED} tiny::file(\"a\", \"/two\", #{{ content: \"2\" }});");
    let planned = plan(&phases(&[("one", &more)]), &peers(&world)).await;
    let of = |kind: &str| planned.answers(kind).map(|(node, findings)| (node.to_owned(), findings.len())).collect::<Vec<_>>();
    assert_eq!(of("tiny.opener"), [("a".to_owned(), 1)]);
    assert_eq!(of("tiny.file"), [("a".to_owned(), 1), ("a".to_owned(), 0)], "the other file is as wanted");
    assert_eq!(of("tiny.machine"), [], "it is on no node");
}
