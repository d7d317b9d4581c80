//! Whether workloads run as their objects say, and what keeps them from it. Pure.
//!
//! By the rules of `kubectl rollout status`
//! (<https://github.com/kubernetes/kubectl/blob/v0.36.0/pkg/polymorphichelpers/rollout_status.go>).
use super::objects::condition;
use serde_json::Value;
use std::collections::BTreeSet;

/// The kinds that make pods and say how far they are.
pub const WORKLOADS: [&str; 3] = ["Deployment", "DaemonSet", "StatefulSet"];

/// How far a workload is behind what it says; `None` once it is rolled out, and for anything that is no workload.
pub fn behind(object: &Value) -> Option<String> {
    let kind = object["kind"].as_str().filter(|kind| WORKLOADS.contains(kind))?;
    let status = |name: &str| object["status"][name].as_u64().unwrap_or(0);
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
    if status("observedGeneration") < generation {
        return Some("its controller has not seen it yet".into());
    }
    let few = |there: u64, wanted: u64, what: &str| (there < wanted).then(|| format!("{there} of {wanted} pods are {what}"));
    // A new pod takes the place of an old one only where nobody has to delete that first.
    let by_hand = object["spec"]["updateStrategy"]["type"] == "OnDelete";
    match kind {
        "DaemonSet" => {
            let wanted = status("desiredNumberScheduled");
            let updated = if by_hand { None } else { few(status("updatedNumberScheduled"), wanted, "up to date") };
            updated.or_else(|| few(status("numberAvailable"), wanted, "available"))
        }
        "StatefulSet" => {
            let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
            let kept = object["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_u64().unwrap_or(0);
            let moves = !by_hand && object["status"]["updateRevision"] != object["status"]["currentRevision"];
            let updated = if moves { few(status("updatedReplicas"), wanted.saturating_sub(kept), "up to date") } else { None };
            updated.or_else(|| few(status("readyReplicas"), wanted, "ready"))
        }
        _ => {
            let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
            if let Some(("False", why)) = condition(object, "Progressing").filter(|(_, why)| why.starts_with("ProgressDeadlineExceeded")) {
                return Some(why);
            }
            let updated = status("updatedReplicas");
            let left = status("replicas").saturating_sub(updated);
            few(updated, wanted, "up to date")
                .or_else(|| (left > 0).then(|| format!("{left} pods of before are still there")))
                .or_else(|| few(status("availableReplicas"), updated, "available"))
        }
    }
}

/// What keeps the first of a workload's pods that is not ready from it: where it cannot be placed, its image, its program, its probe.
pub fn trouble(workload: &Value, pods: &[Value]) -> Option<String> {
    let labels = workload["spec"]["selector"]["matchLabels"].as_object()?;
    let is_of_it = |pod: &&Value| labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value);
    pods.iter().filter(is_of_it).find_map(of_pod)
}

/// Whether a DaemonSet lacks pods only on nodes that are `away`: what keeps those nodes is said where nodes are looked at.
pub fn is_excused(workload: &Value, pods: &[Value], away: &BTreeSet<String>) -> bool {
    let Some(labels) = workload["spec"]["selector"]["matchLabels"].as_object() else { return false };
    let is_of_it = |pod: &&Value| labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value);
    let is_ready = |pod: &&Value| condition(pod, "Ready").is_some_and(|(status, _)| status == "True");
    let mut late = pods.iter().filter(is_of_it).filter(|pod| !is_ready(pod)).peekable();
    let seen = late.peek().is_some();
    workload["kind"] == "DaemonSet" && seen && late.all(|pod| pod["spec"]["nodeName"].as_str().is_some_and(|node| away.contains(node)))
}

/// What keeps one pod from being ready; none if nothing does.
pub fn of_pod(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str()?;
    if condition(pod, "Ready").is_some_and(|(status, _)| status == "True") {
        return None;
    }
    if let Some(("False", why)) = condition(pod, "PodScheduled") {
        return Some(format!("pod {name} finds no node: {why}"));
    }
    let containers = |of: &str| pod["status"][of].as_array().cloned().unwrap_or_default();
    let said = |of: &Value| match (of["reason"].as_str(), of["message"].as_str()) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => "no reason given".to_owned(),
    };
    let of_container = |container: &Value| {
        let state = &container["state"];
        let (name, ended) = (container["name"].as_str()?, &container["lastState"]["terminated"]);
        let before = match ended["exitCode"].as_i64() {
            Some(code) => format!("; it ended with status {code} before ({})", said(ended)),
            None => String::new(),
        };
        if state["waiting"].is_object() {
            return Some(format!("container {name} waits: {}{before}", said(&state["waiting"])));
        }
        if let Some(code) = state["terminated"]["exitCode"].as_i64().filter(|code| *code != 0) {
            return Some(format!("container {name} ended with status {code}: {}", said(&state["terminated"])));
        }
        let runs_unready = state["running"].is_object() && container["ready"] == Value::Bool(false);
        runs_unready.then(|| format!("container {name} runs, and its readiness probe does not succeed{before}"))
    };
    let all = containers("initContainerStatuses").into_iter().chain(containers("containerStatuses"));
    let why = all.filter_map(|container| of_container(&container)).next();
    Some(why.map_or_else(|| format!("pod {name} is not ready"), |why| format!("pod {name}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(kind: &str, spec: Value, status: Value) -> String {
        let object = json!({ "kind": kind, "metadata": { "generation": 2 }, "spec": spec, "status": status });
        behind(&object).unwrap_or_else(|| "rolled out".into())
    }

    #[test]
    fn a_workload_is_rolled_out_when_all_of_its_new_pods_are_there_and_no_old_ones() {
        let seen = |mut status: Value| {
            status["observedGeneration"] = json!(2);
            status
        };
        for (kind, spec, status, expected) in [
            ("Deployment", json!({}), json!({ "observedGeneration": 1 }), "its controller has not seen it yet"),
            ("Deployment", json!({}), json!({}), "its controller has not seen it yet"),
            ("Deployment", json!({ "replicas": 3 }), seen(json!({ "updatedReplicas": 1 })), "1 of 3 pods are up to date"),
            ("Deployment", json!({}), seen(json!({ "updatedReplicas": 1, "replicas": 3 })), "2 pods of before are still there"),
            ("Deployment", json!({}), seen(json!({ "updatedReplicas": 1, "replicas": 1 })), "0 of 1 pods are available"),
            ("Deployment", json!({}), seen(json!({ "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1 })), "rolled out"),
            ("Deployment", json!({ "replicas": 0 }), seen(json!({})), "rolled out"),
            (
                "Deployment",
                json!({}),
                seen(
                    json!({ "conditions": [{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late" }] }),
                ),
                "ProgressDeadlineExceeded: late",
            ),
            (
                "DaemonSet",
                json!({}),
                seen(json!({ "desiredNumberScheduled": 3, "updatedNumberScheduled": 2 })),
                "2 of 3 pods are up to date",
            ),
            (
                "DaemonSet",
                json!({}),
                seen(json!({ "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 1 })),
                "1 of 3 pods are available",
            ),
            (
                "DaemonSet",
                json!({ "updateStrategy": { "type": "OnDelete" } }),
                seen(json!({ "desiredNumberScheduled": 3, "numberAvailable": 3 })),
                "rolled out",
            ),
            ("DaemonSet", json!({}), seen(json!({ "desiredNumberScheduled": 0 })), "rolled out"),
            (
                "StatefulSet",
                json!({ "replicas": 2 }),
                seen(json!({ "updateRevision": "b", "currentRevision": "a", "updatedReplicas": 1, "readyReplicas": 2 })),
                "1 of 2 pods are up to date",
            ),
            (
                "StatefulSet",
                json!({ "replicas": 2, "updateStrategy": { "rollingUpdate": { "partition": 1 } } }),
                seen(json!({ "updateRevision": "b", "currentRevision": "a", "updatedReplicas": 1, "readyReplicas": 2 })),
                "rolled out",
            ),
            ("StatefulSet", json!({ "replicas": 2 }), seen(json!({ "readyReplicas": 1 })), "1 of 2 pods are ready"),
            ("ConfigMap", json!({}), json!({}), "rolled out"),
        ] {
            assert_eq!(told(kind, spec.clone(), status.clone()), expected, "{kind} {spec} {status}");
        }
    }

    #[test]
    fn what_keeps_a_pod_is_told() {
        let workload = json!({ "spec": { "selector": { "matchLabels": { "app": "a" } } } });
        let pod =
            |app: &str, status: Value| json!({ "metadata": { "name": format!("{app}-1"), "labels": { "app": app } }, "status": status });
        let container = |state: Value| json!({ "containerStatuses": [{ "name": "c", "ready": false, "state": state }] });
        for (status, expected) in [
            (json!({ "conditions": [{ "type": "Ready", "status": "True" }] }), None),
            (
                json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" }] }),
                Some("pod a-1 finds no node: Unschedulable: 0/3 nodes"),
            ),
            (
                container(json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } })),
                Some("pod a-1: container c waits: ImagePullBackOff: no such image"),
            ),
            (container(json!({ "running": {} })), Some("pod a-1: container c runs, and its readiness probe does not succeed")),
            (
                container(json!({ "terminated": { "exitCode": 3, "reason": "Error" } })),
                Some("pod a-1: container c ended with status 3: Error"),
            ),
            (
                json!({ "containerStatuses": [{ "name": "c", "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                    "lastState": { "terminated": { "exitCode": 1, "reason": "Error" } } }] }),
                Some("pod a-1: container c waits: CrashLoopBackOff; it ended with status 1 before (Error)"),
            ),
            (
                json!({ "initContainerStatuses": [{ "name": "i", "state": { "waiting": { "reason": "ErrImagePull" } } }],
                    "containerStatuses": [{ "name": "c", "state": { "waiting": { "reason": "PodInitializing" } } }] }),
                Some("pod a-1: container i waits: ErrImagePull"),
            ),
            (json!({}), Some("pod a-1 is not ready")),
        ] {
            assert_eq!(trouble(&workload, &[pod("b", json!({})), pod("a", status)]).as_deref(), expected);
        }
    }

    #[test]
    fn a_pod_on_a_node_that_is_away_is_not_waited_for() {
        let workload = |kind: &str| json!({ "kind": kind, "spec": { "selector": { "matchLabels": { "app": "a" } } } });
        let pod = |app: &str, node: &str, ready: &str| {
            json!({ "metadata": { "labels": { "app": app } }, "spec": { "nodeName": node },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
        };
        let away = BTreeSet::from(["wu2".to_owned()]);
        let there = pod("a", "wu1", "True");
        for (kind, pods, expected) in [
            ("DaemonSet", vec![there.clone(), pod("a", "wu2", "False")], true),
            ("DaemonSet", vec![there.clone(), pod("a", "wu2", "Unknown"), pod("b", "wu1", "False")], true),
            ("DaemonSet", vec![pod("a", "wu1", "False"), pod("a", "wu2", "False")], false),
            ("Deployment", vec![there.clone(), pod("a", "wu2", "False")], false),
            ("DaemonSet", vec![there], false),
        ] {
            assert_eq!(is_excused(&workload(kind), &pods, &away), expected, "{kind} {pods:?}");
        }
    }
}
