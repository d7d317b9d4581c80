//! A Proxmox that says everything back: over real TLS, on this machine, with statuses and bodies of all kinds.
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_peers::{OPENSSL, ask};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What it answers with; `{}` stands for the request as a JSON string's content.
pub const ANSWERS: &[(&str, &str)] = &[
    ("401 authentication failure", r#"{"message":"no ticket for: {}","data":null}"#),
    ("500 Internal Server Error", r#"{"message":"{}","errors":{"password":"{}"}}"#),
    ("403 {header}", r#"{"data":null}"#),
    ("400 Parameter verification failed.", r#"{"errors":{"a":"{base64}","b":"{url}","c":"{hex}"}}"#),
    ("200 OK", r#"{"data":"{}"}"#),
    ("200 OK", r#"{"data":{"version":["{}"],"ticket":7,"release":{"{base64}":"{url}"}}}"#),
    ("200 OK", "{"),
    ("502 Bad Gateway", "<html>{} {base64}</html>"),
    ("599 Too many redirections", r#"{"message":"{}"}"#),
];

/// A server; it ends when dropped.
pub struct Echo {
    pub endpoint: String,
    pub fingerprint: String,
    /// Which of the answers it gives.
    pub answer: Arc<Mutex<usize>>,
    /// What it was sent, to be sure that it got the secrets at all.
    pub heard: Arc<Mutex<Vec<u8>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// `None`, said aloud, where there is nothing to make its certificate.
    #[track_caller]
    pub fn start(address: &str, folder: &Path) -> Option<Self> {
        let [program] = ask([&OPENSSL])?;
        let file = |name: &str| folder.join(name).display().to_string();
        let (key, certificate) = (file("key.pem"), file("certificate.pem"));
        let openssl = |arguments: &[&str]| {
            let output = Command::new(&program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let made = ["-subj", "/CN=echo", "-days", "2", "-keyout", &key, "-out", &certificate];
        openssl(&[&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"], &made[..]].concat());
        let printed = openssl(&["x509", "-in", &certificate, "-noout", "-fingerprint", "-sha256"]);
        let fingerprint = printed.split_once('=').unwrap().1.trim().to_owned();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from_pem_file(&certificate).unwrap()], PrivateKeyDer::from_pem_file(&key).unwrap())
            .unwrap();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let (answer, heard, ends) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (config, theirs) = (Arc::new(config), (answer.clone(), heard.clone(), ends.clone()));
        let thread = std::thread::spawn(move || {
            let (answer, heard, ends) = theirs;
            while !ends.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => serve(stream, &config, *answer.lock().unwrap(), &heard),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Some(Self { endpoint, fingerprint, answer, heard, ends, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One request and one answer on a connection; whatever goes wrong ends the connection.
fn serve(stream: TcpStream, config: &Arc<rustls::ServerConfig>, answer: usize, heard: &Mutex<Vec<u8>>) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let Ok(connection) = rustls::ServerConnection::new(config.clone()) else { return };
    let mut tls = rustls::StreamOwned::new(connection, stream);
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !complete(&request) {
        match tls.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    heard.lock().unwrap().extend_from_slice(&request);
    let text = String::from_utf8_lossy(&request).into_owned();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    // The body as it was meant, not only as a form writes it.
    let body: String = body.split('&').map(|pair| percent_decoded(pair) + " ").collect();
    let said = format!("{text} {body}");
    let header = text.lines().find(|line| line.to_lowercase().starts_with("authorization")).unwrap_or("no").to_owned();
    let json = serde_json::Value::from(said.as_str()).to_string();
    let url: String = said.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let hex: String = said.bytes().map(|byte| format!("{byte:02x}")).collect();
    let (status, template) = ANSWERS[answer];
    let body = template
        .replace("{base64}", &STANDARD.encode(&said))
        .replace("{url}", &url)
        .replace("{hex}", &hex)
        .replace("{}", &json[1..json.len() - 1]);
    let status = status.replace("{header}", &header);
    let _ = write!(
        tls,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = tls.flush();
    tls.conn.send_close_notify();
    let _ = tls.flush();
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    request.len() >= head.len() + 4 + length
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let pair = (*first == b'%').then(|| more.get(..2)).flatten().and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
