//! Objects kept in a real API server: the law (plan writes nothing; apply; plan again is all `=`), drift, and what it looks like.
//!
//! Needs `KTHW_PEER_KUBECONFIG` (a kubeconfig of a kube-apiserver, whose host name its certificate holds), `KTHW_PEER_API` (the
//! `address:port` where it listens) and `KTHW_PEER_ARTIFACTS` (a folder with `calico/v3.28.0/tigera-operator.yaml`).
use kthw_engine::{
    BoxFuture, Evaluated, Peers, Permit, Plan, Recipe, Result, RunOptions, Source, SystemClock, evaluate,
    node::{Action, Block, BlockOutcome, Finding, Nodes, Output, PathKind, PathState, Probe},
    plan, run, silent,
};
use kthw_stdlib::{
    artifact::{Artifacts, PinnedSource},
    kubernetes::{Duplex, NodeAccess, Tunnel},
    script_engine,
    workspace::{Cluster, Workspace},
    world::{Http, KubernetesAccess, Unreachable},
};
use std::{env, sync::Arc};

/// A control-plane node whose API is the peer; nothing else of it exists.
struct OneNode {
    kubeconfig: String,
}

impl OneNode {
    fn answer(&self, probe: &Probe) -> Finding {
        let file = PathState {
            kind: PathKind::File,
            mode: 0o600,
            owner: "root".into(),
            group: "root".into(),
            modified_s: 0,
            sha256: None,
            content: None,
        };
        let says = |stdout: &str| Finding::Run(Output { stdout: stdout.into(), ..Output::default() });
        match probe {
            Probe::Path { .. } => Finding::Path(Some(file)),
            Probe::Line { .. } => Finding::Line(true),
            Probe::Run { argv } if argv[0] == "cat" => says(&self.kubeconfig),
            Probe::Run { argv } if argv[0] == "openssl" => {
                says("DNS:cu1, DNS:cu1.bevz.net, DNS:localhost, IP Address:10.10.10.116, IP Address:127.0.0.1")
            }
            Probe::Run { .. } => says("ok"),
        }
    }
}

impl Nodes for OneNode {
    fn read<'a>(&'a self, _: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(async move { Ok(probes.iter().map(|probe| self.answer(probe)).collect()) })
    }

    fn change<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Block],
        _: &'a Permit,
        _: &'a (dyn Fn(usize) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(async { panic!("the control plane is as wanted") })
    }

    fn act<'a>(&'a self, _: &'a str, _: &'a Action, _: &'a Permit) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async { panic!("the control plane is as wanted") })
    }
}

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
    cluster: Cluster,
    peers: Peers,
    _cache: tempfile::TempDir,
}

/// The world around the peer; `None`, said aloud, when it is not there.
fn world() -> Option<World> {
    let (Ok(kubeconfig), Ok(api), Ok(artifacts)) =
        (env::var("KTHW_PEER_KUBECONFIG"), env::var("KTHW_PEER_API"), env::var("KTHW_PEER_ARTIFACTS"))
    else {
        eprintln!("SKIPPED: no Kubernetes API: set KTHW_PEER_KUBECONFIG, KTHW_PEER_API and KTHW_PEER_ARTIFACTS");
        return None;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let workspace: Workspace = serde_saphyr::from_str(include_str!("../../workspaces/ubuntu/workspace.yaml")).expect("a workspace");
    let cluster = Cluster::new(Arc::new(workspace)).expect("a cluster");
    let nodes = Arc::new(OneNode { kubeconfig: std::fs::read_to_string(kubeconfig).expect("a kubeconfig") });
    let access: Arc<dyn KubernetesAccess> = Arc::new(NodeAccess::new(nodes.clone(), Arc::new(ToPeer(api))));
    let cache = tempfile::tempdir().expect("a folder");
    let source = PinnedSource::new(cache.path(), Some(artifacts), Arc::new(NoWeb));
    let peers = Peers::new(nodes, Arc::new(SystemClock::default())).with(access).with(Artifacts::new(source));
    Some(World { cluster, peers, _cache: cache })
}

const CONTROL_PLANE: &str = "kubeadm::control_plane(cluster, #{ version: cluster.versions.kubernetes, endpoint: cluster.endpoint,
    pod_subnet: cluster.network.pods, service_subnet: cluster.network.services });";

impl World {
    fn declared(&self, script: &str) -> Vec<Evaluated> {
        let engine = script_engine();
        let text = format!("const VERSION = \"1.0.0\";\nconst ABOUT = \"test\";\nfn declare(cluster) {{ {CONTROL_PLANE}\n{script} }}\n");
        let source = Source { name: "test".into(), path: "test.rhai".into(), text };
        let recipe = Recipe::parse(&engine, source).unwrap_or_else(|error| panic!("{error:?}"));
        vec![evaluate(&engine, &recipe, rhai::Dynamic::from(self.cluster.clone())).unwrap_or_else(|error| panic!("{error:?}"))]
    }

    async fn plan(&self, script: &str) -> Plan {
        plan(&self.declared(script), &self.peers, &silent()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn run(&self, script: &str) {
        let report = run(self.plan(script).await, &self.peers, &silent(), &RunOptions::default()).await;
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
}

/// The plan without the control plane, which is always as wanted here.
fn shown(plan: &Plan) -> String {
    plan.to_string().lines().filter(|line| !line.contains("kubeadm.control_plane") && *line != "test").collect::<Vec<_>>().join("\n")
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
    assert_eq!(shown(&world.plan(&one).await), "  = kubernetes.manifest/motd");
    assert_eq!(shown(&world.plan(&two).await), "  ~ kubernetes.manifest/motd\n      ConfigMap kthw-test/motd data.text: one -> two");
    world.run(&two).await;
    assert_eq!(world.plan(&two).await.changes(), 0);

    let objects = world.peers.get::<Arc<dyn KubernetesAccess>>().expect("an access").open("cu1").await.expect("a client");
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(objects, "kthw-test");
    let by_hand = kube::api::Patch::Merge(serde_json::json!({"data": {"text": "by hand", "more": "x"}}));
    maps.patch("motd", &kube::api::PatchParams::default(), &by_hand).await.expect("patched");
    assert_eq!(shown(&world.plan(&two).await), "  ~ kubernetes.manifest/motd\n      ConfigMap kthw-test/motd data.text: by hand -> two");
    world.run(&two).await;
    maps.delete("motd", &kube::api::DeleteParams::default()).await.expect("deleted");
    assert_eq!(shown(&world.plan(&two).await), "  ~ kubernetes.manifest/motd\n      ConfigMap kthw-test/motd: absent -> present");
    world.run(&two).await;
    assert_eq!(world.plan(&two).await.changes(), 0);
}

#[tokio::test]
async fn calico_is_kept() {
    let Some(world) = world() else { return };
    let script = r#"let operator = calico::operator(cluster, #{ version: "3.28.0" });
        calico::installation(cluster, #{ pod_subnet: cluster.network.pods, needs: [operator] });"#;
    world.run(script).await;
    assert_eq!(shown(&world.plan(script).await), "  = calico.operator/ubuntu\n  = calico.installation/ubuntu");
    let other = script.replace("cluster.network.pods", "\"10.244.0.0/16\"");
    assert_eq!(
        shown(&world.plan(&other).await),
        "  = calico.operator/ubuntu\n  ~ calico.installation/ubuntu\n      \
         Installation default spec.calicoNetwork.ipPools[0].cidr: 192.168.0.0/16 -> 10.244.0.0/16"
    );
}

#[tokio::test]
async fn a_node_that_is_not_there_is_planned() {
    let Some(world) = world() else { return };
    let script = "kubernetes::node_ready(cluster, cluster.workers[0]);";
    assert_eq!(shown(&world.plan(script).await), "  + kubernetes.node_ready/wu1\n      ready: true");
}
