//! Objects kept in a real API server: the law (plan writes nothing; apply; plan again is all `=`), drift, and what it looks like.
#[path = "kubernetes_api/add_ons.rs"]
mod add_ons;
#[path = "kubernetes_api/certificates.rs"]
mod certificates;
#[path = "kubernetes_api/forward.rs"]
mod forward;
#[path = "kubernetes_api/releases.rs"]
mod releases;
#[path = "kubernetes_api/rights.rs"]
mod rights;
mod support;
#[path = "kubernetes_api/validation.rs"]
mod validation;

use kthw_engine::{BoxFuture, Clock, Peers, Plan, Result, SystemClock};
use kthw_peers::{ApiServer, TEST_DATA, ask};
use kthw_stdlib::{
    artifact::{Artifacts, PinnedSource},
    kubernetes::{Duplex, FileAccess, NodeAccess, Tunnel},
    seams::{Http, KubernetesAccess, Unreachable},
};
use std::{path::Path, sync::Arc};
use support::{planned, ran, settled_control_plane, shown};

/// Connects to the peer, whatever address it is asked for.
struct ToPeer(String);

impl Tunnel for ToPeer {
    fn open<'a>(&'a self, _: &'a str, _: &'a str, _: u16) -> BoxFuture<'a, Result<Box<dyn Duplex>>> {
        Box::pin(async move { Ok(Box::new(tokio::net::TcpStream::connect(&self.0).await.expect("the peer listens")) as Box<dyn Duplex>) })
    }
}

struct NoWeb;

impl Http for NoWeb {
    fn send(&self, _: http::Request<bytes::Bytes>) -> BoxFuture<'_, std::result::Result<http::Response<bytes::Bytes>, Unreachable>> {
        Box::pin(async { Err(Unreachable { reason: "there is no web here".into(), sent: false }) })
    }
}

struct World {
    peers: Peers,
    _cache: tempfile::TempDir,
    /// Last, so that it ends after what talks to it.
    server: ApiServer,
}

/// The world around the peer; `None`, said aloud, when it is not there.
#[track_caller]
fn world() -> Option<World> {
    Some(world_with(ApiServer::ask()?, None, Arc::new(SystemClock::default())))
}

/// The same, with upstream's manifests.
#[track_caller]
fn world_with_artifacts() -> Option<World> {
    world_with_clock(Arc::new(SystemClock::default()))
}

#[track_caller]
fn world_with_clock(clock: Arc<dyn Clock>) -> Option<World> {
    let [data] = ask([&TEST_DATA])?;
    Some(world_with(ApiServer::ask()?, Some(&data.join("manifests")), clock))
}

fn world_with(server: ApiServer, artifacts: Option<&Path>, clock: Arc<dyn Clock>) -> World {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let nodes = Arc::new(settled_control_plane(std::fs::read_to_string(&server.kubeconfig).expect("a kubeconfig")));
    let access: Arc<dyn KubernetesAccess> = Arc::new(NodeAccess::new(nodes.clone(), Arc::new(ToPeer(server.address.clone()))));
    let cache = tempfile::tempdir().expect("a folder");
    let source = PinnedSource::new(cache.path(), artifacts.map(|folder| folder.display().to_string()), Arc::new(NoWeb));
    let peers = Peers::new(nodes, clock).with(access).with(Artifacts::new(source));
    World { peers, _cache: cache, server }
}

impl World {
    async fn plan(&self, script: &str) -> Plan {
        planned(script, &self.peers).await
    }

    /// A client that somebody else uses.
    async fn by_hand(&self) -> kube::Client {
        let file = kubeconfig_for(&self.server, &self.server.address);
        let kubeconfig = kube::config::Kubeconfig::read_from(file.path()).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await;
        kube::Client::try_from(config.expect("a configuration")).expect("a client")
    }

    async fn run(&self, script: &str) {
        let report = ran(script, &self.peers).await;
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
}

const MOTD: &str = r#"kubernetes::manifest(cluster, "motd", #{ documents: [
    #{ apiVersion: "v1", kind: "ConfigMap", metadata: #{ name: "motd", namespace: "kthw-test" }, data: #{ text: "TEXT" } },
    #{ apiVersion: "v1", kind: "Namespace", metadata: #{ name: "kthw-test" } },
] });"#;

#[tokio::test]
async fn a_manifest_is_kept_and_its_drift_shown() {
    let Some(world) = world() else { return };
    let (one, two) = (MOTD.replace("TEXT", "one"), MOTD.replace("TEXT", "two"));
    world.run(&one).await;
    assert_eq!(shown(&world.plan(&one).await), "= kubernetes.manifest/motd");
    assert_eq!(shown(&world.plan(&two).await), "~ kubernetes.manifest/motd\n    ConfigMap kthw-test/motd data.text: one -> two");
    world.run(&two).await;
    assert_eq!(world.plan(&two).await.changes(), 0);

    let objects = world.by_hand().await;
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(objects, "kthw-test");
    let by_hand = kube::api::Patch::Merge(serde_json::json!({"data": {"text": "by hand", "more": "x"}}));
    maps.patch("motd", &kube::api::PatchParams::default(), &by_hand).await.expect("patched");
    assert_eq!(shown(&world.plan(&two).await), "~ kubernetes.manifest/motd\n    ConfigMap kthw-test/motd data.text: by hand -> two");
    world.run(&two).await;
    maps.delete("motd", &kube::api::DeleteParams::default()).await.expect("deleted");
    assert_eq!(shown(&world.plan(&two).await), "~ kubernetes.manifest/motd\n    ConfigMap kthw-test/motd: absent -> present");
    world.run(&two).await;
    assert_eq!(world.plan(&two).await.changes(), 0);
}

#[tokio::test]
async fn calico_is_kept() {
    let Some(world) = world_with_artifacts() else { return };
    let script = r#"let operator = calico::operator(cluster, #{ version: "3.28.0" });
        calico::installation(cluster, #{ pod_subnet: cluster.network.pods, needs: [operator] });"#;
    // Nobody runs pods here, so the test says what a controller would.
    let client = world.by_hand().await;
    let deployments: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(client.clone(), "tigera-operator");
    let available = async |pods: u32| {
        let status = serde_json::json!({ "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": pods,
            "availableReplicas": pods, "unavailableReplicas": 1 - pods } });
        let patch = kube::api::Patch::Merge(status);
        deployments.patch_status("tigera-operator", &kube::api::PatchParams::default(), &patch).await.is_ok()
    };
    let controller = async {
        for _ in 0..600 {
            if available(1).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("no operator came");
    };
    tokio::join!(world.run(script), controller);
    assert_eq!(shown(&world.plan(script).await), "= calico.operator/ubuntu\n= calico.installation/ubuntu");

    // An add-on that does not run is not as declared; what keeps it is in the plan.
    assert!(available(0).await);
    let pod = serde_json::json!({ "metadata": { "name": "tigera-operator-1", "labels": { "name": "tigera-operator" } },
        "spec": { "containers": [{ "name": "tigera-operator", "image": "x" }] } });
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client, "tigera-operator");
    pods.create(&kube::api::PostParams::default(), &serde_json::from_value(pod).expect("a pod")).await.expect("created");
    let waits = serde_json::json!({ "status": { "phase": "Pending", "containerStatuses": [{ "name": "tigera-operator", "ready": false, "restartCount": 0,
        "image": "x", "imageID": "", "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] } });
    pods.patch_status("tigera-operator-1", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(waits)).await.expect("patched");
    let plan = shown(&world.plan(script).await);
    assert!(
        plan.contains(
            "~ calico.operator/ubuntu\n    Deployment tigera-operator/tigera-operator: 0 of 1 pods are available: pod tigera-operator-1: \
             container tigera-operator waits: ImagePullBackOff: no such image -> runs"
        ),
        "{plan}"
    );
    assert!(available(1).await);
    let other = script.replace("cluster.network.pods", "\"10.244.0.0/16\"");
    assert_eq!(
        shown(&world.plan(&other).await),
        "= calico.operator/ubuntu\n! calico.installation/ubuntu  (refused: the pods of this cluster have addresses of the pool that it was made \
         with)\n    Installation default spec.calicoNetwork.ipPools[0].cidr: 192.168.0.0/16 -> 10.244.0.0/16\n    next: set `network.pods` \
         (and `block_size`) back; upstream says how to move pods to another pool by hand: \
         https://docs.tigera.io/calico/latest/networking/ipam/migrate-pools"
    );
}

#[tokio::test]
async fn a_node_is_waited_for_until_it_is_ready() {
    let Some(world) = world() else { return };
    let script = "kubernetes::node_ready(cluster, cluster.workers[0]);";
    let client = world.by_hand().await;
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(client);
    let _ = nodes.delete("wu1", &kube::api::DeleteParams::default()).await;
    assert_eq!(shown(&world.plan(script).await), "+ kubernetes.node_ready/wu1\n    ready: true");

    let node = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "wu1"}});
    nodes.create(&kube::api::PostParams::default(), &serde_json::from_value(node).expect("a node")).await.expect("created");
    let report = async |status: &str, reason: &str| {
        let condition = serde_json::json!({"type": "Ready", "status": status, "reason": reason, "message": "cni plugin not initialized",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = kube::api::Patch::Merge(serde_json::json!({"status": {"conditions": [condition]}}));
        nodes.patch_status("wu1", &kube::api::PatchParams::default(), &status).await.expect("patched");
    };
    report("False", "KubeletNotReady").await;
    assert_eq!(
        shown(&world.plan(script).await),
        "~ kubernetes.node_ready/wu1\n    ready: false (KubeletNotReady: cni plugin not initialized) -> true"
    );
    let later = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        report("True", "KubeletReady").await;
    };
    tokio::join!(world.run(script), later);
    assert_eq!(world.plan(script).await.changes(), 0);
    nodes.delete("wu1", &kube::api::DeleteParams::default()).await.expect("deleted");
}

/// The peer's kubeconfig with another address of the API server.
fn kubeconfig_for(server: &ApiServer, address: &str) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(&server.kubeconfig).expect("a kubeconfig");
    let known = text.split("https://").nth(1).and_then(|rest| rest.split(['"', '\n', '}']).next()).expect("a server").to_owned();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text.replace(&known, address)).expect("written");
    file
}

#[tokio::test]
async fn a_kubeconfig_file_leads_there_directly() {
    let Some(server) = ApiServer::ask() else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = kubeconfig_for(&server, &server.address);
    let client = FileAccess::new(file.path()).open("any").await.expect("a client");
    client.resources("v1").await.expect("an answer");
}

#[tokio::test]
async fn a_server_whose_certificate_has_another_name_is_refused() {
    let Some(server) = ApiServer::ask() else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = std::fs::read_to_string(kubeconfig_for(&server, "someone-else.example:6443").path()).expect("read");
    let access = NodeAccess::new(Arc::new(settled_control_plane(kubeconfig)), Arc::new(ToPeer(server.address.clone())));
    let client = access.open("cu1").await.expect("a client");
    let error = client.resources("v1").await.expect_err("refused");
    assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
}
