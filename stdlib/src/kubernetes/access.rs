//! The way to a cluster's API: through a tunnel to a control-plane node, or directly with a kubeconfig file.
use super::{
    admin_conf::{AdminConf, NotAdminConf},
    client::Client,
    starting::REQUEST_LIMIT,
};
use crate::{http::LARGEST, seams::KubernetesAccess};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use kthw_engine::{
    BoxFuture, Error, Result,
    node::{Finding, Nodes, Probe},
};
use kube::{
    Config,
    client::{Body, ConfigExt},
};
use miette::Diagnostic;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};
use zeroize::Zeroizing;

/// Where kubeadm keeps the administrator's kubeconfig.
const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// The port on which kubeadm binds the API server.
const API_PORT: u16 = 6443;

/// A two-way byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens byte streams from a node to an address that the node reaches.
pub trait Tunnel: Send + Sync {
    /// A stream from `node` to `host:port`.
    ///
    /// # Errors
    /// When the node or the address cannot be reached.
    fn open<'a>(&'a self, node: &'a str, host: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Duplex>>>;
}

/// Reaches the API through the control-plane node itself. One client per node serves the whole run.
pub struct NodeAccess {
    nodes: Arc<dyn Nodes>,
    tunnel: Arc<dyn Tunnel>,
    clients: Mutex<HashMap<String, Client>>,
}

impl NodeAccess {
    /// Reads kubeconfigs with `nodes` and connects through `tunnel`.
    pub fn new(nodes: Arc<dyn Nodes>, tunnel: Arc<dyn Tunnel>) -> Self {
        Self { nodes, tunnel, clients: Mutex::default() }
    }

    async fn client(&self, node: &str) -> Result<Client> {
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(node) {
            return Ok(client.clone());
        }
        let failed = |reason: String| Error::peer(OpenApi { place: node.to_owned(), reason });
        let config = admin_conf(&*self.nodes, node).await?.config().map_err(failed)?;
        let client = through(config, node.to_owned(), self.tunnel.clone()).map_err(|error| failed(error.to_string()))?;
        clients.insert(node.to_owned(), client.clone());
        Ok(client)
    }
}

impl KubernetesAccess for NodeAccess {
    fn open<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(self.client(node))
    }
}

/// Reaches the API directly, with the credentials of a kubeconfig file.
#[derive(Debug)]
pub struct FileAccess {
    path: PathBuf,
}

impl FileAccess {
    /// Uses the current context of the kubeconfig at `path`, which has to be as kubeadm writes one.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }

    async fn client(&self) -> Result<Client> {
        let failed = |reason: String| Error::peer(OpenApi { place: self.path.display().to_string(), reason });
        let text = tokio::fs::read_to_string(&self.path).await.map_err(|error| failed(error.to_string()))?;
        let conf = text.parse::<AdminConf>().map_err(|source| Error::usage(Unusable { place: self.path.display().to_string(), source }))?;
        let mut config = conf.config().map_err(failed)?;
        config.read_timeout = Some(REQUEST_LIMIT);
        Client::direct(config).map_err(|error| failed(error.to_string()))
    }
}

impl KubernetesAccess for FileAccess {
    fn open<'a>(&'a self, _node: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(self.client())
    }
}

/// The administrator's kubeconfig, as kubeadm wrote it on a control-plane node.
///
/// # Errors
/// When the node cannot be reached, has none because it is no control plane yet, or has one that could do more than name keys.
pub async fn admin_conf(nodes: &dyn Nodes, node: &str) -> Result<AdminConf> {
    let failed = |reason: String| Error::peer(OpenApi { place: node.to_owned(), reason });
    match nodes.read(node, &[Probe::run(["cat", ADMIN_CONF])]).await?.into_iter().next() {
        Some(Finding::Run(output)) if output.status == 0 => {
            Zeroizing::new(output.stdout).parse().map_err(|source| Error::peer(Unusable { place: format!("{node}:{ADMIN_CONF}"), source }))
        }
        Some(Finding::Run(output)) => Err(failed(format!("{ADMIN_CONF} cannot be read: {}", output.stderr.trim()))),
        _ => Err(failed("the node gave no answer".into())),
    }
}

/// A client that talks to the API server of `node` itself, whatever the kubeconfig's address resolves to here.
///
/// The server's certificate is still checked against the cluster's CA and the host name in the kubeconfig.
fn through(config: Config, node: String, tunnel: Arc<dyn Tunnel>) -> kube::Result<Client> {
    let connector = tower::service_fn(move |_: http::Uri| {
        let (node, tunnel) = (node.clone(), tunnel.clone());
        async move {
            let stream = tunnel.open(&node, "127.0.0.1", API_PORT).await.map_err(|error| io::Error::other(error.to_string()))?;
            Ok::<_, io::Error>(Channel(TokioIo::new(stream)))
        }
    });
    let https = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(https);
    let bounded = tower::service_fn(move |request: http::Request<Body>| {
        let http = http.clone();
        async move {
            let (parts, body) = http.request(request).await?.into_parts();
            Ok::<_, tower::BoxError>(http::Response::from_parts(parts, Full::new(whole(body).await?)))
        }
    });
    let service = tower::ServiceBuilder::new().layer(config.base_uri_layer()).option_layer(config.auth_layer()?).service(bounded);
    Ok(Client::new(service, config.default_namespace))
}

/// The whole of a body, unless it is larger than any answer should be.
async fn whole<B>(body: B) -> std::result::Result<Bytes, tower::BoxError>
where
    B: hyper::body::Body,
    B::Error: Into<tower::BoxError>,
{
    Ok(Limited::new(body, LARGEST).collect().await?.to_bytes())
}

/// A tunnelled stream as the HTTP client wants it.
struct Channel(TokioIo<Box<dyn Duplex>>);

impl Connection for Channel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Channel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: hyper::rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Channel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot open the Kubernetes API through {place}: {reason}")]
#[diagnostic(
    code(kthw::kubernetes::open),
    help("see that the control plane runs: `kubectl --kubeconfig {ADMIN_CONF} get --raw=/readyz` there")
)]
struct OpenApi {
    place: String,
    reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the kubeconfig {place} is not used")]
#[diagnostic(
    code(kthw::kubernetes::kubeconfig),
    help(
        "kubeadm writes nothing like that: find out who did. Then move the file away and write it anew there: \
         `kubeadm init phase kubeconfig admin --control-plane-endpoint HOST:PORT`"
    )
)]
struct Unusable {
    place: String,
    source: NotAdminConf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_kept() {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let frames = |count| {
            futures::stream::iter((0..count).map({
                let piece = piece.clone();
                move |_| Ok::<_, io::Error>(hyper::body::Frame::data(piece.clone()))
            }))
        };
        assert_eq!(whole(StreamBody::new(frames(2))).await.expect("taken").len(), 2 << 20);
        let error = whole(StreamBody::new(frames(4 * (LARGEST >> 20)))).await.expect_err("too much");
        assert!(error.to_string().contains("length limit exceeded"), "{error}");
    }
}
