//! Connections against a server that does not behave.
use super::*;
use russh::{
    ChannelId,
    keys::{PrivateKey, ssh_key::private::Ed25519Keypair},
    server::{self, Auth, ChannelOpenHandle, Msg, Session},
};
use tokio::net::TcpListener;

fn a_key(seed: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[seed; 32]).into()
}

/// A server that lets everybody in and never says whether a channel may be opened.
#[derive(Default)]
struct Undecided(Vec<ChannelOpenHandle>);

impl server::Handler for Undecided {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: server::VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(&mut self, _: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), russh::Error> {
        // Dropped, it would be a refusal.
        self.0.push(reply);
        Ok(())
    }
}

/// A server whose programs write more than anybody should keep.
#[derive(Default)]
struct Flood(Option<Channel<Msg>>);

impl server::Handler for Flood {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: server::VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), russh::Error> {
        self.0 = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, _: ChannelId, _: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        let channel = self.0.take().expect("it was opened");
        tokio::spawn(async move {
            for _ in 0..OUTPUT_LIMIT / (1 << 20) + 8 {
                channel.data_bytes(vec![b'x'; 1 << 20]).await?;
            }
            channel.exit_status(0).await?;
            channel.eof().await
        });
        Ok(())
    }
}

/// A connection to such a server.
async fn connected(handler: impl server::Handler<Error = russh::Error> + Send + 'static) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let config = Arc::new(server::Config { keys: vec![a_key(1)], ..server::Config::default() });
        server::run_stream(config, stream, handler).await.expect("a session").await
    });
    let folder = tempfile::tempdir().expect("a folder");
    let known = KnownHosts::open(folder.path().join("known_hosts")).expect("known hosts");
    let target = Target { node: "cu1".into(), host: "127.0.0.1".into(), port, user: "kthw".into(), trust_on_first_use: true };
    let identity = Identity::of_key("a test", a_key(2));
    Connection::open(target, &identity, &known, None).await.expect("logged in")
}

#[tokio::test]
async fn a_channel_that_is_never_confirmed_is_not_waited_for() {
    let connection = connected(Undecided::default()).await;
    let ran = timeout(4 * CONNECT_LIMIT, connection.exec("true", None, Duration::from_secs(1), "looking", ()));
    let error = ran.await.expect("it has a limit of its own").expect_err("nothing ran");
    assert!(matches!(error, SshError::Broken { source: russh::Error::ConnectionTimeout, .. }), "{error:?}");
}

#[tokio::test]
async fn output_without_an_end_is_not_kept() {
    let connection = connected(Flood::default()).await;
    let ran = connection.exec("yes", None, Duration::from_secs(120), "looking", ()).await;
    assert!(matches!(ran, Err(SshError::TooMuch { .. })), "{:?}", ran.map(|answer| answer.stdout.len()));
}
