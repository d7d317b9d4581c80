//! Rotation in the lab: every step fails once, and after each failure the credentials in the secrets file work.
#![allow(clippy::unwrap_used)]
use kthw_engine::{Evaluated, Graph, Library, Peers, Plan, Report, RunOptions, Secret, Source, evaluate, node::Probe, plan, run, silent};
use kthw_lab::{ApiToken, EndsAt, Fault, Grant, Harm, Moment, Trigger, World, peers};
use kthw_stdlib::{
    Dynamic, script_engine,
    sops::Secrets,
    ssh::{KnownHosts, private_key, public_half},
    workspace::{Cluster, Workspace},
};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;

const ROTATE: &str = "operations/rotate-secrets";
const KEY: &str = "ssh.private_key";

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

/// A cluster's machines, whose key is in the secrets file.
struct Lab {
    world: World,
    folder: TempDir,
}

/// One run: what a process of kthw sees.
struct Process {
    workspace: Arc<Workspace>,
    peers: Peers,
}

impl Lab {
    async fn new() -> Self {
        let lab = Self { world: World::default(), folder: tempfile::tempdir().unwrap() };
        let report = lab.process(&[]).apply("phases/machines").await;
        assert_eq!(failures(&report), "");
        lab
    }

    fn process(&self, set: &[&str]) -> Process {
        let text = std::fs::read_to_string(root().join("workspaces/ubuntu/workspace.yaml")).unwrap();
        let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).chain([format!("ssh.key_secret={KEY}")]).collect();
        let mut workspace = Workspace::load("workspace.yaml", &text, &set, &[]).unwrap();
        workspace.ssh.authorized_keys.push(kthw_lab::PUBLIC_KEY.into());
        let workspace = Arc::new(workspace);
        let known_hosts = KnownHosts::open(self.folder.path().join("known_hosts")).unwrap();
        let peers = peers(&self.world, &workspace, known_hosts, kthw_lab::stand_in_secrets([])).unwrap();
        Process { workspace, peers }
    }

    fn tokens(&self) -> Vec<String> {
        self.world.with_state(|state| state.pve.users["root@pam"].keys().cloned().collect())
    }

    /// The comments of the keys on a node, in order.
    async fn keys_on(&self, node: &str) -> Vec<String> {
        let path = "/home/kthw/.ssh/authorized_keys".to_owned();
        let process = self.process(&[]);
        let findings = process.peers.nodes().read(node, &[Probe::Path { path, expect: Some("x".into()) }]).await.unwrap();
        let kthw_engine::node::Finding::Path(Some(state)) = &findings[0] else { panic!("no file") };
        let text = String::from_utf8(state.content.clone().unwrap()).unwrap();
        text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default().split(" replaces ").next().unwrap().to_owned()).collect()
    }

    /// A new process signs in and logs in with what is in the secrets file.
    async fn credentials_work(&self) {
        let process = self.process(&[]);
        let client = process.peers.get::<kthw_stdlib::proxmox::Client>().unwrap();
        client.get::<serde_json::Value>(&kthw_stdlib::proxmox::Call::get(["access", "permissions"])).await.unwrap();
        for node in &process.workspace.nodes {
            process.peers.nodes().read(&node.name, &[]).await.unwrap();
        }
    }
}

impl Process {
    fn evaluated(&self, recipe: &str) -> Vec<Evaluated> {
        let engine = script_engine();
        let graph = Graph::load(&engine, &Recipes, recipe).unwrap();
        let cluster = Cluster::new(self.workspace.clone()).unwrap();
        graph.recipes().iter().map(|one| evaluate(&engine, one, Dynamic::from(cluster.clone())).unwrap()).collect()
    }

    async fn plan(&self, recipe: &str) -> Plan {
        plan(&self.evaluated(recipe), &self.peers, &silent()).await.unwrap()
    }

    async fn apply(&self, recipe: &str) -> Report {
        run(self.plan(recipe).await, &self.peers, &silent(), &RunOptions::default()).await
    }

    fn secret(&self, name: &str) -> Secret {
        self.peers.get::<Secrets>().unwrap().get(name).unwrap()
    }
}

fn failures(report: &Report) -> String {
    report.failures.iter().map(|(id, error)| format!("{id}: {error}\n")).collect()
}

fn changes(plan: &Plan) -> Vec<String> {
    let changed = plan.planned().iter().filter(|one| !one.change.is_none());
    changed
        .map(|one| format!("{} {}", one.id, one.change.fields().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn both_credentials_are_new_and_the_old_ones_gone() {
    let lab = Lab::new().await;
    let first = lab.process(&[]);
    let writes = lab.world.writes();
    let planned = changes(&first.plan(ROTATE).await);
    assert_eq!(planned.len(), 2, "{planned:#?}");
    assert_eq!(lab.world.writes(), writes, "a plan wrote");
    assert_eq!(failures(&first.apply(ROTATE).await), "");
    lab.credentials_work().await;
    // The token of the beginning is not kthw's; the key was what the secret held.
    assert_eq!(lab.tokens(), ["kthw", "kthw-ubuntu-1"]);
    assert_eq!(lab.keys_on("cu1").await, ["the-lab", "kthw:ubuntu:ssh-key/ssh.private_key:1:2026-08-15"]);
    assert_eq!(changes(&lab.process(&[]).plan(ROTATE).await), Vec::<String>::new());

    let again = lab.process(&["rotation.generation=2"]);
    assert_eq!(failures(&again.apply(ROTATE).await), "");
    lab.credentials_work().await;
    assert_eq!(lab.tokens(), ["kthw", "kthw-ubuntu-2"]);
    assert_eq!(lab.keys_on("wu2").await, ["the-lab", "kthw:ubuntu:ssh-key/ssh.private_key:2:2026-08-15"]);
    for set in [&["rotation.generation=2"][..], &[]] {
        assert_eq!(changes(&lab.process(set).plan(ROTATE).await), Vec::<String>::new(), "{set:?}");
    }

    let later = lab.process(&["rotation.max_age_days=30"]);
    assert_eq!(changes(&later.plan(ROTATE).await), Vec::<String>::new());
    lab.world.with_state(|state| state.now_ms += 31 * 86_400_000);
    assert_eq!(
        changes(&later.plan(ROTATE).await),
        [
            "proxmox.token/kthw-ubuntu token: generation 2, made on 2026-08-15 -> generation 3",
            "ssh.key_pair/ssh.private_key key: generation 2, made on 2026-08-15 -> generation 3"
        ]
    );
    // The machines' own settings follow with the phase that keeps machines.
    let machines = changes(&lab.process(&[]).plan("phases/machines").await);
    assert!(machines.iter().all(|line| line.contains("ssh_keys")) && machines.len() == 3, "{machines:#?}");
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

/// Whatever fails, in whichever step: what the secrets file holds works, and the next run finishes.
#[tokio::test(start_paused = true)]
async fn after_every_failure_the_secrets_file_works_and_the_next_run_finishes() {
    let http = |method: &str, path: &str, outcome: Harm| Fault::once(Trigger::http(method, path), outcome);
    let refused = || Harm::Refused { status: 500, text: "disk full".into() };
    let mut faults = Vec::new();
    let mute = [false, true].map(|carried_out| Harm::Hangs { carried_out });
    for outcome in [refused(), Harm::BrokenBefore, Harm::BrokenAfter].iter().chain(&mute) {
        for (method, path) in [("POST", "/token/"), ("DELETE", "/token/"), ("PUT", "/access/acl")] {
            faults.push(http(method, path, outcome.clone()));
        }
        for after in 0..4 {
            // Reads are tried again, so they fail often enough.
            faults.push(Fault { after, times: 20, ..http("GET", "/access/", outcome.clone()) });
        }
    }
    for outcome in [refused(), Harm::BrokenBefore, Harm::BrokenAfter] {
        faults.extend((0..2).map(|after| Fault::once(Trigger::Secrets, outcome.clone()).after(after)));
    }
    for (node, silent) in ["cu1", "wu2"].iter().zip(mute) {
        for outcome in [Harm::BrokenBefore, Harm::BrokenAfter, silent] {
            faults.extend((0..9).map(|after| Fault::once(Trigger::Node { node: (*node).into() }, outcome.clone()).after(after)));
        }
    }
    let mut failed = 0;
    for fault in faults {
        let lab = Lab::new().await;
        assert_eq!(failures(&lab.process(&[]).apply(ROTATE).await), "");
        give_rights_of_its_own(&lab);
        let was = lab.process(&[]).secret(KEY);
        let process = lab.process(&["rotation.generation=2"]);
        let plan = process.plan(ROTATE).await;
        lab.world.add_fault(fault.clone());
        let report = run(plan, &process.peers, &silent(), &RunOptions::default()).await;
        lab.world.with_state(|state| state.faults.clear());
        failed += usize::from(!report.failures.is_empty());
        lab.credentials_work().await;
        if report.failures.is_empty() {
            assert_ne!(process.secret(KEY).disclose(), was.disclose(), "{fault:?}");
        }
        let next = lab.process(&["rotation.generation=2"]);
        assert_eq!(failures(&next.apply(ROTATE).await), "", "{fault:?}");
        lab.credentials_work().await;
        assert_eq!(lab.tokens(), ["kthw", "kthw-ubuntu-2"], "{fault:?}");
        let grants =
            lab.world.with_state(|state| state.pve.acl.iter().map(|grant| (grant.path.clone(), grant.who.clone())).collect::<Vec<_>>());
        assert_eq!(grants, [("/".to_owned(), "root@pam!kthw-ubuntu-2".to_owned())], "{fault:?}");
        for node in ["cu1", "wu1", "wu2"] {
            assert_eq!(lab.keys_on(node).await, ["the-lab", "kthw:ubuntu:ssh-key/ssh.private_key:2:2026-08-15"], "{node} {fault:?}");
        }
        assert_eq!(changes(&next.plan(ROTATE).await), Vec::<String>::new(), "{fault:?}");
    }
    assert!(failed > 20, "only {failed} faults struck");
}

/// A process that dies at any effect of a rotation: what the secrets file holds works, and the next run finishes.
#[tokio::test(start_paused = true)]
async fn after_a_crash_at_any_effect_the_secrets_file_works_and_the_next_run_finishes() {
    let (mut boundaries, mut number) = (0, 1);
    loop {
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let lab = Lab::new().await;
            assert_eq!(failures(&lab.process(&[]).apply(ROTATE).await), "");
            give_rights_of_its_own(&lab);
            let process = lab.process(&["rotation.generation=2"]);
            let ends = EndsAt::new(number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            let plan = process.plan(ROTATE).await;
            if ends.cut(run(plan, &process.peers, &silent(), &options)).await.is_some() {
                println!("{boundaries} boundaries of {} effects", number - 1);
                assert!(boundaries > 20, "only {boundaries} boundaries");
                return;
            }
            boundaries += 1;
            lab.credentials_work().await;
            let next = lab.process(&["rotation.generation=2"]);
            assert_eq!(failures(&next.apply(ROTATE).await), "", "{moment:?} effect {number}");
            lab.credentials_work().await;
            assert_eq!(lab.tokens(), ["kthw", "kthw-ubuntu-2"], "{moment:?} effect {number}");
            for node in ["cu1", "wu1", "wu2"] {
                let keys = lab.keys_on(node).await;
                assert_eq!(keys, ["the-lab", "kthw:ubuntu:ssh-key/ssh.private_key:2:2026-08-15"], "{node}, {moment:?} effect {number}");
            }
            assert_eq!(changes(&next.plan(ROTATE).await), Vec::<String>::new(), "{moment:?} effect {number}");
        }
        number += 1;
    }
}

/// The token of the first generation becomes one with privilege separation.
fn give_rights_of_its_own(lab: &Lab) {
    lab.world.with_state(|state| {
        let token: &mut ApiToken = state.pve.users.get_mut("root@pam").unwrap().get_mut("kthw-ubuntu-1").unwrap();
        token.privsep = true;
        let who = "root@pam!kthw-ubuntu-1".to_owned();
        state.pve.acl.push(Grant { path: "/".into(), kind: "token".into(), who, role: "PVEAdmin".into(), propagate: true });
    });
}

#[tokio::test(start_paused = true)]
async fn tokens_of_others_are_never_touched() {
    let lab = Lab::new().await;
    let token = |comment: &str| ApiToken { value: "v".into(), comment: comment.into(), expire: 0, privsep: true };
    let others = [("ci", ""), ("kthw-ubuntu-7", "by hand"), ("kthw-blue-1", "kthw:blue:token/kthw-blue:1:2026-01-01")];
    lab.world.with_state(|state| {
        let tokens = state.pve.users.get_mut("root@pam").unwrap();
        tokens.extend(others.map(|(id, comment)| (id.to_owned(), token(comment))));
    });
    assert_eq!(failures(&lab.process(&[]).apply(ROTATE).await), "");
    assert_eq!(failures(&lab.process(&["rotation.generation=2"]).apply(ROTATE).await), "");
    assert_eq!(lab.tokens(), ["ci", "kthw", "kthw-blue-1", "kthw-ubuntu-2", "kthw-ubuntu-7"]);
    // The name that would come next is somebody else's.
    let taken = failures(&lab.process(&["rotation.generation=7"]).apply(ROTATE).await);
    assert!(taken.contains("Proxmox has a token root@pam!kthw-ubuntu-7 already, and kthw did not make it"), "{taken}");
    lab.credentials_work().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_the_key_gets_it_and_keys_of_people_stay() {
    let lab = Lab::new().await;
    assert_eq!(failures(&lab.process(&[]).apply(ROTATE).await), "");
    let line = public_half(KEY, &lab.process(&[]).secret(KEY)).unwrap();
    // A crash long ago left a key of ours on one machine; somebody added theirs.
    lab.world.with_state(|state| {
        let machine = state.machines.get_mut("vm/421").unwrap();
        let path = "/home/kthw/.ssh/authorized_keys";
        let text = machine.files.text(path);
        let comment = line.splitn(3, ' ').nth(2).unwrap().split(" replaces ").next().unwrap();
        let orphan = public_half(KEY, &private_key(&[9; 32], comment).unwrap()).unwrap();
        let text = format!("# people\n{text}{orphan}\nno-pty {} me@home\n", kthw_lab::PUBLIC_KEY.rsplit_once(' ').unwrap().0);
        machine.files.write(path, text.into_bytes(), 0o600, 1).unwrap();
    });
    let process = lab.process(&[]);
    let planned = changes(&process.plan(ROTATE).await);
    assert!(planned.len() == 1 && planned[0].contains("unused key on wu1"), "{planned:#?}");
    assert_eq!(failures(&process.apply(ROTATE).await), "");
    assert_eq!(
        lab.keys_on("wu1").await.last().unwrap(),
        "AAAAC3NzaC1lZDI1NTE5AAAAIGxhYi1vbmx5LWtleS1uby1wcml2YXRlLWhhbGYtMDAwMDAw me@home"
    );
    assert_eq!(changes(&process.plan(ROTATE).await), Vec::<String>::new());
}
