//! The shipped recipes in the lab, through the real engine and the real modules.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
use kthw_engine::{Evaluated, Library, Outcome, Peers, Plan, Planned, Report, RunOptions, Source, plan, run, silent};
use kthw_lab::{Fault, World, peers};
use kthw_stdlib::{ssh::KnownHosts, workspace::Workspace};
use std::{path::PathBuf, sync::Arc};

mod access;
mod add_ons;
mod answers;
mod checks;
mod clones;
mod control_plane;
mod cores;
mod crash;
mod dns;
mod drain;
mod firewall;
mod fixed;
mod host_keys;
mod kubelet_certificates;
mod leaving;
mod networks;
mod nodes;
mod one_by_one;
mod pruning;
mod removal;
mod restart;
mod restart_trouble;
mod runners;
mod saved_plan;
mod saved_plan_moved;
mod scenes;
mod seeds;
mod shelf;
mod silence;
mod starting;
mod templates;
mod trouble;
mod two_runs;
mod updates;
mod validate;

struct Recipes;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Library for Recipes {
    fn find(&self, name: &str) -> Result<Option<Source>, String> {
        let path = root().join("recipes").join(format!("{name}.rhai"));
        Ok(std::fs::read_to_string(path).ok().map(|text| Source { name: name.into(), path: format!("recipes/{name}.rhai"), text }))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Lab {
    world: World,
    workspace: Arc<Workspace>,
    peers: Peers,
    folder: PathBuf,
}

impl Lab {
    fn new(name: &str) -> Self {
        Self::changed(name, World::default(), &[])
    }

    fn changed(name: &str, world: World, set: &[&str]) -> Self {
        let known_hosts = host_keys(&world);
        Self::on(name, world, shelf::workspace(set), &known_hosts)
    }

    /// An empty world for a workspace that ships.
    fn of(name: &str, workspace: &str) -> Self {
        Self::with(name, shelf::shipped(workspace, &[]))
    }

    /// An empty world for this workspace.
    fn with(name: &str, workspace: Arc<Workspace>) -> Self {
        let world = World::default();
        let known_hosts = host_keys(&world);
        Self::on(name, world, workspace, &known_hosts)
    }

    /// A workspace on a computer that keeps these host keys.
    fn on(name: &str, world: World, workspace: Arc<Workspace>, known_hosts: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kthw-lab-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("known_hosts"), known_hosts).unwrap();
        let peers =
            peers(&world, &workspace, KnownHosts::open(folder.join("known_hosts")).unwrap(), kthw_lab::stand_in_secrets([])).unwrap();
        Self { world, workspace, peers, folder }
    }

    /// What another computer has, which knows no host key yet.
    fn elsewhere(&self, name: &str) -> Self {
        let mut other = Self::changed(name, self.world.clone(), &[]);
        let known_hosts = KnownHosts::open(other.folder.join("nothing known")).unwrap();
        other.peers = peers(&other.world, &other.workspace, known_hosts, kthw_lab::stand_in_secrets([])).unwrap();
        other
    }

    /// What a new process on the same computer has.
    fn again(&self) -> Self {
        let folder = self.folder.join("again");
        std::fs::create_dir_all(&folder).unwrap();
        Self { world: self.world.clone(), workspace: self.workspace.clone(), peers: self.peers_again(), folder }
    }

    fn peers_again(&self) -> Peers {
        let known_hosts = KnownHosts::open(self.folder.join("known_hosts")).unwrap();
        peers(&self.world, &self.workspace, known_hosts, kthw_lab::stand_in_secrets([])).unwrap()
    }

    fn evaluated(&self, recipe: &str) -> Vec<Evaluated> {
        shelf::declared(recipe, &self.workspace)
    }

    async fn plan(&self, recipe: &str) -> Plan {
        plan(&self.evaluated(recipe), &self.peers, &silent()).await.unwrap()
    }

    async fn apply(&self, recipe: &str) -> Report {
        let plan = self.plan(recipe).await;
        run(plan, &self.peers, &silent(), &RunOptions::default()).await
    }
}

/// The host keys of all machines, as the computer that made them keeps them.
fn host_keys(world: &World) -> String {
    let line =
        |machine: &kthw_lab::Machine| format!("{} {}\n", machine.ip(), machine.files.text("/etc/ssh/ssh_host_ed25519_key.pub").trim());
    let has_key = |machine: &&kthw_lab::Machine| !machine.ip().is_empty() && machine.files.exists("/etc/ssh/ssh_host_ed25519_key.pub");
    world.with_state(|state| state.machines.values().filter(has_key).map(line).collect())
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn failures(report: &Report) -> String {
    report.failures.iter().map(|(id, error)| format!("{id}: {error}\n")).collect()
}

/// What is planned, but for the look at all of it that follows.
fn work(plan: &Plan) -> impl Iterator<Item = &Planned> {
    let follows = |one: &&Planned| one.id.kind().ends_with(".validated") && matches!(one.change.word(), "create" | "unknown");
    plan.planned().iter().filter(move |one| !follows(one))
}

fn changes(plan: &Plan) -> Vec<String> {
    let changed = work(plan).filter(|one| !one.change.is_none());
    changed
        .map(|one| {
            format!(
                "{} {} {}",
                one.change.word(),
                one.id,
                one.change.fields().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            )
        })
        .collect()
}

const FULL: &str = "ubuntu/full";

#[tokio::test(start_paused = true)]
async fn nothing_becomes_a_running_cluster_and_then_nothing_changes() {
    let lab = Lab::new("full");
    let first = lab.plan(FULL).await;
    assert_eq!(lab.world.writes(), 0, "a plan wrote");
    assert_eq!(first.changes(), first.planned().len() - settled_at_birth(&first));
    let report = lab.apply(FULL).await;
    assert_eq!(failures(&report), "");
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
    let writes = lab.world.writes();
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
    assert_eq!(lab.world.writes(), writes, "a plan wrote");
    let nodes = lab.world.with_state(|state| state.clusters[0].members.len());
    assert_eq!(nodes, 3);
}

/// Resources that need nothing even on a new machine cannot be known before it is there.
fn settled_at_birth(plan: &Plan) -> usize {
    plan.planned().iter().filter(|one| one.change.is_none()).count()
}

#[tokio::test(start_paused = true)]
async fn two_worlds_are_the_same_to_the_last_digit() {
    let mut saved = Vec::new();
    for name in ["first", "second"] {
        let lab = Lab::new(name);
        assert_eq!(failures(&lab.apply("phases/kubernetes-host").await), "");
        let path = lab.folder.join("lab.json");
        lab.world.save(&path).unwrap();
        saved.push(std::fs::read(path).unwrap());
    }
    assert!(saved[0] == saved[1], "two worlds that saw the same calls differ");
}

#[tokio::test(start_paused = true)]
async fn a_saved_world_goes_on_where_it_was() {
    let lab = Lab::new("saved");
    assert_eq!(failures(&lab.apply("phases/kubernetes-host").await), "");
    let path = lab.folder.join("lab.json");
    lab.world.save(&path).unwrap();
    let again = Lab::changed("saved-again", World::open(&path).unwrap(), &[]);
    assert_eq!(changes(&again.plan("phases/kubernetes-host").await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_computer_keeps_the_host_keys_that_proxmox_vouches_for() {
    let lab = Lab::new("keys");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    let other = lab.elsewhere("keys-elsewhere");
    let pins = other.folder.join("nothing known");
    let planned = changes(&other.plan("phases/machines").await);
    assert_eq!(planned.len(), 3, "{planned:?}");
    assert!(
        planned.iter().all(|one| one.starts_with("update ssh.node/") && one.contains("host key: not kept here -> SHA256:")),
        "{planned:?}"
    );
    assert!(!planned[0].contains("as it came") && !pins.exists(), "a plan keeps nothing");
    assert_eq!(failures(&other.apply("phases/machines").await), "");
    assert_eq!(std::fs::read_to_string(&pins).unwrap().lines().count(), 3);
    assert_eq!(changes(&other.plan("phases/machines").await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn faults_on_the_way_end_in_the_same_cluster() {
    let lab = Lab::new("faults");
    lab.world
        .add_fault(Fault::task("qmclone", "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout"));
    lab.world.add_fault(Fault::http("GET", "/status", 595, "No route to host").times(2));
    lab.world.add_fault(Fault::command("wu1", &["apt-get", "install"], 100, "E: Failed to fetch  404  Not Found"));
    let report = lab.apply(FULL).await;
    assert_eq!(failures(&report), "");
    assert!(lab.world.with_state(|state| state.faults.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_fails_its_node_alone_and_the_next_run_goes_on() {
    let lab = Lab::new("reset");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    lab.world.add_fault(Fault::node_reset("wu1", true).after(1));
    let report = lab.apply("phases/containerd").await;
    assert!(failures(&report).contains("wu1"), "{}", failures(&report));
    assert!(report.outcomes.iter().any(|(id, outcome)| id.name().contains("wu2") && matches!(outcome, Outcome::Changed { .. })));
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_destroyed_behind_our_back_comes_back() {
    let lab = Lab::new("destroyed");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.world.destroy_vm(421);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_number_of_cores_is_exactly_that_change() {
    let lab = Lab::new("cores");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let more = Lab::changed("cores-more", lab.world.clone(), &["machine.cores=4"]);
    let ids: Vec<String> = work(&more.plan(FULL).await).filter(|one| !one.change.is_none()).map(|one| one.id.to_string()).collect();
    assert_eq!(ids, ["proxmox.vm/cu1", "proxmox.vm/wu1", "proxmox.vm/wu2"]);
}

#[tokio::test(start_paused = true)]
async fn linked_clones_settle_too() {
    let lab = Lab::changed("linked", World::default(), &["proxmox.clone=linked"]);
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    assert_eq!(changes(&lab.plan("phases/machines").await), Vec::<String>::new());
}

/// The format that containerd's configuration has on `cu1`.
fn containerd_format(lab: &Lab) -> String {
    let text = lab.world.with_state(|state| state.machines["vm/401"].files.text("/etc/containerd/config.toml"));
    text.lines().find(|line| line.starts_with("version")).unwrap_or("none").to_owned()
}

#[tokio::test(start_paused = true)]
async fn containerd_gets_the_format_of_its_installed_version() {
    const PHASE: &str = "phases/containerd";
    let old = Lab::changed("containerd-1", World::default(), &["packages.containerd=1.7.27-0ubuntu1~24.04.1"]);
    assert_eq!(failures(&old.apply(PHASE).await), "");
    assert_eq!(containerd_format(&old), "version = 2");
    let crictl = old.world.with_state(|state| state.machines["vm/401"].files.text("/etc/crictl.yaml"));
    let socket = "unix:///run/containerd/containerd.sock";
    assert_eq!(crictl, format!("runtime-endpoint: {socket}\nimage-endpoint: {socket}\n"));
    assert_eq!(changes(&old.plan(PHASE).await), Vec::<String>::new());

    let new = Lab::changed("containerd-2", old.world.clone(), &["packages.containerd=2.2.1-0ubuntu1~24.04.2"]);
    let planned = changes(&new.plan(PHASE).await);
    assert_eq!(
        planned[..3],
        [
            "update ssh.package/cu1/containerd version: 1.7.27-0ubuntu1~24.04.1 -> 2.2.1-0ubuntu1~24.04.2",
            "update ssh.file/cu1/etc/containerd/config.toml refreshed by: ssh.package/cu1/containerd",
            "update ssh.service/cu1/containerd refreshed by: ssh.file/cu1/etc/containerd/config.toml",
        ]
    );
    assert_eq!(failures(&new.apply(PHASE).await), "");
    assert_eq!(containerd_format(&new), "version = 3");
    assert_eq!(changes(&new.plan(PHASE).await), Vec::<String>::new());

    // Somebody installs a newer one by hand.
    let any = Lab::changed("containerd-any", old.world.clone(), &[]);
    any.world.with_state(|state| {
        state.machines.get_mut("vm/401").unwrap().packages.get_mut("containerd").unwrap().version = "2.4.2-1".into();
    });
    let planned = changes(&any.plan(PHASE).await);
    assert_eq!(planned.len(), 2, "{planned:?}");
    assert!(planned[0].contains("-version = 3") && planned[0].contains("+version = 4"), "{planned:?}");
    assert_eq!(failures(&any.apply(PHASE).await), "");
    assert_eq!(containerd_format(&any), "version = 4");
    assert_eq!(changes(&any.plan(PHASE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn each_configuration_api_of_kubeadm_makes_a_cluster() {
    for version in ["1.26.3", "1.30.14", "1.31.0", "1.37.2"] {
        let lab = Lab::changed(version, World::default(), &[&format!("versions.kubernetes={version}")]);
        assert_eq!(failures(&lab.apply(FULL).await), "", "{version}");
        assert_eq!(lab.world.unknown(), Vec::<String>::new(), "{version}");
        assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new(), "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_server_that_just_started_is_not_its_last_word() {
    let lab = Lab::new("refused");
    assert_eq!(failures(&lab.apply("phases/control-plane").await), "");
    let refused = |times| Fault::kubernetes("PATCH", "/installations/", 403, "forbidden: not yours").times(times);
    // The server is ready by now, so one refusal is a moment of its start, and two are meant.
    lab.world.add_fault(refused(2));
    let report = lab.apply("phases/network").await;
    assert!(failures(&report).contains("forbidden: not yours"), "{}", failures(&report));
    lab.world.add_fault(refused(1));
    assert_eq!(failures(&lab.apply("phases/network").await), "");
    assert!(lab.world.with_state(|state| state.faults.is_empty()));
}
