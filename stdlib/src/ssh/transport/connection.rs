//! One SSH connection to one node: opened with the host's key checked, shared by everything that talks to the node.
use super::{
    error::SshError,
    host_key::{Client, Fault},
    identity::{Identity, Login},
    known_hosts::KnownHosts,
    shell::tail,
    stream::Quick,
};
use kthw_engine::progress;
use russh::{
    Channel, ChannelMsg, ChannelOpenFailure, Preferred, client,
    keys::{HashAlg, PublicKey, ssh_key::Algorithm},
};
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a channel may stay open after its program ended, because something that it left behind holds its output.
const AFTER_EXIT: Duration = Duration::from_secs(2);
/// sshd counts a session until it has reaped it (`MaxSessions`, 10 by default), so refusals begin below ten.
const CHANNELS: usize = 4;
const OPEN_ATTEMPTS: u32 = 20;
const OUTPUT_LIMIT: usize = 64 * 1024 * 1024;
const STDERR_LIMIT: usize = 8 * 1024;

/// Where a connection goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub node: String,
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Whether the key of a host of which nothing is known is believed, aloud, at the first connection.
    pub trust_on_first_use: bool,
}

impl Target {
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

pub(crate) struct Connection {
    session: client::Handle<Client>,
    channels: Semaphore,
    target: Target,
    believed: Arc<OnceLock<PublicKey>>,
    /// The connection that this one goes through lives as long.
    _through: Option<Arc<Connection>>,
}

/// What a command printed and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub status: Option<u32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Connection {
    /// Connects, checks the host's key and logs in; through another connection if there is one.
    pub async fn open(target: Target, identity: &Identity, known: &KnownHosts, through: Option<Arc<Self>>) -> Result<Self, SshError> {
        let believed = Arc::new(OnceLock::new());
        let session = match &through {
            None => {
                let dialed = timeout(CONNECT_LIMIT, TcpStream::connect((target.host.as_str(), target.port))).await;
                let stream = dialed.map_err(|_| target.no_answer(CONNECT_LIMIT))?;
                let stream = stream.and_then(Quick::new).map_err(|source| target.unreachable(source))?;
                log_in(stream, &target, identity, known, &believed).await?
            }
            Some(jump) => {
                let channel = jump.open_direct(&target.host, target.port).await.map_err(|source| SshError::ThroughJumpHost {
                    node: target.node.clone(),
                    address: target.address(),
                    jump: jump.target.address(),
                    source,
                })?;
                log_in(channel.into_stream(), &target, identity, known, &believed).await?
            }
        };
        Ok(Self { session, channels: Semaphore::new(CHANNELS), target, believed, _through: through })
    }

    /// The host key that was believed, with the host and port that it was shown for.
    pub fn host_key(&self) -> Option<(&str, u16, &PublicKey)> {
        Some((&self.target.host, self.target.port, self.believed.get()?))
    }

    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Runs a command line. `heard` gets standard output as it comes.
    pub async fn exec(
        &self,
        command: &str,
        stdin: Option<&[u8]>,
        limit: Duration,
        during: &'static str,
        heard: impl FnMut(&[u8]) + Send,
    ) -> Result<Answer, SshError> {
        let node = || self.target.node.clone();
        let _place = self.channels.acquire().await.expect("the semaphore is never closed");
        let channel = self.open_session().await.map_err(|source| SshError::Broken { node: node(), during, source })?;
        match timeout(limit, converse(channel, command, stdin, heard)).await {
            Err(_) => Err(SshError::Timeout { node: node(), during, seconds: limit.as_secs() }),
            Ok(Err(Talk::Broken(source))) => Err(SshError::Broken { node: node(), during, source }),
            Ok(Err(Talk::TooMuch)) => Err(SshError::TooMuch { node: node(), mib: OUTPUT_LIMIT >> 20 }),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// A stream to an address that the node reaches.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, SshError> {
        let failed = |source| SshError::Tunnel { node: self.target.node.clone(), host: host.into(), port, source };
        Ok(self.open_direct(host, port).await.map_err(failed)?.into_stream())
    }

    async fn open_direct(&self, host: &str, port: u16) -> Result<Channel<client::Msg>, russh::Error> {
        timeout(CONNECT_LIMIT, self.session.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0))
            .await
            .unwrap_or(Err(russh::Error::ConnectionTimeout))
    }

    /// Opens a session. A refusal is tried again: nothing has run yet.
    async fn open_session(&self) -> Result<Channel<client::Msg>, russh::Error> {
        let mut attempt = 0;
        loop {
            // A server may take the request and never say a word about it.
            match timeout(CONNECT_LIMIT, self.session.channel_open_session()).await.unwrap_or(Err(russh::Error::ConnectionTimeout)) {
                Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage))
                    if attempt < OPEN_ATTEMPTS =>
                {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(u64::from(5 * attempt))).await;
                }
                opened => return opened,
            }
        }
    }
}

impl Target {
    fn unreachable(&self, source: std::io::Error) -> SshError {
        SshError::Unreachable { node: self.node.clone(), address: self.address(), source }
    }

    fn no_answer(&self, limit: Duration) -> SshError {
        SshError::NoAnswer { node: self.node.clone(), address: self.address(), seconds: limit.as_secs() }
    }
}

async fn log_in<S>(
    stream: S,
    target: &Target,
    identity: &Identity,
    known: &KnownHosts,
    believed: &Arc<OnceLock<PublicKey>>,
) -> Result<client::Handle<Client>, SshError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let work = async {
        let took_first = Arc::new(OnceLock::new());
        let client = Client { target: target.clone(), known: known.clone(), believed: believed.clone(), took_first: took_first.clone() };
        let handshake = client::connect_stream(config(target, known), stream, client).await;
        let mut session = handshake.map_err(|fault| match fault {
            Fault::Host(error) => *error,
            Fault::Protocol(source) => SshError::Handshake { node: target.node.clone(), address: target.address(), source },
        })?;
        if let Some(text) = took_first.get() {
            progress(text);
        }
        match identity.log_in(&mut session, &target.node, &target.user).await? {
            Login::Done => Ok(session),
            Login::Refused(tried) => {
                Err(SshError::Refused { node: target.node.clone(), address: target.address(), user: target.user.clone(), tried })
            }
            Login::Broken(source) => Err(SshError::Handshake { node: target.node.clone(), address: target.address(), source }),
        }
    };
    timeout(LOGIN_LIMIT, work).await.unwrap_or_else(|_| Err(target.no_answer(LOGIN_LIMIT)))
}

fn config(target: &Target, known: &KnownHosts) -> Arc<client::Config> {
    Arc::new(client::Config {
        nodelay: true,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 4,
        preferred: Preferred {
            key: Cow::Owned(key_order(&known.algorithms(&target.host, target.port))),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    })
}

/// A host with several keys is asked for one that is pinned.
fn key_order(pinned: &[Algorithm]) -> Vec<Algorithm> {
    let mut order = Vec::new();
    for algorithm in pinned {
        if matches!(algorithm, Algorithm::Rsa { .. }) {
            order.extend([Some(HashAlg::Sha512), Some(HashAlg::Sha256)].map(|hash| Algorithm::Rsa { hash }));
        } else {
            order.push(algorithm.clone());
        }
    }
    order.extend(Preferred::DEFAULT.key.iter().cloned());
    // `ssh-rsa` signs with SHA-1, which OpenSSH gave up in 8.8 (<https://www.openssh.com/txt/release-8.8>).
    let mut seen = vec![Algorithm::Rsa { hash: None }];
    order.retain(|algorithm| {
        !seen.contains(algorithm) && {
            seen.push(algorithm.clone());
            true
        }
    });
    order
}

enum Talk {
    Broken(russh::Error),
    TooMuch,
}

impl From<russh::Error> for Talk {
    fn from(error: russh::Error) -> Self {
        Self::Broken(error)
    }
}

/// Sends the command and its input while reading everything that comes; ends when the program ended and its output with it.
async fn converse(
    channel: Channel<client::Msg>,
    command: &str,
    stdin: Option<&[u8]>,
    mut heard: impl FnMut(&[u8]) + Send,
) -> Result<Answer, Talk> {
    let (mut incoming, outgoing) = channel.split();
    outgoing.exec(false, command).await?;
    let sending = async {
        if let Some(bytes) = stdin {
            // The program may end without reading all of it; then the channel closes and there is nobody to send to.
            let _ = outgoing.data(bytes).await;
            let _ = outgoing.eof().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(sending);
    let (mut answer, mut stderr, mut ended_output) = (Answer::default(), Vec::new(), false);
    loop {
        let pause = if answer.status.is_some() { AFTER_EXIT } else { Duration::from_secs(u64::from(u32::MAX)) };
        let message = tokio::select! {
            message = timeout(pause, incoming.wait()) => message,
            () = &mut sending => continue,
        };
        match message {
            Err(_) => break,
            Ok(None) if answer.status.is_none() => return Err(russh::Error::Disconnect.into()),
            Ok(None | Some(ChannelMsg::Close)) => break,
            Ok(Some(ChannelMsg::Data { data })) => {
                if answer.stdout.len() + data.len() > OUTPUT_LIMIT {
                    return Err(Talk::TooMuch);
                }
                heard(&data);
                answer.stdout.extend_from_slice(&data);
            }
            Ok(Some(ChannelMsg::ExtendedData { data, .. })) => {
                stderr.extend_from_slice(&data);
                stderr.drain(..stderr.len().saturating_sub(STDERR_LIMIT));
            }
            Ok(Some(ChannelMsg::ExitStatus { exit_status })) => answer.status = Some(exit_status),
            Ok(Some(ChannelMsg::ExitSignal { .. })) => answer.status = Some(128),
            Ok(Some(ChannelMsg::Eof)) => ended_output = true,
            Ok(Some(ChannelMsg::Failure)) => return Err(russh::Error::RequestDenied.into()),
            Ok(Some(_)) => {}
        }
        if ended_output && answer.status.is_some() {
            break;
        }
    }
    let _ = outgoing.close().await;
    answer.stderr = tail(&stderr, STDERR_LIMIT);
    Ok(answer)
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
