//! A Vault for one test, on a loopback address: unsealed, in memory, with a root token.
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Ends with the value.
#[derive(Debug)]
pub struct VaultServer {
    server: Child,
    address: SocketAddr,
    tls: bool,
}

impl Drop for VaultServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl VaultServer {
    /// The token that may do everything.
    pub const ROOT: &str = "root-of-a-test";

    /// Starts one and returns when it listens. With a folder it speaks TLS, and leaves its authority's certificate there, `vault-ca.pem`.
    pub fn start(vault: &Path, tls: Option<&Path>) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new(vault);
        command.args(["server", "-dev", "-dev-no-store-token", "-dev-no-kv"]);
        command.args([format!("-dev-listen-address={address}"), format!("-dev-root-token-id={}", Self::ROOT)]);
        if let Some(folder) = tls {
            command.arg("-dev-tls").arg(format!("-dev-tls-cert-dir={}", folder.display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", vault.display()));
        let started = Self { server, address, tls: tls.is_some() };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "vault does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    /// Asks for something with a body of JSON, as root and without TLS; it has to succeed. `path` follows `/v1/`.
    pub fn tell(&self, path: &str, body: &str) {
        let mut connection = TcpStream::connect(self.address).expect("it runs");
        connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let (address, root, length) = (self.address, Self::ROOT, body.len());
        let head = format!("POST /v1/{path} HTTP/1.0\r\nHost: {address}\r\nX-Vault-Token: {root}\r\nContent-Length: {length}\r\n\r\n");
        connection.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("it answers");
        assert!(answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{path}: {answer}");
    }

    /// Its address as VAULT_ADDR wants it.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }
}
