//! The transport against a real sshd on a loopback address, with keys of its own.
mod heard;
mod login_shells;
mod own_configuration;
mod refusals;
mod server;

use super::*;
use crate::workspace::Workspace;
use kthw_engine::{
    Kind,
    node::{Finding, Nodes, PathKind, Probe},
};
use kthw_peers::{PS, SSH_ADD, SSH_AGENT, ask};
use server::{Sshd, told};
use std::{
    fs,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn one_connection_serves_all_and_reads_what_is_there() {
    let Some(sshd) = Sshd::start("127.0.0.41") else { return };
    let nodes = sshd.nodes();
    let probes = [Probe::path("/"), Probe::run(["id", "-u"]), Probe::Line { path: "/etc/passwd".into(), line: "no such line".into() }];
    let found = nodes.read("cu1", &probes).await.unwrap();
    assert!(matches!(&found[0], Finding::Path(Some(state)) if state.kind == PathKind::Directory));
    assert!(matches!(&found[1], Finding::Run(output) if output.stdout == "0\n"));
    assert_eq!(found[2], Finding::Line(false));
    let many: Vec<_> = (0..12).map(|_| nodes.read("cu1", &probes)).collect();
    for found in futures::future::join_all(many).await {
        assert_eq!(found.unwrap().len(), 3);
    }
    let accepted = sshd.log().matches("Accepted publickey").count();
    assert_eq!(accepted, 1, "one connection");
}

#[tokio::test]
async fn a_long_query_is_read_in_pieces() {
    let Some(sshd) = Sshd::start("127.0.0.41") else { return };
    let probes: Vec<Probe> = (0..2000).map(|n| Probe::Path { path: format!("/nowhere/{n}"), expect: Some("0".repeat(64)) }).collect();
    let found = sshd.nodes().read("cu1", &probes).await.unwrap();
    assert_eq!(found, vec![Finding::Path(None); 2000]);
}

#[tokio::test]
async fn a_swapped_host_key_is_refused() {
    let Some(mut sshd) = Sshd::start("127.0.0.42") else { return };
    sshd.nodes().read("cu1", &[]).await.unwrap();
    let probe = [Probe::path("/")];
    let nodes = sshd.nodes();
    nodes.read("cu1", &probe).await.unwrap();
    let known = sshd.known_hosts();
    sshd.swap_host_key();
    let error = SshNodes::new(Arc::new(sshd.workspace()), known).read("cu1", &probe).await.unwrap_err();
    assert!(
        told(&error).contains("has changed: known is SHA256:") && told(&error).contains("kthw::ssh::host_key_changed"),
        "{}",
        told(&error)
    );
    assert_eq!(error.kind(), Kind::Peer);
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_with_the_line_that_pins_it() {
    let Some(sshd) = Sshd::start("127.0.0.43") else { return };
    let known = KnownHosts::open(sshd.at("nothing known")).unwrap();
    let nodes = SshNodes::new(Arc::new(sshd.workspace()), known.clone());
    let error = nodes.read("cu1", &[Probe::path("/")]).await.unwrap_err();
    assert!(told(&error).contains("is not known: SHA256:"), "{}", told(&error));
    let help = error.diagnostic().help().unwrap().to_string();
    fs::write(sshd.at("nothing known"), help.lines().last().unwrap()).unwrap();
    let known = KnownHosts::open(sshd.at("nothing known")).unwrap();
    SshNodes::new(Arc::new(sshd.workspace()), known).read("cu1", &[Probe::path("/")]).await.unwrap();
}

#[tokio::test]
async fn machines_that_kthw_does_not_make_are_trusted_at_first_and_then_held_to_it() {
    let Some(mut sshd) = Sshd::start("127.0.0.44") else { return };
    let mut workspace = sshd.workspace();
    workspace.proxmox = None;
    let workspace = Arc::new(workspace);
    let known = KnownHosts::open(sshd.at("first use")).unwrap();
    known.set_first_use(FirstUse::Never);
    let error = SshNodes::new(workspace.clone(), known.clone()).read("cu1", &[Probe::path("/")]).await.unwrap_err();
    assert!(told(&error).contains("(a dry run trusts no key at first sight)"), "{}", told(&error));
    assert!(!known.is_pinned(sshd.address, sshd.port));
    assert_eq!(known.take_warnings(), Vec::<String>::new());

    known.set_first_use(FirstUse::WhereNobodyVouches);
    SshNodes::new(workspace.clone(), known.clone()).read("cu1", &[Probe::path("/")]).await.unwrap();
    assert!(known.is_known(sshd.address, sshd.port) && !sshd.at("first use").exists(), "looking writes nothing");
    let said = known.take_warnings();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("first connection to cu1 at 127.0.0.44:") && said[0].contains("SHA256:"), "{said:?}");
    sshd.swap_host_key();
    let error = SshNodes::new(workspace, known).read("cu1", &[Probe::path("/")]).await.unwrap_err();
    assert!(told(&error).contains("has changed"), "{}", told(&error));
}

#[tokio::test]
async fn of_several_host_keys_the_pinned_one_is_asked_for() {
    let Some(mut sshd) = Sshd::start("127.0.0.45") else { return };
    sshd.make_key("ecdsa", "ecdsa", "");
    sshd.start_again(&format!("HostKey {}", sshd.at("ecdsa").display()));
    let known = KnownHosts::open(sshd.at("only ecdsa")).unwrap();
    known.learn_vouched(sshd.address, sshd.port, &fs::read_to_string(sshd.at("ecdsa.pub")).unwrap()).unwrap();
    SshNodes::new(Arc::new(sshd.workspace()), known).read("cu1", &[Probe::path("/")]).await.unwrap();
}

#[tokio::test]
async fn what_does_not_let_in_says_why() {
    let Some(sshd) = Sshd::start("127.0.0.46") else { return };
    let read = async |workspace: Workspace| {
        let error =
            SshNodes::new(Arc::new(workspace), sshd.known_hosts()).with_agent("/nonexistent/agent").read("cu1", &[Probe::path("/")]).await;
        told(&error.unwrap_err())
    };
    let with_key = |name: &str, passphrase: &str| {
        sshd.make_key(name, "ed25519", passphrase);
        let mut workspace = sshd.workspace();
        workspace.ssh.key_file = Some(sshd.at(name).to_str().unwrap().into());
        workspace
    };
    let other = read(with_key("other", "")).await;
    assert!(other.contains("refuses user `root`; tried") && other.contains("SHA256:"), "{other}");
    let encrypted = read(with_key("encrypted", "secret")).await;
    assert!(encrypted.contains("kthw::ssh::key_encrypted"), "{encrypted}");
    let mut missing = sshd.workspace();
    missing.ssh.key_file = Some("/nonexistent/key".into());
    assert!(read(missing).await.contains("kthw::ssh::key_file"));
    let mut agent = sshd.workspace();
    agent.ssh.key_file = None;
    assert!(read(agent).await.contains("kthw::ssh::agent"));
    let mut closed = sshd.workspace();
    closed.ssh.port = 1;
    let closed = read(closed).await;
    assert!(closed.contains("cannot reach cu1 at 127.0.0.46:1") && closed.contains("refused"), "{closed}");
}

#[tokio::test]
async fn an_agent_logs_in() {
    let Some([ssh_agent, ssh_add]) = ask([&SSH_AGENT, &SSH_ADD]) else { return };
    let Some(sshd) = Sshd::start("127.0.0.47") else { return };
    let socket = sshd.at("agent");
    let mut agent = Command::new(ssh_agent).arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !socket.exists() && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sshd.make_key("other", "rsa", "");
    for key in ["other", "user"] {
        let added = Command::new(&ssh_add).arg("-q").arg(sshd.at(key)).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
    }
    let mut workspace = sshd.workspace();
    workspace.ssh.key_file = None;
    let found = SshNodes::new(Arc::new(workspace), sshd.known_hosts()).with_agent(&socket).read("cu1", &[Probe::path("/")]).await;
    let _ = agent.kill();
    let _ = agent.wait();
    found.unwrap();
}

#[tokio::test]
async fn a_jump_host_leads_on_and_is_checked_too() {
    let Some(gate) = Sshd::start("127.0.0.48") else { return };
    let Some(sshd) = Sshd::start("127.0.0.49") else { return };
    fs::copy(sshd.at("user.pub"), gate.at("authorized_keys")).unwrap();
    let mut workspace = sshd.workspace();
    workspace.ssh.jump_host = Some(format!("root@{}:{}", gate.address, gate.port));
    let workspace = Arc::new(workspace);
    let error = SshNodes::new(workspace.clone(), sshd.known_hosts()).read("cu1", &[Probe::path("/")]).await.unwrap_err();
    assert!(told(&error).contains("is not known"), "{}", told(&error));
    let known = sshd.known_hosts();
    known.learn_vouched(gate.address, gate.port, &gate.host_key()).unwrap();
    SshNodes::new(workspace, known).read("cu1", &[Probe::path("/")]).await.unwrap();
    assert!(gate.log().contains("Accepted publickey"));
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let Some(sshd) = Sshd::start("127.0.0.50") else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.50:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    let nodes = sshd.nodes();
    let mut stream = nodes.tunnel("cu1", "127.0.0.50", port).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    echo.await.unwrap();
    let Err(error) = nodes.tunnel("cu1", "127.0.0.50", 1).await else { panic!("nothing listens there") };
    assert!(told(&error).contains("kthw::ssh::tunnel"), "{}", told(&error));
}

#[tokio::test]
async fn a_connection_that_broke_is_opened_again_for_reading() {
    let Some([ps]) = ask([&PS]) else { return };
    let Some(mut sshd) = Sshd::start("127.0.0.51") else { return };
    let nodes = sshd.nodes();
    nodes.read("cu1", &[Probe::path("/")]).await.unwrap();
    sshd.stop();
    // The process of our session outlives the server; it is the parent of the shell that runs the query.
    let kill = format!("kill -9 $({} -o ppid= -p $PPID)", ps.display());
    let _ = nodes.read("cu1", &[Probe::run(["sh", "-c", &kill])]).await;
    sshd.start_again("");
    nodes.read("cu1", &[Probe::path("/")]).await.unwrap();
}
