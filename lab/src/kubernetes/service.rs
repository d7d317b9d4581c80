//! Requests to the Kubernetes API: paths, methods and what answers them.
use super::{
    controllers, discovery,
    eviction::evict,
    objects::{Answer, Moment, Target, apply, create, delete, matching, patch, read, replace, status},
    webhooks,
};
use crate::{
    fault::{Harm, Trigger},
    state::State,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A request, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Request {
    fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Whether it goes on telling what changes. One in the lab ends after [`WATCH_MS`].
    pub(crate) fn is_watch(&self) -> bool {
        matches!(self.query("watch"), "true" | "1")
    }

    fn is_dry(&self) -> bool {
        self.query("dryRun") == "All"
    }
}

/// How long a watch lasts.
pub(crate) const WATCH_MS: u64 = 1000;

/// What goes over the wire: status and body.
pub(crate) type Reply = (u16, String);

/// Reads `path` as kubectl does with `get --raw`.
pub(crate) fn get(state: &mut State, number: usize, path: &str) -> Reply {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let request = Request { method: "GET".into(), path: path.into(), query: parse_query(query), ..Request::default() };
    // kubectl says of a connection that breaks what it says of a server that is away.
    match strike(state, &request) {
        None => answer(state, number, &request),
        Some(Harm::Refused { status, text }) => refused(status, &text),
        Some(_) => refused(503, "the server is currently unable to handle the request"),
    }
}

/// The fault that strikes a request, if one does.
pub(crate) fn strike(state: &mut State, request: &Request) -> Option<Harm> {
    let strikes = |on: &Trigger| matches!(on, Trigger::Kubernetes { method, path_contains } if *method == request.method && request.path.contains(path_contains.as_str()));
    state.strike_as(strikes, |outcome| {
        matches!(outcome, Harm::Refused { .. } | Harm::BrokenBefore | Harm::BrokenAfter | Harm::Hangs { .. }).then(|| outcome.clone())
    })
}

/// A refusal as it goes over the wire.
pub(crate) fn refused(code: u16, text: &str) -> Reply {
    let (code, body) = status(code, "InternalError", text);
    (code, body.to_string())
}

/// The parameters behind the `?`.
pub(crate) fn parse_query(query: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// Answers one request.
pub(crate) fn answer(state: &mut State, number: usize, request: &Request) -> Reply {
    state.journal.push(format!("kubernetes {} {}", request.method, request.path));
    if request.method != "GET" && !request.is_dry() {
        state.writes += 1;
    }
    if matches!(request.path.as_str(), "/readyz" | "/livez" | "/healthz") {
        return (200, "ok".into());
    }
    controllers::run(state, number, controllers::View::of(&request.method, &request.path));
    if request.is_watch() {
        return (200, watch(state, number, request));
    }
    if let Some(reply) = logs(state, number, request) {
        return reply;
    }
    let (code, body) = handle(state, number, request);
    (code, body.to_string())
}

/// What a pod has written, which its kubelet keeps; `None` for a request that asks for something else.
fn logs(state: &State, number: usize, request: &Request) -> Option<Reply> {
    let pod = request.path.strip_suffix("/log").filter(|_| request.method == "GET")?;
    let [_, _, _, namespace, _, name] = pod.trim_matches('/').split('/').collect::<Vec<_>>()[..] else { return None };
    let cluster = &state.clusters[number];
    let pod = cluster.objects.get(&super::key("", "pods", namespace, name))?;
    let node = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
    let machine = cluster.members.get(node).and_then(|member| state.machines.get(&member.machine));
    // A machine that is worked on just now is not among the others; its kubelet answers all the same.
    match machine.is_none_or(|machine| machine.running && machine.runs("kubelet.service")) {
        true => Some((200, "the lab's pods say nothing\n".into())),
        false => {
            let (code, body) = status(
                500,
                "InternalError",
                &format!("Get \"https://{node}:10250/containerLogs/{namespace}/{name}\": dial tcp: connection refused"),
            );
            Some((code, body.to_string()))
        }
    }
}

fn handle(state: &mut State, number: usize, request: &Request) -> Answer {
    let (now_ms, unix_s) = (state.now_ms, state.unix_s());
    let cluster = &mut state.clusters[number];
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match segments[..] {
        ["version"] => {
            let mut numbers = cluster.version.split('.');
            let mut next = || numbers.next().unwrap_or_default();
            return (
                200,
                json!({ "major": next(), "minor": next(), "gitVersion": format!("v{}", cluster.version), "gitCommit": "lab", "gitTreeState": "clean", "buildDate": "2026-08-15T08:00:00Z", "goVersion": "none", "compiler": "none", "platform": "linux/amd64" }),
            );
        }
        ["api"] | ["apis"] => return (200, discovery::groups(cluster, &request.path)),
        ["api", version] => return discovery::list(cluster, "", version).map_or_else(nothing_there, |list| (200, list)),
        ["apis", group, version] => return discovery::list(cluster, group, version).map_or_else(nothing_there, |list| (200, list)),
        _ => {}
    }
    let Some(mut target) = target(state, number, &segments) else { return nothing_there() };
    let cluster = &mut state.clusters[number];
    let moment = Moment {
        now_ms,
        unix_s,
        manager: request.query("fieldManager"),
        force: request.query("force") == "true",
        dry_run: request.is_dry(),
    };
    let body = || {
        serde_json::from_slice::<Value>(&request.body)
            .or_else(|_| serde_saphyr::from_str(&String::from_utf8_lossy(&request.body)).map_err(|error| error.to_string()))
    };
    if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH")
        && let Some(refusal) = webhooks::unreachable(cluster, &target, now_ms)
    {
        return refusal;
    }
    match request.method.as_str() {
        "GET" => read(cluster, &target, request.query("labelSelector"), request.query("fieldSelector")),
        "DELETE" => delete(cluster, &target),
        method => match (method, body()) {
            (_, Err(error)) => status(400, "BadRequest", &format!("the body cannot be read: {error}")),
            ("POST", Ok(body)) if target.part == "eviction" => evict(cluster, &target, &body, &moment),
            ("POST", Ok(body)) => create(cluster, &mut target, body, &moment),
            ("PUT", Ok(body)) => replace(cluster, &target, body, &moment),
            ("PATCH", Ok(body)) if request.content_type.starts_with("application/apply-patch") => apply(cluster, &target, &body, &moment),
            ("PATCH", Ok(body)) if request.content_type.contains("merge-patch") => patch(cluster, &target, &body, &moment),
            _ => {
                state.cannot_play(format!("kubernetes {} {} {}", request.method, request.path, request.content_type));
                status(415, "UnsupportedMediaType", "the lab does not play this kind of request")
            }
        },
    }
}

fn nothing_there() -> Answer {
    status(404, "NotFound", "the server could not find the requested resource")
}

/// Takes a path apart: `/api/v1/…` or `/apis/<group>/<version>/…`, then maybe a namespace, the plural, a name, a part.
fn target(state: &State, number: usize, segments: &[&str]) -> Option<Target> {
    let (group, version, rest) = match segments {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !matches!(rest, ["status" | "finalize"]) => (*namespace, rest),
        rest => ("", rest),
    };
    let plural = rest.first()?;
    let resource = discovery::find(&state.clusters[number], group, version, plural)?;
    let text = |at: usize| rest.get(at).map(|text| super::super::proxmox::percent_decoded(text)).unwrap_or_default();
    (namespace.is_empty() || resource.namespaced).then(|| Target {
        resource,
        namespace: namespace.to_owned(),
        name: text(1),
        part: text(2),
    })
}

/// A watch that tells what changed since its revision and then ends.
fn watch(state: &State, number: usize, request: &Request) -> String {
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let Some(target) = target(state, number, &segments) else { return String::new() };
    let since: u64 = request.query("resourceVersion").parse().unwrap_or(0);
    let revision = |value: &Value| value["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let found = matching(&state.clusters[number], &target, request.query("labelSelector"), request.query("fieldSelector"));
    let newer =
        found.filter(|value| revision(value) > since && (target.name.is_empty() || value["metadata"]["name"] == target.name.as_str()));
    newer.map(|value| format!("{}\n", json!({ "type": if since == 0 { "ADDED" } else { "MODIFIED" }, "object": value }))).collect()
}
