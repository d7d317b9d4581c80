//! The seams to everything but nodes: HTTP peers, the Kubernetes API, and the network as nodes see it. The lab implements the same traits.
use crate::validation::{Answer, Destination, Question};
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

/// Asks what the network is like from where a machine is.
pub trait Reach: Send + Sync {
    /// The answer to a question that `node` asks. Whoever calls it bounds the time that it may take.
    ///
    /// # Errors
    /// When the node is not reached, or nothing that is an answer comes from there.
    fn ask<'a>(&'a self, node: &'a str, to: &'a Destination, question: &'a Question) -> BoxFuture<'a, Result<Answer>>;
}
