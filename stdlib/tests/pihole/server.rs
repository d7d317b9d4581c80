//! A Pi-hole for one test, over HTTP on this computer: what versions 5 and 6 answer as they document it, with seats, and a resolver that restarts.
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

/// The password that it takes.
pub const PASSWORD: &str = "correct horse battery staple";
/// `printf PASSWORD | sha256sum | …`, twice, as version 5 keeps it.
pub const TOKEN: &str = "1dbc6e9fc4cee6acc5f3acebaf126827625166d04aaf954ea32f308439ba693d";

/// What it holds, and how it is set up.
#[derive(Debug, Default)]
pub struct Hole {
    pub hosts: Vec<String>,
    pub sessions: BTreeSet<String>,
    /// `webserver.api.max_sessions`.
    pub seats: usize,
    /// Whether a session is one of an app password that may not write.
    pub reads_only: bool,
    pub second_factor: bool,
    /// `webserver.session.restore`.
    pub forgets_sessions: bool,
    /// Whether the restart comes before the answer to a change is out.
    pub cuts_answers: bool,
    /// How many sessions end before they are used: a restart came between.
    pub ends_sessions: usize,
    /// Whether a restart comes in the place of the next end of a session.
    pub cuts_logout: bool,
    /// Every request, without what is secret in it.
    pub requests: Vec<String>,
    given: usize,
}

pub struct Server {
    pub url: String,
    hole: Arc<Mutex<Hole>>,
    ends: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.abort();
    }
}

impl Server {
    /// Starts one with one seat that holds these records.
    pub async fn start(hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|line| (*line).to_owned()).collect();
        let hole = Arc::new(Mutex::new(Hole { hosts, seats: 1, ..Hole::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ends = tokio::spawn(serve(listener, address, hole.clone()));
        Self { url: format!("http://{address}"), hole, ends }
    }

    pub fn hole(&self) -> MutexGuard<'_, Hole> {
        self.hole.lock().unwrap()
    }

    /// How many requests began like this, since it was last asked.
    pub fn took(&self, begins: &str) -> usize {
        let mut hole = self.hole();
        let count = hole.requests.iter().filter(|request| request.starts_with(begins)).count();
        hole.requests.retain(|request| !request.starts_with(begins));
        count
    }
}

/// Serves until a restart, is away for a second, and serves again.
async fn serve(mut listener: TcpListener, address: SocketAddr, hole: Arc<Mutex<Hole>>) {
    loop {
        let restart = Arc::new(Notify::new());
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                () = restart.notified() => break,
            };
            let (hole, restart) = (hole.clone(), restart.clone());
            connections.spawn(async move {
                let answer = service_fn(move |request| answer(request, hole.clone(), restart.clone()));
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
        drop(listener);
        connections.shutdown().await;
        if hole.lock().unwrap().forgets_sessions {
            hole.lock().unwrap().sessions.clear();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        listener = TcpListener::bind(address).await.unwrap();
    }
}

async fn answer(request: Request<Incoming>, hole: Arc<Mutex<Hole>>, restart: Arc<Notify>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let sid = head.headers.get("X-FTL-SID").and_then(|sid| sid.to_str().ok()).unwrap_or_default().to_owned();
    let (answer, restarts, cuts) = {
        let mut hole = hole.lock().unwrap();
        let before = hole.hosts.clone();
        let query = head.uri.query().unwrap_or_default();
        let without_token = query.split("&auth=").next().unwrap_or_default();
        hole.requests.push(format!("{} {} {without_token}", head.method, head.uri.path()).trim_end().to_owned());
        let logout = head.method == "DELETE" && std::mem::take(&mut hole.cuts_logout);
        let answer = match head.uri.path() {
            _ if logout => Response::default(),
            "/admin/api.php" => five(&mut hole, query),
            path => six(&mut hole, head.method.as_str(), path, &sid, &body),
        };
        // Version 5 has a web server beside the resolver.
        let restarts = logout || hole.hosts != before && head.uri.path() != "/admin/api.php";
        (answer, restarts, logout || restarts && hole.cuts_answers)
    };
    if restarts {
        tokio::spawn(async move {
            // Time for the answer to be sent.
            tokio::time::sleep(Duration::from_millis(if cuts { 0 } else { 50 })).await;
            restart.notify_one();
        });
    }
    if cuts {
        // The connection ends with the server.
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    Ok(answer)
}

fn six(hole: &mut Hole, method: &str, path: &str, sid: &str, body: &Bytes) -> Response<Full<Bytes>> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let session = |valid: bool, sid: Option<&str>, message: &str| json!({ "session": { "valid": valid, "totp": false, "sid": sid, "csrf": sid.map(|_| "csrf"), "validity": if valid { 1800 } else { -1 }, "message": message }, "took": 0.03 });
    if (method, path) == ("POST", "/api/auth") {
        if body["password"] != PASSWORD {
            return response(401, &session(false, None, "password incorrect"));
        }
        if hole.second_factor {
            return error(400, "bad_request", "No 2FA token found in JSON payload", Value::Null);
        }
        if hole.sessions.len() >= hole.seats {
            return error(429, "api_seats_exceeded", "API seats exceeded", "increase webserver.api.max_sessions".into());
        }
        hole.given += 1;
        let sid = format!("vFA+EP4MQ5JJvJg+3Q2Jn{}=", hole.given);
        hole.sessions.insert(sid.clone());
        return response(200, &session(true, Some(&sid), "password correct"));
    }
    if hole.ends_sessions > 0 {
        hole.ends_sessions -= 1;
        hole.sessions.remove(sid);
    }
    if !hole.sessions.contains(sid) {
        return error(401, "unauthorized", "Unauthorized", Value::Null);
    }
    let config = |hole: &Hole| json!({ "config": { "dns": { "hosts": hole.hosts } }, "took": 0.003 });
    match (method, path) {
        ("DELETE", "/api/auth") => {
            hole.sessions.remove(sid);
            Response::builder().status(204).body(Full::default()).unwrap()
        }
        ("GET", "/api/config/dns/hosts") => response(200, &config(hole)),
        ("PATCH", "/api/config") if hole.reads_only => error(
            403,
            "forbidden",
            "Unable to change configuration (read-only)",
            "The current app session is not allowed to modify Pi-hole config settings (webserver.api.app_sudo is false)".into(),
        ),
        ("PATCH", "/api/config") => {
            hole.hosts = serde_json::from_value(body["config"]["dns"]["hosts"].clone()).unwrap();
            response(200, &config(hole))
        }
        _ => error(404, "not_found", "Not found", path.into()),
    }
}

fn five(hole: &mut Hole, query: &str) -> Response<Full<Bytes>> {
    let value =
        |name: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if value("auth").as_deref() != Some(TOKEN) || value("customdns").is_none() {
        return response(200, &json!([]));
    }
    let pair = || Some(format!("{} {}", value("ip")?, value("domain")?));
    let told = |success: bool, message: &str| response(200, &json!({ "success": success, "message": message }));
    match value("action").as_deref() {
        Some("get") => {
            let pairs: Vec<_> = hole.hosts.iter().filter_map(|line| line.split_once(' ')).map(|(ip, name)| [name, ip]).collect();
            response(200, &json!({ "data": pairs }))
        }
        Some("add") => {
            let (line, name) = (pair().unwrap(), value("domain").unwrap());
            if hole.hosts.iter().any(|line| line.ends_with(&format!(" {name}"))) {
                return told(false, "This domain already has a custom DNS entry for an IPv4");
            }
            hole.hosts.push(line);
            told(true, "")
        }
        Some("delete") => {
            let line = pair().unwrap();
            let before = hole.hosts.len();
            hole.hosts.retain(|known| *known != line);
            match hole.hosts.len() < before {
                true => told(true, ""),
                false => told(false, "This domain/ip association does not exist"),
            }
        }
        _ => Response::new(Full::from("Wrong action")),
    }
}

fn error(status: u16, key: &str, message: &str, hint: Value) -> Response<Full<Bytes>> {
    response(status, &json!({ "error": { "key": key, "message": message, "hint": hint }, "took": 0.003 }))
}

fn response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).header("content-type", "application/json").body(Full::from(body.to_string())).unwrap()
}
