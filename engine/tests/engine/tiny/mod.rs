//! A tiny world for tests of the engine: machines, files on them, and steps that can wait, fail, or be in each other's way.
use kthw_engine::{
    BoxFuture, Clock, Effect, Evaluated, Library, Options, Peers, Plan, Recipe, Report, Rhai, RunOptions, Source, declare, declare_on_node,
    silent,
};
use rhai::{Dynamic, Engine, Map, Module, NativeCallContext};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

mod commands;
mod ledger;
mod nodes;
mod resources;

use commands::{Command, CommandSpec, Opener, OpenerSpec};
pub use ledger::{At, Do};
pub use nodes::TinyNodes;
use resources::{File, FileSpec, Judge, Machine, Step, StepSpec};

/// Machines that exist, the files on each, and what goes wrong.
#[derive(Default)]
pub struct World {
    pub machines: Mutex<BTreeMap<String, u32>>,
    /// Content and mode by node and path.
    pub files: Mutex<BTreeMap<(String, String), (String, u32)>>,
    pub steps: Mutex<BTreeSet<String>>,
    pub reads: AtomicUsize,
    pub changes: AtomicUsize,
    /// Nodes that do not answer.
    pub dead: Mutex<BTreeSet<String>>,
    /// Nodes whose key nobody has kept yet.
    pub strangers: Mutex<BTreeSet<String>>,
    /// Paths that cannot be written, and names of steps that cannot be made.
    pub broken: Mutex<BTreeSet<String>>,
    /// Paths and steps that are made without a complaint and are not there afterwards.
    pub lost: Mutex<BTreeSet<String>>,
    /// Machines that cannot be looked at, or belong to somebody else.
    pub unreadable: Mutex<BTreeSet<String>>,
    pub foreign: Mutex<BTreeSet<String>>,
    /// Somebody else writes this path before each change that kthw makes.
    pub restless: Mutex<Option<(String, String)>>,
    /// What is worked on now, and the most that ever was.
    pub inside: AtomicUsize,
    pub crowd: AtomicUsize,
    /// How long a look at a node takes, in turns of everybody else.
    pub look_takes: AtomicUsize,
    /// The most looks that were ever under way.
    pub looking: AtomicUsize,
    pub most_looking: AtomicUsize,
    /// Commands of which somebody asked whether they were run, as often as they were asked of.
    pub asked: Mutex<Vec<String>>,
    /// What was made, in this order.
    pub log: Mutex<Vec<String>>,
}

impl World {
    /// Work that others can see going on.
    pub async fn busy(&self, clock: &dyn Clock) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.crowd.fetch_max(inside, Ordering::SeqCst);
        clock.sleep(Duration::from_secs(1)).await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    pub async fn make(&self, machine: &str, cores: u32, effect: &Effect) -> kthw_engine::Result<()> {
        effect.note(&format!("job {machine}")).await?;
        self.machines.lock().unwrap().insert(machine.into(), cores);
        Ok(())
    }

    pub async fn unmake(&self, machine: &str, _: &Effect) -> kthw_engine::Result<()> {
        self.machines.lock().unwrap().remove(machine);
        self.files.lock().unwrap().retain(|(node, _), _| node != machine);
        self.log(&format!("-{machine}"));
        Ok(())
    }

    /// A look that others can see going on.
    pub async fn look(&self) {
        let looking = self.looking.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_looking.fetch_max(looking, Ordering::SeqCst);
        for _ in 0..self.look_takes.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        self.looking.fetch_sub(1, Ordering::SeqCst);
    }

    pub async fn run_by_itself(&self, command: &str, _: &Effect) -> kthw_engine::Result<()> {
        self.run(command);
        Ok(())
    }

    /// Runs a command.
    pub fn run(&self, command: &str) {
        self.steps.lock().unwrap().insert(command.to_owned());
        self.log(command);
    }

    pub fn log(&self, made: &str) {
        self.log.lock().unwrap().push(made.to_owned());
    }

    pub async fn note(&self, made: &str, _: &Effect) -> kthw_engine::Result<()> {
        self.log(made);
        Ok(())
    }

    pub fn write(&self, node: &str, path: &str, content: &str, mode: u32) {
        self.files.lock().unwrap().insert((node.into(), path.into()), (content.into(), mode));
    }
}

/// A clock that does not wait: whoever sleeps lets everybody else have a turn first.
#[derive(Default)]
struct QuickClock(Mutex<Duration>);

impl Clock for QuickClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            *self.0.lock().unwrap() += span;
        })
    }
}

pub fn engine() -> Engine {
    let mut engine = Engine::new();
    kthw_engine::limits(&mut engine);
    let mut module = Module::new();
    module.set_native_fn("machine", |cx: NativeCallContext<'_>, name: &str, cores: i64| -> Rhai<_> {
        declare(&cx, Machine { name: name.into(), cores: cores as u32 }, vec![])
    });
    module.set_native_fn("machine", |cx: NativeCallContext<'_>, name: &str, cores: i64, options: Map| -> Rhai<_> {
        let Options::<Nothing> { common, .. } = Options::parse(&cx, "tiny::machine", options)?;
        declare(&cx, Machine { name: name.into(), cores: cores as u32 }, common)
    });
    module.set_native_fn("file", |cx: NativeCallContext<'_>, node: &str, path: &str, options: Map| -> Rhai<_> {
        let Options::<FileSpec> { spec, common } = Options::parse(&cx, "tiny::file", options)?;
        declare_on_node(&cx, File { node: node.into(), path: path.into(), spec }, common)
    });
    module.set_native_fn("opener", |cx: NativeCallContext<'_>, node: &str, options: Map| -> Rhai<_> {
        let Options::<OpenerSpec> { spec, common } = Options::parse(&cx, "tiny::opener", options)?;
        declare_on_node(&cx, Opener { node: node.into(), spec }, common)
    });
    module.set_native_fn("command", |cx: NativeCallContext<'_>, node: &str, name: &str, options: Map| -> Rhai<_> {
        let Options::<CommandSpec> { spec, common } = Options::parse(&cx, "tiny::command", options)?;
        declare_on_node(&cx, Command { node: node.into(), name: name.into(), spec }, common)
    });
    module.set_native_fn("step", |cx: NativeCallContext<'_>, name: &str, options: Map| -> Rhai<_> {
        let Options::<StepSpec> { spec, common } = Options::parse(&cx, "tiny::step", options)?;
        declare(&cx, Step { name: name.into(), spec }, common)
    });
    module.set_native_fn("judge", |cx: NativeCallContext<'_>, name: &str| -> Rhai<_> {
        let after = vec![kthw_engine::Id::new("tiny.step", "first")];
        declare(&cx, Judge { name: name.into(), after }, vec![])
    });
    engine.register_static_module("tiny", module.into());
    engine
}

/// No options of its own.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub struct Recipes(pub BTreeMap<&'static str, String>);

impl Library for Recipes {
    fn find(&self, name: &str) -> Result<Option<Source>, String> {
        let source = |text: &String| Source { name: name.into(), path: format!("recipes/{name}.rhai"), text: text.clone() };
        Ok(self.0.get(name).map(source))
    }
    fn names(&self) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }
}

/// Recipes by name, each with the body of its `declare`; a name such as `two: one, GATE` says what it needs.
pub fn phases(recipes: &[(&str, &str)]) -> Vec<Evaluated> {
    let engine = engine();
    let one = |(header, body): &(&str, &str)| {
        let (name, rest) = header.split_once(": ").unwrap_or((header, ""));
        let (gates, needs): (Vec<&str>, Vec<&str>) = rest.split(", ").filter(|word| !word.is_empty()).partition(|word| *word == "GATE");
        let gate = if gates.is_empty() { "" } else { "const GATE = true;\n" };
        let text = format!("const VERSION = \"1.0.0\";\nconst NEEDS = {needs:?};\n{gate}fn declare(cluster) {{\n{body}\n}}\n");
        let source = Source { name: name.into(), path: format!("recipes/{name}.rhai"), text };
        kthw_engine::evaluate(&engine, &Recipe::parse(&engine, source).unwrap(), Dynamic::UNIT).unwrap()
    };
    recipes.iter().map(one).collect()
}

pub fn evaluated(text: &str) -> Vec<Evaluated> {
    let engine = engine();
    let source = Source { name: "one".into(), path: "recipes/one.rhai".into(), text: text.into() };
    let recipe = Recipe::parse(&engine, source).unwrap();
    vec![kthw_engine::evaluate(&engine, &recipe, Dynamic::UNIT).unwrap()]
}

pub fn peers(world: &Arc<World>) -> Peers {
    Peers::new(Arc::new(TinyNodes(world.clone())), Arc::new(QuickClock::default())).with(world.clone())
}

pub async fn plan(declared: &[Evaluated], peers: &Peers) -> Plan {
    kthw_engine::plan(declared, peers, &silent()).await.unwrap()
}

pub async fn run(plan: Plan, peers: &Peers) -> Report {
    kthw_engine::run(plan, peers, &silent(), &RunOptions::default()).await
}

/// Every resource and how it ended, one in a line.
pub fn told(report: &Report) -> String {
    report.outcomes.iter().map(|(id, outcome)| format!("{id}: {outcome:?}\n")).collect()
}

pub const TWO_MACHINES: &str = r#"
const VERSION = "1.0.0";
fn declare(cluster) {
    for name in ["a", "b"] {
        let machine = tiny::machine(name, 2);
        tiny::file(name, "/one", #{ content: "1\n", needs: [machine] });
        tiny::file(name, "/two", #{ content: "2\n", needs: [machine] });
    }
}
"#;
