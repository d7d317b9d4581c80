//! What kubeadm writes for a node's kubelet, and the cluster's copy of it.
use super::{config::Documents, numbers, version};
use crate::{
    kubernetes::{Cluster, key},
    node::host::Host,
};
use serde_json::{Value, json};

/// The kubelet's configuration as a cluster is made with it.
pub(super) fn configuration(documents: &Documents) -> String {
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let driver = or(documents.text("KubeletConfiguration", "/cgroupDriver"), "systemd");
    let swap = documents.get("KubeletConfiguration", "/failSwapOn").as_bool().unwrap_or(true);
    let serving = documents.get("KubeletConfiguration", "/serverTLSBootstrap").as_bool();
    let serving = serving.filter(|asks| *asks).map_or("", |_| "serverTLSBootstrap: true\n");
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\ncgroupDriver: {driver}\nclusterDNS:\n- 10.96.0.10\nfailSwapOn: {swap}\nkind: KubeletConfiguration\n{serving}"
    )
}

/// Keeps it in the cluster, where nodes that join find it.
pub(super) fn upload(cluster: &mut Cluster, text: &str, unix_s: u64) {
    cluster.add_config_map("kube-system", "kubelet-config", json!({ "kubelet": text }), unix_s);
}

/// The cluster's copy.
pub(super) fn downloaded(cluster: &Cluster) -> String {
    let object = cluster.objects.get(&key("", "configmaps", "kube-system", "kubelet-config"));
    object.and_then(|object| object.value["data"]["kubelet"].as_str()).unwrap_or_default().to_owned()
}

/// Writes the kubelet's configuration and its arguments on this node; `kind` is the document with its registration.
pub(super) fn write_kubelet(host: &mut Host, documents: &Documents, kind: &str, configuration: &str) {
    let now_s = host.now_s();
    let (_, minor, _) = numbers(&version(host));
    let mut arguments: Vec<(String, String)> = Vec::new();
    // Upstream: since 1.36 the socket is in a file of its own, since 1.35 the kubelet asks the runtime for the image.
    if minor < 36 {
        arguments.push(("container-runtime-endpoint".into(), documents.text(kind, "/nodeRegistration/criSocket")));
    }
    if minor < 35 {
        arguments.push(("pod-infra-container-image".into(), "registry.k8s.io/pause:lab".into()));
    }
    let name = documents.text(kind, "/nodeRegistration/name");
    if !name.is_empty() && name != host.machine.hostname {
        arguments.push(("hostname-override".into(), name));
    }
    arguments.extend(given(documents.get(kind, "/nodeRegistration/kubeletExtraArgs")));
    arguments.sort();
    let words: Vec<String> = arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect();
    host.machine.files.put("/var/lib/kubelet/config.yaml", configuration, 0o644, now_s);
    host.machine.files.put("/var/lib/kubelet/kubeadm-flags.env", &format!("KUBELET_KUBEADM_ARGS=\"{}\"\n", words.join(" ")), 0o644, now_s);
}

/// Further arguments: a map in v1beta3, a list of name and value in v1beta4.
fn given(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Value::Array(list) => list.iter().map(|one| (text(&one["name"]), text(&one["value"]))).collect(),
        _ => Vec::new(),
    }
}
