//! What kind of workspace it is: a cluster, or an edge, which stands in front of clusters and has none itself.
use super::{Versions, Workspace, WorkspaceFile};
use miette::Diagnostic;
use std::net::Ipv4Addr;

/// The fields that clusters alone have. An edge that says one of them is refused, and recipes do not see them there.
pub(super) const OF_CLUSTERS: &[&str] =
    &["versions", "endpoint", "containerd", "kubeadm", "audit", "pod_security", "metallb", "traefik", "add_ons"];

/// What clusters alone have inside of blocks that both have; on an edge it is `()`.
pub(super) const OF_CLUSTERS_INSIDE: &[(&str, &[&str])] = &[
    ("network", &["pods", "services"]),
    ("firewall", &["api_from"]),
    ("packages", &["kubernetes", "kubernetes_keys", "kubernetes_revision", "containerd", "containerd_repository"]),
];

impl Workspace {
    /// Whether it is an edge.
    pub fn is_edge(&self) -> bool {
        self.load_balancer.is_some()
    }

    /// The versions of its cluster.
    ///
    /// # Errors
    /// [`NoCluster`] for an edge.
    pub fn versions(&self) -> Result<&Versions, NoCluster> {
        self.versions.as_ref().ok_or_else(|| {
            let served = self.load_balancer.iter().flat_map(|balancer| &balancer.clusters).map(|cluster| cluster.name.clone());
            NoCluster { name: self.name.clone(), served: served.collect() }
        })
    }

    /// Fills in where the clusters that it serves are reached, as their own workspaces say.
    pub(super) fn take_from(&mut self, others: &[&WorkspaceFile]) {
        for served in self.load_balancer.iter_mut().flat_map(|balancer| &mut balancer.clusters) {
            let beside = others.iter().find(|other| other.workspace().name == served.name);
            served.address = served.address.or_else(|| ingress_address(beside?.workspace()));
        }
    }
}

/// Where the ingress of a cluster is reached from outside, as its workspace says.
pub(super) fn ingress_address(cluster: &Workspace) -> Option<Ipv4Addr> {
    cluster.traefik.as_ref()?.address
}

/// A cluster was asked for, and the workspace is an edge.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the workspace `{name}` is an edge: its machines stand in front of clusters, and it has no Kubernetes of its own")]
#[diagnostic(code(kthw::workspace::no_cluster), help("name the workspace of a cluster; this edge serves {}", served.join(", ")))]
pub struct NoCluster {
    name: String,
    served: Vec<String>,
}
