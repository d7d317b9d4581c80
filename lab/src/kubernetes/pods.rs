//! Pods: made for the workloads, put on nodes that take them, ended by their kubelets, and counted for disruption budgets.
//!
//! They come into being when somebody first looks at pods, or changes a node: a large cluster nobody looks into has none.
use super::{
    cluster::{Cluster, Object, has_condition, key, uid},
    controllers::{NODES, START_MS, is_condition, set, set_condition, set_status},
};
use crate::state::{fingerprint, rfc3339};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How the keys of pods begin.
const PODS: &str = "|pods|";
/// How the keys of disruption budgets begin.
const BUDGETS: &str = "policy|poddisruptionbudgets|";
/// A pod takes so long to end.
const END_MS: u64 = 2_000;
/// What a kubelet says of a pod that comes from a file on its node.
const MIRROR: &str = "kubernetes.io/config.mirror";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Brings pods and disruption budgets up to now.
pub(super) fn run(cluster: &mut Cluster, now_ms: u64, unix_s: u64) {
    end(cluster, now_ms);
    let workloads: Vec<String> = cluster.beginning("apps|").map(|(key, _)| key.clone()).collect();
    workloads.iter().for_each(|key| complete(cluster, key, now_ms, unix_s));
    static_pods(cluster, now_ms, unix_s);
    place(cluster, now_ms);
    readiness(cluster, now_ms, &rfc3339(unix_s));
    budgets(cluster);
}

/// Takes out pods that have ended, and those whose node is gone.
fn end(cluster: &mut Cluster, now_ms: u64) {
    let is_over = |pod: &Object, cluster: &Cluster| {
        let node = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
        let node_is_gone = !node.is_empty() && !cluster.has("nodes", "", node);
        // Only a kubelet that is heard of says that a pod has ended.
        let node_is_heard = || node.is_empty() || cluster.is_node_ready(node);
        node_is_gone || (pod.ended_ms.is_some_and(|ended_ms| now_ms >= ended_ms + END_MS) && node_is_heard())
    };
    let over: Vec<String> = cluster.beginning(PODS).filter(|(_, pod)| is_over(pod, cluster)).map(|(key, _)| key.clone()).collect();
    for key in over {
        cluster.objects.remove(&key);
        cluster.revision += 1;
    }
}

/// Begins the end of a pod.
pub(super) fn begin_end(cluster: &mut Cluster, key: &str, now_ms: u64, unix_s: u64) {
    let revision = cluster.revision + 1;
    let Some(pod) = cluster.objects.get_mut(key) else { return };
    if pod.value["metadata"]["deletionTimestamp"].is_null() {
        pod.value["metadata"]["deletionTimestamp"] = json!(rfc3339(unix_s));
        pod.value["metadata"]["resourceVersion"] = json!(revision.to_string());
        pod.ended_ms = Some(now_ms);
        cluster.revision = revision;
    }
}

/// The pods that a controller of this kind and name has and that do not end.
fn of_controller<'c>(cluster: &'c Cluster, namespace: &str, kind: &'c str, name: &'c str) -> impl Iterator<Item = &'c Value> {
    let own = move |pod: &&Value| {
        let owner = &pod["metadata"]["ownerReferences"][0];
        owner["name"] == name && owner["kind"] == kind
    };
    let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    cluster.beginning(format!("{PODS}{namespace}|")).map(|(_, pod)| &pod.value).filter(own).filter(alive)
}

/// A new pod of a workload, on no node yet.
fn new_pod(cluster: &mut Cluster, workload: &Value, owner: &Value, name: &str, node: Option<&str>, now_ms: u64, unix_s: u64) {
    let template = &workload["spec"]["template"];
    let mut spec = template["spec"].clone();
    if let Some(node) = node {
        spec["nodeName"] = json!(node);
    }
    let metadata = json!({ "name": name, "namespace": workload["metadata"]["namespace"], "labels": template["metadata"]["labels"], "ownerReferences": [owner] });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": { "phase": "Pending" } });
    cluster.insert("", "pods", pod, unix_s);
    let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
    if let Some(pod) = cluster.objects.get_mut(&key("", "pods", namespace, name)) {
        pod.made_ms = now_ms;
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value["metadata"][name].as_str().unwrap_or_default()
}

/// What makes the pods of a workload, by kind and name.
fn controller(workload: &Value) -> (&'static str, String) {
    let name = text(workload, "name");
    match workload["kind"].as_str() {
        Some("DaemonSet") => ("DaemonSet", name.to_owned()),
        Some("Deployment") => ("ReplicaSet", format!("{name}-{}", &fingerprint(name)[..9])),
        _ => ("StatefulSet", name.to_owned()),
    }
}

/// Makes the pods that a workload lacks.
fn complete(cluster: &mut Cluster, key: &str, now_ms: u64, unix_s: u64) {
    let Some(workload) = cluster.objects.get(key).map(|object| &object.value) else { return };
    let (kind, name) = controller(workload);
    let lacking = lacking(cluster, workload, kind, &name);
    if lacking.is_empty() {
        return;
    }
    let workload = workload.clone();
    for node in lacking {
        let owner = json!({ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": workload["metadata"]["uid"], "controller": true });
        let pod = format!("{name}-{}", &uid(&cluster.ca_hash, cluster.revision)[..5]);
        new_pod(cluster, &workload, &owner, &pod, node.as_deref(), now_ms, unix_s);
    }
}

/// The nodes of the pods that a workload lacks. A DaemonSet has one on each node, cordoned or not; a ReplicaSet or StatefulSet has as many as
/// are wanted, in place of those that end too, and leaves their nodes to the scheduler.
fn lacking(cluster: &Cluster, workload: &Value, kind: &str, name: &str) -> Vec<Option<String>> {
    let there = of_controller(cluster, text(workload, "namespace"), kind, name);
    if kind == "DaemonSet" {
        let on: BTreeSet<&str> = there.filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
        let nodes = cluster.beginning(NODES).map(|(key, _)| &key[NODES.len()..]);
        return nodes.filter(|node| !on.contains(node)).map(|node| Some(node.to_owned())).collect();
    }
    let wanted = workload["spec"]["replicas"].as_u64().unwrap_or(1);
    (there.count() as u64..wanted).map(|_| None).collect()
}

/// The mirror pods of a control plane: its kubelet runs them from files, and shows them.
fn static_pods(cluster: &mut Cluster, now_ms: u64, unix_s: u64) {
    let is_plane = |name: &str, cluster: &Cluster| cluster.members.get(name).is_some_and(|member| member.control_plane);
    let planes: Vec<String> =
        cluster.beginning(NODES).map(|(key, _)| key[NODES.len()..].to_owned()).filter(|name| is_plane(name, cluster)).collect();
    for node in planes {
        for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let name = format!("{component}-{node}");
            let key = key("", "pods", "kube-system", &name);
            if cluster.objects.contains_key(&key) {
                continue;
            }
            let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": node, "controller": true });
            let annotations = json!({ MIRROR: fingerprint(&name)[..32] });
            let metadata = json!({ "name": name, "namespace": "kube-system", "annotations": annotations, "ownerReferences": [owner] });
            let spec = json!({ "nodeName": node, "hostNetwork": true, "containers": [{ "name": component }] });
            cluster.insert("", "pods", json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }), unix_s);
            if let Some(pod) = cluster.objects.get_mut(&key) {
                pod.made_ms = now_ms;
            }
        }
    }
}

/// The scheduler: a pod goes to the node that takes it and has the fewest.
fn place(cluster: &mut Cluster, now_ms: u64) {
    let waiting: Vec<String> =
        cluster.beginning(PODS).filter(|(_, pod)| pod.value["spec"]["nodeName"].is_null()).map(|(key, _)| key.clone()).collect();
    if waiting.is_empty() {
        return;
    }
    let mut load: BTreeMap<String, usize> = BTreeMap::new();
    for (_, pod) in cluster.beginning(PODS) {
        if let Some(node) = pod.value["spec"]["nodeName"].as_str() {
            *load.entry(node.to_owned()).or_default() += 1;
        }
    }
    for key in waiting {
        let pod = &cluster.objects[&key].value;
        let takes =
            |node: &&Object| has_condition(&node.value, "Ready") && !has_taint_against(&node.value, pod) && is_selected(&node.value, pod);
        let names = cluster.beginning(NODES).map(|(_, node)| node).filter(takes).map(|node| text(&node.value, "name").to_owned());
        let Some(node) = names.min_by_key(|name| (load.get(name).copied().unwrap_or(0), name.clone())) else { continue };
        *load.entry(node.clone()).or_default() += 1;
        set(cluster, &key, |pod| pod["spec"]["nodeName"] = json!(node));
        if let Some(pod) = cluster.objects.get_mut(&key) {
            pod.made_ms = now_ms;
        }
    }
}

/// Whether a taint keeps a pod away that it does not tolerate; a cordon counts as one.
fn has_taint_against(node: &Value, pod: &Value) -> bool {
    let tolerations: Vec<&Value> = pod["spec"]["tolerations"].as_array().into_iter().flatten().collect();
    let tolerated = |taint: &(&str, &str)| {
        let (key, effect) = taint;
        tolerations.iter().any(|one| {
            let of_key = one["key"] == *key || (one["key"].is_null() && one["operator"] == "Exists");
            of_key && (one["effect"].is_null() || one["effect"] == *effect)
        })
    };
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let taints = taints.filter_map(|taint| Some((taint["key"].as_str()?, taint["effect"].as_str().unwrap_or_default())));
    let cordon = (node["spec"]["unschedulable"] == true).then_some((UNSCHEDULABLE, "NoSchedule"));
    taints.chain(cordon).any(|taint| !tolerated(&taint))
}

/// Whether a node has the labels that a pod wants of its node.
fn is_selected(node: &Value, pod: &Value) -> bool {
    let wanted = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    wanted.into_iter().all(|(name, value)| node["metadata"]["labels"][name] == *value)
}

/// A pod runs on a node, and is Ready some seconds after its start while its node is.
fn readiness(cluster: &mut Cluster, now_ms: u64, stamp: &str) {
    let ready: BTreeSet<&str> =
        cluster.beginning(NODES).filter(|(_, node)| has_condition(&node.value, "Ready")).map(|(key, _)| &key[NODES.len()..]).collect();
    let status_of = |pod: &Object| {
        let node = pod.value["spec"]["nodeName"].as_str()?;
        let runs = now_ms >= pod.made_ms + START_MS && (pod.value["spec"]["hostNetwork"] == true || ready.contains(node));
        Some(if runs && pod.value["metadata"]["deletionTimestamp"].is_null() { "True" } else { "False" })
    };
    // Most pods said it long ago.
    let has_said =
        |pod: &Object, status: &str| pod.value["status"]["phase"] == "Running" && is_condition(&pod.value, "Ready", status, "", "");
    let news: Vec<(String, &str)> = cluster
        .beginning(PODS)
        .filter(|(_, pod)| !matches!(pod.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
        .filter_map(|(key, pod)| Some((key, pod, status_of(pod)?)))
        .filter(|(_, pod, status)| !has_said(pod, status))
        .map(|(key, _, status)| (key.clone(), status))
        .collect();
    for (key, status) in news {
        set_status(cluster, &key, |pod| {
            pod["status"]["phase"] = json!("Running");
            set_condition(pod, "Ready", status, "", "", stamp);
        });
    }
}

/// The pods that a budget selects, of those that do not end.
fn selected<'c>(cluster: &'c Cluster, budget: &'c Value) -> impl Iterator<Item = &'c Value> {
    let labels = budget.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let fits =
        move |pod: &&Value| labels.is_some_and(|labels| labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value));
    let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    cluster.beginning(format!("{PODS}{}|", text(budget, "namespace"))).map(|(_, pod)| &pod.value).filter(fits).filter(alive)
}

/// Counts for each budget how many pods are there, are well, and may go.
fn budgets(cluster: &mut Cluster) {
    let keys: Vec<String> = cluster.beginning(BUDGETS).map(|(key, _)| key.clone()).collect();
    for key in keys {
        let budget = cluster.objects[&key].value.clone();
        let (expected, healthy) = {
            let pods: Vec<&Value> = selected(cluster, &budget).collect();
            (pods.len() as u64, pods.iter().filter(|pod| has_condition(pod, "Ready")).count() as u64)
        };
        let least = budget["spec"]["minAvailable"].as_u64();
        let wanted = least.unwrap_or_else(|| expected.saturating_sub(budget["spec"]["maxUnavailable"].as_u64().unwrap_or(0)));
        set_status(cluster, &key, |budget| {
            budget["status"] = json!({
                "observedGeneration": budget["metadata"]["generation"], "expectedPods": expected, "currentHealthy": healthy,
                "desiredHealthy": wanted, "disruptionsAllowed": healthy.saturating_sub(wanted),
            });
        });
    }
}

/// The budgets that select a pod.
pub(super) fn budgets_of(cluster: &Cluster, pod: &Value) -> Vec<Value> {
    let all = cluster.beginning(format!("{BUDGETS}{}|", text(pod, "namespace"))).map(|(_, budget)| &budget.value);
    all.filter(|budget| selected(cluster, budget).any(|one| one["metadata"]["uid"] == pod["metadata"]["uid"])).cloned().collect()
}
