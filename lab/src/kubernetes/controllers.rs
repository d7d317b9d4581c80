//! What a cluster's controllers, operators and kubelets would do: conditions become true as virtual time passes.
use super::{
    addresses,
    cluster::{Cluster, Object, has_condition, key},
    pods, serving,
};
use crate::{
    node::{Machine, boot_id},
    state::{State, rfc3339},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A definition is established after so long.
const ESTABLISH_MS: u64 = 500;
/// Images are pulled and containers started in so long.
pub(super) const START_MS: u64 = 8_000;
/// A kubelet reports for the first time after so long.
const REPORT_MS: u64 = 5_000;
/// The pod network is up on a node so long after it is wanted.
const NETWORK_MS: u64 = 20_000;
/// A kubelet that was not seen for so long is taken for lost.
const LOST_MS: u64 = 40_000;
/// How the keys of nodes begin.
pub(super) const NODES: &str = "|nodes||";

/// What a request looks at, and what therefore has to be up to date. A cluster of thousands of nodes is asked for one of them most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View<'r> {
    /// One node.
    Node(&'r str),
    /// All nodes, or what depends on how many of them are Ready.
    Nodes,
    /// Pods, and all that decides where they are.
    Pods,
    /// Services, and what is behind them.
    Services,
    /// Requests for certificates.
    Certificates,
    /// Nothing that depends on nodes.
    Rest,
}

impl<'r> View<'r> {
    /// What a request looks at. Whoever changes a node meets the pods that are on it.
    pub fn of(method: &str, path: &'r str) -> Self {
        let mut segments = path.trim_matches('/').split('/');
        match [(); 4].map(|()| segments.next()) {
            [Some("api"), Some("v1"), Some("nodes"), Some(_)] if method != "GET" => Self::Pods,
            [Some("api"), Some("v1"), Some("pods"), _] | [Some("apis"), Some("policy"), ..] => Self::Pods,
            [Some("api"), Some("v1"), Some("namespaces"), Some(_)] if path.contains("/pods") => Self::Pods,
            [Some("api"), Some("v1"), Some("namespaces"), Some(_)] if path.contains("/services") || path.contains("/events") => {
                Self::Services
            }
            [Some("api"), Some("v1"), Some("services"), _] | [Some("apis"), Some("discovery.k8s.io"), ..] => Self::Services,
            [Some("apis"), Some("certificates.k8s.io"), _, Some(_)] => Self::Certificates,
            [Some("api"), Some("v1"), Some("nodes"), Some(name)] => Self::Node(name),
            [Some("api"), Some("v1"), Some("nodes"), None] | [Some("apis"), Some("apps"), ..] => Self::Nodes,
            _ => Self::Rest,
        }
    }
}

/// Brings the status of the objects that a request looks at up to now.
pub(crate) fn run(state: &mut State, number: usize, view: View) {
    if let View::Node(name) = view {
        return run_node(state, number, name);
    }
    let (now_ms, unix_s) = (state.now_ms, state.unix_s());
    let stamp = rfc3339(unix_s);
    let (clusters, machines) = (&mut state.clusters, &state.machines);
    let Some(cluster) = clusters.get_mut(number) else { return };
    // The token cleaner of kube-controller-manager.
    cluster.tokens.retain(|_, token| token.ends_ms > now_ms);
    definitions(cluster, now_ms, &stamp);
    network(cluster, now_ms, unix_s, &stamp);
    if matches!(view, View::Nodes | View::Pods | View::Services) {
        let names: Vec<String> = cluster.beginning(NODES).map(|(key, _)| key[NODES.len()..].to_owned()).collect();
        for name in names {
            let own_network = hear(cluster, machines, number, &name, now_ms);
            node(cluster, now_ms, &stamp, &name, own_network);
        }
        workloads(cluster, now_ms, &stamp);
    }
    match view {
        View::Pods => pods::run(cluster, now_ms, unix_s),
        View::Certificates => serving::run(cluster, machines, number, unix_s),
        View::Services => {
            addresses::give(cluster, now_ms, unix_s);
            addresses::endpoints(cluster, now_ms, unix_s);
        }
        _ => {}
    }
}

/// Brings the status of one node up to now.
pub(crate) fn run_node(state: &mut State, number: usize, name: &str) {
    let (now_ms, unix_s) = (state.now_ms, state.unix_s());
    let stamp = rfc3339(unix_s);
    let (clusters, machines) = (&mut state.clusters, &state.machines);
    let Some(cluster) = clusters.get_mut(number) else { return };
    if cluster.network_ms.is_none() {
        network(cluster, now_ms, unix_s, &stamp);
    }
    let own_network = hear(cluster, machines, number, name, now_ms);
    node(cluster, now_ms, &stamp, name, own_network);
}

/// Lets the kubelet of a member report; returns whether the member has a network of its own.
fn hear(cluster: &mut Cluster, machines: &BTreeMap<String, Machine>, number: usize, name: &str, now_ms: u64) -> bool {
    let Some(member) = cluster.members.get(name).cloned() else { return false };
    let alive = |machine: &&Machine| {
        machine.running && machine.cluster == Some(number) && now_ms >= machine.ssh_from_ms && machine.runs("kubelet.service")
    };
    let Some(machine) = machines.get(&member.machine).filter(alive) else { return false };
    cluster.members.seen(name, now_ms);
    let (boot_id, node) = (boot_id(&member.machine, machine), key("", "nodes", "", name));
    if cluster.objects.get(&node).is_some_and(|node| node.value["status"]["nodeInfo"]["bootID"] != boot_id) {
        set_status(cluster, &node, |node| node["status"]["nodeInfo"]["bootID"] = json!(boot_id));
    }
    !machine.files.names("/etc/cni/net.d").is_empty()
}

/// Sets fields of an object's status and nothing else; its revision moves only if that changed something.
pub(super) fn set_status(cluster: &mut Cluster, key: &str, change: impl FnOnce(&mut Value)) {
    set_part(cluster, key, change, |value| value.get("status"));
}

/// Sets fields of an object; its revision moves only if that changed something.
pub(super) fn set(cluster: &mut Cluster, key: &str, change: impl FnOnce(&mut Value)) {
    set_part(cluster, key, change, |value| Some(value));
}

fn set_part(cluster: &mut Cluster, key: &str, change: impl FnOnce(&mut Value), part: fn(&Value) -> Option<&Value>) {
    let Some(object) = cluster.objects.get_mut(key) else { return };
    let before = part(&object.value).cloned();
    change(&mut object.value);
    if part(&object.value) != before.as_ref() {
        cluster.revision += 1;
        object.value["metadata"]["resourceVersion"] = json!(cluster.revision.to_string());
    }
}

/// Whether a condition is there and says exactly this.
pub(super) fn is_condition(value: &Value, name: &str, status: &str, reason: &str, message: &str) -> bool {
    let conditions = value["status"]["conditions"].as_array();
    let condition = conditions.into_iter().flatten().find(|condition| condition["type"] == name);
    condition.is_some_and(|one| one["status"] == status && one["reason"] == reason && one["message"] == message)
}

/// Sets a condition; its time moves only when its status does.
pub(super) fn set_condition(value: &mut Value, name: &str, status: &str, reason: &str, message: &str, stamp: &str) {
    if !value["status"]["conditions"].is_array() {
        value["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = value["status"]["conditions"].as_array_mut() else { return };
    let at = conditions.iter().position(|condition| condition["type"] == name);
    let since = at.filter(|at| conditions[*at]["status"] == status).map_or(json!(stamp), |at| conditions[at]["lastTransitionTime"].clone());
    let condition = json!({ "type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": since });
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// The objects whose key begins so and that were made at least so long ago.
fn old<'c>(cluster: &'c Cluster, begins: &'c str, now_ms: u64, age_ms: u64) -> impl Iterator<Item = (&'c String, &'c Object)> {
    cluster.beginning(begins).filter(move |(_, object)| now_ms >= object.made_ms + age_ms)
}

fn definitions(cluster: &mut Cluster, now_ms: u64, stamp: &str) {
    // Definitions are large, and most of them were established long ago.
    let is_settled = |value: &Value| has_condition(value, "Established") && value["status"]["acceptedNames"] == value["spec"]["names"];
    let all = old(cluster, "apiextensions.k8s.io|customresourcedefinitions|", now_ms, ESTABLISH_MS);
    let keys: Vec<String> = all.filter(|(_, object)| !is_settled(&object.value)).map(|(key, _)| key.clone()).collect();
    for key in keys {
        set_status(cluster, &key, |value| {
            set_condition(value, "NamesAccepted", "True", "NoConflicts", "no conflicts found", stamp);
            set_condition(value, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", stamp);
            value["status"]["acceptedNames"] = value["spec"]["names"].clone();
        });
    }
}

fn workloads(cluster: &mut Cluster, now_ms: u64, stamp: &str) {
    let count = |fits: fn(&Value) -> bool| cluster.beginning(NODES).filter(|(_, node)| fits(&node.value)).count() as u64;
    let (all, ready) = (count(|_| true), count(|node| has_condition(node, "Ready")));
    let keys: Vec<String> = old(cluster, "apps|", now_ms, START_MS).map(|(key, _)| key.clone()).collect();
    for key in keys {
        set_status(cluster, &key, |value| {
            let runs = if on_host_network(value) { all } else { ready };
            let generation = value["metadata"]["generation"].clone();
            if value["kind"] == "DaemonSet" {
                value["status"] = json!({ "observedGeneration": generation, "desiredNumberScheduled": all, "currentNumberScheduled": all,
                    "updatedNumberScheduled": all, "numberReady": runs, "numberAvailable": runs, "numberMisscheduled": 0 });
                return;
            }
            let wanted = value["spec"]["replicas"].as_u64().unwrap_or(1);
            let available = if runs > 0 { wanted } else { 0 };
            for (name, number) in
                [("replicas", wanted), ("updatedReplicas", wanted), ("readyReplicas", available), ("availableReplicas", available)]
            {
                value["status"][name] = json!(number);
            }
            value["status"]["observedGeneration"] = generation;
            let (status, reason) =
                if available == wanted { ("True", "MinimumReplicasAvailable") } else { ("False", "MinimumReplicasUnavailable") };
            set_condition(value, "Available", status, reason, "", stamp);
        });
    }
}

/// Whether its pods need no pod network.
pub(super) fn on_host_network(workload: &Value) -> bool {
    workload.pointer("/spec/template/spec/hostNetwork") == Some(&json!(true))
}

/// Whether a workload runs somewhere by now, whatever its status said when somebody last looked.
pub(super) fn is_running(cluster: &Cluster, workload: &Object, now_ms: u64) -> bool {
    let may_run_on = |node: &Object| on_host_network(&workload.value) || has_condition(&node.value, "Ready");
    now_ms >= workload.made_ms + START_MS && cluster.beginning(NODES).any(|(_, node)| may_run_on(node))
}

/// Calico: its operator runs and an Installation says what is wanted.
fn network(cluster: &mut Cluster, now_ms: u64, unix_s: u64, stamp: &str) {
    let operator = cluster.objects.get(&key("apps", "deployments", "tigera-operator", "tigera-operator"));
    let installation = key("operator.tigera.io", "installations", "", "default");
    let wanted = cluster.objects.contains_key(&installation) && operator.is_some_and(|operator| is_running(cluster, operator, now_ms));
    if !wanted {
        cluster.network_ms = None;
        return;
    }
    let since_ms = *cluster.network_ms.get_or_insert(now_ms);
    if now_ms < since_ms + NETWORK_MS {
        return;
    }
    if !cluster.objects.contains_key(&key("", "namespaces", "", "calico-system")) {
        cluster.insert(
            "",
            "namespaces",
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "calico-system" }, "status": { "phase": "Active" } }),
            unix_s,
        );
        let spec = json!({ "template": { "spec": { "hostNetwork": true, "containers": [{ "name": "calico-node" }] } } });
        cluster.insert("apps", "daemonsets", json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "calico-node", "namespace": "calico-system" }, "spec": spec }), unix_s);
    }
    set_status(cluster, &installation, |value| {
        value["status"]["variant"] = json!("Calico");
        set_condition(value, "Ready", "True", "AllObjectsAvailable", "All Objects Available", stamp);
        set_condition(value, "Degraded", "False", "", "", stamp);
    });
    set_status(cluster, &key("operator.tigera.io", "apiservers", "", "default"), |value| {
        value["status"]["state"] = json!("Ready");
    });
}

fn node(cluster: &mut Cluster, now_ms: u64, stamp: &str, name: &str, own_network: bool) {
    let member = cluster.members.get(name).cloned();
    let network_ms = cluster.network_ms.map(|since_ms| since_ms + NETWORK_MS).filter(|_| !own_network);
    set(cluster, &key("", "nodes", "", name), |value| {
        let Some(member) = member.filter(|member| now_ms < member.seen_ms + LOST_MS) else {
            return set_condition(value, "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", stamp);
        };
        if now_ms < member.joined_ms + REPORT_MS {
            return;
        }
        let begun_ms = network_ms.map_or(member.joined_ms + REPORT_MS, |network_ms| network_ms.max(member.joined_ms + NETWORK_MS));
        let connected = own_network || (network_ms.is_some() && now_ms >= begun_ms);
        if !connected {
            let why = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
            return set_condition(value, "Ready", "False", "KubeletNotReady", why, stamp);
        }
        set_condition(value, "Ready", "True", "KubeletReady", "kubelet is posting ready status", stamp);
        if let Some(taints) = value["spec"]["taints"].as_array_mut() {
            taints.retain(|taint| taint["key"] != "node.kubernetes.io/not-ready");
        }
    });
}
