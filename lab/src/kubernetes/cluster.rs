//! What a Kubernetes cluster consists of: objects, members, bootstrap tokens.
use super::{
    addresses::numbered,
    members::{Member, Members},
};
use crate::{
    node::{Machine, containerd_version},
    state::{fingerprint, rfc3339},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, ops::Bound};

/// A cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// Its version, without `v`.
    pub version: String,
    /// `host:port` under which it is reached.
    pub endpoint: String,
    /// Hex SHA-256 by which joining nodes know its CA.
    pub ca_hash: String,
    /// The number of the last change; `resourceVersion` of objects.
    pub revision: u64,
    /// Machines by node name.
    pub members: Members,
    /// Bootstrap tokens by id.
    pub tokens: BTreeMap<String, BootstrapToken>,
    /// Objects by [`key`].
    pub objects: BTreeMap<String, Object>,
    /// Since when a pod network is wanted and can be had, in virtual milliseconds.
    pub network_ms: Option<u64>,
}

/// A bootstrap token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BootstrapToken {
    /// The part behind the dot.
    pub secret: String,
    /// What it says of itself.
    #[serde(default)]
    pub description: String,
    /// When it ends, in virtual milliseconds.
    pub ends_ms: u64,
}

/// An object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Object {
    /// The object as the API shows it.
    pub value: Value,
    /// What each field manager applied last.
    pub applied: BTreeMap<String, Value>,
    /// When it was made, in virtual milliseconds.
    pub made_ms: u64,
    /// When its end began, of a pod that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
}

/// What CoreDNS of the lab is told.
const COREFILE: &str =
    ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa\n    forward . /etc/resolv.conf\n    reload\n}\n";

/// The key of an object: group, plural, namespace (empty for cluster-wide ones), name.
pub(crate) fn key(group: &str, plural: &str, namespace: &str, name: &str) -> String {
    format!("{group}|{plural}|{namespace}|{name}")
}

impl Cluster {
    /// An empty cluster.
    pub(crate) fn new(ca_hash: &str, version: &str, endpoint: &str) -> Self {
        Self { ca_hash: ca_hash.into(), version: version.into(), endpoint: endpoint.into(), ..Self::default() }
    }

    /// What an API server puts into a new cluster, whose services have addresses of this range.
    pub(crate) fn begin(&mut self, services: &str, unix_s: u64) {
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let labels = json!({ "kubernetes.io/metadata.name": namespace });
            self.insert("", "namespaces", json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels }, "status": { "phase": "Active" } }), unix_s);
        }
        let spec = json!({ "clusterIP": numbered(services, 1), "ports": [{ "port": 443, "protocol": "TCP" }] });
        let object =
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kubernetes", "namespace": "default" }, "spec": spec });
        self.insert("", "services", object, unix_s);
    }

    /// A ConfigMap of kubeadm.
    pub(crate) fn add_config_map(&mut self, namespace: &str, name: &str, data: Value, unix_s: u64) {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": data });
        self.insert("", "configmaps", object, unix_s);
    }

    /// kubeadm's own configuration, for whoever joins.
    pub(crate) fn kubeadm_configuration(&self, name: &str, networking: &Value) -> Value {
        let configuration = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nclusterName: {name}\ncontrolPlaneEndpoint: {}\nkind: ClusterConfiguration\nkubernetesVersion: v{}\nnetworking: {networking}\n",
            self.endpoint, self.version
        );
        json!({ "ClusterConfiguration": configuration })
    }

    /// An addon of kubeadm: `coredns` or `kube-proxy`.
    pub(crate) fn add_addon(&mut self, name: &str, unix_s: u64) {
        let (plural, kind) = if name == "coredns" { ("deployments", "Deployment") } else { ("daemonsets", "DaemonSet") };
        let spec = json!({
            "selector": { "matchLabels": { "k8s-app": name } },
            "template": { "metadata": { "labels": { "k8s-app": name } }, "spec": { "containers": [{ "name": name, "image": format!("registry.k8s.io/{name}:lab") }] } },
        });
        let mut object =
            json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": "kube-system" }, "spec": spec });
        if name == "coredns" {
            object["spec"]["replicas"] = json!(2);
            object["spec"]["template"]["spec"]["tolerations"] =
                json!([{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }]);
        } else {
            object["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        }
        let data = if name == "coredns" { json!({ "Corefile": COREFILE }) } else { json!({}) };
        self.add_config_map("kube-system", name, data, unix_s);
        self.insert("apps", plural, object, unix_s);
        if name == "coredns" {
            let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kube-dns", "namespace": "kube-system" },
                "spec": { "clusterIP": self.dns_address(), "selector": { "k8s-app": name }, "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }] } });
            self.insert("", "services", service, unix_s);
        }
    }

    /// Marks a node as a control plane.
    pub(crate) fn mark_control_plane(&mut self, name: &str) {
        const ROLE: &str = "node-role.kubernetes.io/control-plane";
        let Some(node) = self.objects.get_mut(&key("", "nodes", "", name)) else { return };
        node.value["metadata"]["labels"][ROLE] = json!("");
        node.value["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
        if let Some(taints) = node.value["spec"]["taints"].as_array_mut()
            && !taints.iter().any(|taint| taint["key"] == ROLE)
        {
            taints.push(json!({ "key": ROLE, "effect": "NoSchedule" }));
        }
    }

    /// Makes a machine a node. A node of that name that was there before is taken over, as kubeadm does.
    pub(crate) fn join(&mut self, name: &str, machine_key: &str, machine: &Machine, control_plane: bool, now_ms: u64, unix_s: u64) {
        let member = Member { machine: machine_key.to_owned(), control_plane, joined_ms: now_ms, seen_ms: now_ms };
        self.members.insert(name, member);
        let labels = json!({ "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" });
        let taints = json!([{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }]);
        let kubelet = machine.packages.get("kubelet").map(|package| package.version.split('-').next().unwrap_or_default().to_owned());
        let addresses = json!([{ "type": "InternalIP", "address": machine.ip() }, { "type": "Hostname", "address": name }]);
        let os = crate::node::personality(&machine.os);
        let info = json!({
            "kubeletVersion": format!("v{}", kubelet.unwrap_or_default()), "osImage": os.release.title, "kernelVersion": os.kernel,
            "containerRuntimeVersion": format!("containerd://{}", containerd_version(machine).unwrap_or_default()), "architecture": "amd64", "operatingSystem": "linux",
            "machineID": machine.files.text("/etc/machine-id").trim(),
        });
        let capacity =
            json!({ "cpu": machine.cores.to_string(), "memory": format!("{}Ki", u64::from(machine.memory_mib) * 1024), "pods": "110" });
        self.insert(
            "",
            "nodes",
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints },
                "status": { "addresses": addresses, "nodeInfo": info, "capacity": capacity, "allocatable": capacity },
            }),
            unix_s,
        );
        if let Some(node) = self.objects.get_mut(&key("", "nodes", "", name)) {
            node.made_ms = now_ms;
        }
    }

    /// The objects whose key begins so, found without a look at all others.
    pub(crate) fn beginning(&self, begins: impl Into<String>) -> impl Iterator<Item = (&String, &Object)> {
        let begins = begins.into();
        let from = (Bound::Included(begins.as_str()), Bound::Unbounded);
        self.objects.range::<str, _>(from).take_while(move |(key, _)| key.starts_with(&begins))
    }

    /// Whether a node of this name is there and Ready.
    pub(crate) fn is_node_ready(&self, name: &str) -> bool {
        self.objects.get(&key("", "nodes", "", name)).is_some_and(|node| has_condition(&node.value, "Ready"))
    }

    /// Whether there is such an object of the core group.
    pub(crate) fn has(&self, plural: &str, namespace: &str, name: &str) -> bool {
        self.objects.contains_key(&key("", plural, namespace, name))
    }

    /// Puts an object there, with the metadata that a server adds.
    pub(crate) fn insert(&mut self, group: &str, plural: &str, mut value: Value, unix_s: u64) {
        self.revision += 1;
        let metadata = &mut value["metadata"];
        metadata["uid"] = json!(uid(&self.ca_hash, self.revision));
        metadata["resourceVersion"] = json!(self.revision.to_string());
        metadata["creationTimestamp"] = json!(rfc3339(unix_s));
        metadata["generation"] = json!(1);
        let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
        let key = key(group, plural, &text("namespace"), &text("name"));
        self.objects.insert(key, Object { value, applied: BTreeMap::new(), made_ms: 0, ended_ms: None });
    }
}

/// The identity of the object that was made as number `revision` in the cluster with this authority.
pub(crate) fn uid(ca_hash: &str, revision: u64) -> String {
    let digits = fingerprint(format!("object {revision} of {ca_hash}"));
    format!("{}-{}-4{}-8{}-{}", &digits[0..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32])
}

/// Whether a condition of an object is true.
pub(crate) fn has_condition(object: &Value, name: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == name && condition["status"] == "True")
}
