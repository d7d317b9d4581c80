//! A moto_server for one test, on a loopback address: it plays services of AWS.
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Ends with the value.
#[derive(Debug)]
pub struct MotoServer {
    server: Child,
    address: SocketAddr,
}

impl Drop for MotoServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl MotoServer {
    /// Starts one and returns when it listens.
    pub fn start(moto: &Path) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new(moto);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", moto.display()));
        let started = Self { server, address };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "moto_server does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        started
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as AWS_ENDPOINT_URL wants it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on signatures are verified and policies apply.
    pub fn be_strict(&self) {
        self.ask("POST", "/moto-api/reset-auth", &[], b"0");
    }

    /// Sends a request and gives the body of the answer, which has to be a good one.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut connection = TcpStream::connect(self.address).expect("it runs");
        connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n{more}Content-Length: {}\r\n\r\n", self.address, body.len());
        connection.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("it answers");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{method} {path}: {text}");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the head ends");
        answer.split_off(end + 4)
    }
}
