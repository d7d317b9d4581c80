//! Checks against servers of our own on this machine, that answer, trickle, hang, or show a certificate.
use super::*;
use std::{net::TcpListener, thread};

/// What a check says of a server that answers with these pieces, 100 ms apart, and then waits or ends.
fn said(pieces: &'static [&'static str], stays_open: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ping", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1000];
        let read = stream.read(&mut request).unwrap();
        for piece in pieces {
            // The other side goes as soon as it knows enough.
            let _ = stream.write_all(piece.as_bytes());
            thread::sleep(Duration::from_millis(100));
        }
        if stays_open {
            // Until the other side gives up.
            let _ = stream.read(&mut [0; 10]);
        }
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let check: Check = serde_json::from_value(serde_json::json!({ "url": url, "timeout_ms": 400, "host": "a.bevz.net" })).unwrap();
    let (good, said) = ask(&check);
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /ping HTTP/1.1\r\nHost: a.bevz.net\r\n") && request.ends_with("\r\n\r\n"), "{request}");
    format!("{good}: {}", said.split(" in ").next().unwrap())
}

#[test]
fn an_answer_is_its_status_line() {
    assert_eq!(said(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"], true), "true: status 200");
    assert_eq!(said(&["HTTP/1.1 2", "00 OK\r\n"], true), "true: status 200");
    assert_eq!(said(&["HTTP/1.1 503 Service Unavailable\r\n\r\n"], false), "false: status 503 instead of 200");
    assert_eq!(said(&["SSH-2.0-OpenSSH_9.2\r\n"], true), "false: the answer is not HTTP (invalid HTTP version)");
    assert_eq!(said(&["HTTP/1.1 200"], false), "false: the connection ended before an HTTP answer came");
    assert_eq!(said(&[], true), "false: no answer within 400 ms");
}

#[test]
fn a_server_that_trickles_is_late_too() {
    let began = Instant::now();
    assert_eq!(said(&["H", "T", "T", "P", "/", "1", "."], false), "false: no answer within 400 ms");
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_closed_port_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ping", listener.local_addr().unwrap());
    drop(listener);
    let check: Check = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    let (good, said) = ask(&check);
    assert!(!good && said.contains("refused"), "{said}");
}

/// Makes an authority and a certificate of a server at 127.0.0.1, as `ca.pem`, `server.pem` and `server.key` in a folder.
fn certificates(openssl: &Path, folder: &Path) {
    let run = |arguments: &[&str]| {
        let done = std::process::Command::new(openssl).args(arguments).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    run(&[&new[..], &["-subj", "/CN=the authority", "-keyout", "ca.key", "-out", "ca.pem"]].concat());
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=a server", "-keyout", "server.key", "-out", "server.pem"];
    let names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:api.bevz.net", "-addext", "basicConstraints=critical,CA:FALSE"];
    run(&[&new[..], &signed, &names].concat());
    run(&[&new[..], &["-subj", "/CN=another authority", "-keyout", "other.key", "-out", "other.pem"]].concat());
}

/// What a check says of a server by TLS, which answers 200 to whoever takes its certificate.
fn said_by_tls(folder: &Path, ca: &str, name: Option<&str>) -> String {
    use rustls::{ServerConfig, ServerConnection, pki_types::PrivateKeyDer};
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/readyz", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        // A client that refuses the certificate sends no request.
        if stream.read(&mut [0; 1000]).is_ok_and(|read| read > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").unwrap();
            stream.flush().unwrap();
        }
    });
    let check = serde_json::json!({ "url": url, "timeout_ms": 500, "ca_file": folder.join(ca), "server_name": name });
    let (good, said) = ask(&serde_json::from_value(check).unwrap());
    server.join().unwrap();
    format!("{good}: {}", said.split(" in ").next().unwrap())
}

#[test]
fn a_server_by_tls_has_to_be_vouched_for() {
    let Some([openssl]) = kthw_peers::ask([&kthw_peers::OPENSSL]) else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(&openssl, folder.path());
    let said = |ca: &str, name: Option<&str>| said_by_tls(folder.path(), ca, name);
    assert_eq!(said("ca.pem", None), "true: status 200");
    assert_eq!(said("ca.pem", Some("api.bevz.net")), "true: status 200");
    assert!(said("ca.pem", Some("elsewhere.bevz.net")).contains("not valid for name"), "{}", said("ca.pem", Some("elsewhere.bevz.net")));
    assert!(said("other.pem", None).starts_with("false: invalid peer certificate"), "{}", said("other.pem", None));
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    assert!(authorities(Some(&folder.path().join("empty.pem"))).unwrap_err().to_string().contains("holds no certificate"));
    assert!(authorities(Some(&folder.path().join("none.pem"))).unwrap_err().to_string().contains("cannot take authorities from"));
}
