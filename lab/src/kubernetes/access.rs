//! The seam to the Kubernetes API: a client whose requests never leave the process.
use super::service::{Reply, Request, WATCH_MS, answer, parse_query, refused, strike};
use crate::{
    clock::{silence, sleep},
    fault::Harm,
    node::LabNodes,
    state::State,
    world::World,
};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use kthw_engine::{BoxFuture, Error, Result};
use kthw_stdlib::{kubernetes::Client, seams::KubernetesAccess, workspace::Workspace};
use kube::client::Body;
use std::io;

/// Opens the API of the cluster that a node belongs to.
#[derive(Clone, Debug)]
pub struct LabKubernetes {
    world: World,
    nodes: LabNodes,
}

impl LabKubernetes {
    pub(crate) fn new(world: World, workspace: &Workspace) -> Self {
        Self { nodes: LabNodes::new(world.clone(), workspace), world }
    }

    async fn client(&self, node: &str) -> Result<Client> {
        let found = self.nodes.on(node, |host| {
            let number = host.machine.cluster.filter(|_| host.machine.files.exists("/etc/kubernetes/admin.conf"))?;
            super::answers_on(host.state, number, &host.key, &host.machine).then_some(number)
        });
        let Some(number) = found.await? else { return Err(Error::peer(NoApi { node: node.to_owned() })) };
        let world = self.world.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| send(world.clone(), number, request));
        Ok(Client::new(service, "default"))
    }
}

impl KubernetesAccess for LabKubernetes {
    fn open<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Client>> {
        Box::pin(self.client(node))
    }
}

pub(super) async fn send(
    world: World,
    number: usize,
    request: http::Request<Body>,
) -> std::result::Result<Response<Full<Bytes>>, tower::BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parse_query(parts.uri.query().unwrap_or_default()),
        content_type,
        body,
    };
    if request.is_watch() {
        sleep(world.clone(), WATCH_MS).await;
    }
    let reply = exchange(&mut world.lock(), number, &request);
    let (code, text) = match reply {
        Some(reply) => reply?,
        None => silence(world.clone()).await,
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What comes of a request, with the fault that strikes it; `None` when nothing ever does.
fn exchange(state: &mut State, number: usize, request: &Request) -> Option<io::Result<Reply>> {
    if !super::is_up(state, number) {
        return Some(Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused")));
    }
    let reset = || io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
    match strike(state, request) {
        None => Some(Ok(answer(state, number, request))),
        Some(Harm::Refused { status, text }) => Some(Ok(refused(status, &text))),
        Some(Harm::BrokenBefore) => Some(Err(reset())),
        Some(Harm::Hangs { carried_out: false }) => None,
        Some(outcome) => {
            answer(state, number, request);
            (outcome == Harm::BrokenAfter).then(|| Err(reset()))
        }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} runs no Kubernetes API")]
#[diagnostic(code(kthw::lab::no_api), help("run the recipe that makes the control plane first: `kthw run ubuntu/full --lab`"))]
struct NoApi {
    node: String,
}
