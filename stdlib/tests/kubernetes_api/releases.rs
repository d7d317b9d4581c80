//! Every add-on of which two releases are in hand, on the real API server of both minor versions: one after the other, and gone without
//! a trace.
use super::{add_ons::AllRuns, support::planned_for, *};
use kthw_engine::{RunOptions, run, silent};
use kthw_peers::{MANIFESTS, mirror};
use kthw_stdlib::{
    add_ons::{ALL, known},
    artifact::Pin,
    workspace::Workspace,
};
use sha2::{Digest, Sha256};

/// The releases of one add-on, in the order in which a cluster gets them.
struct Releases {
    project: &'static str,
    /// What a recipe says, with `OPTIONS` in it.
    script: &'static str,
    /// How its plan names it.
    id: &'static str,
    versions: &'static [&'static str],
    /// What only its own definitions and objects are called by.
    traces: &'static [&'static str],
    /// Whether it can be taken away; a pod network is not taken from under its pods.
    goes: bool,
}

const CALICO: Releases = Releases {
    project: "calico",
    script: "calico::operator(cluster, OPTIONS);",
    id: "calico.operator/ubuntu",
    versions: &["3.26.4", "3.27.0", "3.28.0"],
    traces: &["tigera", "projectcalico"],
    goes: false,
};
const METALLB: Releases = Releases {
    project: "metallb",
    script: "metallb::controller(cluster, OPTIONS);",
    id: "metallb.controller/ubuntu",
    versions: &["0.14.3", "0.14.5", "0.14.8", "0.15.2", "0.16.2"],
    traces: &["metallb"],
    goes: true,
};
const TRAEFIK: Releases = Releases {
    project: "traefik",
    script: "traefik::controller(cluster, OPTIONS);",
    id: "traefik.controller/ubuntu",
    versions: &["3.5.0", "3.6.12", "3.7.11"],
    traces: &["traefik"],
    goes: true,
};
const CERT_MANAGER: Releases = Releases {
    project: "cert-manager",
    script: "kubernetes::upstream(cluster, \"cert-manager\", OPTIONS);",
    id: "kubernetes.upstream/cert-manager",
    versions: &["1.21.1", "1.21.2"],
    traces: &["cert-manager"],
    goes: true,
};
const METRICS_SERVER: Releases = Releases {
    project: "metrics-server",
    script: "kubernetes::upstream(cluster, \"metrics-server\", OPTIONS);",
    id: "kubernetes.upstream/metrics-server",
    versions: &["0.8.0", "0.9.0"],
    traces: &["metrics"],
    goes: true,
};

#[tokio::test]
async fn calico_is_upgraded_from_release_to_release() {
    on_both_minors(&CALICO).await;
}

#[tokio::test]
async fn metallb_is_upgraded_from_release_to_release_and_goes() {
    on_both_minors(&METALLB).await;
}

#[tokio::test]
async fn traefik_is_upgraded_from_release_to_release_and_goes() {
    on_both_minors(&TRAEFIK).await;
}

#[tokio::test]
async fn cert_manager_is_upgraded_from_release_to_release_and_goes() {
    on_both_minors(&CERT_MANAGER).await;
}

/// Its API is served by a pod, and no pod runs here: an API without back end keeps nothing from being planned, upgraded or removed.
#[tokio::test]
async fn metrics_server_is_upgraded_from_release_to_release_and_goes() {
    on_both_minors(&METRICS_SERVER).await;
}

async fn on_both_minors(releases: &Releases) {
    for minor in ["1.36", "1.37"] {
        let Some(_) = ask([&TEST_DATA, &MANIFESTS]) else { return };
        let Some(server) = ApiServer::of_minor(minor) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let world = world_with(server, Some(mirror(folder.path())), Arc::new(SystemClock::default()));
        one_after_the_other(&world, releases, &pinned(folder.path(), releases)).await;
    }
}

/// The shipped cluster, and in it the pins of those files of which kthw knows no digest, as `kthw artifacts pin` would record them.
fn pinned(mirror: &Path, releases: &Releases) -> Workspace {
    let mut workspace = support::workspace();
    let facts = ALL.iter().find(|facts| facts.project == releases.project).expect("known");
    for version in releases.versions {
        for file in facts.files(&version.parse().expect("a version")).expect("a known line") {
            if known(&file).is_none() {
                let bytes = std::fs::read(mirror.join(file.path())).expect("in the mirror");
                let (digest, size) = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
                workspace.artifacts.pins.add(Pin::of(file, digest, size, "2026-11-30".into()), false).expect("new");
            }
        }
    }
    workspace
}

async fn one_after_the_other(world: &World, releases: &Releases, workspace: &Workspace) {
    let _runs = AllRuns::with(world.by_hand().await);
    let before = names(world, releases).await;
    assert_eq!(before, "", "nothing of it is there yet");
    let plan = async |options: &str| planned_for(workspace.clone(), &releases.script.replace("OPTIONS", options), &world.peers).await;
    let applied = async |options: &str| {
        let report = run(plan(options).await, &world.peers, &silent(), &RunOptions::default()).await;
        assert!(report.failures.is_empty(), "{}: {options}: {:?}", releases.project, report.failures);
    };
    let mut last = None;
    for version in releases.versions {
        let options = format!("#{{ version: \"{version}\" }}");
        let shown = shown(&plan(&options).await);
        let says = last.map_or(format!("version: v{version}"), |last| format!("version: v{last} -> v{version}"));
        assert!(shown.contains(&says), "{says} is not in\n{shown}");
        applied(&options).await;
        assert_eq!(super::shown(&plan(&options).await), format!("= {}", releases.id), "{version}: a second run has nothing to do");
        last = Some(version);
    }
    assert_ne!(names(world, releases).await, "");
    if !releases.goes {
        return;
    }
    applied("#{ present: false }").await;
    assert_eq!(shown(&plan("#{ present: false }").await), "", "there is nothing left to say");
    assert_eq!(names(world, releases).await, "", "nothing is left of it");
}

/// What there is in the cluster under names of an add-on: definitions, roles, webhooks, aggregated APIs, namespaces, and what is in `kube-system`.
async fn names(world: &World, releases: &Releases) -> String {
    const WHERE: [&str; 10] = [
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "/apis/apiregistration.k8s.io/v1/apiservices",
        "/api/v1/namespaces",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings",
        "/apis/apps/v1/namespaces/kube-system/deployments",
        "/api/v1/namespaces/kube-system/configmaps",
    ];
    let client = world.by_hand().await;
    let mut found = Vec::new();
    for path in WHERE {
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        let list: serde_json::Value = client.request(request).await.expect(path);
        let names = list["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned));
        found.extend(names.filter(|name| releases.traces.iter().any(|trace| name.contains(trace))));
    }
    // What Kubernetes itself brings, for autoscalers that read metrics.
    found.retain(|name| !name.starts_with("system:controller:"));
    found.join(" ")
}
