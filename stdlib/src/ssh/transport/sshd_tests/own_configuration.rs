//! The person's own configuration of SSH says what the workspace does not.
use super::{
    KnownHosts, SshNodes, SshSaid, UserConfig,
    server::{Sshd, refusal},
};
use crate::workspace::Workspace;
use kthw_engine::node::{Finding, Nodes, Probe};
use std::{fs, sync::Arc};

/// A workspace of machines that are there already, which says little of how they are reached.
fn silent(sshd: &Sshd) -> Workspace {
    let mut workspace = sshd.workspace();
    workspace.proxmox = None;
    workspace.ssh = crate::workspace::Ssh::default();
    workspace
}

fn config(sshd: &Sshd, text: &str) -> UserConfig {
    let path = sshd.at("config");
    fs::write(&path, text).unwrap();
    UserConfig::read(&path, sshd.at(".").as_path()).unwrap().unwrap()
}

/// Who is logged in.
async fn who(nodes: &SshNodes) -> String {
    let found = nodes.read("cu1", &[Probe::run(["id", "-un"])]).await.unwrap_or_else(|error| panic!("{}", super::told(&error)));
    let Finding::Run(output) = &found[0] else { panic!("{found:?}") };
    output.stdout.trim().to_owned()
}

#[tokio::test]
async fn user_port_and_key_are_those_of_the_configuration_where_the_workspace_is_silent() {
    let Some(sshd) = Sshd::start("127.0.0.73") else { return };
    let text = format!("Host 127.0.0.73\n  User root\n  Port {}\n  IdentityFile {}\n", sshd.port, sshd.at("user").display());
    let known = sshd.known_hosts();
    let nodes = |workspace: Workspace, said| SshNodes::new(Arc::new(workspace), known.clone()).with_config(config(&sshd, &text), said);
    assert_eq!(who(&nodes(silent(&sshd), SshSaid::default())).await, "root");
    assert_eq!(known.take_warnings(), Vec::<String>::new());

    let told = refusal(nodes(silent(&sshd), SshSaid { user: true, port: false })).await;
    assert!(told.contains("refuses user `kthw`"), "what the workspace says comes first: {told}");
    sshd.make_key("other", "ed25519", "");
    let told = refusal(nodes(sshd.with_key(silent(&sshd), "other"), SshSaid::default())).await;
    assert!(told.contains("refuses user `root`; tried") && told.contains("/other ("), "{told}");
    let mut made = silent(&sshd);
    made.proxmox = sshd.workspace().proxmox;
    made.ssh.port = sshd.port;
    let told = refusal(nodes(made, SshSaid::default())).await;
    assert!(told.contains("refuses user `kthw`"), "a machine that kthw made has the user that it was made with: {told}");
}

#[tokio::test]
async fn the_hosts_on_the_way_are_found_by_their_aliases() {
    let Some(gate) = Sshd::start("127.0.0.74") else { return };
    let Some(second) = Sshd::start("127.0.0.75") else { return };
    let Some(sshd) = Sshd::start("127.0.0.76") else { return };
    let alias = |name: &str, host: &Sshd| {
        format!(
            "Host {name}\n  HostName {}\n  Port {}\n  User root\n  IdentityFile {}\n",
            host.address,
            host.port,
            host.at("user").display()
        )
    };
    let text = format!(
        "{}{}Host cu1\n  ProxyJump gate,second\n  Port {}\n  User root\n  IdentityFile {}\n  VerifyHostKeyDNS yes\n",
        alias("gate", &gate),
        alias("second", &second),
        sshd.port,
        sshd.at("user").display()
    );
    let known: KnownHosts = sshd.known_hosts();
    for host in [&gate, &second] {
        known.learn_vouched(host.address, host.port, &host.host_key()).unwrap();
    }
    let nodes = SshNodes::new(Arc::new(silent(&sshd)), known.clone()).with_config(config(&sshd, &text), SshSaid::default());
    assert_eq!(who(&nodes).await, "root");
    for host in [&gate, &second, &sshd] {
        assert!(host.log().contains("Accepted publickey for root"), "{}", host.log());
    }
    let warnings = known.take_warnings();
    assert!(matches!(&warnings[..], [one] if one.contains("config:16: `VerifyHostKeyDNS` is not followed")), "{warnings:?}");

    // The workspace's own jump host comes before, and may be an alias too.
    let mut workspace = silent(&sshd);
    workspace.ssh.jump_host = Some("second".into());
    let nodes = SshNodes::new(Arc::new(workspace), known).with_config(config(&sshd, &text), SshSaid::default());
    let before = gate.log();
    assert_eq!(who(&nodes).await, "root");
    assert_eq!(gate.log(), before);
}
