//! What of a kubeconfig is used and what is refused, and that a refused one has done nothing by then.
use super::*;
use crate::{
    fake_nodes::FakeNodes,
    kubernetes::{Duplex, NodeAccess, Tunnel},
    seams::KubernetesAccess,
};
use kthw_engine::{
    BoxFuture, Result as Answer,
    node::{Finding, Output},
};
use std::sync::Arc;

/// A real certificate; its key was thrown away.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBgjCCASegAwIBAgIUZqvZP9qwdEokdogsISDtopW6a7gwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjgxNDM3MjlaGA8yMTI2MTEw
NDE0MzcyOVowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABEmnCcyOrEsEg5s/OvO5kriOtP8Sd16hZtitdByLApUfNkcXEmex
okAHX/L6i2AS1M1Re1vsDrABFZYQ1rowkK2jUzBRMB0GA1UdDgQWBBQJizc95n1e
oKUJFDWurLh4yheZcjAfBgNVHSMEGDAWgBQJizc95n1eoKUJFDWurLh4yheZcjAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDiQZr9Op0LaRVGUs6u
d6uSxNqfom2NcyACaHsNXTpwqAIhAJdGIm2ZmfXDuaJDRpuhYa7D6W8Ov0hwDGnR
goKQ/hAK
-----END CERTIFICATE-----
";

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nczNjcmV0czNjcmV0\n-----END PRIVATE KEY-----\n";

/// What kubeadm writes, in its order.
fn admin() -> String {
    let (certificate, key) = (STANDARD.encode(CERTIFICATE), STANDARD.encode(KEY));
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {certificate}\n    server: https://k8s.example.net:6443\n  \
         name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\n\
         current-context: kubernetes-admin@kubernetes\nkind: Config\npreferences: {{}}\nusers:\n- name: kubernetes-admin\n  user:\n    \
         client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
}

#[test]
fn what_kubeadm_writes_is_used() {
    let conf: AdminConf = admin().parse().expect("used");
    let config = conf.config().expect("settings");
    assert_eq!(config.cluster_url.to_string(), "https://k8s.example.net:6443/");
    assert_eq!(config.root_cert.map(|certificates| certificates.len()), Some(1));
    assert_eq!(config.auth_info.client_certificate_data, Some(STANDARD.encode(CERTIFICATE)));
    let named = conf.named("ubuntu");
    assert_eq!(named["clusters"][0]["cluster"]["server"], "https://k8s.example.net:6443");
    assert_eq!(named["users"][0]["user"].as_object().map(serde_json::Map::len), Some(2));
    let again = serde_saphyr::to_string(&named).expect("text").parse::<AdminConf>().expect("used");
    assert_eq!(again.named("ubuntu"), named, "what is written is read back the same");
    let more: AdminConf = format!("{}- name: other\n  user: {{exec: {{command: touch}}}}\n", admin()).parse().expect("used");
    assert_eq!(more.named("ubuntu"), named, "what the current context does not name is not copied");
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_ne!(text, admin(), "the test changes something");
    let error = text.parse::<AdminConf>().expect_err("refused").to_string();
    assert_eq!(error, expected);
    assert!(!error.contains("s3cret") && !error.contains(&STANDARD.encode(KEY)[..12]), "{error}");
}

#[test]
fn what_else_a_kubeconfig_can_do_is_refused_by_name() {
    for (key, value, why) in [
        ("exec", "{apiVersion: client.authentication.k8s.io/v1, command: touch}", "would run a program on this machine"),
        ("auth-provider", "{name: gcp, config: {cmd-path: /bin/touch}}", "would run a program on this machine"),
        ("tokenFile", "/root/.ssh/id_ed25519", "would read a file of this machine"),
        ("client-certificate", "/etc/passwd", "would read a file of this machine"),
        ("client-key", "/root/.ssh/id_ed25519", "would read a file of this machine"),
        ("token", "s3cret", "is another way to sign in than a certificate"),
        ("password", "s3cret", "is another way to sign in than a certificate"),
        ("as", "system:admin", "would act as somebody else"),
        ("as-groups", "[system:masters]", "would act as somebody else"),
        ("Exec", "{}", "is nothing that kubeadm writes"),
        ("<<", "{exec: {}}", "is nothing that kubeadm writes"),
    ] {
        refused(&admin().replace("  user:\n", &format!("  user:\n    {key}: {value}\n")), &format!("line 18: `users[0].user.{key}` {why}"));
    }
    for (key, value, why) in [
        ("insecure-skip-tls-verify", "true", "would trust any server"),
        ("proxy-url", "socks5://198.51.100.1", "would send everything through somebody else"),
        ("certificate-authority", "/etc/passwd", "would read a file of this machine"),
    ] {
        refused(
            &admin().replace("- cluster:\n", &format!("- cluster:\n    {key}: {value}\n")),
            &format!("line 4: `clusters[0].cluster.{key}` {why}"),
        );
    }
}

#[test]
fn what_is_missing_or_no_certificate_is_refused() {
    let certificate = STANDARD.encode(CERTIFICATE);
    refused("", "line 1: it is not YAML");
    refused("- a\n", "line 1: `the file` is not a map");
    refused(&admin().replace("kind: Config", "kind: Pod"), "line 13: `kind` is not `Config` of `v1`");
    refused(&admin().replace("user: kubernetes-admin\n", "user: other\n"), "line 16: `users` has no entry for the current context's user");
    refused(
        &admin().replace("name: kubernetes-admin\n  user:", "name: kubernetes-admin\n  other:"),
        "line 17: `users[0].other` is nothing that kubeadm writes",
    );
    refused(&admin().replace("https://k8s", "http://k8s"), "line 5: `clusters[0].cluster.server` is not `https://HOST:PORT`");
    refused(&admin().replace("https://k8s", "https://me:s3cret@k8s"), "line 5: `clusters[0].cluster.server` is not `https://HOST:PORT`");
    refused(
        &admin().replacen(&format!("certificate-authority-data: {certificate}"), "certificate-authority-data: /etc/passwd", 1),
        "line 4: `clusters[0].cluster.certificate-authority-data` is not a certificate in PEM, in base64",
    );
    refused(
        &admin().replace("client-key-data: ", "client-key-data: QUFB"),
        "line 19: `users[0].user.client-key-data` is not a private key in PEM, in base64",
    );
    refused(
        &admin().replace("    client-key-data", "    client-key-data: QQ==\n    client-key-data"),
        "line 20: `users[0].user.client-key-data` is there twice",
    );
}

struct NoTunnel;

impl Tunnel for NoTunnel {
    fn open<'a>(&'a self, _: &'a str, _: &'a str, _: u16) -> BoxFuture<'a, Answer<Box<dyn Duplex>>> {
        Box::pin(async { panic!("nobody is connected to") })
    }
}

#[tokio::test]
async fn a_nodes_kubeconfig_runs_no_program_on_the_operators_machine() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("was-here");
    let exec = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: touch, args: [{}]}}",
        mark.display()
    );
    let (before, _) =
        admin().split_once("    client-certificate-data").map(|(before, after)| (before.to_owned(), after.len())).expect("a user");
    let text = format!("{before}    {exec}\n");
    let nodes = FakeNodes::answering(move |_, _| Finding::Run(Output { stdout: text.clone(), ..Output::default() }));
    let opened = NodeAccess::new(Arc::new(nodes), Arc::new(NoTunnel)).open("cu1").await;
    assert!(!mark.exists(), "the program ran");
    let error = opened.err().expect("refused").to_string();
    assert_eq!(
        error,
        "the kubeconfig cu1:/etc/kubernetes/admin.conf is not used: line 18: `users[0].user.exec` would run a program on this machine"
    );
}
