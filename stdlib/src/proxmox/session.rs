//! Who we are, on every request: an API token, or a ticket that a password buys and that is renewed in time.
use super::{
    access::{Credentials, Endpoint},
    call::Call,
    client::{SendError, data, refusal},
    error::{BadAnswer, Failure},
};
use crate::seams::{Http, send};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use kthw_engine::{Clock, Secret};
use miette::Diagnostic;
use std::time::Duration;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Tickets are good for two hours; a new one is bought after half of that.
const RENEW_AFTER: Duration = Duration::from_secs(3600);

pub(super) struct Session {
    credentials: Credentials,
    ticket: Mutex<Option<Ticket>>,
}

#[derive(Clone)]
struct Ticket {
    cookie: Secret,
    csrf: Secret,
    bought: Duration,
}

impl Session {
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, ticket: Mutex::new(None) }
    }

    /// `user@realm!token`, or `user@realm`.
    pub fn identity(&self) -> &str {
        match &self.credentials {
            Credentials::Token { id, .. } => id,
            Credentials::Password { username, .. } => username,
        }
    }

    /// Sends `call` to `endpoint` as who we are; a ticket that is no longer good is renewed once.
    pub async fn send<K>(
        &self,
        http: &dyn Http,
        endpoint: &Endpoint,
        call: &Call<K>,
        clock: &dyn Clock,
    ) -> Result<Response<Bytes>, SendError> {
        let (username, password) = match &self.credentials {
            Credentials::Token { id, secret } => {
                let mut request = request(call, endpoint)?;
                // Exposed: this header is how a token is used.
                request.headers_mut().insert(header::AUTHORIZATION, hidden(format!("PVEAPIToken={id}={}", secret.expose()), call)?);
                return send(http, request).await.map_err(SendError::Unreachable);
            }
            Credentials::Password { username, password } => (username, password),
        };
        for renewed in [false, true] {
            let ticket = self.ticket(http, endpoint, username, password, clock, renewed).await?;
            let mut request = request(call, endpoint)?;
            // Exposed: these headers are how a ticket is used.
            request.headers_mut().insert(header::COOKIE, hidden(format!("PVEAuthCookie={}", ticket.cookie.expose()), call)?);
            if call.method() != Method::GET {
                request.headers_mut().insert("CSRFPreventionToken", hidden(ticket.csrf.expose().to_owned(), call)?);
            }
            let answer = send(http, request).await.map_err(SendError::Unreachable)?;
            if answer.status() != StatusCode::UNAUTHORIZED || renewed {
                return Ok(answer);
            }
        }
        unreachable!("the second turn returns")
    }

    async fn ticket(
        &self,
        http: &dyn Http,
        endpoint: &Endpoint,
        username: &str,
        password: &Secret,
        clock: &dyn Clock,
        renew: bool,
    ) -> Result<Ticket, SendError> {
        // Held while signing in, so that many calls at once buy one ticket.
        let mut kept = self.ticket.lock().await;
        if let Some(ticket) = &*kept {
            let age = clock.now().saturating_sub(ticket.bought);
            // Another call may have renewed it just now.
            if age < RENEW_AFTER && !(renew && age > Duration::from_secs(5)) {
                return Ok(ticket.clone());
            }
        }
        let call = Call::post(["access", "ticket"]).with("username", username).with_secret("password", password);
        let answer = send(http, request(&call, endpoint)?).await.map_err(SendError::Unreachable)?;
        if !answer.status().is_success() {
            return Err(failed(refusal(&call, endpoint, &answer)));
        }
        #[derive(serde::Deserialize)]
        struct Bought {
            ticket: String,
            #[serde(rename = "CSRFPreventionToken", default)]
            csrf: String,
            #[serde(rename = "NeedTFA", default)]
            second_factor: serde_json::Value,
        }
        let data = data(&call, answer.body()).map_err(failed)?;
        let bought: Bought =
            serde_json::from_value(data).map_err(|_| failed(BadAnswer { call: call.name(), reason: "it holds no ticket".into() }))?;
        if bought.ticket.starts_with("PVE:!tfa!")
            || bought.second_factor.as_i64() == Some(1)
            || bought.second_factor.as_bool() == Some(true)
        {
            return Err(failed(Failure::SecondFactor(SecondFactor { username: username.into() })));
        }
        let ticket = Ticket { cookie: Secret::new(bought.ticket), csrf: Secret::new(bought.csrf), bought: clock.now() };
        *kept = Some(ticket.clone());
        Ok(ticket)
    }
}

/// The user has a second factor, which a program cannot give.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the Proxmox user `{username}` needs a second factor to sign in")]
#[diagnostic(code(kthw::proxmox::second_factor), help("make an API token for it (`pveum user token add`) and set `proxmox.token`"))]
pub struct SecondFactor {
    username: String,
}

fn request<K>(call: &Call<K>, endpoint: &Endpoint) -> Result<Request<Bytes>, SendError> {
    call.request(endpoint.url()).map_err(|error| failed(BadAnswer { call: call.name(), reason: error.to_string() }))
}

/// A header value that is not shown in debug output.
fn hidden<K>(text: String, call: &Call<K>) -> Result<HeaderValue, SendError> {
    let text = Zeroizing::new(text);
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| failed(BadAnswer { call: call.name(), reason: "the credentials hold characters that no header can carry".into() }))?;
    value.set_sensitive(true);
    Ok(value)
}

fn failed(failure: impl Into<Failure>) -> SendError {
    SendError::Failure(Box::new(failure.into()))
}
