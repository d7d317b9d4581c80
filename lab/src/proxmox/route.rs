//! The HTTP side of the lab's Proxmox VE: host, sign-in, parameters, faults, and which handler answers.
use super::{
    ENDPOINT, access, agent,
    answer::{Answer, refuse, response, wrong_parameters},
    check::{Parameters, check},
    cluster, config, power,
    request::Request,
    storage,
    table::Call,
    task, vm,
};
use crate::{
    clock::silence,
    fault::{Harm, Trigger},
    observer::ProxmoxWrite,
    state::State,
    world::World,
};
use bytes::Bytes;
use http::{Response, header};
use kthw_engine::BoxFuture;
use kthw_stdlib::seams::{Http, Unreachable};
use serde_json::Value;
use std::sync::Arc;

/// The seam for HTTP; it reaches [`ENDPOINT`] and nothing else.
#[derive(Clone, Debug)]
pub struct LabHttp {
    pub(crate) world: World,
    /// The workspace whose run asks.
    pub(crate) by: Arc<str>,
}

impl Http for LabHttp {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(async move {
            let answer = send(&mut self.world.lock(), &request, &self.by);
            match answer {
                Some(answer) => answer,
                None => silence(self.world.clone()).await,
            }
        })
    }
}

/// The answer, unless there never is one.
fn send(state: &mut State, request: &http::Request<Bytes>, by: &str) -> Option<Result<Response<Bytes>, Unreachable>> {
    let uri = request.uri().to_string();
    let Some(path) = uri.strip_prefix(ENDPOINT) else {
        let host = request.uri().host().unwrap_or_default();
        state.cannot_play(format!("{} {}://{host}", request.method(), request.uri().scheme_str().unwrap_or_default()));
        let reason = format!("the lab has no host `{host}`; its Proxmox VE is at {ENDPOINT}");
        return Some(Err(Unreachable { reason, sent: false }));
    };
    let path = path.split('?').next().unwrap_or_default();
    let method = request.method().as_str();
    state.journal.push(format!("pve {method} {path}"));
    let strikes = |on: &Trigger| matches!(on, Trigger::Http { method: wanted, path_contains } if wanted == method && path.contains(path_contains.as_str()));
    let fault = state.strike_as(strikes, |outcome| {
        matches!(outcome, Harm::Refused { .. } | Harm::BrokenBefore | Harm::BrokenAfter | Harm::Hangs { .. }).then(|| outcome.clone())
    });
    match fault {
        Some(Harm::BrokenBefore) => return Some(Err(Unreachable { reason: "connection refused".into(), sent: false })),
        Some(Harm::Refused { status, text }) => return Some(Ok(response(refuse(status, text)))),
        Some(Harm::Hangs { carried_out: false }) => return None,
        _ => {}
    }
    if !matches!(method, "GET" | "HEAD") && path != "/access/ticket" {
        state.writes += 1;
    }
    let answer = response(answer(state, request, method, path, by));
    match fault {
        Some(Harm::BrokenAfter) => Some(Err(Unreachable { reason: "connection reset by peer".into(), sent: true })),
        Some(Harm::Hangs { .. }) => None,
        _ => Some(Ok(answer)),
    }
}

fn answer(state: &mut State, request: &http::Request<Bytes>, method: &str, path: &str, by: &str) -> Answer {
    let decoded = super::percent_decoded(path);
    let Some((call, in_path)) = Call::find(method, &decoded) else {
        state.cannot_play(format!("pve {method} {path}"));
        return refuse(501, format!("Method '{method} {path}' not implemented"));
    };
    let who = if call.path == "/access/ticket" { String::new() } else { access::signed_in(state, request)? };
    let given = parameters(request);
    let errors = check(call, &given);
    if !errors.is_empty() {
        return Err(wrong_parameters(errors));
    }
    let mut values = given;
    values.extend(in_path.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])));
    let request = Request { method: method.to_owned(), path: call.path, values, who };
    if let Some(node) = request.given("node").filter(|node| !state.pve.nodes.contains(*node)) {
        return refuse(500, format!("hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"));
    }
    let answer = handle(state, &request);
    if !state.observers.are_none() && request.method != "GET" {
        let write = ProxmoxWrite::Request {
            by,
            method: &request.method,
            path: request.path,
            vmid: request.given("newid").or(request.given("vmid")).and_then(|vmid| vmid.parse().ok()),
            refused: answer.is_err(),
        };
        state.observers.tell(|observer| observer.proxmox(&write, state));
    }
    answer
}

fn handle(state: &mut State, request: &Request) -> Answer {
    let last = request.path.rsplit('/').next().unwrap_or_default();
    match (request.method.as_str(), request.path) {
        (_, "/version") => cluster::version(state),
        (_, "/access/ticket") => cluster::ticket(state, request),
        (_, "/access/permissions") => access::permissions(state, request),
        ("GET", "/access/acl") => access::acl(state),
        (_, "/access/acl") => access::change_acl(state, request),
        (_, "/access/users/{userid}/token") => access::tokens(state, request),
        ("GET", "/access/users/{userid}/token/{tokenid}") => access::token(state, request),
        ("POST", "/access/users/{userid}/token/{tokenid}") => access::make_token(state, request),
        ("DELETE", "/access/users/{userid}/token/{tokenid}") => access::remove_token(state, request),
        (_, "/cluster/nextid") => cluster::next_id(state, request),
        (_, "/cluster/resources") => cluster::resources(state, request),
        (_, "/cluster/status") => cluster::status(state),
        ("GET", "/pools") => cluster::pools(state, request),
        (_, "/pools") => cluster::make_pool(state, request),
        (_, "/pools/{poolid}") => cluster::change_pool(state, request),
        (_, "/nodes") => cluster::nodes(state),
        (_, "/nodes/{node}/status") => cluster::node_status(state),
        (_, "/nodes/{node}/network") => cluster::network(state),
        (_, "/storage" | "/nodes/{node}/storage") => storage::list(state, request),
        (_, "/nodes/{node}/storage/{storage}/status") => storage::status(state, request),
        (_, "/nodes/{node}/storage/{storage}/content") => storage::content(state, request),
        ("GET", "/nodes/{node}/storage/{storage}/content/{volume}") => storage::volume(state, request),
        (_, "/nodes/{node}/storage/{storage}/content/{volume}") => storage::delete(state, request),
        (_, "/nodes/{node}/storage/{storage}/download-url") => storage::download(state, request),
        (_, "/nodes/{node}/tasks") => task::list(state, request),
        (_, "/nodes/{node}/tasks/{upid}/status") => task::status(state, request.text("upid")),
        (_, "/nodes/{node}/tasks/{upid}/log") => task::log(state, request.text("upid")),
        (_, "/nodes/{node}/tasks/{upid}") => Ok(Value::Null),
        ("GET", "/nodes/{node}/qemu") => {
            let on_node = state.pve.vms.iter().filter(|(_, vm)| vm.node == request.text("node"));
            Ok(on_node.map(|(vmid, vm)| power::summary(state, *vmid, vm)).collect())
        }
        ("POST", "/nodes/{node}/qemu") => vm::create(state, request),
        ("DELETE", "/nodes/{node}/qemu/{vmid}") => vm::destroy(state, request),
        (_, "/nodes/{node}/qemu/{vmid}/clone") => vm::clone(state, request),
        (_, "/nodes/{node}/qemu/{vmid}/template") => vm::template(state, request),
        (_, "/nodes/{node}/qemu/{vmid}/resize") => vm::resize(state, request),
        ("GET", "/nodes/{node}/qemu/{vmid}/config") => config::read(state, request),
        (_, "/nodes/{node}/qemu/{vmid}/config") => config::change(state, request),
        (_, "/nodes/{node}/qemu/{vmid}/pending") => config::pending(state, request),
        (_, "/nodes/{node}/qemu/{vmid}/status/current") => power::current(state, request),
        (_, path) if path.contains("/status/") => power::change(state, request, last),
        (_, path) if path.contains("/agent/") => agent::answer(state, request, last),
        (method, path) => {
            state.cannot_play(format!("pve {method} {path}"));
            refuse(501, format!("Method '{method} {path}' not implemented"))
        }
    }
}

fn parameters(request: &http::Request<Bytes>) -> Parameters {
    let mut parameters = Parameters::new();
    let json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if let (true, Ok(Value::Object(fields))) = (json, serde_json::from_slice(request.body())) {
        for (name, value) in fields {
            let text = |value: Value| match value {
                Value::String(text) => text,
                Value::Bool(flag) => u8::from(flag).to_string(),
                other => other.to_string(),
            };
            let values = if let Value::Array(values) = value { values.into_iter().map(text).collect() } else { vec![text(value)] };
            parameters.insert(name, values);
        }
        return parameters;
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    for (name, value) in url::form_urlencoded::parse(query).chain(url::form_urlencoded::parse(request.body())) {
        parameters.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    parameters
}
