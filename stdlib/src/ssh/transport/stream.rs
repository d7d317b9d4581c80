//! A TCP stream that acknowledges at once, and one whose first bytes are overheard.
//!
//! sshd leaves Nagle's algorithm on for sessions without a terminal, so its second small packet waits for our acknowledgement, which
//! Linux delays by 40 ms unless told not to; and it has to be told again after every read (tcp(7), `TCP_QUICKACK`).
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub(crate) struct Quick(TcpStream);

impl Quick {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = Self(stream);
        stream.acknowledge_at_once();
        Ok(stream)
    }

    #[cfg(target_os = "linux")]
    fn acknowledge_at_once(&self) {
        // It is only faster: a system that refuses it works as well.
        let _ = socket2::SockRef::from(&self.0).set_tcp_quickack(true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge_at_once(&self) {}
}

impl AsyncRead for Quick {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        if read.is_ready() {
            self.acknowledge_at_once();
        }
        read
    }
}

impl AsyncWrite for Quick {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// How many of the first bytes are kept.
const FIRST: usize = 1024;

/// What a peer says before it says that it speaks SSH: a server that turns somebody away may say why in a line of text
/// (RFC 4253, 4.2), and something else than SSH says what it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstWords(Arc<Mutex<Vec<u8>>>);

impl FirstWords {
    /// Whether the peer said that it speaks SSH.
    pub fn speaks_ssh(&self) -> bool {
        self.bytes().split(|byte| *byte == b'\n').any(|line| line.starts_with(b"SSH-"))
    }

    /// The first line that is something else; `None` when the peer said nothing.
    pub fn line(&self) -> Option<String> {
        let bytes = self.bytes();
        let line = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty())?;
        let text = String::from_utf8_lossy(line).into_owned();
        (!line.starts_with(b"SSH-")).then(|| text.chars().take(120).collect())
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose first bytes are overheard.
pub(crate) struct Overheard<S> {
    stream: S,
    words: FirstWords,
    is_done: bool,
}

impl<S> Overheard<S> {
    pub fn new(stream: S, words: FirstWords) -> Self {
        Self { stream, words, is_done: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if !self.is_done && read.is_ready() {
            let mut words = self.words.bytes();
            let new = &buffer.filled()[before..];
            let room = FIRST.saturating_sub(words.len());
            words.extend_from_slice(&new[..room.min(new.len())]);
            let is_full = words.len() >= FIRST;
            drop(words);
            self.is_done = is_full;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_tell_ssh_from_other_things() {
        let heard = |text: &[u8]| FirstWords(Arc::new(Mutex::new(text.to_vec())));
        let cases: [(&[u8], bool, Option<&str>); 5] = [
            (b"", false, None),
            (b"SSH-2.0-OpenSSH_9.2\r\n", true, None),
            (b"Exceeded MaxStartups\r\n", false, Some("Exceeded MaxStartups")),
            (b"welcome\r\nSSH-2.0-x\r\n", true, Some("welcome")),
            (b"\r\nHTTP/1.1 400 Bad Request\r\n", false, Some("HTTP/1.1 400 Bad Request")),
        ];
        for (text, speaks, line) in cases {
            assert_eq!((heard(text).speaks_ssh(), heard(text).line().as_deref()), (speaks, line));
        }
    }
}
