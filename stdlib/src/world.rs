//! The seams to everything but nodes: HTTP peers and the Kubernetes API. The lab implements the same traits, and the limits stand above them.
use bytes::Bytes;
use http::{Request, Response};
use kthw_engine::{BoxFuture, Result};
use std::time::Duration;

/// The longest time for a whole request. Proxmox ends its own synchronous requests after 30 s; what takes longer is a task there.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Sends one HTTP request to one peer. Implementations verify TLS; they do not retry. Call it through [`send`].
pub trait Http: Send + Sync {
    /// Sends `request`, whose URI is absolute. A response of any status is `Ok`.
    ///
    /// # Errors
    /// [`Unreachable`] when no response came.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>>;
}

/// Sends a request and waits for the whole answer, at most a minute.
///
/// # Errors
/// [`Unreachable`] when no response came in that time.
pub async fn send(http: &dyn Http, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, Unreachable> {
    let silent = |_| Unreachable { reason: format!("no answer within {} s", REQUEST_LIMIT.as_secs()), sent: true };
    tokio::time::timeout(REQUEST_LIMIT, http.send(request)).await.unwrap_or_else(|over| Err(silent(over)))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A host of which nothing is ever heard.
    struct Mute;

    impl Http for Mute {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_never_answers_is_given_up() {
        let begun = tokio::time::Instant::now();
        let error = send(&Mute, Request::new(Bytes::new())).await.expect_err("nobody answers");
        assert_eq!((error.reason.as_str(), error.sent, begun.elapsed()), ("no answer within 60 s", true, REQUEST_LIMIT));
    }
}
