//! Plans in files: read back as they were, and carried out as they are or not at all.
use crate::tiny::{TWO_MACHINES, World, evaluated, peers, phases, plan, run};
use kthw_engine::{Asked, Choice, Evaluated, Kind, Plan, SavedPlan, Verb, all_absent};
use serde_json::{Value, json};
use std::sync::Arc;

fn asked() -> Asked {
    let none = Vec::new;
    let (recipe, workspace) = ("one".into(), "here".into());
    Asked { verb: Verb::Run, recipe, workspace, set: none(), lab: false, only: none(), nodes: none(), prune: false, max_destroy: None }
}

fn recipes(declared: &[Evaluated]) -> Vec<Arc<kthw_engine::Recipe>> {
    declared.iter().map(|one| one.recipe.clone()).collect()
}

fn workspace() -> Value {
    json!({ "name": "here", "machine": { "cores": 2 } })
}

/// The plan as its file holds it.
fn text(declared: &[Evaluated], plan: &Plan) -> String {
    plan.save(asked(), &recipes(declared), workspace()).to_text().unwrap()
}

fn read(text: &str) -> SavedPlan {
    SavedPlan::parse("plan.json", text.as_bytes()).unwrap()
}

/// A world in which `a` is as wanted, `b` has too few cores, and there are no files.
fn world() -> Arc<World> {
    let world = Arc::new(World::default());
    world.machines.lock().unwrap().extend([("a".into(), 2), ("b".into(), 1)]);
    world
}

/// What the plan of `before` says to the world of `after`, without the last word.
async fn moved(before: impl FnOnce(&World), after: impl FnOnce(&World)) -> String {
    let (world, declared) = (world(), evaluated(TWO_MACHINES));
    let peers = peers(&world);
    before(&world);
    let saved = read(&text(&declared, &plan(&declared, &peers).await));
    after(&world);
    match saved.check(&plan(&declared, &peers).await) {
        Ok(()) => "holds".into(),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Refused);
            let text = error.to_string();
            text.strip_prefix("plan.json is not carried out: what it was made of moved\n").unwrap().to_owned()
        }
    }
}

#[tokio::test]
async fn a_plan_reads_back_and_is_carried_out() {
    let (world, declared) = (world(), evaluated(TWO_MACHINES));
    let peers = peers(&world);
    let first = plan(&declared, &peers).await;
    let saved = read(&text(&declared, &first));
    assert_eq!((saved.asked(), saved.to_text().unwrap()), (&asked(), text(&declared, &first)));
    saved.check_inputs(&recipes(&declared), &workspace()).unwrap();
    let now = plan(&declared, &peers).await;
    saved.check(&now).unwrap();
    assert_eq!(now.digest(), first.digest());
    assert_eq!(run(now, &peers).await.changed(), 5);
    let done = plan(&declared, &peers).await;
    assert_ne!(done.digest(), first.digest());
    assert!(saved.check(&done).is_err());
    read(&text(&declared, &done)).check(&plan(&declared, &peers).await).unwrap();
}

#[tokio::test]
async fn every_fact_that_moved_is_named() {
    fn machines(world: &World) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<String, u32>> {
        world.machines.lock().unwrap()
    }
    let nothing = |_: &World| {};
    let written = |world: &World| world.write("a", "/one", "1\n", 0o644);
    assert_eq!(moved(nothing, nothing).await, "holds");

    let more = moved(nothing, |world| _ = machines(world).insert("b".into(), 2)).await;
    assert_eq!(more, "  tiny.machine/b: was to be changed, is now as wanted");
    let other = moved(nothing, |world| _ = machines(world).insert("b".into(), 0)).await;
    assert_eq!(other, "  tiny.machine/b: cores: was 1 -> 2, is now 0 -> 2");
    let refused = moved(nothing, |world| _ = machines(world).insert("b".into(), 8)).await;
    assert_eq!(
        refused,
        "  tiny.machine/b: was to be changed, is refused now: it would have to be replaced, which is never done on its own"
    );
    let worse = moved(|world| _ = machines(world).insert("b".into(), 8), |world| _ = machines(world).insert("b".into(), 100)).await;
    assert_eq!(worse, "  tiny.machine/b: cores: was 8 -> 2  (needs replacement), is now 100 -> 2  (cannot be changed)");
    let back = moved(|world| _ = machines(world).insert("b".into(), 8), nothing).await;
    assert_eq!(back, "holds", "what is refused is no obstacle to the rest");

    let made = moved(nothing, written).await;
    assert_eq!(made, "  tiny.file/a/one: was to be created, is there now and as wanted");
    let half_made = moved(nothing, |world| world.write("a", "/one", "1\n", 0o600)).await;
    assert_eq!(half_made, "  tiny.file/a/one: was to be created, is there now and to be changed: mode: 384 -> 420");
    let gone = moved(written, |world| world.files.lock().unwrap().clear()).await;
    assert_eq!(gone, "  tiny.file/a/one: was as wanted, is not there now");
    let spoilt = moved(written, |world| world.write("a", "/one", "", 0o644)).await;
    assert_eq!(spoilt, "  tiny.file/a/one: was as wanted, is now to be changed: content: \"\" -> 2 bytes (4355a46b…)");
    let of_mode = |world: &World| world.write("a", "/one", "1\n", 0o600);
    let further = moved(of_mode, |world| world.write("a", "/one", "2\n", 0o640)).await;
    assert_eq!(
        further,
        "  tiny.file/a/one: mode: was 384 -> 420, is now 416 -> 420\n  \
         tiny.file/a/one: content: was as wanted, is now 2 bytes (53c234e5…) -> 2 bytes (4355a46b…)"
    );
    let other = moved(of_mode, |world| world.write("a", "/one", "2\n", 0o644)).await;
    assert!(other.starts_with("  tiny.file/a/one: mode: was 384 -> 420, is now as wanted\n"), "{other}");

    let silent = moved(nothing, |world| _ = world.dead.lock().unwrap().insert("a".into())).await;
    assert_eq!(silent.lines().next().unwrap(), "  tiny.file/a/one: was to be created, cannot be looked at now: a does not answer");
    let answers = moved(|world| _ = world.dead.lock().unwrap().insert("a".into()), |world| world.dead.lock().unwrap().clear()).await;
    assert_eq!(answers.lines().next().unwrap(), "  tiny.file/a/one: could not be looked at, is now to be created");
}

#[tokio::test]
async fn what_only_follows_from_another_fact_is_counted_and_hides_no_other() {
    let whole = |world: &World| {
        for (node, path) in [("a", "/one"), ("a", "/two"), ("b", "/one")] {
            world.write(node, path, if path == "/one" { "1\n" } else { "2\n" }, 0o644);
        }
    };
    let gone = |world: &World| {
        world.machines.lock().unwrap().remove("a");
        world.files.lock().unwrap().clear();
    };
    let two = "\n  tiny.file/b/one: was as wanted, is not there now\n  and 2 resources that need one of these";
    assert_eq!(moved(whole, gone).await, format!("  tiny.machine/a: was as wanted, is not there now{two}"));
    let back = moved(
        |world| _ = world.machines.lock().unwrap().remove("a"),
        |world| {
            world.machines.lock().unwrap().insert("a".into(), 2);
            whole(world);
        },
    );
    let back = back.await;
    assert!(back.starts_with("  tiny.machine/a: was to be created, is there now and as wanted\n  tiny.file/b/one: "), "{back}");
    assert!(back.ends_with("\n  and 2 resources that need one of these"), "{back}");
    let refused = moved(whole, |world| _ = world.foreign.lock().unwrap().insert("a".into())).await;
    assert_eq!(
        refused,
        "  tiny.machine/a: was as wanted, is refused now: a belongs to somebody else\n  and 2 resources that need one of these"
    );
}

#[tokio::test]
async fn a_reason_that_is_told_in_other_words_is_no_fact() {
    let forbidden = |world: &World| _ = world.unreadable.lock().unwrap().insert("a".into());
    assert_eq!(moved(forbidden, |_| {}).await, "holds");
    let silent = |world: &World| {
        world.unreadable.lock().unwrap().insert("a".into());
        world.dead.lock().unwrap().insert("a".into());
    };
    assert_eq!(moved(forbidden, silent).await, "holds");
}

#[tokio::test]
async fn what_is_to_be_removed_and_what_is_declared_no_more_is_told_too() {
    let (world, declared) = (world(), all_absent(evaluated(TWO_MACHINES)));
    let peers = peers(&world);
    let saved = read(&text(&declared, &plan(&declared, &peers).await));
    world.machines.lock().unwrap().remove("a");
    let error = saved.check(&plan(&declared, &peers).await).unwrap_err().to_string();
    assert!(error.ends_with("\n  tiny.machine/a: was to be removed, is gone now"), "{error}");
    let other = phases(&[("one", r#"tiny::machine("b", 2, #{ present: false }); tiny::machine("c", 1);"#)]);
    let error = saved.check(&plan(&other, &peers).await).unwrap_err().to_string();
    expect_test::expect![[r#"
        plan.json is not carried out: what it was made of moved
          tiny.machine/c: was not in the plan, is now to be created
          tiny.machine/a: was to be removed, is not in the plan now
          tiny.file/a/one: was as wanted, is not in the plan now
          tiny.file/a/two: was as wanted, is not in the plan now
          tiny.file/b/one: was as wanted, is not in the plan now
          tiny.file/b/two: was as wanted, is not in the plan now"#]]
    .assert_eq(&error);
}

#[tokio::test]
async fn no_more_facts_are_told_than_a_person_reads() {
    let files = phases(&[("one", r#"for number in 0..300 { tiny::step(`s${number}`, #{}); }"#)]);
    let world = world();
    let peers = peers(&world);
    let saved = read(&text(&files, &plan(&files, &peers).await));
    let report = run(plan(&files, &peers).await, &peers).await;
    assert_eq!(report.changed(), 300);
    let error = saved.check(&plan(&files, &peers).await).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 22);
    assert_eq!(error.lines().last().unwrap(), "  and 280 more");
}

#[tokio::test]
async fn another_recipe_or_workspace_is_refused_before_anybody_is_asked() {
    let (world, declared) = (world(), evaluated(TWO_MACHINES));
    let saved = read(&text(&declared, &plan(&declared, &peers(&world)).await));
    let newer = evaluated(&TWO_MACHINES.replace("1.0.0", "1.1.0"));
    let other = json!({ "name": "here", "machine": { "cores": 4 } });
    let error = saved.check_inputs(&recipes(&newer), &other).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    expect_test::expect![[r#"
        plan.json is not carried out: what it was made of moved
          recipe one: 1.0.0 -> 1.1.0
          workspace: machine.cores 2 -> 4"#]]
    .assert_eq(&error.to_string());
    let help = error.diagnostic().help().unwrap().to_string();
    assert_eq!(help, "nothing was changed; make the plan anew with `--dry-run -o`, and look at it");
}

#[tokio::test]
async fn a_choice_is_a_part_of_the_plan() {
    let (world, declared) = (world(), evaluated(TWO_MACHINES));
    let peers = peers(&world);
    let choice = Choice { only: vec!["tiny.machine/b".into()], nodes: vec![] };
    let chosen = plan(&declared, &peers).await.only(&choice).unwrap();
    let saved = read(&text(&declared, &chosen));
    let now = plan(&declared, &peers).await;
    assert!(saved.check(&now).is_err());
    saved.check(&now.only(&choice).unwrap()).unwrap();
}

#[tokio::test]
async fn the_content_of_a_long_file_is_kept_as_its_digest() {
    let of =
        |letter: char| phases(&[("one", &format!(r#"tiny::file("a", "/one", #{{ content: "{}" }});"#, letter.to_string().repeat(4097)))]);
    let (world, declared) = (world(), of('x'));
    let peers = peers(&world);
    let text = text(&declared, &plan(&declared, &peers).await);
    assert!(text.len() < 2000 && text.contains("\"bytes\": 4097"), "{text}");
    let saved = read(&text);
    saved.check(&plan(&declared, &peers).await).unwrap();
    let error = saved.check(&plan(&of('y'), &peers).await).unwrap_err().to_string();
    assert!(error.contains("tiny.file/a/one: content: was 4097 bytes ("), "{error}");
}

#[tokio::test]
async fn what_is_no_plan_or_was_changed_by_hand_is_not_read() {
    let (world, declared) = (world(), evaluated(TWO_MACHINES));
    let whole = text(&declared, &plan(&declared, &peers(&world)).await);
    let kthw = env!("CARGO_PKG_VERSION");
    let changed = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}\n{whole}");
        whole.replacen(from, to, 1)
    };
    let form = |form: u32| changed("\"kthw_plan\": 1", &format!("\"kthw_plan\": {form}"));
    let tool = "is no plan of kthw";
    for (text, expected) in [
        (String::new(), "is not JSON: EOF while parsing a value at line 1 column 0".to_owned()),
        ("name: ubuntu\n".into(), "is not JSON: expected ident at line 1 column 2".into()),
        (whole[..whole.len() / 2].into(), "is not JSON: EOF while parsing".into()),
        ("[]".into(), tool.into()),
        ("1".into(), tool.into()),
        ("{}".into(), tool.into()),
        (r#"{"terraform_version":"1.9"}"#.into(), tool.into()),
        (r#"{"kthw_plan":"one"}"#.into(), tool.into()),
        (form(2), format!("is a plan of form 2, and kthw {kthw} reads form 1")),
        (r#"{"kthw_plan":2,"what":{}}"#.into(), format!("is a plan of form 2, and kthw {kthw} reads form 1")),
        (changed("\"want\": \"2\"", "\"want\": \"64\""), "was changed after it was made: its digest is another one".into()),
        (changed("\"prune\": false", "\"prune\": true"), "was changed after it was made: its digest is another one".into()),
        (changed("\"cores\": 2", "\"cores\": 3"), "was changed after it was made: its digest is another one".into()),
        (changed("\"change\": \"none\"", "\"change\": \"replace\""), "was changed after it was made: unknown variant `replace`".into()),
        (changed("\"set\": []", "\"set\": [], \"force\": true"), "was changed after it was made: unknown field `force`".into()),
    ] {
        let error = SavedPlan::parse("plan.json", text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        let said = error.to_string();
        assert!(said.starts_with(&format!("plan.json {expected}")), "{said}\ninstead of\n{expected}");
        assert!(error.diagnostic().help().is_some(), "{said}");
    }
    let newer = SavedPlan::parse("plan.json", form(2).replace(kthw, "9.1.0").as_bytes()).unwrap_err();
    let help = newer.diagnostic().help().unwrap().to_string();
    assert_eq!(help, "carry it out with kthw 9.1.0, which made it, or make it anew with this kthw");
    let zeros = vec![0; SavedPlan::LARGEST_BYTES + 1];
    assert_eq!(SavedPlan::parse("plan.json", &zeros).unwrap_err().to_string(), "plan.json is larger than 512 MiB");
    // How it is set out does not matter.
    let dense = serde_json::from_str::<Value>(&whole).unwrap().to_string();
    SavedPlan::parse("plan.json", dense.as_bytes()).unwrap();
}
