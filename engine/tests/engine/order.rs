//! What comes before what: circles, gates, and parts of a plan.
use crate::tiny::{Recipes, World, engine, peers, phases, plan, run, told};
use kthw_engine::{Choice, silent};
use std::sync::{Arc, atomic::Ordering};

const STEPS: &str = r#"
    let first = tiny::step("first", #{});
    tiny::step("second", #{ needs: [first] });
    tiny::step("free", #{});
"#;

#[test]
fn recipes_that_need_each_other_are_refused() {
    let recipe = |need: &str| format!("const VERSION = \"1.0.0\";\nconst NEEDS = [\"{need}\"];\nfn declare(cluster) {{}}\n");
    let library = Recipes([("a", recipe("b")), ("b", recipe("a@1"))].into());
    let error = kthw_engine::Graph::load(&engine(), &library, "a").unwrap_err();
    assert_eq!(error.to_string(), "recipes need each other: a -> b -> a");
}

#[tokio::test]
async fn resources_that_wait_for_each_other_are_named() {
    let body = r#"
        let one = tiny::file("a", "/one", #{ content: "1", refreshed_by: "tiny.file/a/two" });
        tiny::file("a", "/two", #{ content: "2", needs: [one] });
        tiny::step("free", #{});
    "#;
    let error = kthw_engine::plan(&phases(&[("one", body)]), &peers(&Arc::default()), &silent()).await.unwrap_err();
    assert_eq!(error.to_string(), "resources wait for each other: tiny.file/a/one, tiny.file/a/two");
}

#[tokio::test]
async fn a_gate_waits_for_everything_before_it_and_nothing_else_does() {
    for gate in [true, false] {
        let world = Arc::new(World::default());
        let header = if gate { "upgrade: backup, GATE" } else { "upgrade: backup" };
        let declared =
            phases(&[("backup", STEPS), (header, r#"tiny::step("upgrade", #{});"#), ("other: backup", r#"tiny::step("other", #{});"#)]);
        let peers = peers(&world);
        let report = run(plan(&declared, &peers).await, &peers).await;
        assert_eq!(report.changed(), 5, "{}", told(&report));
        let log = world.log.lock().unwrap().clone();
        let place = |name: &str| log.iter().position(|made| made == name).unwrap();
        assert_eq!(place("upgrade") > place("second"), gate, "{log:?}");
        assert!(place("other") < place("second"), "{log:?}");
    }
}

#[tokio::test]
async fn behind_a_gate_nothing_is_tried_after_a_failure() {
    let world = Arc::new(World::default());
    world.broken.lock().unwrap().insert("free".into());
    let declared = phases(&[("backup", STEPS), ("upgrade: backup, GATE", r#"tiny::step("upgrade", #{});"#)]);
    let peers = peers(&world);
    let report = run(plan(&declared, &peers).await, &peers).await;
    expect_test::expect![[r#"
        tiny.step/first: Changed { change: "create" }
        tiny.step/second: Changed { change: "create" }
        tiny.step/free: Failed { error: "free cannot be made" }
        tiny.step/upgrade: Skipped { because: "tiny.step/free failed" }
    "#]]
    .assert_eq(&told(&report));
}

#[tokio::test]
async fn what_happens_before_a_gate_is_settled_does_not_hold_it_up() {
    let world = Arc::new(World::default());
    world.steps.lock().unwrap().extend(["first", "second", "free"].map(String::from));
    let declared = phases(&[("backup", STEPS), ("upgrade: backup, GATE", r#"tiny::step("upgrade", #{});"#)]);
    let peers = peers(&world);
    assert_eq!(run(plan(&declared, &peers).await, &peers).await.changed(), 1);
}

#[tokio::test]
async fn who_judges_what_others_made_looks_when_they_are_done() {
    let world = Arc::new(World::default());
    let declared = phases(&[("backup", STEPS), ("end: backup, GATE", r#"tiny::judge("end");"#)]);
    let peers = peers(&world);
    let looks = || world.log.lock().unwrap().iter().filter(|line| *line == "judged by end").count();
    let planned = plan(&declared, &peers).await;
    assert_eq!((planned.changes(), looks()), (4, 0));
    let report = run(planned, &peers).await;
    assert_eq!((report.changed(), looks()), (3, 1), "it found all well, so it changed nothing: {}", told(&report));
    assert_eq!(world.log.lock().unwrap().last().unwrap(), "judged by end");
    let settled = plan(&declared, &peers).await;
    assert_eq!((settled.changes(), looks()), (0, 2));
}

#[tokio::test]
async fn who_judges_fails_the_run_when_all_is_not_well_whatever_was_changed() {
    let world = Arc::new(World::default());
    world.broken.lock().unwrap().insert("end".into());
    let declared = phases(&[("backup", STEPS), ("end: backup, GATE", r#"tiny::judge("end");"#)]);
    let peers = peers(&world);
    for fields in [1, 1] {
        let planned = plan(&declared, &peers).await;
        let judged = planned.planned().iter().find(|one| one.id.kind() == "tiny.judge").unwrap();
        assert_eq!(judged.change.fields().len(), fields);
        let report = run(planned, &peers).await;
        assert!(told(&report).contains(r#"tiny.judge/end: Failed { error: "end says that it is not well" }"#), "{}", told(&report));
    }
}

#[tokio::test]
async fn who_judges_looks_at_once_where_only_something_else_is_changed() {
    let world = Arc::new(World::default());
    world.steps.lock().unwrap().insert("first".into());
    let body = r#"
        tiny::step("first", #{});
        tiny::judge("first alone");
        tiny::step("other", #{});
    "#;
    let peers = peers(&world);
    let planned = plan(&phases(&[("one", body)]), &peers).await;
    let changed: Vec<String> = planned.planned().iter().filter(|one| !one.change.is_none()).map(|one| one.id.to_string()).collect();
    assert_eq!(changed, ["tiny.step/other"]);
}

const MACHINES: &str = r#"
    for name in ["wu1", "wu10"] {
        let machine = tiny::machine(name, 2);
        tiny::file(name, "/one", #{ content: "1", needs: [machine] });
    }
"#;

/// What is chosen, or why it cannot be.
async fn chosen(world: &Arc<World>, only: &[&str], nodes: &[&str]) -> String {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let choice = Choice { only: words(only), nodes: words(nodes) };
    match plan(&phases(&[("machines", MACHINES)]), &peers(world)).await.only(&choice) {
        Ok(plan) => plan.planned().iter().filter(|one| one.chosen).map(|one| one.id.to_string()).collect::<Vec<_>>().join(" "),
        Err(error) => format!("{error}; {}", error.diagnostic().help().unwrap()),
    }
}

#[tokio::test]
async fn a_part_of_a_plan_is_chosen_by_whole_names_first() {
    let world = Arc::new(World::default());
    assert_eq!(chosen(&world, &["tiny.machine/wu1"], &[]).await, "tiny.machine/wu1");
    assert_eq!(chosen(&world, &["tiny.machine/wu"], &[]).await, "tiny.machine/wu1 tiny.machine/wu10");
    assert_eq!(chosen(&world, &["tiny.machine/"], &["wu1"]).await, "tiny.machine/wu1 tiny.file/wu1/one tiny.machine/wu10");
    assert_eq!(chosen(&world, &[], &["wu10"]).await, "tiny.machine/wu10 tiny.file/wu10/one");
    assert_eq!(chosen(&world, &["machines"], &[]).await.split(' ').count(), 4);
}

#[tokio::test]
async fn a_choice_that_cannot_be_says_what_can() {
    let world = Arc::new(World::default());
    let refused = [
        chosen(&world, &["tiny.machin/wu1"], &[]).await,
        chosen(&world, &["wu1"], &[]).await,
        chosen(&world, &[""], &[]).await,
        chosen(&world, &[], &["wu2"]).await,
        chosen(&world, &["tiny.file/wu1/one"], &[]).await,
    ];
    expect_test::expect![[r#"
        no phase of this run is called `tiny.machin/wu1`, and no resource begins with it; did you mean `tiny.machine/wu1`? A node is chosen with `--node`
        no phase of this run is called `wu1`, and no resource begins with it; the plan without `--only` lists both
        no phase of this run is called ``, and no resource begins with it; the plan without `--only` lists both
        nothing in this run is on a node called `wu2`; did you mean `wu1`?
        tiny.file/wu1/one needs tiny.machine/wu1, which does not exist yet and is left out; add `--only tiny.machine/wu1`, or run without `--only`"#]].assert_eq(&refused.join("\n"));
}

#[tokio::test]
async fn nothing_is_chosen_below_what_is_refused() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("wu1".into(), 2), ("wu10".into(), 2)]);
    world.foreign.lock().unwrap().insert("wu1".into());
    let body = r#"
        let machine = tiny::machine("wu1", 2);
        let one = tiny::file("wu1", "/one", #{ content: "1", needs: [machine] });
        tiny::file("wu1", "/two", #{ content: "2", needs: [one] });
    "#;
    let choice = Choice { only: vec!["tiny.file/wu1/two".into()], nodes: vec![] };
    let error = plan(&phases(&[("machines", body)]), &peers(&world)).await.only(&choice).unwrap_err();
    assert_eq!(error.to_string(), "tiny.file/wu1/two needs tiny.machine/wu1, which is refused and is left out");
}

#[tokio::test]
async fn a_failure_reaches_through_what_has_nothing_to_do() {
    // On one node: /one fails, /two is as declared already, /three would be `kubeadm init`.
    let body = r#"for path in ["/one", "/two", "/three", "/four"] { tiny::file("a", path, #{ content: "x" }); }"#;
    for known_when_planning in [true, false] {
        let world = Arc::new(World::default());
        world.machines.lock().unwrap().insert("a".into(), 1);
        world.broken.lock().unwrap().insert("/one".into());
        if known_when_planning {
            world.write("a", "/two", "x", 0o644);
        }
        let (peers, declared) = (peers(&world), phases(&[("one", body)]));
        let planned = plan(&declared, &peers).await;
        world.write("a", "/two", "x", 0o644);
        let report = run(planned, &peers).await;
        let ended = told(&report);
        assert!(ended.contains("tiny.file/a/three: Skipped { because: \"tiny.file/a/one failed\" }"), "{ended}");
        assert!(ended.contains("tiny.file/a/four: Skipped"), "{ended}");
        assert!(world.log.lock().unwrap().is_empty(), "nothing behind it was done");
    }
}

#[tokio::test]
async fn what_has_nothing_to_do_does_not_cut_a_batch_in_two() {
    let body = r#"for path in ["/one", "/two", "/three"] { tiny::file("a", path, #{ content: "x" }); }"#;
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 1);
    world.write("a", "/two", "x", 0o644);
    let (peers, declared) = (peers(&world), phases(&[("one", body)]));
    let report = run(plan(&declared, &peers).await, &peers).await;
    assert_eq!(report.changed(), 2);
    assert_eq!(world.changes.load(Ordering::Relaxed), 1, "one exec");
}
