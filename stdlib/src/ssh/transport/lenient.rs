//! A way past a text that is not UTF-8.
//!
//! A server may send a text for people before the login (`Banner` in sshd_config(5)). It should be UTF-8 (RFC 4252, 5.4); sshd sends the file
//! as it is, and russh ends the connection over any other byte. So such a server is connected to once more with this between: it knows the
//! key of what the server sends, as both sides do, and puts `?` for the bytes that are not UTF-8 in that one kind of message. All other
//! messages pass as they came, and after the login everything does. Nothing goes out by it, and what does not verify is not touched:
//! russh refuses it as ever. For one cipher and one kind of key exchange, which every OpenSSH since 6.5 has (docs/adr/0013-banner.md).
use ring::aead::chacha20_poly1305_openssh::{KEY_LEN, OpeningKey, PACKET_LENGTH_LEN, SealingKey, TAG_LEN};
use sha2::{Digest, Sha256};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

// Message numbers of RFC 4253 (12) and RFC 4252 (6).
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const USERAUTH_SUCCESS: u8 = 52;
const USERAUTH_BANNER: u8 = 53;
/// What a server puts into its first message when numbers begin anew with the keys (OpenSSH's PROTOCOL, 1.10).
const STRICT: &[u8] = b"kex-strict-s-v00@openssh.com";
/// The longest packet that OpenSSH sends.
const LONGEST: usize = 256 * 1024;

/// Hands over from the handshake what the key of the server's messages is made of.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    secret: Option<Zeroizing<Vec<u8>>>,
    key: Option<Zeroizing<[u8; KEY_LEN]>>,
    waiting: Option<Waker>,
}

impl Handover {
    /// The secret that both sides share, of the first key exchange.
    pub fn share(&self, secret: &[u8]) {
        self.parts().secret.get_or_insert_with(|| Zeroizing::new(secret.to_vec()));
    }

    /// Makes the key of it, by the session's identifier (RFC 4253, 7.2), and lets the messages through that wait for it.
    pub fn agree(&self, session_id: &[u8]) {
        let mut parts = self.parts();
        // Those of later exchanges are not wanted.
        let secret = parts.secret.replace(Zeroizing::default()).unwrap_or_default();
        let begin = || Sha256::new().chain_update(&*mpint(&secret)).chain_update(session_id);
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let (first, second) = key.split_at_mut(KEY_LEN / 2);
        first.copy_from_slice(&begin().chain_update(b"D").chain_update(session_id).finalize());
        second.copy_from_slice(&begin().chain_update(&*first).finalize());
        parts.key = Some(key);
        if let Some(waker) = parts.waiting.take() {
            waker.wake();
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number as RFC 4251 (5) writes it.
fn mpint(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let sign = usize::from(digits.first().is_some_and(|byte| byte & 0x80 != 0));
    let length = u32::try_from(digits.len() + sign).unwrap_or(u32::MAX);
    let mut number = Zeroizing::new(length.to_be_bytes().to_vec());
    number.resize(4 + sign, 0);
    number.extend_from_slice(digits);
    number
}

/// Where the server's side of the conversation is.
enum Phase {
    /// Before the line that says SSH.
    Lines,
    /// Messages are in the clear; so many have come.
    Clear { count: u32, is_strict: bool },
    /// Messages are sealed; the number of the next one, and its key once there is one.
    Sealed { number: u32, keys: Option<(OpeningKey, SealingKey)> },
    /// All passes.
    Open,
}

/// A stream on which the server's text for people becomes UTF-8.
pub(crate) struct Lenient<S> {
    stream: S,
    handover: Handover,
    phase: Phase,
    raw: Vec<u8>,
    ready: Vec<u8>,
}

impl<S> Lenient<S> {
    /// All passes where there is nothing to hand over.
    pub fn new(stream: S, handover: Option<Handover>) -> Self {
        let phase = if handover.is_some() { Phase::Lines } else { Phase::Open };
        Self { stream, handover: handover.unwrap_or_default(), phase, raw: Vec::new(), ready: Vec::new() }
    }

    /// Takes one piece from what has come to what is ready; how many bytes, and the phase after it. `None` when more has to come first.
    fn step(&mut self, cx: &Context<'_>) -> Option<()> {
        let (taken, next) = match &mut self.phase {
            Phase::Lines => {
                let end = self.raw.iter().position(|byte| *byte == b'\n')? + 1;
                let next = self.raw.starts_with(b"SSH-").then_some(Phase::Clear { count: 0, is_strict: false });
                (end, next)
            }
            Phase::Clear { count, is_strict } => {
                let length = u32::from_be_bytes(*self.raw.first_chunk()?) as usize;
                if length > LONGEST {
                    (self.raw.len(), Some(Phase::Open))
                } else {
                    let packet = self.raw.get(..4 + length)?;
                    let kind = packet.get(5).copied();
                    *count = count.wrapping_add(1);
                    *is_strict |= kind == Some(KEXINIT) && packet.windows(STRICT.len()).any(|bytes| bytes == STRICT);
                    let number = if *is_strict { 0 } else { *count };
                    (packet.len(), (kind == Some(NEWKEYS)).then_some(Phase::Sealed { number, keys: None }))
                }
            }
            Phase::Sealed { number, keys } => {
                let encrypted: [u8; PACKET_LENGTH_LEN] = *self.raw.first_chunk()?;
                let (opening, sealing) = match keys {
                    Some(keys) => keys,
                    None => {
                        let mut parts = self.handover.parts();
                        let Some(key) = parts.key.take() else {
                            parts.waiting = Some(cx.waker().clone());
                            return None;
                        };
                        keys.insert((OpeningKey::new(&key), SealingKey::new(&key)))
                    }
                };
                let length = u32::from_be_bytes(opening.decrypt_packet_length(*number, encrypted)) as usize;
                if length > LONGEST {
                    (self.raw.len(), Some(Phase::Open))
                } else {
                    let end = PACKET_LENGTH_LEN + length;
                    let packet = self.raw.get_mut(..end + TAG_LEN)?;
                    let is_last = mend(packet, end, *number, opening, sealing);
                    *number = number.wrapping_add(1);
                    (end + TAG_LEN, is_last.then_some(Phase::Open))
                }
            }
            Phase::Open if self.raw.is_empty() => return None,
            Phase::Open => (self.raw.len(), None),
        };
        self.ready.extend(self.raw.drain(..taken));
        if let Some(next) = next {
            self.phase = next;
        }
        Some(())
    }
}

/// Mends a sealed packet in its place if it is a text for people that is not UTF-8. Whether it is the last before all passes.
fn mend(packet: &mut [u8], end: usize, number: u32, opening: &OpeningKey, sealing: &SealingKey) -> bool {
    let mut copy = Zeroizing::new(packet[..end].to_vec());
    let Some(tag) = packet[end..].first_chunk::<TAG_LEN>() else { return true };
    // What does not verify is russh's to refuse.
    if opening.open_in_place(number, &mut copy, tag).is_err() {
        return true;
    }
    let length = u32::try_from(end - PACKET_LENGTH_LEN).unwrap_or_default();
    copy[..PACKET_LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    // Behind the length: how much padding there is, the kind of message, the text's length, the text.
    match copy.get(5) {
        Some(&USERAUTH_SUCCESS) => return true,
        Some(&USERAUTH_BANNER) => {}
        _ => return false,
    }
    let text_length = copy.get(6..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    let Some(text) = copy.get_mut(10..).and_then(|rest| rest.get_mut(..text_length)) else { return false };
    if std::str::from_utf8(text).is_ok() {
        return false;
    }
    text.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
    let mut tag = [0; TAG_LEN];
    sealing.seal_in_place(number, &mut copy, &mut tag);
    packet[..end].copy_from_slice(&copy);
    packet[end..].copy_from_slice(&tag);
    false
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.ready.is_empty() {
                let count = buffer.remaining().min(self.ready.len());
                buffer.put_slice(&self.ready[..count]);
                self.ready.drain(..count);
                return Poll::Ready(Ok(()));
            }
            if self.step(cx).is_some() {
                continue;
            }
            match &self.phase {
                Phase::Open => return Pin::new(&mut self.stream).poll_read(cx, buffer),
                // The key is on its way.
                Phase::Sealed { keys: None, .. } if self.raw.len() >= PACKET_LENGTH_LEN => return Poll::Pending,
                _ => {}
            }
            let mut chunk = [0; 8 * 1024];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                // It ends in the middle of something.
                self.phase = Phase::Open;
                if self.raw.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            self.raw.extend_from_slice(chunk.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
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

    /// A packet with this payload, sealed.
    fn sealed(number: u32, payload: &[u8], key: &[u8; KEY_LEN]) -> Vec<u8> {
        let mut packet = vec![0; PACKET_LENGTH_LEN];
        packet.push(4);
        packet.extend_from_slice(payload);
        packet.extend_from_slice(&[7; 4]);
        let length = u32::try_from(packet.len() - PACKET_LENGTH_LEN).unwrap();
        packet[..PACKET_LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
        let mut tag = [0; TAG_LEN];
        SealingKey::new(key).seal_in_place(number, &mut packet, &mut tag);
        packet.extend_from_slice(&tag);
        packet
    }

    fn banner(text: &[u8]) -> Vec<u8> {
        let mut payload = vec![USERAUTH_BANNER];
        payload.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(text);
        payload.extend_from_slice(&[0; 4]);
        payload
    }

    #[test]
    fn a_text_becomes_utf_8_and_nothing_else_changes() {
        let key = [9; KEY_LEN];
        let mended = |number, packet: &[u8]| {
            let mut packet = packet.to_vec();
            let end = packet.len() - TAG_LEN;
            let last = mend(&mut packet, end, number, &OpeningKey::new(&key), &SealingKey::new(&key));
            (packet, last)
        };
        let latin = sealed(3, &banner(b"F\xfcr alle\n"), &key);
        assert_eq!(mended(3, &latin), (sealed(3, &banner(b"F?r alle\n"), &key), false));
        let utf_8 = sealed(3, &banner("Für alle\n".as_bytes()), &key);
        assert_eq!(mended(3, &utf_8), (utf_8.clone(), false));
        let other = sealed(3, b"\x33\xff\xfe", &key);
        assert_eq!(mended(3, &other), (other.clone(), false));
        let success = sealed(3, &[USERAUTH_SUCCESS], &key);
        assert_eq!(mended(3, &success), (success.clone(), true));
        // Under another number it does not verify, and passes as it came.
        assert_eq!(mended(4, &latin), (latin.clone(), true));
        let mut cut = banner(b"F\xfcr alle\n");
        cut[4] = 200;
        let cut = sealed(3, &cut, &key);
        assert_eq!(mended(3, &cut), (cut.clone(), false));
    }

    #[test]
    fn numbers_are_written_as_the_protocol_has_them() {
        let cases: [(&[u8], &[u8]); 4] = [
            (&[], &[0, 0, 0, 0]),
            (&[0, 0, 0x12], &[0, 0, 0, 1, 0x12]),
            (&[0x80, 1], &[0, 0, 0, 3, 0, 0x80, 1]),
            (&[0, 0x7f, 0], &[0, 0, 0, 2, 0x7f, 0]),
        ];
        for (bytes, number) in cases {
            assert_eq!(*mpint(bytes), number);
        }
    }
}
