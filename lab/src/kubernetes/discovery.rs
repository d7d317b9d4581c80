//! Which kinds the API serves: the built-in ones, and those of custom resource definitions that are established.
use super::cluster::{Cluster, has_condition};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A kind that the API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

/// Group, version, kind, plural, namespaced.
const BUILT_IN: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Endpoints", "endpoints", true),
    ("", "v1", "Event", "events", true),
    ("", "v1", "LimitRange", "limitranges", true),
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "Node", "nodes", false),
    ("", "v1", "PersistentVolume", "persistentvolumes", false),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "Pod", "pods", true),
    ("", "v1", "ResourceQuota", "resourcequotas", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "Service", "services", true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", false),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("apps", "v1", "StatefulSet", "statefulsets", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("batch", "v1", "CronJob", "cronjobs", true),
    ("batch", "v1", "Job", "jobs", true),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", false),
    ("coordination.k8s.io", "v1", "Lease", "leases", true),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", false),
];

const DEFINITIONS: &str = "apiextensions.k8s.io|customresourcedefinitions||";

/// Everything that the API serves just now.
pub(crate) fn resources(cluster: &Cluster) -> Vec<Resource> {
    BUILT_IN.iter().map(built_in).chain(from_definitions(cluster)).collect()
}

/// The kind behind a path.
pub(crate) fn find(cluster: &Cluster, group: &str, version: &str, plural: &str) -> Option<Resource> {
    let known = BUILT_IN.iter().find(|one| (one.0, one.1, one.3) == (group, version, plural));
    let is_it = |one: &Resource| one.group == group && one.version == version && one.plural == plural;
    known.map(built_in).or_else(|| from_definitions(cluster).find(is_it))
}

fn built_in((group, version, kind, plural, namespaced): &(&str, &str, &str, &str, bool)) -> Resource {
    Resource { group: (*group).into(), version: (*version).into(), kind: (*kind).into(), plural: (*plural).into(), namespaced: *namespaced }
}

fn from_definitions(cluster: &Cluster) -> impl Iterator<Item = Resource> {
    let definitions = cluster.beginning(DEFINITIONS).map(|(_, object)| &object.value);
    definitions.filter(|definition| has_condition(definition, "Established")).flat_map(defined)
}

/// The kinds that a definition brings, one for each served version.
fn defined(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] != json!(false));
    versions
        .map(|version| Resource {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: text(&spec["names"]["kind"]),
            plural: text(&spec["names"]["plural"]),
            namespaced: spec["scope"] == "Namespaced",
        })
        .collect()
}

/// `/api` and `/apis`.
pub(crate) fn groups(cluster: &Cluster, path: &str) -> Value {
    if path == "/api" {
        return json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] });
    }
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for resource in resources(cluster).into_iter().filter(|resource| !resource.group.is_empty()) {
        groups.entry(resource.group).or_default().insert(resource.version);
    }
    let shown = groups.iter().map(|(group, versions)| {
        let versions: Vec<Value> =
            versions.iter().map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version })).collect();
        json!({ "name": group, "preferredVersion": versions.last(), "versions": versions })
    });
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": shown.collect::<Vec<_>>() })
}

/// `/api/v1` and `/apis/<group>/<version>`; `None` when nothing of that version is served.
pub(crate) fn list(cluster: &Cluster, group: &str, version: &str) -> Option<Value> {
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let known = BUILT_IN.iter().filter(|one| (one.0, one.1) == (group, version)).map(built_in);
    let served = known.chain(from_definitions(cluster).filter(|resource| resource.group == group && resource.version == version));
    let shown: Vec<Value> = served
        .map(|resource| json!({ "name": resource.plural, "singularName": resource.kind.to_lowercase(), "kind": resource.kind, "namespaced": resource.namespaced, "verbs": verbs }))
        .collect();
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!shown.is_empty()).then(|| json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": shown }))
}
