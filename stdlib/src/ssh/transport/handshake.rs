//! From a stream to a session: what is offered and asked for, and what a failure on the way means.
use super::{
    connection::Target,
    error::SshError,
    host_key::{Client, Ending, Fault, Seen},
    identity::Identity,
    known_hosts::KnownHosts,
    lenient::{Handover, Lenient},
    login::{Login, Refusal},
    stream::{FirstWords, Overheard},
};
use kthw_engine::progress;
use russh::{
    MethodKind, Preferred, cipher, client, kex,
    keys::{HashAlg, ssh_key::Algorithm},
};
use std::{borrow::Cow, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

const LENIENT_KEX: &[kex::Name] =
    &[kex::CURVE25519, kex::CURVE25519_PRE_RFC_8731, kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];
const LOGIN_LIMIT: Duration = Duration::from_secs(30);

/// Shakes hands over `stream`, checks the host's key and logs in.
pub(crate) async fn log_in<S>(
    stream: S,
    target: &Target,
    identity: &Identity,
    known: &KnownHosts,
    seen: &Seen,
    is_lenient: bool,
) -> Result<client::Handle<Client>, SshError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let work = async {
        let (words, handover) = (FirstWords::default(), is_lenient.then(Handover::default));
        let client = Client { target: target.clone(), known: known.clone(), seen: seen.clone(), handover: handover.clone() };
        let stream = Overheard::new(Lenient::new(stream, handover.clone()), words.clone());
        let handshake = client::connect_stream(config(target, known, is_lenient), stream, client).await;
        let mut session = handshake.map_err(|fault| match fault {
            Fault::Host(error) => *error,
            Fault::Protocol(source) => target.no_handshake(&words, source),
        })?;
        if let (Some(handover), Some(binding)) = (&handover, session.agent_session_binding()) {
            handover.agree(binding.session_id());
        }
        if let Some(text) = seen.took_first.get() {
            progress(text);
        }
        match identity.log_in(&mut session, &target.node, &target.user).await? {
            Login::Done => Ok(session),
            Login::Refused(refusal) => Err(target.refused(&refusal, seen)),
            Login::Broken(source) => Err(match seen.ending.get() {
                Some(Ending::UnreadableBanner) => target.unreadable_banner(),
                _ => SshError::Handshake { node: target.node.clone(), address: target.address(), source },
            }),
        }
    };
    timeout(LOGIN_LIMIT, work).await.unwrap_or_else(|_| Err(target.no_answer(LOGIN_LIMIT)))
}

impl Target {
    /// Why there is no session, by what the server said first and how it ended.
    fn no_handshake(&self, words: &FirstWords, source: russh::Error) -> SshError {
        let (node, address) = (self.node.clone(), self.address());
        let closed = match &source {
            russh::Error::Disconnect => true,
            russh::Error::IO(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)
            }
            _ => false,
        };
        match (words.speaks_ssh(), words.line()) {
            (true, _) => SshError::Handshake { node, address, source },
            (false, None) if closed => SshError::TurnedAway { node, address, seconds: 0, said: String::new() },
            // What sshd says when it has too many logins under way, and to an address that it punishes (`PerSourcePenalties`).
            (false, Some(line)) if closed && TURNING_AWAY.iter().any(|known| line.starts_with(known)) => {
                SshError::TurnedAway { node, address, seconds: 0, said: format!(" (it says `{line}`)") }
            }
            (false, Some(line)) => SshError::NotSsh { node, address, said: format!("it says `{line}`") },
            (false, None) => SshError::Handshake { node, address, source },
        }
    }

    /// Why nobody was let in, by what the server said.
    fn refused(&self, refusal: &Refusal, seen: &Seen) -> SshError {
        let (node, address, user, tried) = (self.node.clone(), self.address(), self.user.clone(), refusal.told());
        if matches!(seen.ending.get(), Some(Ending::UnreadableBanner)) {
            return self.unreadable_banner();
        }
        if refusal.is_partial {
            let wanted = refusal.methods();
            let wanted = if wanted.is_empty() { "something more".to_owned() } else { wanted };
            return SshError::SecondFactor { node, address, user, wanted };
        }
        if refusal.hung_up {
            // Why a login ends after the key was taken comes as one more text for people, as that of pam_nologin(8).
            let said = match (seen.ending.get(), seen.last_banner()) {
                (Some(Ending::Said(text)), _) => format!("it says `{}`", text.trim()),
                (_, Some(text)) => format!("it gave no reason, but showed `{text}`"),
                _ => "it gave no reason".to_owned(),
            };
            return SshError::HungUp { node, address, user, tried, said };
        }
        if !refusal.methods.is_empty() && !refusal.methods.contains(&MethodKind::PublicKey) {
            return SshError::NoKeysTaken { node, address, user, methods: refusal.methods() };
        }
        SshError::Refused { node, address, user, tried }
    }

    pub fn unreadable_banner(&self) -> SshError {
        SshError::UnreadableBanner { node: self.node.clone(), address: self.address() }
    }
}

/// How the lines begin that OpenSSH's sshd sends before it closes a connection at the door (`sshd.c`, since 8.5 and 9.8).
const TURNING_AWAY: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

fn config(target: &Target, known: &KnownHosts, is_lenient: bool) -> Arc<client::Config> {
    // What `Lenient` understands.
    let lenient = Preferred { kex: Cow::Borrowed(LENIENT_KEX), cipher: Cow::Borrowed(&[cipher::CHACHA20_POLY1305]), ..Preferred::DEFAULT };
    let order = key_order(&known.algorithms(&target.host, target.port));
    let certificates = if known.has_authority(&target.host, target.port) { order.clone() } else { Vec::new() };
    Arc::new(client::Config {
        nodelay: true,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 4,
        preferred: Preferred {
            host_key_certificates: Cow::Owned(certificates),
            key: Cow::Owned(order),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..if is_lenient { lenient } else { Preferred::DEFAULT }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_kind_of_key_is_asked_for_first_and_sha_1_never() {
        let rsa = |hash| Algorithm::Rsa { hash };
        let order = key_order(&[rsa(None)]);
        assert_eq!(order[..2], [rsa(Some(HashAlg::Sha512)), rsa(Some(HashAlg::Sha256))]);
        for pinned in [vec![], vec![Algorithm::Ed25519], vec![rsa(None)]] {
            assert!(!key_order(&pinned).contains(&rsa(None)), "{pinned:?}");
        }
    }
}
