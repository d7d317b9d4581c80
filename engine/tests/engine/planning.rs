//! Numbers of a plan, and what of it is chosen when not everything is known.
use crate::tiny::{TWO_MACHINES, World, evaluated, peers, phases, plan, run};
use kthw_engine::{Choice, Plan, all_absent};
use std::sync::{Arc, atomic::Ordering};

fn only(words: &[&str]) -> Choice {
    Choice { only: words.iter().map(ToString::to_string).collect(), nodes: vec![] }
}

fn failures(plan: &Plan) -> Vec<String> {
    plan.failures().iter().map(|(id, error)| format!("{id}: {error}")).collect()
}

#[tokio::test]
async fn no_more_is_removed_than_may_be() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let planned = plan(&declared, &peers).await;
    assert_eq!((planned.changes(), planned.work(), planned.deletes()), (6, 6, 0));
    assert!(planned.check_max_destroy(Some(0)).is_ok());
    run(planned, &peers).await;
    let gone = plan(&all_absent(evaluated(TWO_MACHINES)), &peers).await;
    assert_eq!((gone.changes(), gone.work(), gone.deletes()), (2, 2, 2));
    assert!(gone.check_max_destroy(None).is_ok() && gone.check_max_destroy(Some(2)).is_ok() && gone.check_max_destroy(Some(3)).is_ok());
    let error = gone.check_max_destroy(Some(1)).unwrap_err();
    assert_eq!(error.to_string(), "2 resources would be removed, and at most 1 may be");
}

#[test]
fn what_is_declared_can_be_ordered_without_any_peer() {
    let ids: Vec<String> = kthw_engine::check(&evaluated(TWO_MACHINES)).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(ids[..2], ["tiny.machine/a", "tiny.file/a/one"]);
}

#[tokio::test]
async fn what_failed_is_told_if_it_may_be_why_something_chosen_is_unknown() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 2), ("b".into(), 2)]);
    world.dead.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    assert_eq!(failures(&plan(&declared, &peers).await), ["tiny.file/a/one: a does not answer"]);
    let known = plan(&declared, &peers).await.only(&only(&["tiny.file/b/one"])).unwrap();
    assert_eq!(failures(&known), [""; 0]);
    let unknown = plan(&declared, &peers).await.only(&only(&["tiny.file/a/two"])).unwrap();
    assert_eq!(failures(&unknown), ["tiny.file/a/one: a does not answer"]);
    let itself = plan(&declared, &peers).await.only(&only(&["tiny.file/a/one", "tiny.file/b/one"])).unwrap();
    assert_eq!(failures(&itself), ["tiny.file/a/one: a does not answer"]);
}

#[tokio::test]
async fn what_is_refused_and_chosen_keeps_its_reason() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 2), ("b".into(), 2)]);
    world.foreign.lock().unwrap().insert("a".into());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let chosen = plan(&declared, &peers).await.only(&only(&["tiny.machine/"])).unwrap();
    assert_eq!(failures(&chosen), ["tiny.machine/a: a belongs to somebody else"]);
    let other = plan(&declared, &peers).await.only(&only(&["tiny.machine/b"])).unwrap();
    assert_eq!(failures(&other), [""; 0]);
}

#[tokio::test]
async fn below_what_is_left_out_only_what_is_there_is_chosen() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 8), ("b".into(), 1)]);
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    // `a` is refused as it is and `b` has to grow; both are there, and so are what is on them.
    for word in ["tiny.file/a/one", "tiny.file/b/one"] {
        let chosen = plan(&declared, &peers).await.only(&only(&[word])).unwrap();
        assert_eq!(chosen.planned().iter().filter(|one| one.chosen).map(|one| one.id.to_string()).collect::<Vec<_>>(), [word]);
        assert_eq!((chosen.changes(), chosen.work()), (1, 1));
    }
}

#[test]
fn a_choice_of_nothing_is_everything() {
    assert!(Choice::default().is_everything());
    assert!(!only(&["one"]).is_everything());
    assert!(!Choice { nodes: vec!["a".into()], ..Choice::default() }.is_everything());
}

#[tokio::test]
async fn no_more_is_looked_at_or_changed_at_once_than_a_peer_can_bear() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend((0..300).map(|number| (format!("n{number}"), 1)));
    world.look_takes.store(3, Ordering::SeqCst);
    let peers = peers(&world);
    let files = phases(&[("one", r#"for number in 0..300 { tiny::file(`n${number}`, "/one", #{ content: "1" }); }"#)]);
    let planned = plan(&files, &peers).await;
    assert_eq!(world.most_looking.load(Ordering::SeqCst), 256);
    assert_eq!(run(planned, &peers).await.changed(), 300);
    assert_eq!(world.crowd.swap(0, Ordering::SeqCst), 256);
    let steps = phases(&[("one", r#"for number in 0..300 { tiny::step(`s${number}`, #{}); }"#)]);
    assert_eq!(run(plan(&steps, &peers).await, &peers).await.changed(), 300);
    assert_eq!(world.crowd.load(Ordering::SeqCst), 256);
}

#[tokio::test]
async fn below_what_is_left_out_and_hides_what_needs_it_nothing_is_chosen() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 0), ("b".into(), 2)]);
    let planned = plan(&evaluated(TWO_MACHINES), &peers(&world)).await;
    let error = planned.only(&only(&["tiny.file/a/one"])).unwrap_err();
    assert_eq!(error.to_string(), "tiny.file/a/one needs tiny.machine/a, which is not ready yet and is left out");
}

#[tokio::test]
async fn below_what_only_its_own_check_can_tell_something_is_chosen() {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().insert("a".into(), 2);
    let body = r#"
        let command = tiny::command("a", "check", #{ reads: false });
        tiny::file("a", "/one", #{ content: "1", needs: [command] });
    "#;
    let planned = plan(&phases(&[("one", body)]), &peers(&world)).await;
    assert_eq!(planned.only(&only(&["tiny.file/a/one"])).unwrap().changes(), 1);
}

#[tokio::test]
async fn what_is_silent_is_judged_once_however_many_ways_lead_to_it() {
    let world = Arc::new(World::default());
    world.unreadable.lock().unwrap().insert("root".into());
    let body = r#"
        let needs = [tiny::machine("root", 1)];
        for level in 0..40 {
            needs = [tiny::machine(`left${level}`, 1, #{ needs: needs }), tiny::machine(`right${level}`, 1, #{ needs: needs })];
        }
        tiny::machine("top", 1, #{ needs: needs });
    "#;
    let planned = plan(&phases(&[("one", body)]), &peers(&world)).await.only(&only(&["tiny.machine/top"])).unwrap();
    assert_eq!((planned.changes(), planned.failures().len()), (1, 1));
}

#[tokio::test]
async fn what_was_inside_of_something_that_is_not_there_is_not_looked_for() {
    let body = r#"
        let machine = tiny::machine("a", 2);
        let one = tiny::file("a", "/one", #{ content: "1", needs: [machine] });
        tiny::file("a", "/two", #{ content: "2", needs: [one] });
    "#;
    let world = Arc::new(World::default());
    let peers = peers(&world);
    for made in [false, true] {
        if made {
            run(plan(&phases(&[("one", body)]), &peers).await, &peers).await;
        }
        world.reads.store(0, Ordering::SeqCst);
        let gone = plan(&all_absent(phases(&[("one", body)])), &peers).await;
        assert_eq!((gone.changes(), gone.deletes(), world.reads.load(Ordering::SeqCst)), (usize::from(made), usize::from(made), 0));
        assert_eq!(gone.planned().iter().filter(|one| one.chosen).count(), usize::from(made));
    }
}

#[tokio::test]
async fn what_is_to_be_absent_on_a_machine_that_is_not_made_yet_is_not_looked_for() {
    let body = r#"
        let machine = tiny::machine("a", 2);
        let one = tiny::file("a", "/one", #{ content: "1", needs: [machine], present: false });
        tiny::file("a", "/two", #{ content: "2", needs: [one], present: false });
    "#;
    let world = Arc::new(World::default());
    let planned = plan(&phases(&[("one", body)]), &peers(&world)).await;
    assert_eq!((planned.changes(), planned.deletes(), world.reads.load(Ordering::SeqCst)), (1, 0, 0));
}

#[tokio::test]
async fn what_needs_something_new_elsewhere_counts_as_absent_although_its_node_was_looked_at() {
    let body = r#"
        tiny::file("a", "/zero", #{ content: "0" });
        let one = tiny::file("b", "/one", #{ content: "1" });
        tiny::file("a", "/two", #{ content: "2", needs: [one] });
    "#;
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 2), ("b".into(), 2)]);
    world.write("a", "/two", "2", 0o644);
    let planned = plan(&phases(&[("one", body)]), &peers(&world)).await;
    expect_test::expect![[r#"
        one
          + tiny.file/a/zero
              content: 0
          + tiny.file/b/one
              content: 1
          + tiny.file/a/two
              content: 2
    "#]]
    .assert_eq(&planned.to_string());
}
