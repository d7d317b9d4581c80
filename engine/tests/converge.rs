//! The law of every resource, on a tiny world: a plan writes nothing; apply; plan again is all `=`.
#![allow(clippy::unwrap_used, missing_docs)]
use kthw_engine::{
    Change, Error, Evaluated, Id, Library, NodeResource, Options, Peers, Permit, Recipe, Resource, Rhai, RunOptions, Source, SystemClock,
    Work, declare, declare_on_node, field, node::*, silent,
};
use rhai::{Dynamic, Engine, Map, Module, NativeCallContext};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Machines that exist, and the files on each.
#[derive(Default)]
struct World {
    machines: Mutex<BTreeMap<String, u32>>,
    files: Mutex<BTreeMap<(String, String), String>>,
    reads: AtomicUsize,
    changes: AtomicUsize,
    broken_path: Mutex<Option<String>>,
}

struct TinyNodes(Arc<World>);

impl TinyNodes {
    fn look(&self, node: &str, probes: &[Probe]) -> Vec<Finding> {
        let files = self.0.files.lock().unwrap();
        let one = |probe: &Probe| match probe {
            Probe::Path { path, .. } => Finding::Path(files.get(&(node.into(), path.clone())).map(|content| PathState {
                kind: PathKind::File,
                mode: 0o644,
                owner: "root".into(),
                group: "root".into(),
                modified_s: 0,
                sha256: Some(Content::plain(content).sha256()),
                content: Some(content.clone().into_bytes()),
            })),
            _ => Finding::Line(false),
        };
        probes.iter().map(one).collect()
    }
}

impl Nodes for TinyNodes {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> kthw_engine::BoxFuture<'a, kthw_engine::Result<Vec<Finding>>> {
        Box::pin(async move {
            self.0.reads.fetch_add(1, Ordering::Relaxed);
            assert!(self.0.machines.lock().unwrap().contains_key(node), "{node} is read although it does not exist");
            Ok(self.look(node, probes))
        })
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        _: &'a Permit,
        started: &'a (dyn Fn(usize) + Sync),
    ) -> kthw_engine::BoxFuture<'a, kthw_engine::Result<Vec<BlockOutcome>>> {
        Box::pin(async move {
            self.0.changes.fetch_add(1, Ordering::Relaxed);
            let mut outcomes: Vec<BlockOutcome> = Vec::new();
            for (position, block) in batch.iter().enumerate() {
                started(position);
                let held = block.after.iter().any(|before| !matches!(outcomes[*before], BlockOutcome::Done(_)));
                if held {
                    outcomes.push(BlockOutcome::Skipped);
                    continue;
                }
                let mut failed = None;
                for action in &block.actions {
                    let Action::Write { path, content, .. } = action else { continue };
                    if self.0.broken_path.lock().unwrap().as_ref() == Some(path) {
                        failed = Some(Output { status: 1, stderr: "disk full".into(), ..Output::default() });
                        break;
                    }
                    let text = String::from_utf8(content.bytes().to_vec()).unwrap();
                    self.0.files.lock().unwrap().insert((node.into(), path.clone()), text);
                }
                outcomes.push(match failed {
                    Some(output) => BlockOutcome::Failed { action: 0, output },
                    None => BlockOutcome::Done(self.look(node, &block.reread)),
                });
            }
            Ok(outcomes)
        })
    }

    fn act<'a>(&'a self, _: &'a str, _: &'a Action, _: &'a Permit) -> kthw_engine::BoxFuture<'a, kthw_engine::Result<Output>> {
        Box::pin(async { Ok(Output::default()) })
    }
}

#[derive(Debug)]
struct Machine {
    name: String,
    cores: u32,
}

impl Resource for Machine {
    type Live = u32;
    fn id(&self) -> Id {
        Id::new("tiny.machine", &self.name)
    }
    async fn read(&self, peers: &Peers) -> kthw_engine::Result<Option<u32>> {
        Ok(peers.get::<Arc<World>>()?.machines.lock().unwrap().get(&self.name).copied())
    }
    fn diff(&self, live: Option<&u32>) -> Change {
        live.map_or_else(|| Change::create([]), |live| Change::between([field("cores", *live, self.cores)]))
    }
    async fn apply(&self, _: Option<u32>, peers: &Peers, _: &Permit) -> kthw_engine::Result<()> {
        peers.get::<Arc<World>>()?.machines.lock().unwrap().insert(self.name.clone(), self.cores);
        Ok(())
    }
}

#[derive(Debug)]
struct File {
    node: String,
    path: String,
    content: String,
}

impl NodeResource for File {
    type Live = String;
    fn id(&self) -> Id {
        Id::new("tiny.file", format!("{}{}", self.node, self.path))
    }
    fn node(&self) -> &str {
        &self.node
    }
    fn query(&self) -> Vec<Probe> {
        vec![Probe::path(&self.path)]
    }
    fn live(&self, findings: &[Finding]) -> kthw_engine::Result<Option<String>> {
        let [Finding::Path(state)] = findings else { panic!("one question, one answer") };
        Ok(state.as_ref().and_then(|state| String::from_utf8(state.content.clone()?).ok()))
    }
    fn diff(&self, live: Option<&String>) -> Change {
        live.map_or_else(|| Change::create([]), |live| Change::between([field("content", live.clone(), self.content.clone())]))
    }
    fn work(&self, _: Option<&String>, _: bool) -> Work {
        Work::Actions(vec![Action::Write { path: self.path.clone(), content: Content::plain(&self.content), mode: 0o644, owner: None }])
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSpec {
    content: String,
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    kthw_engine::limits(&mut engine);
    let mut module = Module::new();
    module.set_native_fn("machine", |cx: NativeCallContext<'_>, name: &str, cores: i64| -> Rhai<Id> {
        declare(&cx, Machine { name: name.into(), cores: cores as u32 }, vec![])
    });
    module.set_native_fn("file", |cx: NativeCallContext<'_>, node: &str, path: &str, options: Map| -> Rhai<Id> {
        let Options::<FileSpec> { spec, needs } = Options::parse(&cx, "tiny::file", options)?;
        declare_on_node(&cx, File { node: node.into(), path: path.into(), content: spec.content }, needs)
    });
    engine.register_static_module("tiny", module.into());
    engine
}

struct Recipes(BTreeMap<&'static str, String>);

impl Library for Recipes {
    fn find(&self, name: &str) -> Result<Option<Source>, String> {
        let source = |text: &String| Source { name: name.into(), path: format!("recipes/{name}.rhai"), text: text.clone() };
        Ok(self.0.get(name).map(source))
    }
    fn names(&self) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }
}

fn evaluated(text: &str) -> Vec<Evaluated> {
    let engine = engine();
    let source = Source { name: "one".into(), path: "recipes/one.rhai".into(), text: text.into() };
    let recipe = Recipe::parse(&engine, source).unwrap();
    vec![kthw_engine::evaluate(&engine, &recipe, Dynamic::UNIT).unwrap()]
}

fn peers(world: &Arc<World>) -> Peers {
    Peers::new(Arc::new(TinyNodes(world.clone())), Arc::new(SystemClock::default())).with(world.clone())
}

const TWO_MACHINES: &str = r#"
const VERSION = "1.0.0";
fn declare(cluster) {
    for name in ["a", "b"] {
        let machine = tiny::machine(name, 2);
        tiny::file(name, "/one", #{ content: "1\n", needs: [machine] });
        tiny::file(name, "/two", #{ content: "2\n", needs: [machine] });
    }
}
"#;

#[tokio::test]
async fn a_world_that_does_not_exist_is_planned_without_reading_it_and_built_in_one_batch_per_node() {
    let world = Arc::new(World::default());
    let (peers, declared) = (peers(&world), evaluated(TWO_MACHINES));
    let plan = kthw_engine::plan(&declared, &peers, &silent()).await.unwrap();
    expect_test::expect![[r#"
        one
          + tiny.machine/a
          + tiny.file/a/one
          + tiny.file/a/two
          + tiny.machine/b
          + tiny.file/b/one
          + tiny.file/b/two
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
    world.files.lock().unwrap().insert(("a".into(), "/one".into()), "by hand\n".into());
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
    world.files.lock().unwrap().insert(("a".into(), "/two".into()), "2\n".into());
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
    *world.broken_path.lock().unwrap() = Some("/one".into());
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

#[test]
fn recipes_that_need_each_other_are_refused() {
    let recipe = |need: &str| format!("const VERSION = \"1.0.0\";\nconst NEEDS = [\"{need}\"];\nfn declare(cluster) {{}}\n");
    let library = Recipes([("a", recipe("b")), ("b", recipe("a@1"))].into());
    let error = kthw_engine::Graph::load(&engine(), &library, "a").unwrap_err();
    assert_eq!(error.to_string(), "recipes need each other: a -> b -> a");
}
