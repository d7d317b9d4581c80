//! The program and a real API server: it is asked by TLS, and the cluster's own authority vouches for it.
#![allow(clippy::unwrap_used)]

use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_checker::status::Status;
use serde_json::json;
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

#[test]
fn an_api_server_is_asked_whether_it_is_ready() {
    let Some(api) = kthw_peers::ApiServer::ask() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let kubeconfig = fs::read_to_string(&api.kubeconfig).unwrap();
    let ca = kubeconfig.split_once("certificate-authority-data: ").unwrap().1.split([',', '\n']).next().unwrap();
    fs::write(path("ca.pem"), STANDARD.decode(ca).unwrap()).unwrap();

    let upstream = |name: &str, asked: &str, server_name: Option<&str>| {
        let url = format!("https://{}{asked}", api.address);
        let check = json!({ "url": url, "timeout_ms": 500, "ca_file": path("ca.pem"), "server_name": server_name });
        let servers_file = path(&format!("{name}.servers"));
        json!({ "name": name, "servers_file": servers_file, "servers": [{ "name": "cu1", "address": api.address, "check": check }] })
    };
    let config = json!({
        "status_file": path("status.json"),
        "nginx": { "test": ["true"], "reload": ["true"] },
        "upstreams": [
            upstream("ready", "/readyz", None),
            upstream("named", "/readyz", Some("cu1.bevz.net")),
            upstream("another", "/readyz", Some("cu2.bevz.net")),
            // What one that just starts says to whatever it is asked.
            upstream("forbidden", "/api", None),
        ],
    });
    fs::write(path("config.json"), config.to_string()).unwrap();
    let mut checker = Command::new(env!("CARGO_BIN_EXE_kthw-checker")).arg(path("config.json")).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let said = loop {
        let status = fs::read_to_string(path("status.json")).unwrap_or_default();
        let upstreams = serde_json::from_str::<Status>(&status).map_or(Vec::new(), |status| status.upstreams);
        let said: Vec<String> = upstreams.iter().filter_map(|one| one.servers[0].last.clone()).map(|last| last.said).collect();
        if said.len() == 4 || Instant::now() > until {
            break said;
        }
        thread::sleep(Duration::from_millis(50));
    };
    checker.kill().unwrap();
    checker.wait().unwrap();
    let [ready, named, another, forbidden] = &said[..] else { panic!("{said:?}") };
    assert!(ready.starts_with("status 200 in ") && named.starts_with("status 200 in "), "{said:?}");
    assert!(another.contains("not valid for name"), "{said:?}");
    assert_eq!(forbidden, "status 403 instead of 200");
}
