//! The API as kube's own client sees it.
use crate::{
    kubernetes::cluster::Cluster,
    node::{Machine, Package, Unit},
    state::State,
    world::World,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// A world with a cluster of one control plane, without kubeadm.
fn with_cluster() -> World {
    let world = World::default();
    world.with_state(|state: &mut State| {
        let mut machine = Machine { running: true, boots: 1, address: "10.0.0.5/24".into(), cluster: Some(0), ..Machine::default() };
        for name in ["kubelet.service", "containerd.service"] {
            machine.units.insert(name.into(), Unit { started: true, ..Unit::default() });
        }
        machine.packages.insert("kubelet".into(), Package { version: "1.31.9-1.1".into(), held: true });
        machine.files.put("/var/lib/kubelet/config.yaml", "", 0o644, 0);
        machine.files.put("/etc/kubernetes/manifests/kube-apiserver.yaml", "", 0o600, 0);
        let mut cluster = Cluster::new("00", "1.31.9", "cu1:6443");
        cluster.begin("10.96.0.0/12", 0);
        cluster.add_addon("coredns", 0);
        cluster.join("cu1", "vm/401", &machine, true, 0, 0);
        cluster.mark_control_plane("cu1");
        state.clusters.push(cluster);
        state.machines.insert("vm/401".into(), machine);
    });
    world
}

fn client(world: &World) -> Client {
    let world = world.clone();
    Client::new(tower::service_fn(move |request| super::access::send(world.clone(), 0, request)), "default")
}

fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn config_map(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": data })
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "installations.operator.tigera.io" },
        "spec": { "group": "operator.tigera.io", "scope": "Cluster", "names": { "kind": "Installation", "plural": "installations" },
            "versions": [{ "name": "v1", "served": true, "storage": true }] },
    })
}

#[tokio::test(start_paused = true)]
async fn applying_twice_changes_nothing_and_giving_up_a_field_removes_it() {
    let world = with_cluster();
    let client = client(&world);
    let maps = kind("", "v1", "ConfigMap", "configmaps");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &maps);
    let parameters = PatchParams::apply("kthw").force();
    let first = api.patch("x", &parameters, &Patch::Apply(config_map(json!({ "a": "1", "b": "2" })))).await.unwrap();
    let writes = world.writes();
    let again = api.patch("x", &parameters, &Patch::Apply(config_map(json!({ "a": "1", "b": "2" })))).await.unwrap();
    assert_eq!(first.metadata.resource_version, again.metadata.resource_version);
    assert_eq!(world.writes(), writes + 1);
    let less = api.patch("x", &parameters, &Patch::Apply(config_map(json!({ "a": "1" })))).await.unwrap();
    assert_eq!(less.data["data"], json!({ "a": "1" }));
    let other = api.patch("x", &PatchParams::apply("other"), &Patch::Apply(config_map(json!({ "a": "9" })))).await.unwrap_err();
    assert!(other.to_string().contains("conflict with \"kthw\": .data.a"), "{other}");
    let dry = api.patch("x", &parameters.clone().dry_run(), &Patch::Apply(config_map(json!({ "a": "5" })))).await.unwrap();
    assert_eq!(dry.data["data"]["a"], "5");
    assert_eq!(api.get("x").await.unwrap().data["data"]["a"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_defined_kind_is_served_once_it_is_established() {
    let world = with_cluster();
    let client = client(&world);
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"));
    definitions.create(&PostParams::default(), &serde_json::from_value(definition()).unwrap()).await.unwrap();
    assert!(client.list_api_group_resources("operator.tigera.io/v1").await.is_err());
    world.with_state(|state| state.now_ms += 1_000);
    let listed = client.list_api_group_resources("operator.tigera.io/v1").await.unwrap();
    assert_eq!((listed.resources[0].kind.as_str(), listed.resources[0].namespaced), ("Installation", false));
    assert!(client.list_api_groups().await.unwrap().groups.iter().any(|group| group.name == "operator.tigera.io"));
}

#[tokio::test(start_paused = true)]
async fn nodes_become_ready_with_the_pod_network() {
    let world = with_cluster();
    let client = client(&world);
    let nodes: Api<DynamicObject> = Api::all_with(client.clone(), &kind("", "v1", "Node", "nodes"));
    let ready = || async { nodes.get("cu1").await.unwrap().data.pointer("/status/conditions/0/status").cloned() };
    assert_eq!(ready().await, None);
    world.with_state(|state| state.now_ms += 30_000);
    assert_eq!(ready().await, Some(json!("False")));
    let make = async |resource: ApiResource, namespace: Option<&str>, body: Value| {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        api.patch(body["metadata"]["name"].as_str().unwrap(), &PatchParams::apply("kthw"), &Patch::Apply(&body)).await.unwrap()
    };
    make(kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"), None, definition()).await;
    make(
        kind("", "v1", "Namespace", "namespaces"),
        None,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "tigera-operator" } }),
    )
    .await;
    let operator = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "tigera-operator", "namespace": "tigera-operator" }, "spec": { "template": { "spec": { "hostNetwork": true } } } });
    make(kind("apps", "v1", "Deployment", "deployments"), Some("tigera-operator"), operator).await;
    world.with_state(|state| state.now_ms += 1_000);
    make(
        kind("operator.tigera.io", "v1", "Installation", "installations"),
        None,
        json!({ "apiVersion": "operator.tigera.io/v1", "kind": "Installation", "metadata": { "name": "default" } }),
    )
    .await;
    let deployments: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "kube-system", &kind("apps", "v1", "Deployment", "deployments"));
    for _ in 0..10 {
        world.with_state(|state| state.now_ms += 10_000);
        ready().await;
    }
    assert_eq!(ready().await, Some(json!("True")));
    assert_eq!(deployments.get("coredns").await.unwrap().data["status"]["availableReplicas"], 2);
    assert_eq!(nodes.list(&ListParams::default().labels("kubernetes.io/hostname=cu1")).await.unwrap().items.len(), 1);
    // A machine that is gone is noticed after a while.
    world.with_state(|state| {
        state.machines.get_mut("vm/401").unwrap().cluster = None;
        state.now_ms += 60_000;
    });
    let node = world.with_state(|state| super::get(state, 0, "/api/v1/nodes/cu1").1);
    assert!(node.contains("Kubelet stopped posting node status."), "{node}");
}

#[test]
fn a_question_about_one_node_looks_at_no_other() {
    let world = with_cluster();
    world.with_state(|state| {
        let machine = state.machines["vm/401"].clone();
        state.clusters[0].join("wu1", "vm/402", &machine, false, 0, 0);
        state.machines.insert("vm/402".into(), machine);
        state.now_ms += 30_000;
        let told =
            |state: &State, name: &str| state.clusters[0].objects[&format!("|nodes||{name}")].value["status"]["conditions"].is_array();
        super::get(state, 0, "/api/v1/nodes/cu1");
        assert_eq!((told(state, "cu1"), told(state, "wu1")), (true, false));
        super::get(state, 0, "/api/v1/namespaces/kube-system/configmaps/kubeadm-config");
        assert!(!told(state, "wu1"));
        // Whoever asks for all of them, or for what runs on them, is told how they are now.
        super::get(state, 0, "/apis/apps/v1/namespaces/kube-system/deployments/coredns");
        assert!(told(state, "wu1"));
        state.clusters[0].join("wu2", "vm/402", &state.machines["vm/402"].clone(), false, state.now_ms - 30_000, 0);
        let (_, list) = super::get(state, 0, "/api/v1/nodes?labelSelector=kubernetes.io/hostname=wu2");
        assert!(list.contains("KubeletNotReady"), "{list}");
    });
}

#[tokio::test(start_paused = true)]
async fn failures_are_statuses() {
    let world = with_cluster();
    let client = client(&world);
    let maps = kind("", "v1", "ConfigMap", "configmaps");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "nowhere", &maps);
    let error = api.patch("x", &PatchParams::apply("kthw"), &Patch::Apply(config_map(json!({})))).await.unwrap_err();
    assert!(error.to_string().contains("namespaces \"nowhere\" not found"), "{error}");
    assert!(api.get_opt("x").await.unwrap().is_none());
    world.add_fault(crate::Fault::kubernetes("GET", "/configmaps", 503, "etcdserver: request timed out"));
    assert!(api.get_opt("x").await.unwrap_err().to_string().contains("etcdserver"));
    world.with_state(|state| state.machines.clear());
    assert!(api.get_opt("x").await.is_err());
}
