//! A Pi-hole 6 at the address that the workspace names: sessions, the array of records, and a resolver that restarts when it is written.
//!
//! What it answers is from <https://github.com/pi-hole/FTL/tree/master/src/api>. Whatever version a workspace names, the lab has this one.
use crate::{
    clock::silence,
    fault::{Harm, Trigger},
    state::State,
    world::World,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use kthw_engine::BoxFuture;
use kthw_stdlib::seams::{Http, Unreachable};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// `webserver.api.max_sessions` and `webserver.session.timeout`, as Pi-hole has them unless somebody says otherwise.
const SEATS: usize = 16;
const SESSION_MS: u64 = 1800 * 1000;
/// How long its resolver takes to be back.
const RESTART_MS: u64 = 1000;

/// What the Pi-hole of the lab holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PiHole {
    /// `dns.hosts`: lines of an address and names.
    pub hosts: Vec<String>,
    /// When each session ends.
    sessions: BTreeMap<String, u64>,
    /// Until then nobody answers.
    back_ms: u64,
}

/// The seam for HTTP; it reaches the Pi-hole at `url` and nothing else.
#[derive(Clone, Debug)]
pub struct LabPiHole {
    pub(crate) world: World,
    pub(crate) url: Arc<str>,
}

impl Http for LabPiHole {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(async move {
            let answer = send(&mut self.world.lock(), &request, &self.url);
            match answer {
                Some(answer) => answer,
                None => silence(self.world.clone()).await,
            }
        })
    }
}

/// The answer, unless there never is one.
fn send(state: &mut State, request: &Request<Bytes>, url: &str) -> Option<Result<Response<Bytes>, Unreachable>> {
    let uri = request.uri().to_string();
    let method = request.method().as_str();
    let Some(path) = uri.strip_prefix(url) else {
        state.cannot_play(format!("{method} {uri}"));
        return Some(Err(Unreachable { reason: format!("the lab's Pi-hole is at {url}"), sent: false }));
    };
    state.journal.push(format!("pihole {method} {path}"));
    let strikes = |on: &Trigger| matches!(on, Trigger::Http { method: wanted, path_contains } if wanted == method && path.contains(path_contains.as_str()));
    let fault = state.strike_as(strikes, |harm| {
        matches!(harm, Harm::Refused { .. } | Harm::BrokenBefore | Harm::BrokenAfter | Harm::Hangs { .. }).then(|| harm.clone())
    });
    let refused = || Some(Err(Unreachable { reason: "connection refused".into(), sent: false }));
    match fault {
        Some(Harm::BrokenBefore) => return refused(),
        Some(Harm::Refused { status, text }) => return Some(Ok(error(StatusCode::from_u16(status).unwrap_or_default(), "fault", &text))),
        Some(Harm::Hangs { carried_out: false }) => return None,
        _ => {}
    }
    if state.now_ms < state.pihole.back_ms {
        return refused();
    }
    let answer = answer(state, request, method, path);
    match fault {
        Some(Harm::BrokenAfter) => Some(Err(Unreachable { reason: "connection reset by peer".into(), sent: true })),
        Some(Harm::Hangs { .. }) => None,
        _ => Some(Ok(answer)),
    }
}

fn answer(state: &mut State, request: &Request<Bytes>, method: &str, path: &str) -> Response<Bytes> {
    let now_ms = state.now_ms;
    state.pihole.sessions.retain(|_, ends_ms| *ends_ms > now_ms);
    if (method, path) == ("POST", "/api/auth") {
        if state.pihole.sessions.len() >= SEATS {
            return error(StatusCode::TOO_MANY_REQUESTS, "api_seats_exceeded", "API seats exceeded");
        }
        let sid = state.made_up("session of Pi-hole");
        state.pihole.sessions.insert(sid.clone(), now_ms + SESSION_MS);
        return ok(
            &json!({ "session": { "valid": true, "totp": false, "sid": sid, "csrf": "csrf", "validity": 1800, "message": "password correct" } }),
        );
    }
    let sid = request.headers().get("X-FTL-SID").and_then(|sid| sid.to_str().ok()).unwrap_or_default();
    match state.pihole.sessions.get_mut(sid) {
        Some(ends_ms) => *ends_ms = now_ms + SESSION_MS,
        None => return error(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
    }
    match (method, path) {
        ("DELETE", "/api/auth") => {
            state.pihole.sessions.remove(sid);
            response(StatusCode::NO_CONTENT, Bytes::new())
        }
        ("GET", "/api/config/dns/hosts") => ok(&json!({ "config": { "dns": { "hosts": state.pihole.hosts } }, "took": 0.001 })),
        ("PATCH", "/api/config") => {
            let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let Some(hosts) = body.pointer("/config/dns/hosts").and_then(|hosts| Vec::<String>::deserialize(hosts).ok()) else {
                state.cannot_play("pihole PATCH of something else than dns.hosts");
                return error(StatusCode::BAD_REQUEST, "bad_request", "Config item is invalid");
            };
            state.writes += 1;
            if state.pihole.hosts != hosts {
                state.pihole.hosts = hosts;
                state.pihole.back_ms = now_ms + RESTART_MS;
            }
            ok(&json!({ "config": { "dns": { "hosts": state.pihole.hosts } }, "took": 0.001 }))
        }
        _ => {
            state.cannot_play(format!("pihole {method} {path}"));
            error(StatusCode::NOT_FOUND, "not_found", "Not found")
        }
    }
}

fn ok(value: &Value) -> Response<Bytes> {
    response(StatusCode::OK, Bytes::from(value.to_string()))
}

fn error(status: StatusCode, key: &str, message: &str) -> Response<Bytes> {
    response(status, Bytes::from(json!({ "error": { "key": key, "message": message, "hint": null }, "took": 0.001 }).to_string()))
}

fn response(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
