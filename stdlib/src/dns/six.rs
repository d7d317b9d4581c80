//! Pi-hole 6: sessions that many share and few have, one array of all records, and a resolver that may restart when it is written
//! (<https://docs.pi-hole.net/api/auth/>, <https://github.com/pi-hole/FTL/tree/v6.0/src/api/docs/content/specs>).
use super::{
    client::{Edit, Open},
    error::{Failure, Said},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use kthw_engine::{Effect, Error, Intent, Limit, Peers, Permit, Poll, Recovery, Result, Secret, progress, wait};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a free session, or a turn after too many tries, is waited for.
const SEAT: Limit = Limit::seconds(60);
/// How long Pi-hole may take to be back after a change.
const RESTART: Limit = Limit::seconds(60);

/// A session; without a name where Pi-hole has no password.
struct Session(Option<Secret>);

/// All records, as lines.
pub(super) async fn hosts(open: &Open, peers: &Peers) -> Result<Vec<String>> {
    let mut session = sign_in(open, peers).await?;
    let found = look(open, peers, &mut session).await;
    sign_out(open, peers, session).await;
    found
}

/// All records, in a session. It may have ended just now: a restart that somebody's change brings comes a moment after it.
async fn look(open: &Open, peers: &Peers, session: &mut Session) -> Result<Vec<String>> {
    let read = async |session: &Session| open.ask(peers, &request(open, Method::GET, "/api/config/dns/hosts", Some(session), None)?).await;
    let mut answer = read(session).await?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        *session = sign_in(open, peers).await?;
        answer = read(session).await?;
    }
    lines(open, &answer)
}

/// Changes the records in one session and one request, and waits until Pi-hole holds them.
pub(super) async fn change(open: &Open, peers: &Peers, permit: &Permit, what: &str, edit: Edit<'_>) -> Result<()> {
    let intent = Intent::on("pihole", what, Recovery::Look);
    permit
        .effect(intent, async |effect| {
            let mut session = sign_in(open, peers).await?;
            let done = write(open, peers, &mut session, edit, effect).await;
            sign_out(open, peers, session).await;
            done
        })
        .await
}

/// Writes all records as they were read just before, with what is changed.
async fn write(open: &Open, peers: &Peers, session: &mut Session, edit: Edit<'_>, _effect: &Effect) -> Result<()> {
    let before = look(open, peers, session).await?;
    let after = edit(&before)?;
    if after == before {
        return Ok(());
    }
    let body = json!({ "config": { "dns": { "hosts": after } } });
    match open.send(request(open, Method::PATCH, "/api/config", Some(session), Some(&body))?).await {
        Ok(answer) if answer.status().is_success() => {}
        Ok(answer) => return Err(refused(open, "change its records", &answer)),
        // It may have restarted before its answer was out.
        Err(away) if away.sent => progress(format!("Pi-hole at {} broke off: {}", open.access.url, away.reason)),
        Err(away) => return Err(Failure::NoAnswer { url: open.url(), reason: away.reason }.into()),
    }
    holds(open, peers, session, edit).await
}

/// Waits until there is nothing more to change.
async fn holds(open: &Open, peers: &Peers, session: &mut Session, edit: Edit<'_>) -> Result<()> {
    let what = format!("Pi-hole at {} to hold the records", open.access.url);
    let help =
        "its resolver restarts when records change; `pihole status` there, and /var/log/pihole/FTL.log, say why it does not come back";
    let shared = &tokio::sync::Mutex::new(session);
    wait(peers, RESTART, &what, help, || async move {
        let mut session = shared.lock().await;
        let read = request(open, Method::GET, "/api/config/dns/hosts", Some(&**session), None)?;
        let answer = match open.send(read).await {
            Ok(answer) => answer,
            Err(away) => return open.passing(away).map(Poll::Pending),
        };
        match answer.status() {
            // Where `webserver.session.restore` is off, a restart ends all sessions.
            StatusCode::UNAUTHORIZED => {
                **session = sign_in(open, peers).await?;
                return Ok(Poll::Pending("its sessions ended".into()));
            }
            status if status.is_server_error() => return Ok(Poll::Pending(format!("status {}", status.as_u16()))),
            _ => {}
        }
        let now = lines(open, &answer)?;
        Ok(if edit(&now)? == now { Poll::Ready(()) } else { Poll::Pending("it does not have them yet".into()) })
    })
    .await
}

/// Opens a session; where all are taken, one that ends is waited for.
async fn sign_in(open: &Open, peers: &Peers) -> Result<Session> {
    #[derive(Deserialize)]
    struct Answer {
        session: Opened,
    }
    #[derive(Deserialize)]
    struct Opened {
        valid: bool,
        sid: Option<String>,
    }
    let what = format!("a session at Pi-hole, {}", open.access.url);
    let help = "sessions that nobody closes end after half an hour (`webserver.session.timeout`); Pi-hole lists them under Settings, Web interface \
                / API, where they can be ended, and `webserver.api.max_sessions` allows more";
    wait(peers, SEAT, &what, help, || async move {
        // Exposed: this is the body that goes to Pi-hole.
        let body = json!({ "password": open.access.password.expose() });
        let answer = open.ask(peers, &request(open, Method::POST, "/api/auth", None, Some(&body))?).await?;
        let said = Said::of(answer.body());
        let words = said.words(answer.status());
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(Failure::Password { url: open.url() }.into()),
            StatusCode::TOO_MANY_REQUESTS if said.key == "api_seats_exceeded" => {
                Ok(Poll::Pending(format!("all of them are taken: {words}")))
            }
            StatusCode::TOO_MANY_REQUESTS => Ok(Poll::Pending(words)),
            StatusCode::BAD_REQUEST if words.contains("2FA") => Err(Failure::SecondFactor { url: open.url() }.into()),
            status if status.is_success() => match serde_json::from_slice::<Answer>(answer.body()) {
                Ok(Answer { session: Opened { valid: true, sid } }) => Ok(Poll::Ready(Session(sid.map(Secret::new)))),
                Ok(_) => Err(Failure::Password { url: open.url() }.into()),
                Err(_) => Err(open.another("its answer is no session")),
            },
            _ => Err(open.another(words)),
        }
    })
    .await
}

/// Closes a session, for which Pi-hole has to be back. What cannot be closed is said: it ends by itself.
async fn sign_out(open: &Open, peers: &Peers, session: Session) {
    if session.0.is_none() {
        return;
    }
    let (what, session) = (format!("Pi-hole at {} to close the session", open.access.url), &session);
    let closed = wait(peers, RESTART, &what, "it ends by itself after half an hour", || async move {
        let answer = match open.send(request(open, Method::DELETE, "/api/auth", Some(session), None)?).await {
            Ok(answer) => answer,
            Err(away) => return open.passing(away).map(Poll::Pending),
        };
        match answer.status() {
            // It is closed, or was no more.
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Poll::Ready(())),
            status if status.is_success() => Ok(Poll::Ready(())),
            status => Ok(Poll::Pending(format!("status {}", status.as_u16()))),
        }
    });
    if let Err(error) = closed.await {
        progress(format!("a session at Pi-hole stays open for half an hour: {error}"));
    }
}

/// The records in an answer.
fn lines(open: &Open, answer: &Response<Bytes>) -> Result<Vec<String>> {
    if !answer.status().is_success() {
        return Err(refused(open, "show its records", answer));
    }
    let found = serde_json::from_slice::<Value>(answer.body()).ok();
    let hosts = found.as_ref().and_then(|found| found.pointer("/config/dns/hosts"));
    let lines = hosts.and_then(|hosts| Vec::<String>::deserialize(hosts).ok());
    lines.ok_or_else(|| open.another("its answer holds no records"))
}

fn refused(open: &Open, deed: &str, answer: &Response<Bytes>) -> Error {
    let said = Said::of(answer.body()).words(answer.status());
    match answer.status() {
        StatusCode::FORBIDDEN => Failure::ReadOnly { url: open.url(), said },
        _ => Failure::Refused { url: open.url(), deed: deed.to_owned(), said },
    }
    .into()
}

fn request(open: &Open, method: Method, path: &str, session: Option<&Session>, body: Option<&Value>) -> Result<Request<Bytes>> {
    let no_request = |_| Error::from(Failure::NoAnswer { url: open.url(), reason: "this is no address of a Pi-hole".into() });
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = Request::builder().method(method).uri(format!("{}{path}", open.access.url));
    let mut request = request.header(header::CONTENT_TYPE, "application/json").body(body).map_err(no_request)?;
    if let Some(Session(Some(sid))) = session {
        // Exposed: this header is how a session is used.
        let mut value = HeaderValue::from_str(sid.expose()).map_err(|_| open.another("the name of its session is none"))?;
        value.set_sensitive(true);
        request.headers_mut().insert("X-FTL-SID", value);
    }
    Ok(request)
}
