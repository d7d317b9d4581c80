//! The client of one Pi-hole: what it holds, and changing that, whichever API it has.
use super::{access::Access, error::Failure, five, six};
use crate::workspace::PiHoleVersion;
use crate::{
    http::HttpClient,
    seams::{Http, Unreachable, send},
};
use bytes::Bytes;
use http::{Request, Response};
use kthw_engine::{Error, Limit, Peers, Permit, Poll, Result, wait};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// How long a Pi-hole may be away without being given up: its resolver restarts when somebody changes something.
const AWAY: Limit = Limit::seconds(20);

/// How a change is made: of the lines that are there, those that shall be; the same ones where there is nothing to change.
pub(super) type Edit<'e> = &'e (dyn Fn(&[String]) -> Result<Vec<String>> + Send + Sync);

/// A client of the workspace's Pi-hole.
pub struct Client {
    open: OnceCell<Open>,
    find: Box<dyn Fn() -> Result<Access> + Send + Sync>,
}

/// The Pi-hole once it was looked for.
pub(super) struct Open {
    pub http: Arc<dyn Http>,
    pub access: Access,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.open.get().map(|open| &open.access.url)).finish_non_exhaustive()
    }
}

impl Client {
    /// A client over the network. Its settings are looked for at the first call, so a run without records never opens its secrets for them.
    pub fn new(find: impl Fn() -> Result<Access> + Send + Sync + 'static) -> Self {
        Self { open: OnceCell::new(), find: Box::new(find) }
    }

    /// A client that sends through `http`, whatever `access` says whom to trust.
    pub fn over(http: Arc<dyn Http>, access: Access) -> Self {
        let known = access.clone();
        Self { open: OnceCell::new_with(Some(Open { http, access })), find: Box::new(move || Ok(known.clone())) }
    }

    /// All its records, as lines of an address and names.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(super) async fn hosts(&self, peers: &Peers) -> Result<Vec<String>> {
        let open = self.open().await?;
        match open.access.version {
            PiHoleVersion::Five => five::hosts(open, peers).await,
            PiHoleVersion::Six => six::hosts(open, peers).await,
        }
    }

    /// Changes its records; `what` says in words what is changed.
    ///
    /// # Errors
    /// As [`hosts`](Self::hosts), and what `edit` fails with.
    pub(super) async fn change(&self, peers: &Peers, permit: &Permit, what: &str, edit: Edit<'_>) -> Result<()> {
        let open = self.open().await?;
        match open.access.version {
            PiHoleVersion::Five => five::change(open, peers, permit, edit).await,
            PiHoleVersion::Six => six::change(open, peers, permit, what, edit).await,
        }
    }

    async fn open(&self) -> Result<&Open> {
        let connect = async || {
            let access = (self.find)()?;
            let http = HttpClient::new(&access.trust).map_err(Error::usage)?;
            Ok(Open { http: Arc::new(http), access })
        };
        self.open.get_or_try_init(connect).await
    }
}

impl Open {
    /// Its URL, for messages.
    pub fn url(&self) -> String {
        self.access.url.clone()
    }

    /// Sends one request.
    pub async fn send(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, Unreachable> {
        send(&*self.http, request).await
    }

    /// Sends a request that may be repeated, until somebody answers.
    ///
    /// # Errors
    /// When nobody did in time, or the certificate is not believed.
    pub async fn ask(&self, peers: &Peers, request: &Request<Bytes>) -> Result<Response<Bytes>> {
        let what = format!("Pi-hole at {} to answer", self.access.url);
        let help = "see that `dns.pihole.url` leads to it from this computer, and that it runs";
        wait(peers, AWAY, &what, help, || async move {
            match self.send(request.clone()).await {
                Ok(answer) => Ok(Poll::Ready(answer)),
                Err(away) => self.passing(away).map(Poll::Pending),
            }
        })
        .await
    }

    /// What is seen of a Pi-hole that is away, if it may come back.
    ///
    /// # Errors
    /// A certificate that is not believed will not be believed later.
    pub fn passing(&self, Unreachable { reason, .. }: Unreachable) -> Result<String> {
        match reason.contains("certificate") {
            true => Err(Failure::NoAnswer { url: self.url(), reason }.into()),
            false => Ok(reason),
        }
    }

    /// What answers is no Pi-hole of this version.
    pub fn another(&self, said: impl Into<String>) -> Error {
        Failure::Another { url: self.url(), version: self.access.version, said: said.into() }.into()
    }
}
