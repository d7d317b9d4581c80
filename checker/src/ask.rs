//! Asks one server: one HTTP request on a connection of its own, all of it within one time-out.
use crate::config::Check;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Asks once, and says whether the answer is what was expected, and what it was.
pub fn ask(check: &Check) -> (bool, String) {
    let began = Instant::now();
    match status(check, began + Duration::from_millis(check.timeout_ms)) {
        Ok(status) if status == check.expected_status => (true, format!("status {status} in {} ms", began.elapsed().as_millis())),
        Ok(status) => (false, format!("status {status} instead of {}", check.expected_status)),
        Err(error) if is_late(&error) => (false, format!("no answer within {} ms", check.timeout_ms)),
        Err(error) => (false, error.to_string()),
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// The status of the answer. Nothing behind its first line is waited for.
fn status(check: &Check, until: Instant) -> io::Result<u16> {
    let stream = TcpStream::connect_timeout(&check.url.address, left(until)?)?;
    stream.set_nodelay(true)?;
    let bounded = Bounded { stream, until };
    if check.url.tls { talk(by_tls(check, bounded)?, check) } else { talk(bounded, check) }
}

fn by_tls(check: &Check, stream: Bounded) -> io::Result<StreamOwned<ClientConnection, Bounded>> {
    let wrong = |error: rustls::Error| io::Error::new(ErrorKind::InvalidData, error);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(authorities(check.ca_file.as_deref())?)
        .with_no_client_auth();
    let name = match &check.server_name {
        Some(name) => ServerName::try_from(name.clone()).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?,
        None => check.url.address.ip().into(),
    };
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name).map_err(wrong)?, stream))
}

/// The authorities in a PEM file.
pub fn authorities(file: Option<&Path>) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else { return Ok(store) };
    let wrong = |why: String| io::Error::new(ErrorKind::InvalidData, format!("cannot take authorities from {}: {why}", file.display()));
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        store.add(certificate.map_err(|error| wrong(error.to_string()))?).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("it holds no certificate".into()));
    }
    Ok(store)
}

/// The longest status line that is read, in bytes.
const LONGEST: usize = 1024;

fn talk(mut stream: impl Read + Write, check: &Check) -> io::Result<u16> {
    let host = check.host.clone().unwrap_or_else(|| check.url.address.to_string());
    let (path, version) = (&check.url.path, env!("CARGO_PKG_VERSION"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kthw-checker/{version}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut length) = ([0; LONGEST], 0);
    loop {
        let read = stream.read(&mut bytes[length..])?;
        length += read;
        if let Some(status) = status_in(&bytes[..length])? {
            return Ok(status);
        }
        if read == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended before an HTTP answer came"));
        }
    }
}

/// The status in the beginning of an answer, as soon as its first line is whole.
fn status_in(bytes: &[u8]) -> io::Result<Option<u16>> {
    if !bytes.contains(&b'\n') {
        return Ok(None);
    }
    // The line is what is asked for, so there is no need of room for headers.
    let mut answer = httparse::Response::new(&mut []);
    match answer.parse(bytes) {
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Ok(answer.code),
        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, format!("the answer is not HTTP ({error})"))),
    }
}

/// A connection on which nothing takes longer than until a moment.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
