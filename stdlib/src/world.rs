//! The seams to everything but nodes: HTTP peers and the Kubernetes API. The lab implements the same traits.
use bytes::Bytes;
use http::{Request, Response};
use kthw_engine::{BoxFuture, Result};

/// Sends one HTTP request to one peer. Implementations verify TLS; they do not retry.
pub trait Http: Send + Sync {
    /// Sends `request`, whose URI is absolute. A response of any status is `Ok`.
    ///
    /// # Errors
    /// [`Unreachable`] when no response came.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>>;
}

/// No response came: name lookup, connection, TLS, or the connection broke.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unreachable {
    /// In plain words, without secrets.
    pub reason: String,
    /// Whether the request may have reached the peer.
    pub sent: bool,
}

/// Opens the Kubernetes API of a cluster.
pub trait KubernetesAccess: Send + Sync {
    /// A client with the cluster's administrator rights, through the control-plane node called `node`.
    ///
    /// # Errors
    /// When the node is not reachable or holds no administrator kubeconfig.
    fn open<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<crate::kubernetes::Client>>;
}
