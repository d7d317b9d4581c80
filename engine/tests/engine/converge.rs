//! The law of every resource: a plan writes nothing; apply; plan again is all `=`.
use crate::tiny::{TWO_MACHINES, World, evaluated, peers};
use kthw_engine::{Error, RunOptions, silent};
use std::sync::{Arc, atomic::Ordering};

#[tokio::test]
async fn a_world_that_does_not_exist_is_planned_without_reading_it_and_built_in_one_batch_per_node() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let plan = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    expect_test::expect![[r#"
        one
          + tiny.machine/a
          + tiny.file/a/one
              content: 1 line
          + tiny.file/a/two
              content: 1 line
          + tiny.machine/b
          + tiny.file/b/one
              content: 1 line
          + tiny.file/b/two
              content: 1 line
    "#]]
    .assert_eq(&plan.to_string());
    assert_eq!(world.reads.load(Ordering::Relaxed), 0);

    let report = kthw_engine::run(plan, &peers, &silent(), &RunOptions::default()).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((report.changed(), world.changes.load(Ordering::Relaxed)), (6, 2));

    world.reads.store(0, Ordering::Relaxed);
    let again = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    assert_eq!((again.changes(), world.reads.load(Ordering::Relaxed)), (0, 2));
}

#[tokio::test]
async fn a_file_changed_by_hand_shows_and_is_repaired() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let plan = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    kthw_engine::run(plan, &peers, &silent(), &RunOptions::default()).await;
    world.write("a", "/one", "by hand\n", 0o644);
    let plan = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    expect_test::expect![[r#"
        one
          = tiny.machine/a
          ~ tiny.file/a/one
              content:
                  -by hand
                  +1
          = tiny.file/a/two
          = tiny.machine/b
          = tiny.file/b/one
          = tiny.file/b/two
    "#]]
    .assert_eq(&plan.to_string());
    kthw_engine::run(plan, &peers, &silent(), &RunOptions::default()).await;
    assert_eq!(kthw_engine::plan(&declared, &peers, &silent()).await.unwrap().changes(), 0);
}

#[tokio::test]
async fn what_was_planned_unseen_is_looked_at_before_it_is_changed() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 2), ("b".into(), 2)]);
    world.write("a", "/two", "2\n", 0o644);
    let text = r#"
const VERSION = "1.0.0";
fn declare(cluster) {
    let one = tiny::file("b", "/one", #{ content: "1\n" });
    tiny::file("a", "/two", #{ content: "2\n", needs: [one] });
}
"#;
    let peers = peers(&world);
    let plan = kthw_engine::plan(&evaluated(text), &peers, &silent()).await.unwrap();
    let report = kthw_engine::run(plan, &peers, &silent(), &RunOptions::default()).await;
    let told: Vec<String> = report.outcomes.iter().map(|(id, outcome)| format!("{id}: {outcome:?}")).collect();
    assert_eq!(told, ["tiny.file/b/one: Changed { change: \"create\" }", "tiny.file/a/two: Unchanged"]);
}

#[tokio::test]
async fn what_is_below_something_new_on_its_node_goes_out_with_it() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 2);
    let text = r#"
const VERSION = "1.0.0";
fn declare(cluster) {
    let one = tiny::file("a", "/one", #{ content: "1\n" });
    tiny::file("a", "/two", #{ content: "2\n", needs: [one] });
}
"#;
    let peers = peers(&world);
    let plan = kthw_engine::plan(&evaluated(text), &peers, &silent()).await.unwrap();
    let report = kthw_engine::run(plan, &peers, &silent(), &RunOptions::default()).await;
    assert_eq!(report.failures.len(), 0);
    assert_eq!((world.reads.load(Ordering::Relaxed), world.changes.load(Ordering::Relaxed)), (1, 1), "one look, one batch");
}

#[tokio::test]
async fn a_failure_skips_what_depends_on_it_and_nothing_else() {
    let world = Arc::new(World::default());
    world.broken.lock().unwrap().insert("/one".into());
    let (peers, declared) =
        (peers(&world), evaluated(&TWO_MACHINES.replace("\"/one\"", "`/${if name == \"a\" { \"one\" } else { \"uno\" }}`")));
    let plan = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    let report = kthw_engine::run(plan, &peers, &silent(), &RunOptions::default()).await;
    let told: Vec<String> = report.outcomes.iter().map(|(id, outcome)| format!("{id}: {outcome:?}")).collect();
    expect_test::expect![[r#"
        tiny.machine/a: Changed { change: "create" }
        tiny.file/a/one: Failed { error: "tiny.file/a/one: writing /one on a ended with status 1" }
        tiny.file/a/two: Skipped { because: "tiny.file/a/one failed" }
        tiny.machine/b: Changed { change: "create" }
        tiny.file/b/uno: Changed { change: "create" }
        tiny.file/b/two: Changed { change: "create" }"#]]
    .assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn a_recipe_that_declares_something_twice_is_refused_with_both_places() {
    let text = "const VERSION = \"1.0.0\";\nfn declare(cluster) {\n    tiny::machine(\"a\", 1);\n    tiny::machine(\"a\", 2);\n}\n";
    let error: Error = kthw_engine::plan(&evaluated(text), &peers(&Arc::default()), &silent()).await.unwrap_err();
    let mut shown = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none()).render_report(&mut shown, error.diagnostic()).unwrap();
    assert!(
        shown.contains("`tiny.machine/a` is declared twice") && shown.contains("one.rhai:4:11") && shown.contains("one.rhai:3:11"),
        "{shown}"
    );
}
