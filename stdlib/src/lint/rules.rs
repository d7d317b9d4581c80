//! The rules: what a workload has to say so that Kubernetes can place it, judge it, and keep it from its neighbours.
use super::Object;
use crate::yaml::{Node, Problem};

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// By which it is left out: `--without NAME`.
    pub name: &'static str,
    /// What it asks for, and where that is explained.
    pub about: &'static str,
    /// What `object`, one of `all`, lacks.
    pub check: fn(&Object, &[Object]) -> Vec<Problem>,
}

/// All of them, in the order of what they say about one object.
pub const RULES: &[Rule] = &[
    Rule {
        name: "version",
        about: "an image has a version: without one every start may bring another program (https://kubernetes.io/docs/concepts/containers/images/)",
        check: versions,
    },
    Rule {
        name: "readiness",
        about: "a readiness probe: a pod gets requests only while it can answer them (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)",
        check: |object, _| {
            probes(
                object,
                "readinessProbe",
                "kthw::lint::readiness",
                "a pod that cannot answer yet, or no more, gets requests all the same",
            )
        },
    },
    Rule {
        name: "liveness",
        about: "a liveness probe: a container that hangs is started anew",
        check: |object, _| probes(object, "livenessProbe", "kthw::lint::liveness", "a container that hangs is never started anew"),
    },
    Rule {
        name: "resources",
        about: "requests of CPU and memory, and a limit of memory (https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/)",
        check: resources,
    },
    Rule {
        name: "autoscaler",
        about: "an autoscaler of a Deployment, by pods or by their size (https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/)",
        check: autoscaler,
    },
    Rule {
        name: "spread",
        about: "pods of one Deployment or StatefulSet are on several nodes (https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/)",
        check: spread,
    },
    Rule {
        name: "network-policy",
        about: "a policy says who may connect to the pods (https://kubernetes.io/docs/concepts/services-networking/network-policies/)",
        check: network_policy,
    },
    Rule { name: "quota", about: "a namespace has a quota (https://kubernetes.io/docs/concepts/policy/resource-quotas/)", check: quota },
    Rule {
        name: "bandwidth",
        about: "pods say how much of the network they may take, for the bandwidth plugin (https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/)",
        check: bandwidth,
    },
];

fn name_of(container: &Node) -> &str {
    container.get("name").and_then(Node::text).unwrap_or("without a name")
}

fn versions(object: &Object, _: &[Object]) -> Vec<Problem> {
    let images = object.containers().iter().filter_map(|container| container.get("image"));
    let floats = |image: &&Node| {
        let text = image.text().unwrap_or_default();
        let name = text.rsplit('/').next().unwrap_or_default();
        !text.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
    };
    let problem = |image: &Node| {
        let message = format!("the image of {} has no version", object.told());
        object.problem(
            "kthw::lint::version",
            Some(image),
            "whatever is newest",
            message,
            "write the version that was tried, best with its digest",
        )
    };
    images.filter(floats).map(problem).collect()
}

fn probes(object: &Object, probe: &str, code: &'static str, why: &str) -> Vec<Problem> {
    let without = object.containers().iter().filter(|container| container.get(probe).is_none());
    let problem = |container: &Node| {
        let message = format!("container {} of {} has no `{probe}`: {why}", name_of(container), object.told());
        let help = format!(
            "add one, such as `{probe}: {{ httpGet: {{ path: /health, port: 3000 }}, initialDelaySeconds: 5, periodSeconds: 10 }}`"
        );
        object.problem(code, container.get("name").or(Some(container)), "this container", message, &help)
    };
    without.map(problem).collect()
}

fn resources(object: &Object, _: &[Object]) -> Vec<Problem> {
    let missing = |container: &Node| -> Vec<&str> {
        let has = |part: &str, what: &str| container.get("resources").and_then(|all| all.get(part)?.get(what)).is_some();
        let wanted =
            [("requests", "cpu", "requests.cpu"), ("requests", "memory", "requests.memory"), ("limits", "memory", "limits.memory")];
        wanted.into_iter().filter(|(part, what, _)| !has(part, what)).map(|(_, _, told)| told).collect()
    };
    let problem = |container: &Node| {
        let lacks = missing(container);
        let message = format!("container {} of {} has no `resources.{}`", name_of(container), object.told(), lacks.join("`, `resources."));
        let help = "without requests it is placed as if it took nothing, and without a limit of memory it may take a node's; measure it, and say so";
        let at = container.get("resources").or_else(|| container.get("name")).unwrap_or(container);
        (!lacks.is_empty()).then(|| object.problem("kthw::lint::resources", Some(at), "here", message, help))
    };
    object.containers().iter().filter_map(problem).collect()
}

fn autoscaler(object: &Object, all: &[Object]) -> Vec<Problem> {
    let is_its = |scaler: &&Object| {
        let path: &[&str] = match scaler.kind() {
            "HorizontalPodAutoscaler" => &["spec", "scaleTargetRef"],
            "VerticalPodAutoscaler" => &["spec", "targetRef"],
            _ => return false,
        };
        let of = |field: &str| scaler.text(&[path, &[field]].concat());
        scaler.namespace() == object.namespace() && of("kind") == object.kind() && of("name") == object.name()
    };
    if object.kind() != "Deployment" || all.iter().any(|one| is_its(&one)) {
        return Vec::new();
    }
    let message = format!("nothing scales {}", object.told());
    let help = "add a HorizontalPodAutoscaler whose `scaleTargetRef` names it, or a VerticalPodAutoscaler";
    vec![object.problem("kthw::lint::autoscaler", None, "stays as it is under any load", message, help)]
}

fn spread(object: &Object, _: &[Object]) -> Vec<Problem> {
    let spreads = [&["spec", "topologySpreadConstraints"][..], &["spec", "affinity", "podAntiAffinity"]];
    let is_spread = spreads.iter().any(|path| object.of_pods(path).is_some());
    if !matches!(object.kind(), "Deployment" | "StatefulSet") || is_spread {
        return Vec::new();
    }
    let (label, message) = match object.replicas() {
        0 | 1 => ("one pod, wherever", format!("{} does not say that its pods belong on different nodes", object.told())),
        many => ("all may be on one node", format!("the {many} pods of {} may all be on one node, and go with it", object.told())),
    };
    let help = "add `topologySpreadConstraints` over `kubernetes.io/hostname`, or `affinity.podAntiAffinity`";
    vec![object.problem("kthw::lint::spread", object.at(&["spec", "replicas"]), label, message, help)]
}

fn network_policy(object: &Object, all: &[Object]) -> Vec<Problem> {
    let label = |key: &str| object.of_pods(&["metadata", "labels", key]).and_then(Node::text);
    let selects = |policy: &&Object| {
        let entries = policy.at(&["spec", "podSelector", "matchLabels"]).map(Node::entries).unwrap_or_default();
        policy.kind() == "NetworkPolicy"
            && policy.namespace() == object.namespace()
            && entries.iter().all(|entry| label(&entry.key) == entry.node.text())
    };
    if !object.is_long_running() || all.iter().any(|one| selects(&one)) {
        return Vec::new();
    }
    let message = format!("no NetworkPolicy selects the pods of {}: whoever reaches the pod network reaches them", object.told());
    let help = "add one for these labels that names who may connect";
    vec![object.problem("kthw::lint::network_policy", object.of_pods(&["metadata", "labels"]), "these pods", message, help)]
}

fn quota(object: &Object, all: &[Object]) -> Vec<Problem> {
    let has = |namespace: &str| all.iter().any(|one| one.kind() == "ResourceQuota" && one.namespace() == namespace);
    if object.kind() != "Namespace" || has(object.name()) {
        return Vec::new();
    }
    let message = format!("the namespace {} has no ResourceQuota: what is in it may take the whole cluster", object.name());
    vec![object.problem(
        "kthw::lint::quota",
        None,
        "without a quota",
        message,
        "add one with `requests.cpu`, `requests.memory`, `limits.memory` and `pods`",
    )]
}

fn bandwidth(object: &Object, _: &[Object]) -> Vec<Problem> {
    const NAMES: [&str; 2] = ["kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"];
    let has = |name: &&str| object.of_pods(&["metadata", "annotations", name]).is_some();
    if !object.is_long_running() || NAMES.iter().all(has) {
        return Vec::new();
    }
    let message = format!("the pods of {} may take the whole network of their nodes", object.told());
    let help = format!("annotate the template of the pods: `{}: 50M` and `{}: 50M`", NAMES[0], NAMES[1]);
    vec![object.problem("kthw::lint::bandwidth", object.of_pods(&["metadata"]), "of these pods", message, &help)]
}
