//! One request to the Proxmox API as a value: method, path and parameters. Building it needs no network, so tests are one-liners.
use bytes::Bytes;
use http::{Method, Request, header};
use kthw_engine::Secret;
use std::{fmt, marker::PhantomData};

/// A request, without the endpoint and without credentials. Its type says whether it reads or writes, so that a client cannot be made to
/// write by asking it to read.
#[derive(Clone, Debug)]
pub struct Call<K = Read> {
    method: Method,
    path: String,
    params: Vec<(String, Value)>,
    kind: PhantomData<K>,
}

/// The kind of a call that reads: `GET`.
#[derive(Clone, Copy, Debug)]
pub enum Read {}

/// The kind of a call that changes something: every other method.
#[derive(Clone, Copy, Debug)]
pub enum Write {}

/// The value of a parameter.
#[derive(Clone, Debug)]
enum Value {
    Plain(String),
    Secret(Secret),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl Call<Read> {
    /// Reads.
    pub fn get<const N: usize>(segments: [&str; N]) -> Self {
        Self::new(Method::GET, segments)
    }
}

impl Call<Write> {
    /// Makes or does something.
    pub fn post<const N: usize>(segments: [&str; N]) -> Self {
        Self::new(Method::POST, segments)
    }

    /// Changes something.
    pub fn put<const N: usize>(segments: [&str; N]) -> Self {
        Self::new(Method::PUT, segments)
    }

    /// Removes something.
    pub fn delete<const N: usize>(segments: [&str; N]) -> Self {
        Self::new(Method::DELETE, segments)
    }
}

impl<K> Call<K> {
    fn new<const N: usize>(method: Method, segments: [&str; N]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            path.push_str(&percent_encoded(segment));
        }
        Self { method, path, params: Vec::new(), kind: PhantomData }
    }

    /// The same call and one parameter more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.params.push((key.into(), Value::Plain(value.to_string())));
        self
    }

    /// The same call and one parameter more that is not shown. Only in calls that carry their parameters in the body: a URL is logged.
    #[must_use]
    pub fn with_secret(mut self, key: &str, value: &Secret) -> Self {
        debug_assert!(!self.in_query(), "a secret does not belong into a URL");
        self.params.push((key.into(), Value::Secret(value.clone())));
        self
    }

    fn in_query(&self) -> bool {
        matches!(self.method, Method::GET | Method::DELETE)
    }

    /// The same call and one parameter more, if there is a value for it.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The same call and several parameters more.
    #[must_use]
    pub fn with_all<N: AsRef<str>, V: fmt::Display>(self, params: impl IntoIterator<Item = (N, V)>) -> Self {
        params.into_iter().fold(self, |call, (key, value)| call.with(key.as_ref(), value))
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Method and path, for messages. The parameters stay out: they can be long, or secret.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The HTTP request to `endpoint`, such as `https://pve1:8006/api2/json`.
    ///
    /// # Errors
    /// When `endpoint` is no URL.
    pub(super) fn request(&self, endpoint: &str) -> Result<Request<Bytes>, http::Error> {
        let params = self.params.iter().map(|(key, value)| match value {
            Value::Plain(text) => (key, text.as_str()),
            // Exposed: this is the body that goes to Proxmox.
            Value::Secret(secret) => (key, secret.expose()),
        });
        let params: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let in_query = self.in_query();
        let query = if in_query && !params.is_empty() { format!("?{params}") } else { String::new() };
        let request = Request::builder().method(&self.method).uri(format!("{endpoint}{}{query}", self.path));
        if in_query {
            return request.body(Bytes::new());
        }
        request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(params.into())
    }
}

/// The call on one line with all parameters; secret ones as `<secret>`.
impl<K> fmt::Display for Call<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        self.params.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

/// Everything but letters, digits and `-._~` as `%XX`, a space as `%20`.
pub(super) fn percent_encoded(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes every write"),
        }
        encoded
    })
}

/// The text behind `%XX`; what is no such pair stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let pair = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_carry_parameters_in_the_query_and_writes_in_the_body() {
        let read = Call::get(["cluster", "resources"]).with("type", "vm").request("https://h:8006/api2/json").expect("a URL");
        assert_eq!(read.uri(), "https://h:8006/api2/json/cluster/resources?type=vm");
        let keys = percent_encoded("ssh-ed25519 AAAA+ me");
        let write = Call::put(["nodes", "a b", "qemu", "1", "config"]).with("sshkeys", &keys).request("https://h").expect("a URL");
        assert_eq!(write.uri().path(), "/nodes/a%20b/qemu/1/config");
        assert_eq!(write.body(), "sshkeys=ssh-ed25519%2520AAAA%252B%2520me");
        assert_eq!(percent_decoded(&keys), "ssh-ed25519 AAAA+ me");
        assert_eq!(percent_decoded("50%"), "50%");
    }

    #[test]
    fn a_name_holds_no_parameters() {
        let call = Call::post(["access", "ticket"]).with("username", "x").with_secret("password", &Secret::new("hunter2"));
        assert_eq!(call.name(), "POST /access/ticket");
        assert_eq!(call.to_string(), "POST /access/ticket username=x password=<secret>");
        assert!(!format!("{call:?}").contains("hunter2"));
        assert_eq!(call.request("https://h").expect("a URL").body(), "username=x&password=hunter2");
    }
}
