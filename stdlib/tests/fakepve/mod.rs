//! A fake Proxmox VE of our own for one test, and what a test does with it.
//!
//! It runs in the Python that `tests/peers/install pve` made, or in the one that KTHW_FAKEPVE names.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "../support/nodes.rs"]
mod nodes;

use kthw_engine::node::Nodes;
use kthw_engine::{Clock, Error, Events, Kind, Peers, Plan, Recipe, Report, RunOptions, Secret, Source, SystemClock, evaluate, plan, run};
use kthw_peers::{FAKEPVE, ask};
use kthw_stdlib::{
    Dynamic,
    http::{HttpClient, Trust},
    proxmox::{Access, Client, Credentials, Endpoint, access_from},
    script_engine,
    seams::Http,
    sops::Secrets,
    ssh::{KnownHosts, Starts},
    workspace::{Cluster, Workspace},
};
use nodes::FakeNodes;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

pub struct FakePve {
    process: Child,
    _folder: tempfile::TempDir,
    pub values: BTreeMap<String, String>,
    pub known: KnownHosts,
    pub heard: Arc<Mutex<Vec<String>>>,
    /// An option of `proxmox::vm` that the shipped phase does not set.
    pub vm_option: &'static str,
}

impl Drop for FakePve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts one at `address` (a loopback address of the test's own), or says why not.
#[track_caller]
pub fn start(address: &str) -> Option<FakePve> {
    let [python] = ask([&FAKEPVE])?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pve")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/pve.py");
    let mut process = Command::new(python)
        .arg(script)
        .args(["--host", address, "--no-hosts", "--nodes", "homelab,pve2", "--time-scale", "0.02"])
        .env("KTHW_WORLD", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !folder.path().join("pve.ready").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "fakepve does not start");
        assert!(process.try_wait().unwrap().is_none(), "fakepve ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = std::fs::read_to_string(folder.path().join("pve.env")).unwrap();
    let values = text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let known = KnownHosts::open(folder.path().join("known_hosts")).unwrap();
    Some(FakePve { process, _folder: folder, values, known, heard: Arc::default(), vm_option: "" })
}

const ADDRESSES: [&str; 3] = ["10.10.10.116", "10.10.10.121", "10.10.10.120"];

impl FakePve {
    /// Peers that reach it with a token and its certificate authority; `changes` replaces some of the secrets.
    pub fn peers(&self, changes: Value) -> Peers {
        let mut secrets = self.secrets();
        secrets.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.peers_with(Arc::new(FakeNodes::unasked()), secrets)
    }

    /// Peers with these machines, that reach it with a token and its certificate authority.
    pub fn peers_on(&self, nodes: Arc<dyn Nodes>) -> Peers {
        self.peers_with(nodes, self.secrets())
    }

    fn secrets(&self) -> Value {
        let value = |name: &str| self.values[name].clone();
        json!({ "proxmox.endpoint": value("PVE_ENDPOINT"), "proxmox.token": value("PVE_TOKEN"), "proxmox.ca_file": value("PVE_CA_FILE") })
    }

    fn peers_with(&self, nodes: Arc<dyn Nodes>, secrets: Value) -> Peers {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let secret = move |name: &str| Ok(secrets.get(name).and_then(Value::as_str).map(Secret::new));
        let client = Client::new(move || access_from(&secret, |_| None), clock.clone());
        Peers::new(nodes, clock).with(client).with(self.known.clone()).with(no_secrets()).with(Starts::default())
    }

    /// Peers that reach it through `wrap`, which may change requests and answers.
    pub fn peers_through<H: Http + 'static>(&self, wrap: impl FnOnce(HttpClient) -> H) -> Peers {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let trust = Trust::CaFile(self.values["PVE_CA_FILE"].clone().into());
        let http = Arc::new(wrap(HttpClient::new(&trust).unwrap()));
        let endpoints = vec![Endpoint::parse(&self.values["PVE_ENDPOINT"]).unwrap()];
        let credentials = Credentials::token(&Secret::new(&self.values["PVE_TOKEN"])).unwrap();
        let client = Client::over(http, Access { endpoints, credentials, trust }, clock.clone());
        Peers::new(Arc::new(FakeNodes::unasked()), clock).with(client).with(self.known.clone()).with(no_secrets()).with(Starts::default())
    }

    /// How many of the machines have a pinned host key.
    pub fn pinned(&self) -> usize {
        ADDRESSES.iter().filter(|address| self.known.is_pinned(address.parse().unwrap(), 22)).count()
    }

    /// How many of the machines have a host key that is believed, pinned or not.
    pub fn believed(&self) -> usize {
        ADDRESSES.iter().filter(|address| self.known.is_known(address.parse().unwrap(), 22)).count()
    }

    /// Asks the control port.
    pub async fn control(&self, command: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(&self.values["PVE_CONTROL"]).body(command.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(answer["ok"], true, "{command}: {answer}");
        answer["result"].clone()
    }

    /// Answers the next so many requests like this with an error.
    pub async fn fail(&self, method: &str, path: &str, status: u16, message: &str, times: u32) {
        self.control(json!({"call": "fail", "args": [method, path, status, message], "kwargs": {"times": times}})).await;
    }

    /// A key of a machine's configuration.
    pub async fn config(&self, vmid: u32, key: &str) -> Value {
        self.control(json!({"eval": format!("(lambda vm: vm and vm.config.get({key:?}))(pve.vm({vmid}))")})).await
    }

    /// How many requests were not reads, since it was last asked.
    pub async fn writes(&self) -> u64 {
        let counted = self.control(json!({"eval": "len([m for m, _, _ in pve.requests if m != 'GET'])"})).await;
        self.control(json!({"eval": "pve.requests.clear()"})).await;
        counted.as_u64().unwrap()
    }

    pub async fn plan(&self, peers: &Peers, workspace: &Value) -> Result<Plan, Error> {
        let engine = script_engine();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/phases");
        let text = ["template", "machines"].map(|phase| std::fs::read_to_string(folder.join(format!("{phase}.rhai"))).unwrap());
        let mut evaluated = Vec::new();
        for (name, text) in [("phases/template", &text[0]), ("phases/machines", &text[1])] {
            // Opening the machines over SSH is another test's.
            let text = text.lines().filter(|line| !line.contains("ssh::node")).collect::<Vec<_>>().join("\n");
            let text = text.replace("proxmox::vm(cluster, node, #{", &format!("proxmox::vm(cluster, node, #{{ {}", self.vm_option));
            let recipe = Recipe::parse(&engine, Source { name: name.into(), path: name.into(), text }).unwrap();
            let workspace: Workspace = serde_json::from_value(workspace.clone()).unwrap();
            let cluster = Dynamic::from(Cluster::new(Arc::new(workspace)).unwrap());
            evaluated.push(evaluate(&engine, &recipe, cluster).unwrap());
        }
        plan(&evaluated, peers, &self.events()).await
    }

    /// The plan of a recipe with this text in its `declare`.
    pub async fn plan_text(&self, declare: &str, peers: &Peers, workspace: &Value) -> Plan {
        let engine = script_engine();
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{ {declare} }}\n");
        let recipe = Recipe::parse(&engine, Source { name: "test".into(), path: "test".into(), text }).unwrap();
        let workspace: Workspace = serde_json::from_value(workspace.clone()).unwrap();
        let evaluated = evaluate(&engine, &recipe, Dynamic::from(Cluster::new(Arc::new(workspace)).unwrap())).unwrap();
        plan(&[evaluated], peers, &self.events()).await.unwrap()
    }

    /// Carries out a plan.
    pub async fn run(&self, plan: Plan, peers: &Peers) -> Report {
        run(plan, peers, &self.events(), &RunOptions::default()).await
    }

    /// Plans and applies; the report.
    pub async fn apply(&self, peers: &Peers, workspace: &Value) -> Report {
        let plan = self.plan(peers, workspace).await.unwrap();
        run(plan, peers, &self.events(), &RunOptions::default()).await
    }

    fn events(&self) -> Events {
        let heard = self.heard.clone();
        Arc::new(move |event| heard.lock().unwrap().push(format!("{event:?}")))
    }
}

/// A plan on one line for each resource and field.
pub fn shown(plan: &Plan) -> String {
    let one = |one: &kthw_engine::Planned| {
        let fields: Vec<String> = one.change.fields().iter().map(|field| format!("    {field}\n")).collect();
        format!("{} {}\n{}", one.change.mark(), one.id, fields.concat())
    };
    plan.planned().iter().map(one).collect()
}

/// Fails the test with the reports of everything that failed.
pub fn succeeded(report: &Report) {
    let failures: Vec<String> = report.failures.iter().map(|(id, error)| format!("{id}: {error}")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The only failure, and its help.
pub fn failure(report: &Report) -> String {
    let [(_, error)] = report.failures.as_slice() else { panic!("not one failure: {:?}", report.failures) };
    explained(error)
}

/// An error and its help.
pub fn explained(error: &Error) -> String {
    assert!(matches!(error.kind(), Kind::Peer | Kind::Refused), "{error}");
    format!("{error}\nhelp: {}", error.diagnostic().help().map(|help| help.to_string()).unwrap_or_default())
}

/// One control plane and two workers, made from one template.
pub fn workspace(changes: Value) -> Value {
    let mut workspace = json!({
        "name": "ubuntu", "domain": "bevz.net", "release_letter": "u", "distribution": "ubuntu",
        "versions": {"kubernetes": "1.31.9", "calico": "3.28.0"},
        "network": {"nodes": "10.10.10.0/24", "gateway": "10.10.10.1", "dns": ["10.10.10.100"], "pods": "192.168.0.0/16", "services": "10.96.0.0/12"},
        "proxmox": {"node": "homelab", "storage": "local-lvm"},
        "template": {"vmid": 9420, "name": "tpl", "image": {
            "url": "https://images.example/noble.img", "file": "noble.qcow2",
            "sha256": "6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733",
        }},
        "machine": {"cores": 2},
        "ssh": {"authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q me@home"]},
        "nodes": [
            {"name": "cu1", "role": "control_plane", "vmid": 401, "address": "10.10.10.116"},
            {"name": "wu1", "role": "worker", "vmid": 421, "address": "10.10.10.121"},
            {"name": "wu2", "role": "worker", "vmid": 422, "address": "10.10.10.120"},
        ],
    });
    workspace.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    workspace
}

/// A workspace without a secrets file.
fn no_secrets() -> Secrets {
    Secrets::from_values::<String>("secrets.sops.yaml", [])
}
