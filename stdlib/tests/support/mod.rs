//! What the tests of modules in a cluster share: the shipped Ubuntu cluster, its control plane up and running, and recipes as text.
#![allow(dead_code)] // each test uses what it needs of it

pub mod nodes;

use kthw_engine::{
    Evaluated, Peers, Plan, Recipe, Report, RunOptions, Source, evaluate,
    node::{Finding, HostKey, KeyTrust, Output, PathKind, PathState, Probe},
    plan, run, silent,
};
use kthw_stdlib::{
    script_engine,
    workspace::{Cluster, Workspace},
};
use nodes::FakeNodes;
use std::sync::Arc;

/// Declares the control plane that everything in the cluster needs.
const CONTROL_PLANE: &str = "kubeadm::control_plane(cluster, #{ version: cluster.versions.kubernetes, endpoint: cluster.endpoint,
    pod_subnet: cluster.network.pods, service_subnet: cluster.network.services });";

/// Any file.
pub fn a_file() -> PathState {
    PathState { kind: PathKind::File, mode: 0o600, owner: "root".into(), group: "root".into(), modified_s: 0, sha256: None, content: None }
}

/// How a node answers that runs the cluster's control plane.
pub fn running_control_plane(probe: &Probe, kubeconfig: &str) -> Finding {
    let says = |stdout: &str| Finding::Run(Output { stdout: stdout.into(), ..Output::default() });
    match probe {
        // It was made before kthw noted how far it came.
        Probe::Path { path, .. } if path == "/etc/kubernetes/kthw/init" => Finding::Path(None),
        Probe::Path { .. } => Finding::Path(Some(a_file())),
        Probe::Line { .. } => Finding::Line(true),
        Probe::Run { argv } if argv[0] == "cat" => says(kubeconfig),
        Probe::Run { argv } if argv[0] == "openssl" => {
            says("DNS:cu1, DNS:cu1.bevz.net, DNS:localhost, IP Address:10.10.10.116, IP Address:127.0.0.1")
        }
        // Everything that it asks for by name is there.
        Probe::Run { argv } if argv.iter().any(|word| word == "nodes") => says("node/cu1\n"),
        Probe::Run { argv } if argv.iter().any(|word| word == "name") => {
            let named = argv.iter().filter(|word| word.contains('/') && !word.starts_with('/'));
            says(&named.map(|name| format!("{name}\n")).collect::<String>())
        }
        Probe::Run { .. } | Probe::Check { .. } => says("ok"),
        Probe::HostKey => Finding::HostKey(HostKey { fingerprint: "SHA256:known".into(), trust: KeyTrust::Pinned }),
    }
}

/// The control-plane node with this `admin.conf`, which nothing has to be done to.
pub fn settled_control_plane(kubeconfig: String) -> FakeNodes {
    FakeNodes::answering(move |_, probe| running_control_plane(probe, &kubeconfig))
}

/// The shipped Ubuntu cluster.
pub fn workspace() -> Workspace {
    serde_saphyr::from_str(include_str!("../../../workspaces/ubuntu/workspace.yaml")).expect("a workspace")
}

/// What a recipe declares with this text in its `declare`, for the shipped Ubuntu cluster.
pub fn declared(script: &str) -> Vec<Evaluated> {
    declared_for(workspace(), script)
}

/// The same for another cluster.
pub fn declared_for(workspace: Workspace, script: &str) -> Vec<Evaluated> {
    let engine = script_engine();
    let text = format!("const VERSION = \"1.0.0\";\nconst ABOUT = \"test\";\nfn declare(cluster) {{ {CONTROL_PLANE}\n{script} }}\n");
    let source = Source { name: "test".into(), path: "test.rhai".into(), text };
    let recipe = Recipe::parse(&engine, source).unwrap_or_else(|error| panic!("{error:?}"));
    let cluster = Cluster::new(Arc::new(workspace)).expect("a cluster");
    vec![evaluate(&engine, &recipe, rhai::Dynamic::from(cluster)).unwrap_or_else(|error| panic!("{error:?}"))]
}

/// Plans a script.
pub async fn planned(script: &str, peers: &Peers) -> Plan {
    plan(&declared(script), peers, &silent()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The same for another cluster.
pub async fn planned_for(workspace: Workspace, script: &str, peers: &Peers) -> Plan {
    plan(&declared_for(workspace, script), peers, &silent()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Plans and runs a script.
pub async fn ran(script: &str, peers: &Peers) -> Report {
    run(planned(script, peers).await, peers, &silent(), &RunOptions::default()).await
}

/// The plan without the control plane, which is always as wanted here.
pub fn shown(plan: &Plan) -> String {
    let text = plan.to_string();
    let lines = text.lines().filter(|line| !line.contains("kubeadm.control_plane")).filter_map(|line| line.strip_prefix("  "));
    lines.collect::<Vec<_>>().join("\n")
}
