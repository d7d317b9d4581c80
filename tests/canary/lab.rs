//! All canaries with their real values on the lab's machines, which see every command: settled runs, and machines that say everything back.
use super::{
    scan::Scanner,
    values::{Canary, canaries},
};
use crate::support::root;
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_engine::{
    Asked, BoxFuture, Effect, Evaluated, Events, Peers, Recipe, Report, Result, RunOptions, Secret, Source, Verb, evaluate,
    node::{Action, Block, BlockOutcome, Content, Finding, Nodes, Output, Probe, Told},
    plan, run,
};
use kthw_lab::{LabNodes, World};
use kthw_stdlib::{
    Dynamic, script_engine,
    sops::Secrets,
    ssh::{KnownHosts, Starts},
    workspace::{Cluster, Workspace},
};
use std::sync::{Arc, Mutex};

/// How the machines behave.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// As they should.
    Good,
    /// Whatever gets input fails, and says it back in many spellings.
    Echo,
    /// Secrets are taken and nothing is done with them.
    Forget,
}

/// The lab's machines; everything but secret contents that they are sent is written down.
struct Ears {
    inner: LabNodes,
    manner: Manner,
    heard: Arc<Mutex<String>>,
    /// What machines know from their files, and say when a script fails.
    known: String,
}

impl Ears {
    fn hear(&self, what: String) {
        let mut heard = self.heard.lock().unwrap();
        heard.push_str(&what);
        heard.push('\n');
    }

    fn hear_action(&self, action: &Action) {
        self.hear(format!("{action:?}"));
        if let Action::Write { content: Content::Plain(bytes), .. } | Action::Run { stdin: Content::Plain(bytes), .. } = action {
            self.hear(String::from_utf8_lossy(bytes).into_owned());
        }
    }

    fn echo(&self, action: &Action) -> Option<Output> {
        let told = match action {
            Action::Write { content, .. } => String::from_utf8_lossy(content.bytes()).into_owned(),
            Action::Run { argv, .. } if argv[0] == "sh" => self.known.clone(),
            _ => return None,
        };
        let hex: String = told.bytes().map(|byte| format!("{byte:02X}")).collect();
        let url: String = told.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let json = serde_json::Value::from(told.as_str());
        let stderr = format!(
            "tee: {told}\n{json} {told:?}\n+ echo '{}'\n{hex} {url}\n{}\n",
            told.replace('\'', r"'\''"),
            STANDARD.encode(format!("x{told}"))
        );
        Some(Output { status: 74, stdout: stderr.clone(), stderr })
    }
}

impl Nodes for Ears {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        self.hear(format!("{probes:?}"));
        self.inner.read(node, probes)
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        effect: &'a Effect,
        told: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        batch.iter().for_each(|block| self.hear(format!("{:?}", block.guard)));
        batch.iter().flat_map(|block| &block.actions).for_each(|action| self.hear_action(action));
        if self.manner != Manner::Echo {
            return self.inner.change(node, batch, effect, told);
        }
        Box::pin(async move {
            let failed = |block: &Block| {
                let output = block.actions.iter().find_map(|action| self.echo(action));
                output.map_or(BlockOutcome::Skipped, |output| BlockOutcome::Failed { action: 0, output })
            };
            Ok(batch.iter().map(failed).collect())
        })
    }

    fn keep_host_key<'a>(&'a self, node: &'a str, effect: &'a Effect) -> BoxFuture<'a, Result<()>> {
        self.inner.keep_host_key(node, effect)
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, effect: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        self.hear_action(action);
        match (self.manner, action) {
            (Manner::Echo, action) if self.echo(action).is_some() => Box::pin(async { Ok(self.echo(action).unwrap_or_default()) }),
            (Manner::Forget, Action::Write { content: Content::Secret(_), .. }) => Box::pin(async { Ok(Output::default()) }),
            _ => self.inner.act(node, action, effect),
        }
    }
}

struct Lab {
    canaries: Vec<Canary>,
    scanner: Scanner,
    world: World,
    workspace: Arc<Workspace>,
    folder: tempfile::TempDir,
    heard: Arc<Mutex<String>>,
    told: Arc<Mutex<String>>,
}

fn asked() -> Asked {
    let (verb, recipe, workspace, none) = (Verb::Run, "canary".into(), "bare".into(), Vec::new);
    Asked { verb, recipe, workspace, set: none(), lab: true, only: none(), nodes: none(), prune: false, max_destroy: None }
}

/// What a run came to.
struct Came {
    plan: String,
    report: Report,
}

impl Lab {
    fn new() -> Self {
        let text = std::fs::read_to_string(root().join("tests/workspaces/bare/workspace.yaml")).unwrap();
        let workspace = Arc::new(Workspace::load("workspace.yaml", &text, &[], &[]).unwrap());
        let canaries = canaries();
        let scanner = Scanner::new(&canaries);
        let folder = tempfile::tempdir().unwrap();
        Self { canaries, scanner, world: World::default(), workspace, folder, heard: Arc::default(), told: Arc::default() }
    }

    fn peers(&self, manner: Manner, moved: usize) -> Peers {
        let known_hosts = KnownHosts::open(self.folder.path().join("known_hosts")).unwrap();
        let inner = self.world.nodes(&self.workspace).with_known_hosts(known_hosts.clone());
        let known = self.canaries.iter().map(|canary| format!("{}\n", canary.value)).collect();
        let nodes = Ears { inner, manner, heard: self.heard.clone(), known };
        let values = self.canaries.iter().cycle().skip(moved).map(|canary| Secret::new(&canary.value));
        let secrets = self.canaries.iter().map(|canary| canary.name.clone()).zip(values);
        Peers::new(Arc::new(nodes), Arc::new(self.world.clock()))
            .with(known_hosts)
            .with(Secrets::from_values("secrets", secrets))
            .with(Starts::default())
    }

    fn evaluated(&self, more: &str) -> Vec<Evaluated> {
        let engine = script_engine();
        let files: String = self
            .canaries
            .iter()
            .map(|canary| {
                format!(
                    "ssh::file(n, \"/etc/canary/{0}\", #{{ content: sops::secret(\"{0}\"), mode: \"0600\", needs: [d] }});\n",
                    canary.name
                )
            })
            .collect();
        let text = format!(
            "const VERSION = \"1.0.0\";\nfn declare(cluster) {{ for n in cluster.nodes {{ ssh::node(n); let d = ssh::directory(n, \"/etc/canary\", #{{ mode: \"0700\" }});\n{files}{more} }} }}\n"
        );
        let source = Source { name: "canary".into(), path: "canary.rhai".into(), text };
        let recipe = Recipe::parse(&engine, source).unwrap();
        let cluster = Cluster::new(self.workspace.clone()).unwrap();
        vec![evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap()]
    }

    /// Plans and runs; everything that a person or a file would get is looked at.
    #[track_caller]
    fn run(&self, manner: Manner, moved: usize, more: &str) -> Came {
        let peers = self.peers(manner, moved);
        let told = self.told.clone();
        let events: Events = Arc::new(move |event| {
            let mut told = told.lock().unwrap();
            told.push_str(&serde_json::to_string(&event).unwrap());
            told.push('\n');
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (shown, kept, report) = runtime.block_on(async {
            let evaluated = self.evaluated(more);
            let plan = plan(&evaluated, &peers, &events).await.unwrap();
            let recipes: Vec<_> = evaluated.into_iter().map(|one| one.recipe).collect();
            let kept = plan.save(asked(), &recipes, serde_json::to_value(&*self.workspace).unwrap()).to_text().unwrap();
            plan.announce(&events);
            let shown = format!("{plan}\n{}\n{plan:?}", serde_json::to_string(plan.planned()).unwrap());
            (shown, kept, run(plan, &peers, &events, &RunOptions::default()).await)
        });
        self.scanner.clean("the plan", &shown);
        self.scanner.clean("the plan that is kept in a file", kept);
        self.scanner.clean("the events", self.told.lock().unwrap().as_bytes());
        self.scanner.clean("what nodes are asked and told", self.heard.lock().unwrap().as_bytes());
        self.scanner.clean("the lab's journal", self.world.journal().join("\n"));
        self.scanner.clean("what the lab does not play", self.world.unknown().join("\n"));
        self.scanner.clean("the report", format!("{report:?}"));
        self.scanner.clean_folder("known hosts", self.folder.path());
        for (id, error) in &report.failures {
            let mut shown =
                format!("{error} {error:?} {:?} {:?}", error.diagnostic(), error.diagnostic().help().map(|help| help.to_string()));
            for width in [40, 110] {
                let theme = miette::GraphicalTheme::unicode_nocolor();
                miette::GraphicalReportHandler::new_themed(theme).with_width(width).render_report(&mut shown, error.diagnostic()).unwrap();
            }
            self.scanner.clean(&format!("the failure of {id}"), shown);
        }
        Came { plan: shown, report }
    }

    /// The plain content of a file on a machine of the lab.
    fn on(&self, path: &str) -> Vec<u8> {
        self.world.with_state(|state| state.machines.values().next().unwrap().files.content(path).unwrap().to_vec())
    }
}

#[test]
fn fifty_secrets_reach_their_nodes_and_nobody_else() {
    let lab = Lab::new();
    let first = lab.run(Manner::Good, 0, "");
    assert_eq!((first.report.failures.len(), first.report.changed() >= 150), (0, true), "{:?}", first.report.failures);
    for canary in &lab.canaries {
        assert_eq!(lab.on(&format!("/etc/canary/{}", canary.name)), canary.value.as_bytes(), "{}", canary.name);
    }
    assert!(first.plan.contains("content: <secret canary.c00>"));
    let again = lab.run(Manner::Good, 0, "");
    assert_eq!((again.report.changed(), again.report.failures.len()), (0, 0));
    // Every secret is another one now.
    let moved = lab.run(Manner::Good, 1, "");
    assert_eq!((moved.report.changed(), moved.report.failures.len()), (150, 0));
    assert!(moved.plan.contains("content: <secret> -> <secret>"));
}

#[test]
fn nodes_that_say_everything_back_give_nothing_away() {
    let lab = Lab::new();
    lab.run(Manner::Good, 0, "");
    let script = r#"ssh::script(n, "login", #{ check: "test -e /nothing", apply: "login $(cat /etc/canary/*)" });
        ssh::file(n, "/etc/plain", #{ content: "plain" });"#;
    let came = lab.run(Manner::Echo, 1, script);
    assert!(came.report.failures.len() >= 150, "{}", came.report.failures.len());
    let said: String = came.report.failures.iter().map(|(_, error)| format!("{error} {}", error.diagnostic().help().unwrap())).collect();
    assert!(said.contains("tee: <secret>"), "{said}");
}

#[test]
fn what_does_not_settle_gives_nothing_away() {
    let lab = Lab::new();
    lab.run(Manner::Good, 0, "");
    let came = lab.run(Manner::Forget, 1, "");
    assert_eq!(came.report.failures.len(), 150);
    assert!(came.report.failures[0].1.to_string().contains("did not settle"), "{}", came.report.failures[0].1);
}

#[test]
fn a_secret_that_stands_in_a_file_by_hand_is_not_in_the_difference() {
    let lab = Lab::new();
    lab.run(Manner::Good, 0, "");
    let content: String = lab.canaries.iter().map(|canary| format!("password = {}\n", canary.value)).collect();
    lab.world.with_state(|state| {
        let now_s = state.unix_s();
        for machine in state.machines.values_mut() {
            machine.files.write("/etc/plain", content.clone().into_bytes(), 0o644, now_s).unwrap();
        }
    });
    let came = lab.run(Manner::Good, 0, r#"ssh::file(n, "/etc/plain", #{ content: "password = none\n" });"#);
    assert!(came.plan.contains("-password = <secret>"), "{}", came.plan);
    assert_eq!(came.report.changed(), 3);
}
