//! What every request to an API server gets: a limit, and patience with a server that is still starting. It opens its port before it knows
//! anybody's rights, so 401 and 403 mean nothing until `/readyz` says yes. They are waited for, in words; from a server that is ready they
//! are final. What is only read is read again for a while when the server has too much to do (429), as client-go does; so it says of a kind
//! whose definition was just changed.
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use kthw_engine::{Clock, progress};
use kube::client::Body;
use std::{sync::Arc, time::Duration};

/// The longest time for one request, with its answer.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// How long a server that is not ready may refuse.
const LIMIT: Duration = Duration::from_secs(60);

/// The pause before a refused request is sent again.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It counts.
    Final,
    /// The server is ready by now; the same request tells whether the refusal was meant.
    AskAgain,
    /// The server is not ready: the same request after a pause. The text says why.
    Wait(String),
    /// The limit is over.
    GiveUp(String),
}

/// Decides about an answer with `status`. `reads` is set for a request that changes nothing, `was_ready` is set when the server was known to be ready before the request, `readyz` is what
/// `/readyz` says after a refusal, and `waited` is the time since the first one.
fn next(status: StatusCode, reads: bool, was_ready: bool, readyz: &Readiness, waited: Duration) -> Next {
    if reads && status == StatusCode::TOO_MANY_REQUESTS && waited < LIMIT {
        return Next::Wait("the API server answers 429: it has too much to do, or takes up a new definition".into());
    }
    if !is_refusal(status) || was_ready {
        return Next::Final;
    }
    let Readiness::NotYet(readyz) = readyz else { return Next::AskAgain };
    let why = match status {
        StatusCode::FORBIDDEN => "RBAC is not loaded yet",
        _ => "it does not know anybody yet",
    };
    let code = status.as_u16();
    if waited < LIMIT {
        return Next::Wait(format!("the API server answers {code} while it starts: {why} (/readyz: {readyz})"));
    }
    let waited = waited.as_secs();
    Next::GiveUp(format!(
        "the API server has answered {code} for {waited} s and is not ready (/readyz: {readyz}): its log says why it does not become ready"
    ))
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// The status, or what broke.
    NotYet(String),
}

/// Sends a request with `send`, and takes no refusal from a server that is still starting.
pub(super) async fn patiently<F, Fut>(send: F, clock: Arc<dyn Clock>, request: Request<Body>) -> Result<Response<Body>, tower::BoxError>
where
    F: Fn(Request<Body>) -> Fut,
    Fut: Future<Output = kube::Result<Response<Body>>>,
{
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let (begun, mut was_ready) = (clock.now(), false);
    loop {
        let response = in_time(send(again(&parts, &body))).await??;
        let readyz = match is_refusal(response.status()) && !was_ready {
            true => ask_readiness(&send).await,
            false => Readiness::Ready,
        };
        match next(response.status(), parts.method == Method::GET, was_ready, &readyz, clock.now().saturating_sub(begun)) {
            Next::Final => return Ok(response),
            Next::AskAgain => was_ready = true,
            Next::Wait(seen) => progress(format!("waiting for the API server to be ready: {seen}")),
            Next::GiveUp(why) => return Err(why.into()),
        }
        // Also before the request that decides: the server reads its rules a moment after it has said that they are there.
        clock.sleep(PAUSE).await;
    }
}

/// What a server says in time.
async fn in_time<T>(exchange: impl Future<Output = T>) -> Result<T, tower::BoxError> {
    let silent = |_| format!("no answer within {} s", REQUEST_LIMIT.as_secs()).into();
    tokio::time::timeout(REQUEST_LIMIT, exchange).await.map_err(silent)
}

/// The request once more; its body was read into memory.
fn again(parts: &Parts, body: &Bytes) -> Request<Body> {
    Request::from_parts(parts.clone(), Body::from(body.to_vec()))
}

async fn ask_readiness<F, Fut>(send: &F) -> Readiness
where
    F: Fn(Request<Body>) -> Fut,
    Fut: Future<Output = kube::Result<Response<Body>>>,
{
    let request = Request::get("/readyz").body(Body::empty()).expect("a path alone is a request");
    match in_time(send(request)).await {
        Ok(Ok(response)) if response.status().is_success() => Readiness::Ready,
        Ok(Ok(response)) => Readiness::NotYet(response.status().as_u16().to_string()),
        Ok(Err(error)) => Readiness::NotYet(super::in_words(&error)),
        Err(silent) => Readiness::NotYet(silent.to_string()),
    }
}

#[cfg(test)]
#[path = "starting_tests.rs"]
mod tests;
