//! One SSH connection to one node: opened with the host's key checked, shared by everything that talks to the node.
use super::{
    error::SshError,
    handshake::log_in,
    host_key::{Believed, Client, Seen},
    identity::Identity,
    known_hosts::KnownHosts,
    shell::tail,
    stream::Quick,
};
use kthw_engine::progress;
use russh::{Channel, ChannelMsg, ChannelOpenFailure, client};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a server that turns logins away at the door is tried again, and the pauses in between.
const TURNED_AWAY_LIMIT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LAST_PAUSE: Duration = Duration::from_secs(5);
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
    believed: Option<Believed>,
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

/// Hears what a command prints as it comes.
pub(crate) trait Listener: Send {
    /// A piece of standard output; whether it is kept for the answer.
    fn stdout(&mut self, bytes: &[u8]) -> bool;

    /// A piece of standard error.
    fn stderr(&mut self, _bytes: &[u8]) {}
}

/// Nobody listens; all is kept.
impl Listener for () {
    fn stdout(&mut self, _bytes: &[u8]) -> bool {
        true
    }
}

/// Somebody listens to standard output, which is kept as well.
pub(crate) struct Kept<F>(F);

/// A listener that is a function.
pub(crate) fn kept<F: FnMut(&[u8]) + Send>(heard: F) -> Kept<F> {
    Kept(heard)
}

impl<F: FnMut(&[u8]) + Send> Listener for Kept<F> {
    fn stdout(&mut self, bytes: &[u8]) -> bool {
        self.0(bytes);
        true
    }
}

impl Connection {
    /// Connects, checks the host's key and logs in; through another connection if there is one. A server that closes the connection
    /// before it says a word has too many logins under way (`MaxStartups`): nothing has happened yet, so it is tried again.
    pub async fn open(target: Target, identity: &Identity, known: &KnownHosts, through: Option<Arc<Self>>) -> Result<Self, SshError> {
        let (begun, mut pause, mut is_lenient) = (Instant::now(), FIRST_PAUSE, false);
        loop {
            let seen = Seen::default();
            match Self::attempt(&target, identity, known, through.as_ref(), &seen, is_lenient).await {
                Err(SshError::UnreadableBanner { .. }) if !is_lenient => is_lenient = true,
                // The server has not what that takes.
                Err(SshError::Handshake { .. }) if is_lenient => return Err(target.unreadable_banner()),
                Err(SshError::TurnedAway { said, .. }) if begun.elapsed() + pause < TURNED_AWAY_LIMIT => {
                    if pause == FIRST_PAUSE {
                        let (node, address, limit) = (&target.node, target.address(), TURNED_AWAY_LIMIT.as_secs());
                        progress(format!("{node} at {address} closed the connection at once{said}; trying again for at most {limit} s"));
                    }
                    tokio::time::sleep(pause).await;
                    pause = LAST_PAUSE.min(pause * 2);
                }
                Err(error) => return Err(error.after(begun.elapsed())),
                Ok(session) => {
                    let believed = seen.believed.get().cloned();
                    return Ok(Self { session, channels: Semaphore::new(CHANNELS), target, believed, _through: through });
                }
            }
        }
    }

    async fn attempt(
        target: &Target,
        identity: &Identity,
        known: &KnownHosts,
        through: Option<&Arc<Self>>,
        seen: &Seen,
        is_lenient: bool,
    ) -> Result<client::Handle<Client>, SshError> {
        match through {
            None => {
                let dialed = timeout(CONNECT_LIMIT, TcpStream::connect((target.host.as_str(), target.port))).await;
                let stream = dialed.map_err(|_| target.no_answer(CONNECT_LIMIT))?;
                let stream = stream.and_then(Quick::new).map_err(|source| target.unreachable(source))?;
                log_in(stream, target, identity, known, seen, is_lenient).await
            }
            Some(jump) => {
                let channel = jump.open_direct(&target.host, target.port).await.map_err(|source| SshError::ThroughJumpHost {
                    node: target.node.clone(),
                    address: target.address(),
                    jump: jump.target.address(),
                    source,
                })?;
                log_in(channel.into_stream(), target, identity, known, seen, is_lenient).await
            }
        }
    }

    /// The host key that was believed, with the host and port that it was shown for.
    pub fn host_key(&self) -> Option<(&str, u16, &Believed)> {
        Some((&self.target.host, self.target.port, self.believed.as_ref()?))
    }

    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Runs a command line. The listener gets the output as it comes, and says whether it is to be kept for the answer too.
    pub async fn exec(
        &self,
        command: &str,
        stdin: Option<&[u8]>,
        limit: Duration,
        during: &'static str,
        listener: impl Listener,
    ) -> Result<Answer, SshError> {
        let node = || self.target.node.clone();
        let _place = self.channels.acquire().await.expect("the semaphore is never closed");
        let channel = self.open_session().await.map_err(|source| SshError::Broken { node: node(), during, source })?;
        match timeout(limit, converse(channel, command, stdin, listener)).await {
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

    pub fn no_answer(&self, limit: Duration) -> SshError {
        SshError::NoAnswer { node: self.node.clone(), address: self.address(), seconds: limit.as_secs() }
    }
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
async fn converse(channel: Channel<client::Msg>, command: &str, stdin: Option<&[u8]>, mut listener: impl Listener) -> Result<Answer, Talk> {
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
                if listener.stdout(&data) {
                    if answer.stdout.len() + data.len() > OUTPUT_LIMIT {
                        return Err(Talk::TooMuch);
                    }
                    answer.stdout.extend_from_slice(&data);
                }
            }
            Ok(Some(ChannelMsg::ExtendedData { data, .. })) => {
                listener.stderr(&data);
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
