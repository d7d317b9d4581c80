//! Asks through machines: a connection that the machine itself makes, carried by SSH (RFC 4254, 7.2).
use super::{
    dns,
    question::{Answer, Destination, Question},
};
use crate::{
    kubernetes::{Duplex, Tunnel},
    seams::Reach,
};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kthw_engine::{BoxFuture, Error, Result};
use kthw_http::in_plain_words;
use miette::Diagnostic;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use std::{fmt, io, sync::Arc};
use tokio_rustls::TlsConnector;
use x509_cert::{Certificate, der::Decode};

/// Asks through the machines that `tunnel` reaches.
pub struct OverSsh {
    tunnel: Arc<dyn Tunnel>,
}

impl OverSsh {
    /// Connections are opened through `tunnel`.
    pub fn new(tunnel: Arc<dyn Tunnel>) -> Self {
        Self { tunnel }
    }
}

impl Reach for OverSsh {
    fn ask<'a>(&'a self, node: &'a str, to: &'a Destination, question: &'a Question) -> BoxFuture<'a, Result<Answer>> {
        Box::pin(async move {
            let stream = self.tunnel.open(node, &to.host, to.port).await?;
            let wrong = |what: &dyn fmt::Display| Error::peer(WrongAnswer { to: to.to_string(), what: in_plain_words(&what.to_string()) });
            match question {
                Question::Connect => Ok(Answer::Connected),
                Question::Name(name) => dns::addresses(stream, name).await.map(Answer::Addresses).map_err(|error| wrong(&error)),
                Question::Get(path) => status(stream, to, path).await.map(Answer::Status).map_err(|error| wrong(&error)),
                Question::Certificate { name, authorities } => {
                    ends(stream, name, authorities).await.map(Answer::Ends).map_err(|error| wrong(&error))
                }
            }
        })
    }
}

/// The status of a `GET`; the body is not read.
async fn status(stream: Box<dyn Duplex>, to: &Destination, path: &str) -> hyper::Result<u16> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = http::Request::new(Empty::<bytes::Bytes>::new());
    if let Ok(path) = path.parse() {
        *request.uri_mut() = path;
    }
    if let Ok(host) = to.to_string().parse() {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let answered = std::pin::pin!(async { Ok(sender.send_request(request).await?.status().as_u16()) });
    match futures::future::select(answered, std::pin::pin!(connection)).await {
        futures::future::Either::Left((answer, _)) => answer,
        futures::future::Either::Right((ended, answered)) => {
            ended?;
            answered.await
        }
    }
}

/// When the certificate of a TLS server ends, after it was verified.
async fn ends(stream: Box<dyn Duplex>, name: &str, authorities: &[CertificateDer<'static>]) -> io::Result<Timestamp> {
    let invalid = |error: &dyn fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| invalid(&error))?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = ServerName::try_from(name.to_owned()).map_err(|error| invalid(&error))?;
    let secured = TlsConnector::from(Arc::new(config)).connect(server, stream).await?;
    let shown = secured.get_ref().1.peer_certificates().and_then(<[_]>::first).ok_or_else(|| invalid(&"it showed no certificate"))?;
    let certificate = Certificate::from_der(shown).map_err(|error| invalid(&error))?;
    let seconds = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| invalid(&"its end is no time"))
}

/// Somebody answered, and not as the protocol has it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{to}: {what}")]
#[diagnostic(code(kthw::validation::wrong_answer), help("see what listens there, and its log"))]
struct WrongAnswer {
    to: String,
    what: String,
}
