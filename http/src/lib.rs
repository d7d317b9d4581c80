//! HTTP requests to peers: the seam, [`Http`], and the real client behind it: reqwest over rustls, always verified.

mod trust;

pub use trust::{Fingerprint, Trust, TrustError};

use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{Request, Response};
use rustls::ClientConfig;
use std::{
    error::Error as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The longest time to wait for a TCP connection and its TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer that is taken. What a Proxmox cluster of 10,000 machines says of all of them has a fifth of it.
pub const LARGEST: usize = 64 << 20;

/// The longest time for a whole request. Proxmox ends its own synchronous requests after 30 s; what takes longer is a task there.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// The longest silence in the middle of a body that is taken piece by piece.
const SILENCE: Duration = Duration::from_secs(60);

/// A body that comes piece by piece. The end of the stream is the end of the body; a body that was cut short ends with an error.
pub type Pieces = BoxStream<'static, std::result::Result<Bytes, Unreachable>>;

/// Sends one HTTP request to one peer. Implementations verify TLS; they do not retry. Call it through [`send`] or [`open`].
pub trait Http: Send + Sync {
    /// Sends `request`, whose URI is absolute. A response of any status is `Ok`.
    ///
    /// # Errors
    /// [`Unreachable`] when no response came.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>>;

    /// The same for a body that may be larger than memory. Where nothing else is said it comes in one piece.
    ///
    /// # Errors
    /// [`Unreachable`] when no response came.
    fn open(&self, request: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Pieces>, Unreachable>> {
        let answer = self.send(request);
        Box::pin(async move { Ok(answer.await?.map(|body| stream::iter([Ok(body)]).boxed())) })
    }
}

/// Sends a request and waits for the whole answer, at most a minute.
///
/// # Errors
/// [`Unreachable`] when no response came in that time.
pub async fn send(http: &dyn Http, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, Unreachable> {
    let silent = |_| Unreachable { reason: format!("no answer within {} s", REQUEST_LIMIT.as_secs()), sent: true };
    tokio::time::timeout(REQUEST_LIMIT, http.send(request)).await.unwrap_or_else(|over| Err(silent(over)))
}

/// Sends a request and waits at most a minute for the head of the answer. Of its body, each piece has a minute to come.
///
/// # Errors
/// [`Unreachable`] when no response came in that time.
pub async fn open(http: &dyn Http, request: Request<Bytes>) -> std::result::Result<Response<Pieces>, Unreachable> {
    let silent = |_| Unreachable { reason: format!("no answer within {} s", REQUEST_LIMIT.as_secs()), sent: true };
    let answer = tokio::time::timeout(REQUEST_LIMIT, http.open(request)).await.unwrap_or_else(|over| Err(silent(over)))?;
    Ok(answer.map(|pieces| {
        let limited = stream::unfold(pieces, async |mut pieces| {
            let silent = || Unreachable { reason: format!("nothing came for {} s in the middle of it", SILENCE.as_secs()), sent: true };
            let next = tokio::time::timeout(SILENCE, pieces.next()).await.unwrap_or_else(|_| Some(Err(silent())));
            next.map(|piece| (piece, pieces))
        });
        limited.boxed()
    }))
}

/// No response came: name lookup, connection, TLS, or the connection broke.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unreachable {
    /// In plain words, without secrets.
    pub reason: String,
    /// Whether the request may have reached the peer.
    pub sent: bool,
}

/// Sends requests over verified TLS connections, which it keeps open. Redirects are not followed.
#[derive(Clone, Debug)]
pub struct HttpClient {
    tls: Option<ClientConfig>,
    /// Made at the first request: it reads all certificate authorities of the system, which costs more than the rest of a settled run.
    client: Arc<OnceLock<reqwest::Client>>,
}

impl HttpClient {
    /// A client that believes what `trust` says. Nothing is sent yet.
    ///
    /// # Errors
    /// When the certificate file cannot be read or holds no certificate.
    pub fn new(trust: &Trust) -> Result<Self, TrustError> {
        Ok(Self { tls: trust.tls()?, client: Arc::default() })
    }

    fn client(&self) -> Result<&reqwest::Client, Unreachable> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("kthw/", env!("CARGO_PKG_VERSION")));
        let builder = match &self.tls {
            Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
            None => builder,
        };
        let client =
            builder.build().map_err(|error| Unreachable { reason: format!("TLS cannot be set up: {}", causes(&error)), sent: false })?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Http for HttpClient {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(unreachable)?;
            let mut answer = self.client()?.execute(request).await.map_err(unreachable)?;
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            *response.extensions_mut() = std::mem::take(answer.extensions_mut());
            *response.body_mut() = whole(answer).await?;
            Ok(response)
        })
    }

    fn open(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Pieces>, Unreachable>> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(unreachable)?;
            let mut answer = self.client()?.execute(request).await.map_err(unreachable)?;
            let mut response = Response::new(());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            Ok(response.map(|()| answer.bytes_stream().map(|piece| piece.map_err(unreachable)).boxed()))
        })
    }
}

/// The whole body, unless it is larger than any answer should be.
async fn whole(mut answer: reqwest::Response) -> Result<Bytes, Unreachable> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > LARGEST {
            return Err(Unreachable { reason: format!("its answer is larger than {} MiB", LARGEST >> 20), sent: true });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn unreachable(error: reqwest::Error) -> Unreachable {
    let sent = !(error.is_connect() || error.is_builder());
    // A URL can carry values that are nobody's business.
    let error = error.without_url();
    let reason = match error.is_timeout() {
        true => format!("no connection within {} s", CONNECT.as_secs()),
        false => causes(&error),
    };
    Unreachable { reason, sent }
}

/// The innermost causes in plain words; what wraps them says only "error sending request" and the like.
fn causes(error: &reqwest::Error) -> String {
    let mut chain = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(cause.to_string());
        source = cause.source();
    }
    chain.dedup();
    in_plain_words(&chain.pop().unwrap_or_default())
}

/// A library's message without the address of its manual, which helps nobody who uses kthw.
pub fn in_plain_words(message: &str) -> String {
    let is_address = |word: &&str| word.starts_with("https://") || word.starts_with("http://");
    let words: Vec<&str> = message.split(' ').filter(|word| !is_address(word)).collect();
    let bare = words.join(" ");
    let bare = bare.trim_end().trim_end_matches([':', '(']).trim_end();
    match bare.starts_with("peer closed connection without sending TLS close_notify") {
        true => "the connection was closed before the answer came".into(),
        false => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[test]
    fn a_librarys_manual_is_not_shown() {
        let closed =
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html";
        assert_eq!(in_plain_words(closed), "the connection was closed before the answer came");
        assert_eq!(in_plain_words("it broke: https://docs.rs/x"), "it broke");
        assert_eq!(in_plain_words("invalid peer certificate: UnknownIssuer"), "invalid peer certificate: UnknownIssuer");
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let piece = vec![b'x'; 1 << 20];
            // Far more than is taken, and not without end: a client that took it all would fail here, not fill the memory.
            for _ in 0..4 * (LARGEST >> 20) {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
                count.fetch_add(piece.len(), Ordering::Relaxed);
            }
        });
        let client = HttpClient::new(&Trust::Fingerprint([7; 32].into())).expect("a client");
        let request = Request::get(format!("http://{address}/")).body(Bytes::new()).expect("a request");
        let error = client.send(request).await.expect_err("too much");
        assert_eq!((error.reason.as_str(), error.sent), ("its answer is larger than 64 MiB", true));
        assert!(sent.load(Ordering::Relaxed) < 2 * LARGEST, "it went on reading");
    }

    #[tokio::test]
    async fn a_refused_connection_was_not_sent() {
        let client = HttpClient::new(&Trust::Fingerprint([7; 32].into())).expect("a client");
        // Port 1 of the loopback network: nothing listens there.
        let request = Request::get("https://127.0.0.3:1/api2/json/version?secret=x").body(Bytes::new()).expect("a request");
        let error = client.send(request).await.expect_err("nobody answers");
        assert!(!error.sent, "{error}");
        assert!(error.reason.contains("refused"), "{error}");
        assert!(!error.reason.contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn a_body_comes_in_pieces_and_one_that_is_cut_short_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            for body in ["hello", "hel"] {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let _ = stream.read(&mut [0; 4096]).await;
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
                stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
            }
        });
        let client = HttpClient::new(&Trust::Fingerprint([7; 32].into())).expect("a client");
        let get = async || {
            let request = Request::get(format!("http://{address}/")).body(Bytes::new()).expect("a request");
            let pieces: Vec<_> = open(&client, request).await.expect("an answer").into_body().collect().await;
            pieces.into_iter().collect::<Result<Vec<Bytes>, _>>().map(|pieces| pieces.concat())
        };
        assert_eq!(get().await.expect("whole"), b"hello");
        assert!(get().await.is_err());
    }

    /// A host of which nothing is ever heard.
    struct Mute;

    impl Http for Mute {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Bytes>, Unreachable>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_never_answers_is_given_up() {
        let begun = tokio::time::Instant::now();
        let error = send(&Mute, Request::new(Bytes::new())).await.expect_err("nobody answers");
        assert_eq!((error.reason.as_str(), error.sent, begun.elapsed()), ("no answer within 60 s", true, REQUEST_LIMIT));
    }
}
