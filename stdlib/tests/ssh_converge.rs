//! The law of resources against a real sshd: plan writes nothing; run; plan again is all `=`.
use kthw_engine::{Evaluated, Peers, Plan, Recipe, Report, RunOptions, Source, SystemClock, evaluate, plan, plan_for_run, run, silent};
use kthw_peers::{SSH_KEYGEN, SSHD, ask, make_key, start_sshd};
use kthw_stdlib::{
    Dynamic, script_engine,
    sops::Secrets,
    ssh::{KnownHosts, SshNodes, Starts},
    workspace::{Cluster, Ssh, Workspace},
};
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
    sync::Arc,
};

/// A server on this machine, a workspace whose one node it is, and a folder for what recipes make.
struct World {
    folder: tempfile::TempDir,
    workspace: Arc<Workspace>,
    server: Child,
}

impl World {
    /// `None`, said aloud, where there is no sshd.
    #[track_caller]
    fn start(address: &str) -> Option<Self> {
        let [sshd, ssh_keygen] = ask([&SSHD, &SSH_KEYGEN])?;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            make_key(&ssh_keygen, &at(key), "ed25519", "");
        }
        fs::create_dir(at("made")).expect("a folder");
        let address: Ipv4Addr = address.parse().expect("an address");
        let port = TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr()).expect("a port").port();
        let more = format!("AuthorizedKeysFile {}/user.pub\nLogLevel VERBOSE\n", folder.path().display());
        let server = start_sshd(&sshd, folder.path(), (address, port).into(), &more);
        let mut workspace: Workspace =
            serde_saphyr::from_str(include_str!("../../workspaces/ubuntu/workspace.yaml")).expect("the shipped workspace");
        workspace.nodes.truncate(1);
        workspace.nodes[0].address = address;
        let key_file = Some(at("user").display().to_string());
        workspace.ssh = Ssh { user: "root".into(), port, key_file, ..Ssh::default() };
        Some(Self { folder, workspace: Arc::new(workspace), server })
    }

    fn made(&self) -> String {
        self.folder.path().join("made").display().to_string()
    }

    /// Peers as a new process would have them.
    fn peers(&self) -> Peers {
        let known = self.known_hosts();
        let key = fs::read_to_string(self.folder.path().join("host.pub")).expect("a key");
        let address = self.workspace.nodes[0].address.into();
        known.learn_vouched(address, self.workspace.ssh.port, &key).expect("a key");
        self.peers_knowing(known)
    }

    fn known_hosts(&self) -> KnownHosts {
        KnownHosts::open(self.folder.path().join("known_hosts")).expect("readable")
    }

    fn peers_knowing(&self, known: KnownHosts) -> Peers {
        let secrets = Secrets::from_values("secrets", [("app.key", kthw_engine::Secret::new("s3cret\n"))]);
        Peers::new(Arc::new(SshNodes::new(self.workspace.clone(), known)), Arc::new(SystemClock::default()))
            .with(secrets)
            .with(Starts::default())
    }

    fn evaluated(&self, script: &str) -> Vec<Evaluated> {
        let engine = script_engine();
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\nlet made = {:?};\n{script}\n}}\n", self.made());
        let source = Source { name: "test".into(), path: "test.rhai".into(), text };
        let recipe = Recipe::parse(&engine, source).expect("a recipe");
        let cluster = Cluster::new(self.workspace.clone()).expect("a cluster");
        vec![evaluate(&engine, &recipe, Dynamic::from(cluster)).expect("a declaration")]
    }

    async fn plan(&self, script: &str) -> Plan {
        plan_for_run(&self.evaluated(script), &self.peers(), &silent()).await.expect("a plan")
    }

    async fn run(&self, script: &str) -> Report {
        let peers = self.peers();
        let plan = plan_for_run(&self.evaluated(script), &peers, &silent()).await.expect("a plan");
        run(plan, &peers, &silent(), &RunOptions::default()).await
    }

    /// How many commands the server was asked to run so far.
    fn execs(&self) -> usize {
        fs::read_to_string(self.folder.path().join("log")).expect("a log").matches("Starting session: command").count()
    }

    fn tree(&self) -> String {
        let found = Command::new("find").arg(self.made()).args(["-printf", "%P %y %m %l %T@\n"]).output().expect("find runs");
        String::from_utf8(found.stdout).expect("text")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Twenty tasks of the kinds that preparing a node consists of.
const TWENTY: &str = r#"
for node in cluster.nodes {
    for name in ["kubernetes", "it's a folder", "etcd"] {
        ssh::directory(node, `${made}/${name}`, #{ mode: "0750" });
    }
    for n in 0..6 {
        ssh::file(node, `${made}/kubernetes/file ${n}`, #{ content: `line ${n}\n'quoted' $HOME\n`, mode: "0640" });
    }
    for n in 0..4 {
        ssh::line(node, `${made}/lines ${n % 2}`, `line ${n} = 'x'`);
    }
    for name in ["a", "b", "c"] {
        ssh::symlink(node, `${made}/link ${name}`, `kubernetes/file ${name}`);
    }
    for name in ["a", "b", "c"] {
        ssh::command(node, name, #{ run: ["sh", "-c", `echo ${name} > '${made}/made ${name}'`], creates: `${made}/made ${name}` });
    }
    ssh::script(node, "last", #{ check: `test -e '${made}/last'`, apply: `cat '${made}/made a' > '${made}/last'`, reads: true });
}
"#;

#[tokio::test]
async fn twenty_tasks_settle_in_one_look() {
    let Some(world) = World::start("127.0.0.61") else { return };
    let planned = world.plan(TWENTY).await;
    assert_eq!((planned.planned().len(), planned.changes()), (20, 20));
    assert_eq!(world.tree().lines().count(), 1, "planning makes nothing");
    let report = world.run(TWENTY).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(report.changed(), 20);
    let (tree, before) = (world.tree(), world.execs());
    let again = world.run(TWENTY).await;
    assert_eq!((again.changed(), again.failures.len()), (0, 0));
    assert_eq!(world.execs() - before, 1, "a settled node costs one command");
    assert_eq!(world.tree(), tree, "a settled node is left alone");

    let file = format!("{}/kubernetes/file 3", world.made());
    fs::write(&file, "edited by hand\n").expect("a file");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("a mode");
    let drift = world.plan(TWENTY).await;
    assert_eq!(drift.changes(), 1);
    assert!(drift.to_string().contains("-edited by hand"), "{drift}");
    let before = world.execs();
    let repaired = world.run(TWENTY).await;
    assert_eq!((repaired.changed(), repaired.failures.len()), (1, 0));
    assert!(world.execs() - before <= 2, "one look, one change");
    assert_eq!(world.plan(TWENTY).await.changes(), 0);
}

#[tokio::test]
async fn a_key_that_was_taken_as_it_came_is_kept_with_the_first_change_and_not_by_a_plan() {
    let Some(mut world) = World::start("127.0.0.68") else { return };
    Arc::get_mut(&mut world.workspace).expect("nobody else has it").proxmox = None;
    let (known, pins) = (world.known_hosts(), world.folder.path().join("known_hosts"));
    let (peers, declared) = (world.peers_knowing(known.clone()), world.evaluated(TWENTY));
    let planned = plan(&declared, &peers, &silent()).await.expect("a plan");
    assert!(planned.changes() == 20 && !pins.exists(), "a plan looks, and keeps nothing");
    let report = run(planned, &peers, &silent(), &RunOptions::default()).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let text = fs::read_to_string(&pins).expect("kept");
    assert!(known.is_pinned(world.workspace.nodes[0].address.into(), world.workspace.ssh.port) && text.lines().count() == 1, "{text}");
}

#[tokio::test]
async fn one_script_at_a_time_and_an_overtaken_run_does_nothing_more() {
    let Some(world) = World::start("127.0.0.67") else { return };
    let lock = format!("/run/kthw/cu1-127.0.0.67-{}", world.workspace.ssh.port);
    fs::create_dir_all("/run/kthw").expect("root");
    let script = r#"for node in cluster.nodes { ssh::file(node, `${made}/one`, #{ content: "x" }); }"#;
    // What a run that died has left running.
    let held = world.folder.path().join("held");
    let mut outlived =
        Command::new("flock").arg(&lock).args(["sh", "-c"]).arg(format!("touch {0}; sleep 2; rm {0}", held.display())).spawn().unwrap();
    while !held.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let report = world.run(script).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(!held.exists(), "it did not wait");
    outlived.wait().unwrap();

    fs::write(&lock, format!("{}\n", u64::MAX >> 2)).unwrap();
    let overtaken = world.run(&script.replace("\"x\"", "\"y\"")).await;
    let error = overtaken.failures.first().map(|(_, error)| error.to_string()).unwrap_or_default();
    assert!(error.contains("a later run (number 4611686018427387903) has changed cu1 meanwhile"), "{error}");
    assert_eq!(fs::read_to_string(format!("{}/one", world.made())).unwrap(), "x");
    fs::remove_file(lock).unwrap();
}

#[tokio::test]
async fn a_failure_names_what_was_said_and_skips_what_depends_on_it() {
    let Some(world) = World::start("127.0.0.62") else { return };
    let report = world
        .run(
            r#"for node in cluster.nodes {
                let bad = ssh::script(node, "bad", #{ check: "false", apply: "echo something is wrong >&2; exit 3" });
                ssh::file(node, `${made}/dependent`, #{ content: "x", needs: [bad] });
            }"#,
        )
        .await;
    let failure = report.failures.iter().map(|(id, error)| format!("{id}: {error}")).collect::<Vec<_>>().join("\n");
    assert!(failure.contains("ssh.script/cu1/bad") && failure.contains("something is wrong"), "{failure}");
    assert_eq!(report.skipped(), 1);
    assert!(!Path::new(&format!("{}/dependent", world.made())).exists());
}

#[tokio::test]
async fn a_secret_is_not_in_a_plan() {
    let Some(world) = World::start("127.0.0.63") else { return };
    let file = r#"for node in cluster.nodes { ssh::file(node, `${made}/key`, #{ content: sops::secret("app.key"), mode: "0600" }); }"#;
    let error = plan(&world.evaluated(file), &world.peers(), &silent()).await.expect_err("its node has to be declared");
    assert_eq!(error.kind(), kthw_engine::Kind::Recipe);
    // Only planned: running `ssh::node` would rename this machine.
    let planned = world.plan(&format!("for node in cluster.nodes {{ ssh::node(node); }}\n{file}")).await.to_string();
    assert!(planned.contains("content: <secret app.key>") && !planned.contains("s3cret"), "{planned}");
}
