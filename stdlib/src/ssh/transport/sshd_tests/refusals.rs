//! What does not let kthw in is named by what the server said; what only looks odd does not keep it out.
use super::{
    KnownHosts, SshNodes,
    server::{Sshd, act, peers, refusal},
};
use crate::workspace::Workspace;
use kthw_engine::node::{Action, Finding, KeyTrust, Nodes, Probe};
use kthw_peers::{SSH_ADD, SSH_AGENT, SUDO, ask};
use std::{
    fs,
    io::Read,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A connection that the server has taken and that does not log in.
fn idle(sshd: &Sshd) -> TcpStream {
    let begun = Instant::now();
    loop {
        let mut stream = TcpStream::connect((sshd.address, sshd.port)).unwrap();
        let mut word = [0; 4];
        match stream.read_exact(&mut word) {
            Ok(()) if word == *b"SSH-" => return stream,
            // The one that asked whether the server listens still counts.
            _ => assert!(begun.elapsed() < Duration::from_secs(20), "the server takes nobody"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Logs in and looks at something.
async fn logs_in(nodes: SshNodes) {
    let found = nodes.read("cu1", &[Probe::path("/")]).await;
    found.unwrap_or_else(|error| panic!("{}", super::told(&error)));
}

/// An agent, ended when dropped.
struct Agent(Child, PathBuf);

impl Agent {
    fn start(program: &Path, ssh_add: &Path, sshd: &Sshd, keys: &[String]) -> Self {
        let socket = sshd.at("agent");
        let child = Command::new(program).arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while !socket.exists() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let agent = Self(child, socket);
        for key in keys {
            let added = Command::new(ssh_add).arg("-q").arg(sshd.at(key)).env("SSH_AUTH_SOCK", &agent.1).status().unwrap();
            assert!(added.success());
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_second_factor_is_named_and_not_taken_for_a_refused_key() {
    let Some(mut sshd) = Sshd::start("127.0.0.60") else { return };
    sshd.start_again("AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes");
    let told = refusal(sshd.nodes()).await;
    assert!(told.contains("took a key of user `root`, but wants keyboard-interactive too") && told.contains("second_factor"), "{told}");
}

#[tokio::test]
async fn a_server_that_takes_no_keys_is_named() {
    let Some(mut sshd) = Sshd::start("127.0.0.61") else { return };
    sshd.start_again("PubkeyAuthentication no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no");
    let told = refusal(sshd.nodes()).await;
    assert!(told.contains("takes no key from user `root`, only password") && told.contains("no_keys_taken"), "{told}");
}

#[tokio::test]
async fn without_a_reason_two_are_named() {
    let Some(sshd) = Sshd::start("127.0.0.62") else { return };
    sshd.make_key("other", "ed25519", "");
    let told = refusal(sshd.nodes_of(sshd.with_key(sshd.workspace(), "other"))).await;
    assert!(
        told.contains("refuses user `root`; tried") && told.contains("either the key is not in") && told.contains("AllowUsers"),
        "{told}"
    );
}

#[tokio::test]
async fn a_server_with_too_many_logins_is_tried_again() {
    let Some(mut sshd) = Sshd::start("127.0.0.63") else { return };
    sshd.start_again("MaxStartups 1:100:1");
    let idle = idle(&sshd);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        drop(idle);
    });
    logs_in(sshd.nodes()).await;
    assert!(sshd.log().contains("MaxStartups"), "{}", sshd.log());
}

#[tokio::test]
async fn a_server_that_never_stops_turning_logins_away_is_named() {
    let Some(mut sshd) = Sshd::start("127.0.0.64") else { return };
    sshd.start_again("MaxStartups 1:100:1\nLoginGraceTime 90");
    let idle = idle(&sshd);
    let told = refusal(sshd.nodes()).await;
    drop(idle);
    assert!(
        told.contains("closed each connection at once (it says `Exceeded MaxStartups`), for") && told.contains("turned_away"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_not_ssh_is_named_by_what_it_says() {
    let Some(sshd) = Sshd::start("127.0.0.65") else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.65:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let web = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
    });
    let mut workspace = sshd.workspace();
    workspace.ssh.port = port;
    let told = refusal(sshd.nodes_of(workspace)).await;
    assert!(told.contains("is not SSH: it says `HTTP/1.1 400 Bad Request`") && told.contains("not_ssh"), "{told}");
    web.await.unwrap();
}

#[tokio::test]
async fn an_rsa_key_logs_in_where_only_sha_256_is_taken() {
    let Some(mut sshd) = Sshd::start("127.0.0.66") else { return };
    sshd.make_key("rsa", "rsa", "");
    sshd.authorize("rsa");
    for accepted in ["rsa-sha2-256", "rsa-sha2-512"] {
        sshd.start_again(&format!("PubkeyAcceptedAlgorithms {accepted}"));
        logs_in(sshd.nodes_of(sshd.with_key(sshd.workspace(), "rsa"))).await;
    }
}

#[tokio::test]
async fn a_banner_is_no_hindrance_whatever_its_encoding() {
    let Some(mut sshd) = Sshd::start("127.0.0.67") else { return };
    sshd.make_key("other", "ed25519", "");
    let banner = sshd.at("banner");
    let long = [b"\xa7 ".repeat(20_000), b"\n".to_vec()].concat();
    for text in ["Für Befugte ✓\n".as_bytes(), b"F\xfcr Befugte\n", b"\xff\xfe\x00x", &long] {
        fs::write(&banner, text).unwrap();
        sshd.start_again(&format!("Banner {}", banner.display()));
        logs_in(sshd.nodes()).await;
        let told = refusal(sshd.nodes_of(sshd.with_key(sshd.workspace(), "other"))).await;
        assert!(told.contains("kthw::ssh::refused"), "{told}");
    }
}

#[tokio::test]
async fn a_banner_that_cannot_be_read_with_other_ciphers_is_named() {
    let Some(mut sshd) = Sshd::start("127.0.0.80") else { return };
    fs::write(sshd.at("banner"), b"F\xfcr Befugte\n").unwrap();
    sshd.start_again(&format!("Banner {}\nCiphers aes256-gcm@openssh.com", sshd.at("banner").display()));
    let told = refusal(sshd.nodes()).await;
    assert!(told.contains("is not UTF-8") && told.contains("iconv -f LATIN1") && told.contains("kthw::ssh::banner"), "{told}");
}

#[tokio::test]
async fn of_many_keys_in_the_agent_the_configured_one_is_offered_and_the_rest_counted() {
    let Some([ssh_agent, ssh_add]) = ask([&SSH_AGENT, &SSH_ADD]) else { return };
    let Some(mut sshd) = Sshd::start("127.0.0.68") else { return };
    let others: Vec<String> = (0..8).map(|number| format!("other{number}")).collect();
    for name in &others {
        sshd.make_key(name, "ed25519", "");
    }
    let keys: Vec<String> = others.iter().cloned().chain(["user".into()]).collect();
    let agent = Agent::start(&ssh_agent, &ssh_add, &sshd, &keys);
    let nodes = |workspace: Workspace, sshd: &Sshd| sshd.nodes_of(workspace).with_agent(&agent.1);
    let mut without = sshd.workspace();
    without.ssh.key_file = None;

    let told = refusal(nodes(without.clone(), &sshd)).await;
    assert!(told.contains("; 4 more of the agent's keys were not tried") && told.contains("::refused"), "{told}");
    sshd.start_again("MaxAuthTries 2");
    let told = refusal(nodes(without, &sshd)).await;
    assert!(told.contains("it says `Too many authentication failures`") && told.contains("7 more of the agent's keys"), "{told}");

    // The file says which of the agent's keys it is, whether it is the public half or encrypted.
    logs_in(nodes(sshd.with_key(sshd.workspace(), "user.pub"), &sshd)).await;
    sshd.make_key("encrypted", "ed25519", "secret");
    let told = refusal(nodes(sshd.with_key(sshd.workspace(), "encrypted"), &sshd)).await;
    assert!(told.contains("kthw::ssh::key_encrypted"), "{told}");
}

#[tokio::test]
async fn a_certificate_beside_the_key_is_offered() {
    let Some(mut sshd) = Sshd::start("127.0.0.69") else { return };
    fs::remove_file(sshd.at("authorized_keys")).unwrap();
    sshd.make_key("authority", "ed25519", "");
    sshd.start_again(&format!("TrustedUserCAKeys {}", sshd.at("authority.pub").display()));
    for kind in ["ed25519", "rsa"] {
        sshd.make_key("person", kind, "");
        let nodes = || sshd.nodes_of(sshd.with_key(sshd.workspace(), "person"));
        let _ = fs::remove_file(sshd.at("person-cert.pub"));
        let told = refusal(nodes()).await;
        assert!(told.contains("::refused"), "{told}");
        sshd.sign("authority", "person", &["-n", "root"]);
        logs_in(nodes()).await;
        sshd.sign("authority", "person", &["-n", "root", "-V", "20200101:20200201"]);
        let told = refusal(nodes()).await;
        assert!(told.contains("a certificate `person` by SHA256:") && told.contains("for root, not valid since 2020-0"), "{told}");
    }
}

#[tokio::test]
async fn a_host_certificate_counts_where_its_authority_is_known() {
    let Some(mut sshd) = Sshd::start("127.0.0.70") else { return };
    sshd.make_key("authority", "ed25519", "");
    let authority = fs::read_to_string(sshd.at("authority.pub")).unwrap();
    let file = sshd.at("authorities");
    let known_by = |pattern: &str| {
        fs::write(&file, format!("@cert-authority {pattern} {authority}")).unwrap();
        KnownHosts::open(&file).unwrap()
    };
    let covering = "127.0.0.*,!127.0.0.71";
    let certificate = format!("HostCertificate {}", sshd.at("host-cert.pub").display());
    let workspace = Arc::new(sshd.workspace());
    let nodes = |pattern: &str| SshNodes::new(workspace.clone(), known_by(pattern));
    sshd.sign("authority", "host", &["-h", "-n", "127.0.0.70"]);
    sshd.start_again(&certificate);
    let found = nodes(covering).read("cu1", &[Probe::HostKey]).await.unwrap_or_else(|error| panic!("{}", super::told(&error)));
    assert!(matches!(&found[0], Finding::HostKey(key) if key.trust == KeyTrust::Pinned), "{found:?}");
    for elsewhere in ["127.0.1.*", "*,!127.0.0.7?"] {
        let told = refusal(nodes(elsewhere)).await;
        assert!(told.contains("is not known"), "{elsewhere}: {told}");
    }

    for (arguments, why) in [
        (vec!["-h", "-n", "elsewhere.example"], "it is for elsewhere.example"),
        (vec!["-h", "-V", "20200101:20200201"], "it is not valid any more"),
    ] {
        sshd.sign("authority", "host", &arguments);
        sshd.start_again(&certificate);
        let told = refusal(nodes(covering)).await;
        assert!(told.contains(why) && told.contains("kthw::ssh::host_certificate"), "{told}");
    }
    // The key in it is still a key, if that is pinned.
    logs_in(sshd.nodes()).await;
}

#[tokio::test]
async fn what_sudo_says_is_what_a_person_is_told() {
    let Some(_) = ask([&SUDO]) else { return };
    let Some(mut sshd) = Sshd::start_with_user("127.0.0.72", "kthw", 4242, Path::new("/bin/sh")) else { return };
    let mut workspace = sshd.workspace();
    workspace.ssh.user = "kthw".into();
    let cases = [
        ("root ALL=(ALL) ALL", "NOPASSWD:ALL' >"),
        ("kthw ALL=(ALL) ALL", "NOPASSWD:ALL' >"),
        ("kthw ALL=(ALL) NOPASSWD:ALL\nDefaults requiretty", "!requiretty"),
    ];
    for (rules, help) in cases {
        sshd.allow_sudo(rules);
        let told = refusal(sshd.nodes_of(workspace.clone())).await;
        assert!(told.contains("kthw::ssh::sudo") && told.contains(help), "{rules}: {told}");
        let error = act(&peers(sshd.nodes_of(workspace.clone())), &Action::run(["true"])).await.unwrap_err();
        assert!(super::told(&error).contains(help), "{rules}: {}", super::told(&error));
    }
}

#[tokio::test]
async fn a_login_shell_that_runs_nothing_is_quoted() {
    let Some(sshd) = Sshd::start_with_user("127.0.0.81", "root", 0, Path::new("/usr/sbin/nologin")) else { return };
    let told = refusal(sshd.nodes()).await;
    assert!(told.contains("status 1, This account is currently not available.") && told.contains("kthw::ssh::answer"), "{told}");
}

#[tokio::test]
async fn a_jump_host_that_forbids_is_told_from_one_that_gets_no_further() {
    let Some(mut gate) = Sshd::start("127.0.0.82") else { return };
    let Some(mut sshd) = Sshd::start("127.0.0.83") else { return };
    fs::copy(sshd.at("user.pub"), gate.at("authorized_keys")).unwrap();
    let mut workspace = sshd.workspace();
    workspace.ssh.jump_host = Some(format!("root@{}:{}", gate.address, gate.port));
    let known = sshd.known_hosts();
    known.learn_vouched(gate.address, gate.port, &gate.host_key()).unwrap();
    let nodes = || SshNodes::new(Arc::new(workspace.clone()), known.clone());
    logs_in(nodes()).await;
    sshd.stop();
    let told = refusal(nodes()).await;
    assert!(told.contains("itself gets no connection to") && told.contains("through_jump_host"), "{told}");
    gate.start_again("AllowTcpForwarding no");
    let told = refusal(nodes()).await;
    assert!(told.contains("forbids it: see `AllowTcpForwarding`") && told.contains("through_jump_host"), "{told}");
}
