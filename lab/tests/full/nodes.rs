//! What tests of restarts and drains do to nodes and pods behind kthw's back, and what they look at.
use crate::{FULL, Lab, failures};
use kthw_lab::World;
use serde_json::{Value, json};

pub(crate) const RESTART: &str = "operations/restart";
/// Machines by node, in the shipped workspace.
pub(crate) const MACHINES: [(&str, &str); 3] = [("cu1", "vm/401"), ("wu1", "vm/421"), ("wu2", "vm/422")];

pub(crate) async fn built(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab
}

pub(crate) fn machine(node: &str) -> &'static str {
    MACHINES.iter().find(|(name, _)| *name == node).map(|(_, machine)| *machine).unwrap()
}

/// Lets the system of a node ask for a restart.
pub(crate) fn asks(lab: &Lab, node: &str) {
    lab.world.with_state(|state| {
        let files = &mut state.machines.get_mut(machine(node)).unwrap().files;
        files.put("/run/reboot-required", "*** System restart required ***\n", 0o644, 0);
    });
}

/// How often each machine was started.
pub(crate) fn boots(lab: &Lab) -> Vec<(&'static str, u32)> {
    lab.world.with_state(|state| MACHINES.iter().map(|(name, machine)| (*name, state.machines[*machine].boots)).collect())
}

/// What the cluster says of a node: whether it is cordoned, and by whom.
pub(crate) fn cordon(lab: &Lab, node: &str) -> (bool, Option<String>) {
    lab.world.with_state(|state| {
        let node = &state.clusters[0].objects[&format!("|nodes||{node}")].value;
        let mark = node["metadata"]["annotations"]["kthw.dev/cordoned"].as_str().map(str::to_owned);
        (node["spec"]["unschedulable"] == true, mark)
    })
}

/// Cordons or uncordons a node as kubectl does: nothing else of it changes.
pub(crate) fn kubectl_cordons(lab: &Lab, node: &str, cordons: bool) {
    lab.world.with_state(|state| {
        let node = &mut state.clusters[0].objects.get_mut(&format!("|nodes||{node}")).unwrap().value;
        let entries = node["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let others = entries.into_iter().filter(|entry| entry.pointer("/fieldsV1/f:spec/f:unschedulable").is_none());
        let own = json!({ "manager": "kubectl-cordon", "operation": "Update", "fieldsV1": { "f:spec": { "f:unschedulable": {} } } });
        node["metadata"]["managedFields"] = others.chain(cordons.then_some(own)).collect();
        let spec = node["spec"].as_object_mut().unwrap();
        spec.remove("unschedulable");
        spec.extend(cordons.then(|| ("unschedulable".to_owned(), json!(true))));
    });
}

pub(crate) const FREE: (bool, Option<String>) = (false, None);

/// Puts an object into the cluster, as somebody with kubectl would.
pub(crate) fn put(lab: &Lab, group: &str, plural: &str, object: Value) {
    lab.world.with_state(|state| {
        let metadata = &object["metadata"];
        let text = |name: &str| metadata[name].as_str().unwrap_or_default();
        let key = format!("{group}|{plural}|{}|{}", text("namespace"), text("name"));
        let object = serde_json::from_value(json!({ "value": object, "applied": {}, "made_ms": 0 })).unwrap();
        state.clusters[0].objects.insert(key, object);
    });
}

/// A workload of so many pods, and a budget that wants this many of them.
pub(crate) fn put_web(lab: &Lab, replicas: u64, at_least: u64) {
    let labels = json!({ "app": "web" });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web" }] } });
    let spec = json!({ "replicas": replicas, "selector": { "matchLabels": labels }, "template": template });
    put(lab, "apps", "deployments", json!({ "kind": "Deployment", "metadata": { "name": "web", "namespace": "default" }, "spec": spec }));
    let spec = json!({ "minAvailable": at_least, "selector": { "matchLabels": labels } });
    put(
        lab,
        "policy",
        "poddisruptionbudgets",
        json!({ "kind": "PodDisruptionBudget", "metadata": { "name": "web", "namespace": "default" }, "spec": spec }),
    );
}

/// The pods on a node that a drain would take away.
pub(crate) fn pods(lab: &Lab, node: &str) -> Vec<String> {
    lab.world.with_state(|state| {
        let pods = state.clusters[0].objects.iter().filter(|(key, _)| key.starts_with("|pods|")).map(|(_, pod)| &pod.value);
        let moves =
            |pod: &&Value| matches!(pod["metadata"]["ownerReferences"][0]["kind"].as_str(), Some("ReplicaSet" | "StatefulSet") | None);
        let on = pods.filter(|pod| pod["spec"]["nodeName"] == node).filter(moves);
        on.map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    })
}

/// The lines of the journal that change something, since there were `from` of them.
pub(crate) fn written(lab: &Lab, from: usize) -> Vec<String> {
    let lines = lab.world.journal().into_iter().skip(from);
    let is_look = |line: &String| line.contains(" GET ") || line.contains("/run/reboot-required");
    let writes = |line: &String| line.starts_with("kubernetes ") || line.contains("reboot");
    let short = |line: String| if line.contains("/eviction") { "evict".to_owned() } else { line };
    let mut lines: Vec<String> = lines.filter(|line| writes(line) && !is_look(line)).map(short).collect();
    lines.dedup();
    lines
}

/// A pod that no controller would start again.
pub(crate) fn debug_pod(node: &str, more: &Value) -> Value {
    let mut spec = json!({ "nodeName": node, "containers": [{ "name": "debug" }] });
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({ "kind": "Pod", "metadata": { "name": "debug", "namespace": "default", "uid": "d" }, "spec": spec })
}

/// The names of the nodes that the cluster knows.
pub(crate) fn names(world: &World) -> Vec<String> {
    world.with_state(|state| state.clusters[0].objects.keys().filter_map(|key| key.strip_prefix("|nodes||")).map(str::to_owned).collect())
}
