//! The seams to everything but nodes: HTTP peers and the Kubernetes API. The lab implements the same traits.
use kthw_engine::{BoxFuture, Result};

pub use kthw_http::{Http, Pieces, Unreachable, open, send};

/// Opens the Kubernetes API of a cluster.
pub trait KubernetesAccess: Send + Sync {
    /// A client with the cluster's administrator rights, through the control-plane node called `node`.
    ///
    /// # Errors
    /// When the node is not reachable or holds no administrator kubeconfig.
    fn open<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<crate::kubernetes::Client>>;
}
