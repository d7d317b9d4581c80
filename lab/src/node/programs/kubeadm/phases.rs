//! The phases of `kubeadm init` after the API server answers, one after the other or alone.
use super::{
    config::Documents,
    init::{node_name, read},
    kubelet,
    tokens::{cluster, no_answer},
};
use crate::node::host::{Host, failed, killed, printed};
use kthw_engine::node::Output;
use serde_json::json;

/// Their names, in kubeadm's order.
pub(crate) const LATE: &[&str] = &[
    "upload-config/kubeadm",
    "upload-config/kubelet",
    "mark-control-plane",
    "bootstrap-token",
    "kubelet-finalize",
    "addon/coredns",
    "addon/kube-proxy",
];

/// Whether a phase is the one called `name`, or a part of it.
pub(super) fn is_part(phase: &str, name: &str) -> bool {
    phase == name || phase.split('/').next() == Some(name)
}

/// Runs `kubeadm init phase NAME [PART]`; `None` for one of those that come earlier.
pub(super) fn run(host: &mut Host, arguments: &[&str]) -> Option<Output> {
    let whole = *arguments.first()?;
    let part = arguments.get(1).filter(|word| !word.starts_with('-')).copied();
    let name = part.filter(|part| *part != "all").map_or(whole.to_owned(), |part| format!("{whole}/{part}"));
    let phases: Vec<&str> = LATE.iter().filter(|phase| is_part(phase, &name)).copied().collect();
    if phases.is_empty() {
        return None;
    }
    host.took_ms += 1_000;
    let documents = match read(host, arguments) {
        Ok(documents) => documents,
        Err(text) => return Some(failed(1, text)),
    };
    let Some(number) = cluster(host) else { return Some(no_answer(host)) };
    for phase in phases {
        if host.dies_during(phase) {
            return Some(killed());
        }
        make(host, number, &documents, phase);
    }
    Some(printed(""))
}

/// Makes what a phase makes.
pub(super) fn make(host: &mut Host, number: usize, documents: &Documents, phase: &str) {
    let unix_s = host.now_s();
    let name = node_name(host, documents, "InitConfiguration");
    let cluster = &mut host.state.clusters[number];
    match phase {
        "upload-config/kubeadm" => {
            let (name, networking) =
                (documents.text("ClusterConfiguration", "/clusterName"), documents.get("ClusterConfiguration", "/networking"));
            let data = cluster.kubeadm_configuration(&name, networking);
            cluster.add_config_map("kube-system", "kubeadm-config", data, unix_s);
        }
        "upload-config/kubelet" => kubelet::upload(cluster, &kubelet::configuration(documents), unix_s),
        "mark-control-plane" => cluster.mark_control_plane(&name),
        "bootstrap-token" => cluster.add_config_map("kube-public", "cluster-info", json!({}), unix_s),
        _ => {
            if let Some(addon) = phase.strip_prefix("addon/") {
                cluster.add_addon(addon, unix_s);
            }
        }
    }
}
