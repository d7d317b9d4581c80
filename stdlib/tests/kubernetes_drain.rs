//! Draining, restarting and removing a node in a real API server: cordons, evictions, a disruption budget that refuses, a Node that goes.
mod support;

use k8s_openapi::api::{
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kthw_engine::{
    BoxFuture, Effect, Peers, Plan, Report, Result, RunOptions, SystemClock,
    node::{Action, Block, BlockOutcome, Finding, Nodes, Output, Probe, Told},
    plan, run, silent,
};
use kthw_peers::ApiServer;
use kthw_stdlib::{
    kubernetes::{CORDONED, Client},
    seams::KubernetesAccess,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use support::{a_file, declared_for, running_control_plane, shown};

/// The control plane, and a worker that is no machine: what its kubelet would do is done in its place.
struct Machines {
    kubeconfig: String,
    api: kube::Client,
    boots: AtomicU32,
    needs_restart: AtomicBool,
    joined: AtomicBool,
}

impl Machines {
    fn answer(&self, node: &str, probe: &Probe) -> Finding {
        let says = |stdout: String| Finding::Run(Output { stdout, ..Output::default() });
        match probe {
            _ if node == "cu1" => running_control_plane(probe, &self.kubeconfig),
            Probe::Path { path, .. } => {
                let there = match path.as_str() {
                    "/etc/kubernetes/kubelet.conf" => self.joined.load(Ordering::Relaxed),
                    "/run/reboot-required" => self.needs_restart.load(Ordering::Relaxed),
                    _ => false,
                };
                Finding::Path(there.then(a_file))
            }
            Probe::Run { argv } if argv.last().is_some_and(|path| path.ends_with("/boot_id")) => says(self.boot_id()),
            Probe::Run { argv } if argv[0] == "uname" => says("wu1 6.8.0-64-generic\n".into()),
            Probe::Run { argv } if argv[0] == "grep" => says("    server: https://cu1.bevz.net:6443\n".into()),
            _ => says(String::new()),
        }
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boots.load(Ordering::Relaxed))
    }

    /// Its kubelet reports.
    async fn report(&self) {
        let condition = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let info = json!({"bootID": self.boot_id(), "architecture": "amd64", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": ""});
        let status = json!({"status": {"conditions": [condition], "nodeInfo": info}});
        let nodes: Api<Node> = Api::all(self.api.clone());
        nodes.patch_status("wu1", &PatchParams::default(), &Patch::Merge(status)).await.expect("reported");
    }
}

struct Seam(Arc<Machines>);

impl Nodes for Seam {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(async move { Ok(probes.iter().map(|probe| self.0.answer(node, probe)).collect()) })
    }

    fn change<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Block],
        _: &'a Effect,
        _: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(async { panic!("everything here is done just in time") })
    }

    fn keep_host_key<'a>(&'a self, _: &'a str, _: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, _: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move {
            match (node, action.to_string().as_str()) {
                ("wu1", "`systemctl reboot`") => {
                    self.0.boots.fetch_add(1, Ordering::Relaxed);
                    self.0.needs_restart.store(false, Ordering::Relaxed);
                    self.0.report().await;
                }
                ("wu1", "`systemctl stop kubelet`") => {}
                ("wu1", "`kubeadm reset --force`") => self.0.joined.store(false, Ordering::Relaxed),
                (node, other) => panic!("nobody should do {other} on {node}"),
            }
            Ok(Output::default())
        })
    }
}

/// The API of the peer, as kthw gets it.
struct Direct(kube::Config);

impl KubernetesAccess for Direct {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(async move { Ok(Client::direct(self.0.clone()).expect("a client")) })
    }
}

struct World {
    peers: Peers,
    machines: Arc<Machines>,
    api: kube::Client,
    /// Last, so that it ends after what talks to it.
    _server: ApiServer,
}

async fn world() -> Option<World> {
    let server = ApiServer::ask()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = std::fs::read_to_string(&server.kubeconfig).expect("a kubeconfig");
    let known = kubeconfig.split("https://").nth(1).and_then(|rest| rest.split(['"', '\n', '}']).next()).expect("a server").to_owned();
    let parsed = kube::config::Kubeconfig::from_yaml(&kubeconfig.replace(&known, &server.address)).expect("a kubeconfig");
    let mut config =
        kube::Config::from_custom_kubeconfig(parsed, &kube::config::KubeConfigOptions::default()).await.expect("a configuration");
    // What a budget refuses is told at once, as through a tunnel.
    config.default_retry = false;
    let api = kube::Client::try_from(config.clone()).expect("a client");
    let (boots, needs_restart, joined) = (AtomicU32::new(1), AtomicBool::new(false), AtomicBool::new(true));
    let machines = Arc::new(Machines { kubeconfig, api: api.clone(), boots, needs_restart, joined });
    let access: Arc<dyn KubernetesAccess> = Arc::new(Direct(config));
    let peers = Peers::new(Arc::new(Seam(machines.clone())), Arc::new(SystemClock::default())).with(access);
    let world = World { peers, machines, api, _server: server };
    world.make_node().await;
    Some(world)
}

impl World {
    /// Takes out what a test may have left in a server that outlives it.
    async fn sweep(&self) {
        let now = DeleteParams::default().grace_period(0);
        let _ = Api::<Node>::all(self.api.clone()).delete("wu1", &now).await;
        let _ = Api::<PodDisruptionBudget>::default_namespaced(self.api.clone()).delete("web", &now).await;
        for pod in ["web-1", "web-2", "agent-1"] {
            let _ = Api::<Pod>::default_namespaced(self.api.clone()).delete(pod, &now).await;
        }
    }

    async fn make_node(&self) {
        self.sweep().await;
        let nodes: Api<Node> = Api::all(self.api.clone());
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "wu1"}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node).expect("a node")).await.expect("created");
        self.machines.report().await;
    }

    /// A pod that runs on the worker, and the controller that it has.
    async fn make_pod(&self, name: &str, controller: &str) {
        let pods: Api<Pod> = Api::default_namespaced(self.api.clone());
        let owner = json!([{"apiVersion": "apps/v1", "kind": controller, "name": "web", "uid": "00000000-0000-4000-8000-000000000000", "controller": true}]);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": controller}, "ownerReferences": owner},
            "spec": {"nodeName": "wu1", "containers": [{"name": "web", "image": "web"}]}});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).expect("a pod")).await.expect("created");
        let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"phase": "Running", "conditions": [condition]}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("runs");
    }

    /// What the disruption controller would count.
    async fn allow(&self, disruptions: i64) {
        let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(self.api.clone());
        let status = json!({"status": {"disruptionsAllowed": disruptions, "currentHealthy": 2, "desiredHealthy": 2 - disruptions, "expectedPods": 2,
            "observedGeneration": 1}});
        budgets.patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.expect("counted");
    }

    /// The kubelet ends pods that are to end.
    async fn end_pods(&self) {
        let pods: Api<Pod> = Api::default_namespaced(self.api.clone());
        loop {
            for pod in pods.list(&ListParams::default()).await.expect("a list") {
                if pod.metadata.deletion_timestamp.is_some() {
                    let name = pod.metadata.name.expect("a name");
                    let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn pods(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::default_namespaced(self.api.clone());
        pods.list(&ListParams::default()).await.expect("a list").into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// Whether the worker is cordoned, and what kthw's mark says; nothing when there is no such Node.
    async fn cordon(&self) -> Option<(bool, Option<String>)> {
        let nodes: Api<Node> = Api::all(self.api.clone());
        let node: Value = serde_json::to_value(nodes.get_opt("wu1").await.expect("an answer")?).expect("a value");
        Some((node["spec"]["unschedulable"] == true, node["metadata"]["annotations"][CORDONED].as_str().map(str::to_owned)))
    }

    async fn plan(&self, script: &str) -> Plan {
        let mut workspace = support::workspace();
        (workspace.proxmox, workspace.template) = (None, None);
        plan(&declared_for(workspace, script), &self.peers, &silent()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a script, while the kubelet is at work.
    async fn run(&self, script: &str) -> Report {
        let plan = self.plan(script).await;
        let (events, options) = (silent(), RunOptions::default());
        tokio::select! {
            report = run(plan, &self.peers, &events, &options) => report,
            () = self.end_pods() => unreachable!("a kubelet never ends"),
        }
    }
}

fn restart(timeout_s: u32) -> String {
    format!("kubernetes::node_restarted(cluster, cluster.workers[0], #{{ timeout_s: {timeout_s} }});")
}

#[tokio::test]
async fn a_node_is_drained_within_its_budget_restarted_and_removed() {
    let Some(world) = world().await else { return };
    for (name, controller) in [("web-1", "ReplicaSet"), ("web-2", "ReplicaSet"), ("agent-1", "DaemonSet")] {
        world.make_pod(name, controller).await;
    }
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(world.api.clone());
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "ReplicaSet"}}}});
    budgets.create(&PostParams::default(), &serde_json::from_value(budget).expect("a budget")).await.expect("created");
    world.allow(0).await;
    assert_eq!(shown(&world.plan(&restart(5)).await), "= kubernetes.node_restarted/wu1");

    world.machines.needs_restart.store(true, Ordering::Relaxed);
    let planned = shown(&world.plan(&restart(5)).await);
    let held = "default/web-1 (the disruption budget default/web needs 2 healthy pods and has 2)";
    assert!(planned.contains("done, with 2 pods evicted before; held at the moment: ") && planned.contains(held), "{planned}");
    assert_eq!(world.cordon().await, Some((false, None)), "a plan wrote");

    let report = world.run(&restart(5)).await;
    let failed = report.failures[0].1.to_string();
    let words = "default/web-1: Cannot evict pod as it would violate the pod's disruption budget. (The disruption budget web needs 2 healthy pods and has \
                 2 currently)";
    assert!(failed.starts_with("waited 5 s for the pods of wu1 to leave") && failed.contains(words), "{failed}");
    assert_eq!(world.cordon().await, Some((true, Some("a restart".into()))));
    assert_eq!((world.pods().await.len(), world.machines.boot_id()), (3, "boot-1".to_owned()));

    world.allow(2).await;
    let report = world.run(&restart(60)).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((world.pods().await, world.machines.boot_id()), (vec!["agent-1".to_owned()], "boot-2".to_owned()));
    assert_eq!(world.cordon().await, Some((false, None)));
    assert_eq!(world.plan(&restart(60)).await.changes(), 0);

    // And out of the cluster.
    let leaves = "kubeadm::worker(cluster, cluster.workers[0], #{ present: false });";
    assert_eq!(shown(&world.plan(leaves).await), "- kubeadm.worker/wu1");
    let report = world.run(leaves).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((world.cordon().await, world.plan(leaves).await.changes()), (None, 0));
    world.sweep().await;
}
