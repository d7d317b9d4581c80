//! Serves a bundle over HTTP. Clients check what they get by digests; nothing here is secret.
use super::{
    Bundle,
    read::Part,
    reply::{Body, Reply},
};
use bytes::{Bytes, BytesMut};
use futures::{TryStreamExt, stream};
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// How many connections are served at the same time; others wait.
const CONNECTIONS: usize = 128;
/// The longest time for a request to come, once its connection stands.
const REQUEST: Duration = Duration::from_secs(60);
/// The longest time for a connection, with all that is read over it.
const CONNECTION: Duration = Duration::from_secs(2 * 60 * 60);
/// How much is read from the file at once, in bytes.
const PIECE: u64 = 256 << 10;

type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// Answers whoever connects, until the future is dropped. `tell` hears each request in one line.
///
/// # Errors
/// When no connections can be accepted any more.
pub async fn serve(bundle: Bundle, listener: TcpListener, tell: impl Fn(&str) + Send + Sync + 'static) -> io::Result<()> {
    let (bundle, tell, room) = (Arc::new(bundle), Arc::new(tell), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return Ok(()) };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Who connected is gone again; that is nobody else's trouble.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let (bundle, tell) = (bundle.clone(), tell.clone());
        tokio::spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = tokio::time::timeout(CONNECTION, one(bundle, stream, tell)).await;
            drop(place);
        });
    }
}

async fn one(bundle: Arc<Bundle>, stream: TcpStream, tell: Arc<impl Fn(&str) + Send + Sync + 'static>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let (bundle, tell) = (bundle.clone(), tell.clone());
        async move {
            let reply = bundle.reply(request.method(), request.uri()).ranged(request.headers());
            tell(&format!("{} {} {}", reply.status.as_u16(), request.method(), request.uri()));
            Ok::<_, Infallible>(response(&bundle, request.method(), reply))
        }
    });
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(REQUEST).serve_connection(TokioIo::new(stream), answer).await;
}

fn response(bundle: &Bundle, method: &Method, reply: Reply) -> Response<Sent> {
    let (size, range) = (reply.size(), reply.range.clone());
    let mut response = Response::new(match reply.body {
        _ if *method == Method::HEAD => text(String::new()),
        Body::Text(said) => text(said),
        Body::Part(part) => read(bundle.path().to_owned(), part),
    });
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, size.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(reply.content_type).unwrap_or(HeaderValue::from_static("text/plain")));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
        headers.insert(header::CONTENT_RANGE, range);
    }
    headers.insert(HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
    if let Some(digest) = reply.digest.and_then(|digest| HeaderValue::try_from(digest).ok()) {
        headers.insert(HeaderName::from_static("docker-content-digest"), digest);
    }
    response
}

fn text(text: String) -> Sent {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

/// A piece of the file, as it is read.
fn read(path: PathBuf, part: Part) -> Sent {
    let pieces = stream::once(async move {
        let mut file = File::open(path).await?;
        file.seek(io::SeekFrom::Start(part.at)).await?;
        Ok::<_, io::Error>(stream::try_unfold((file, part.size), |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let mut piece = BytesMut::with_capacity(usize::try_from(PIECE.min(left)).unwrap_or_default());
            let read = (&mut file).take(PIECE.min(left)).read_buf(&mut piece).await?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bundle became shorter"));
            }
            Ok(Some((piece.freeze(), (file, left - read as u64))))
        }))
    });
    StreamBody::new(pieces.try_flatten().map_ok(Frame::data)).boxed_unsync()
}
