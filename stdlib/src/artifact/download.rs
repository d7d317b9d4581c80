//! Downloads: from a mirror or from upstream, piece by piece, through redirects. Nothing is believed here but what TLS proves.
use super::Upstream;
use crate::seams::{Http, Pieces, open};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};
use kthw_engine::{Error, Result};
use miette::Diagnostic;
use std::{path::Path, time::Duration};
use url::Url;

/// How many redirects are followed. Publishers of images send one to a mirror, which may send one on.
const REDIRECTS: usize = 5;
/// The longest time for the whole of one file.
const WHOLE: Duration = Duration::from_secs(60 * 60);

/// An answer that begins to come.
pub struct Answer {
    /// Where it was asked for, in words that may be shown.
    pub place: String,
    /// Its status.
    pub status: StatusCode,
    headers: HeaderMap,
    pieces: Pieces,
}

/// Asks for something, wherever it is redirected to. What proves who asks goes to the first address alone.
///
/// # Errors
/// When no answer came, or a redirect leads nowhere, in a circle, or to where anybody could change what comes.
pub async fn ask(http: &dyn Http, url: &str, headers: &HeaderMap) -> Result<Answer> {
    let failed = |reason: String| Error::peer(FetchArtifact::new(url, reason));
    let first = Url::parse(url).map_err(|error| failed(format!("it is no address: {error}")))?;
    let mut at = first.clone();
    for _ in 0..=REDIRECTS {
        let mut request = Request::get(at.as_str()).body(Bytes::new()).map_err(|error| failed(error.to_string()))?;
        request.headers_mut().extend(headers.clone());
        if at.origin() != first.origin() {
            request.headers_mut().remove(header::AUTHORIZATION);
        }
        let (parts, pieces) = open(http, request).await.map_err(|error| failed(error.to_string()))?.into_parts();
        let answer = Answer { place: url.to_owned(), status: parts.status, headers: parts.headers, pieces };
        if !answer.status.is_redirection() {
            return Ok(answer);
        }
        let next = at.join(answer.header(header::LOCATION)).map_err(|error| failed(format!("it is redirected to no address: {error}")))?;
        if next.scheme() != "https" && (at.scheme() == "https" || next.scheme() != "http") {
            return Err(failed(format!("it is redirected to {}, where anybody could change it on the way", origin(&next))));
        }
        at = next;
    }
    Err(failed(format!("it is redirected more than {REDIRECTS} times, at last to {}", origin(&at))))
}

/// Asks for a file. `None` when the server says that there is none.
///
/// # Errors
/// As [`ask`], and when another answer than a file came.
pub async fn download(http: &dyn Http, url: &str) -> Result<Option<Answer>> {
    let answer = ask(http, url, &HeaderMap::new()).await?;
    match answer.status {
        status if status.is_success() => Ok(Some(answer)),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        status => Err(Error::peer(FetchArtifact::new(url, format!("the server answered {status}")))),
    }
}

/// Who was asked, without a path that might carry a key.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Answer {
    /// The text of one of its headers; nothing where it has none.
    pub fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Hands over the file piece by piece and returns its size in bytes.
    ///
    /// # Errors
    /// When it does not come to its end within an hour, and as `take`.
    pub async fn each(mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        let (place, mut size) = (self.place, 0);
        let all = async {
            while let Some(piece) = self.pieces.next().await {
                let reason = |error| format!("it broke off after {size} bytes: {error}");
                let piece = piece.map_err(|error| Error::peer(FetchArtifact { place: place.clone(), reason: reason(error) }))?;
                size += piece.len() as u64;
                take(&piece)?;
            }
            Ok(size)
        };
        let late =
            || Error::peer(FetchArtifact { place: place.clone(), reason: format!("it took longer than {} min", WHOLE.as_secs() / 60) });
        tokio::time::timeout(WHOLE, all).await.unwrap_or_else(|_| Err(late()))
    }

    /// The whole file, which is not larger than an answer to be kept in memory.
    ///
    /// # Errors
    /// As [`each`](Self::each), and for a larger one.
    pub async fn whole(self) -> Result<Bytes> {
        let (place, mut whole) = (self.place.clone(), BytesMut::new());
        let largest = kthw_http::LARGEST;
        self.each(|piece| {
            if whole.len() + piece.len() > largest {
                return Err(Error::peer(FetchArtifact {
                    place: place.clone(),
                    reason: format!("it is larger than {} MiB", largest >> 20),
                }));
            }
            whole.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(whole.freeze())
    }
}

/// A file that came whole.
pub struct Whole {
    /// Where it came from.
    pub place: String,
    /// What the server says that it is; nothing for a file of a folder.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Brings a file from `mirror` (an absolute folder or an `http(s)` URL) if there is one, else from upstream.
///
/// # Errors
/// When that place has it not.
pub async fn bring(http: &dyn Http, mirror: Option<&str>, upstream: &Upstream) -> Result<Whole> {
    if let Some(folder) = mirror.filter(|mirror| !is_web(mirror)) {
        let path = Path::new(folder).join(upstream.path());
        let place = path.display().to_string();
        return match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(Whole { place, content_type: String::new(), bytes: bytes.into() }),
            Err(source) => Err(Error::peer(FetchArtifact { place, reason: source.to_string() })),
        };
    }
    let url = web_place(mirror, upstream);
    if url.is_empty() {
        return Err(Error::peer(NoPlace { path: upstream.path() }));
    }
    match download(http, &url).await? {
        Some(answer) => {
            let (place, content_type) = (answer.place.clone(), answer.header(header::CONTENT_TYPE).to_owned());
            Ok(Whole { place, content_type, bytes: answer.whole().await? })
        }
        None => Err(Error::peer(FetchArtifact::absent(&url))),
    }
}

/// The address of a file: a mirror's if that is a web server, else upstream's.
pub fn web_place(mirror: Option<&str>, upstream: &Upstream) -> String {
    let mirror = mirror.filter(|mirror| is_web(mirror));
    mirror.map_or_else(|| upstream.url.clone(), |mirror| format!("{}/{}", mirror.trim_end_matches('/'), upstream.path()))
}

fn is_web(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// A file that nobody serves, and no mirror is named.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} comes from a mirror alone, and the workspace names none")]
#[diagnostic(
    code(kthw::artifact::no_place),
    help("put it under that name into a folder or web server, and name that as `artifacts.mirror`")
)]
struct NoPlace {
    path: String,
}

/// A file could not be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot fetch {place}: {reason}")]
#[diagnostic(
    code(kthw::artifact::fetch),
    help(
        "without a way there, put the file into a folder or web server as <project>/<version>/<file> and name that as `artifacts.mirror`"
    )
)]
pub struct FetchArtifact {
    place: String,
    reason: String,
}

impl FetchArtifact {
    /// That nothing came from `place`, because of `reason`.
    pub fn new(place: &str, reason: String) -> Self {
        Self { place: place.into(), reason }
    }

    /// The server says that there is no such file.
    pub fn absent(place: &str) -> Self {
        Self { place: place.into(), reason: "the server says that there is no such file (404)".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Page, Web};
    use super::*;

    async fn fetched(web: &Web, url: &str) -> String {
        match download(web, url).await {
            Ok(Some(answer)) => String::from_utf8_lossy(&answer.whole().await.expect("whole")).into_owned(),
            Ok(None) => "none".into(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn redirects_are_followed_and_never_to_where_anybody_could_change_the_file() {
        let web = Web::of([
            ("https://a.test/1", Page::to("https://b.test/2?key=secret")),
            ("https://b.test/2?key=secret", Page::to("/3")),
            ("https://b.test/3", Page::text("hello")),
            ("https://a.test/plain", Page::to("http://b.test/3")),
            ("https://a.test/file", Page::to("file:///etc/passwd")),
            ("https://a.test/round", Page::to("/round")),
            ("https://a.test/broken", Page::status(500)),
        ]);
        assert_eq!(fetched(&web, "https://a.test/1").await, "hello");
        assert_eq!(fetched(&web, "https://a.test/none").await, "none");
        let plain = fetched(&web, "https://a.test/plain").await;
        assert!(plain.contains("redirected to http://b.test, where anybody could change it"), "{plain}");
        assert!(fetched(&web, "https://a.test/file").await.contains("redirected to null"));
        assert!(fetched(&web, "https://a.test/round").await.contains("more than 5 times"));
        assert!(fetched(&web, "https://a.test/broken").await.contains("the server answered 500"));
    }
}
