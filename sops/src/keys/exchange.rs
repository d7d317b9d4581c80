//! Exchanges with the services that hold keys: a request and its whole answer, within limits, and what a refusal says.
//!
//! Requests go through [`kthw_http`], which verifies TLS, follows no redirect and takes no endless answer.
use bytes::Bytes;
use http::{HeaderValue, Request};
use kthw_engine::{Secret, presentable};
use kthw_http::{Http, send};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{thread, time::Duration};
use url::{Host, Url};
use zeroize::Zeroizing;

/// For everything that opening or sealing one key takes.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a service is asked that says it has a bad moment. All requests here can be repeated.
const TRIES: usize = 3;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest text of a service that is shown, in characters.
const SHOWN: usize = 300;

/// Does `work` on a thread with a runtime of its own, for at most a minute: the caller may be inside a runtime, which must not be blocked
/// from within. `who` is said to be silent when that is not enough.
pub(super) fn within_limit<T: Send>(who: &str, work: impl Future<Output = Result<T, String>> + Send) -> Result<T, String> {
    let bounded = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let late = |_| format!("{who} did not answer within {} s", LIMIT.as_secs());
        runtime.block_on(async { tokio::time::timeout(LIMIT, work).await }).map_err(late)?
    };
    thread::scope(|scope| scope.spawn(bounded).join()).unwrap_or_else(|_| Err("the request failed".into()))
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub(super) enum Refused {
    /// No request was made, or no answer came.
    Unasked(String),
    /// A status that is no success, and what the service says of it.
    Status(u16, String),
}

impl Refused {
    /// In words, without what to do about it.
    pub fn reason(self, url: &Url) -> String {
        match self {
            Self::Unasked(reason) => reason,
            Self::Status(status, said) if said.is_empty() => format!("{} answers with status {status}", place(url)),
            Self::Status(status, said) => format!("{} answers {status}: {said}", place(url)),
        }
    }
}

/// A request that changes nothing when it is made twice.
pub(super) struct Question {
    pub url: Url,
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// Sent by POST; GET without.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

impl Question {
    /// A POST of JSON.
    pub fn json(url: Url, body: &impl Serialize) -> Self {
        // Room for everything at once: a vector that grows leaves copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(16 << 10));
        serde_json::to_writer(&mut *json, body).expect("strings and maps of strings have a JSON form");
        Self { url, headers: vec![("content-type", HeaderValue::from_static("application/json"))], body: Some(json) }
    }

    /// A POST of a form.
    pub fn form(url: Url, fields: &[(&str, &str)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::with_capacity(16 << 10)).extend_pairs(fields).finish();
        let headers = vec![("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"))];
        Self { url, headers, body: Some(Zeroizing::new(form.into_bytes())) }
    }

    /// A GET.
    pub fn get(url: Url) -> Self {
        Self { url, headers: Vec::new(), body: None }
    }

    /// With a header. Its value is not a secret.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// With a header that holds a secret. The error does not quote it.
    pub fn with_secret(mut self, name: &'static str, value: &Secret) -> Result<Self, String> {
        let value = HeaderValue::from_str(value.expose());
        let mut value = value.map_err(|_| "its token has characters that no token has".to_owned())?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    /// With a bearer token (RFC 6750).
    pub fn with_bearer(self, token: &Secret) -> Result<Self, String> {
        self.with_secret("authorization", &Secret::holding(format!("Bearer {}", token.expose())))
    }

    /// Asks `http`, again where the service says that it cannot answer just now, and reads the answer. `said` finds the service's words in
    /// the JSON of a refusal.
    pub async fn ask<A: DeserializeOwned>(&self, http: &dyn Http, said: fn(&Value) -> Option<String>) -> Result<A, Refused> {
        let unasked = |reason: String| Refused::Unasked(reason);
        travels_safely(&self.url).map_err(unasked)?;
        let mut tries = 0;
        let (status, body) = loop {
            tries += 1;
            let answer = send(http, self.request().map_err(unasked)?).await;
            let answer = answer.map_err(|error| Refused::Unasked(format!("{} does not answer: {}", place(&self.url), error.reason)))?;
            let status = answer.status().as_u16();
            if tries == TRIES || !matches!(status, 429 | 502 | 503 | 504) {
                break (status, Zeroizing::new(answer.into_body().to_vec()));
            }
            tokio::time::sleep(PAUSE).await;
        };
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_err(|_| unasked(format!("{} answers with something else", place(&self.url))));
        }
        let words = serde_json::from_slice(&body).ok().and_then(|json: Value| said(&json)).unwrap_or_default();
        Err(Refused::Status(status, in_one_line(&words)))
    }

    fn request(&self) -> Result<Request<Bytes>, String> {
        let mut request = match self.body {
            Some(_) => Request::post(self.url.as_str()),
            None => Request::get(self.url.as_str()),
        };
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        // The bytes are wiped when the request is done with.
        let body = self.body.clone().map(Bytes::from_owner).unwrap_or_default();
        request.body(body).map_err(|_| format!("{} is no address", place(&self.url)))
    }
}

/// Scheme, host and port: what people know a service by.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Credentials and data keys go over TLS, or not beyond this machine and what it runs on (the metadata server of a cloud).
fn travels_safely(url: &Url) -> Result<(), String> {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        "http" => Err(format!("{} is not encrypted: whoever listens on the way would read the credentials; use https", place(url))),
        _ => Err(format!("{url} is no address: it begins with https://")),
    }
}

/// A text of a service as one line that does nothing to a terminal and shows no secret.
pub(super) fn in_one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line = presentable(&line);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_goes_far_without_tls() {
        let refused = |text: &str| travels_safely(&Url::parse(text).expect("an address")).err();
        for near in
            ["https://vault.example.test", "http://127.0.0.9:8200", "http://localhost:8200", "http://[::1]/", "http://169.254.169.254/"]
        {
            assert_eq!(refused(near), None, "{near}");
        }
        for far in ["http://vault.example.test:8200", "http://10.0.0.1/", "http://localhost.example.test", "http://[2001:db8::1]/"] {
            assert!(refused(far).is_some_and(|reason| reason.ends_with("use https")), "{far}");
        }
        assert_eq!(refused("unix:///run/agent").as_deref(), Some("unix:///run/agent is no address: it begins with https://"));
    }

    #[test]
    fn what_a_service_says_is_one_short_line() {
        assert_eq!(in_one_line("a\r\n\tb\u{1b}[2J c"), "a b\\u{1b}[2J c");
        assert_eq!(in_one_line(&"ü".repeat(SHOWN + 1)), format!("{}…", "ü".repeat(SHOWN)));
    }
}
