//! Add-ons of a workspace that have no settings, on a whole cluster: pinned from a mirror, seen to do what they are for, and gone with their names.
use crate::{peers_support::World, support::Said};
use std::time::{Duration, Instant};

/// What the workspace names, as `--set` takes it.
pub const NAMED: &str = "add_ons={local-path-provisioner: 0.0.30, cert-manager: 1.21.2, metrics-server: 0.9.0}";
/// The same once cert-manager and metrics-server are named no longer.
pub const NAMED_NO_LONGER: &str = "add_ons={local-path-provisioner: 0.0.30}";
/// What metrics-server wants of kubelets.
pub const SERVING: &str = "kubeadm.kubelet_serving_certificates=true";
/// The workloads that they consist of.
pub const WORKLOADS: [(&str, &str); 4] = [
    ("kube-system", "deployment/metrics-server"),
    ("cert-manager", "deployment/cert-manager"),
    ("cert-manager", "deployment/cert-manager-webhook"),
    ("cert-manager", "deployment/cert-manager-cainjector"),
];

/// An issuer that signs itself, and a certificate of it.
const ISSUED: &str = r#"[
    {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "own", "namespace": "default"}, "spec": {"selfSigned": {}}},
    {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "own", "namespace": "default"},
     "spec": {"secretName": "own", "dnsNames": ["own.example.net"], "issuerRef": {"name": "own"}}}]"#;
/// What no schema refuses and the webhook does: a duration that is shorter than what is left at a renewal.
const WRONG: &str = r#"[
    {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "wrong", "namespace": "default"},
     "spec": {"secretName": "wrong", "dnsNames": ["own.example.net"], "issuerRef": {"name": "own"}, "duration": "1h", "renewBefore": "2h"}}]"#;

/// Records the digest of a file of which kthw has none, as somebody does who has it in a mirror.
pub fn are_pinned(world: &World, workspace: &str, add_ons: &str) {
    let file = std::path::Path::new(workspace).join("workspace.yaml");
    let told = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("add_ons: {add_ons}\n{told}")).unwrap();
    let pinned = world.kthw(&["artifacts", "pin", "-w", workspace, "--yes"]).ended_with(0).stdout;
    for told in ["cert-manager/v1.21.2/cert-manager.yaml", "CustomResourceDefinition", "metrics-server/v0.9.0/components.yaml"] {
        assert!(pinned.contains(told), "{told} is not in\n{pinned}");
    }
    // Its image has a registry that the test's workspace does not name.
    let mirror = format!("    registry.k8s.io: {}\n    quay.io:", world.value("REGISTRY_URL"));
    std::fs::write(&file, told.replace("    quay.io:", &mirror)).unwrap();
}

/// cert-manager's webhook answers, what it refuses is refused, and a certificate is issued.
pub fn are_well(world: &World, kubectl: &dyn Fn(&[&str]) -> String) {
    once_the_webhook_answers(world, kubectl, || apply(world, ISSUED).code == 0);
    let refused = apply(world, WRONG);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert!(refused.stderr.contains("admission webhook \"webhook.cert-manager.io\" denied the request"), "{}", refused.stderr);
    kubectl(&["wait", "--for=condition=Ready", "certificate/own", "--timeout=120s"]);
    let subject = kubectl(&["get", "secret", "own", "-o", "go-template={{len (index .data \"tls.crt\")}}"]);
    assert!(subject.parse::<usize>().is_ok_and(|length| length > 500), "a certificate: {subject}");
}

/// metrics-server verifies the kubelets' certificates, which each kubelet asked for and kthw approved, and knows how busy nodes and pods are.
pub fn metrics_are_known(world: &World, kubectl: &dyn Fn(&[&str]) -> String) {
    let arguments =
        kubectl(&["get", "deployment", "metrics-server", "-n", "kube-system", "-o", "jsonpath={.spec.template.spec.containers[0].args}"]);
    assert!(!arguments.contains("insecure"), "{arguments}");
    let requests = kubectl(&["get", "csr", "--field-selector", "spec.signerName=kubernetes.io/kubelet-serving", "--no-headers"]);
    assert!(requests.lines().count() >= 3 && requests.lines().all(|line| line.contains("Approved,Issued")), "{requests}");
    let top = |what: &str| kubectl(&["top", what, "-A", "--no-headers"]);
    let nodes = || kubectl(&["top", "nodes", "--no-headers"]);
    world.until("metrics of all three nodes", 120, || ["cp1", "wp1", "wp2"].iter().all(|node| nodes().contains(node)));
    assert!(top("pods").contains("kube-apiserver-cp1"), "{}", top("pods"));
}

/// Waits until cert-manager's webhook has `accepted` something. Upstream's injector may miss the webhook's authority when both start at once; it
/// looks again when it starts anew.
fn once_the_webhook_answers(world: &World, kubectl: &dyn Fn(&[&str]) -> String, accepted: impl Fn() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if accepted() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    kubectl(&["rollout", "restart", "-n", "cert-manager", "deployment/cert-manager-cainjector"]);
    kubectl(&["rollout", "status", "-n", "cert-manager", "deployment/cert-manager-cainjector", "--timeout=120s"]);
    world.until("cert-manager's webhook to accept something", 60, accepted);
}

/// What others made of its kinds keeps it; without that it goes, and leaves nothing.
pub fn go_with_their_names(run: &dyn Fn(&[&str]) -> Said, kubectl: &dyn Fn(&[&str]) -> String) {
    let kept = run(&["--dry-run"]).ended_with(1).stdout;
    assert!(kept.contains("would go with its definitions"), "{kept}");
    for what in ["certificates.cert-manager.io", "issuers.cert-manager.io", "certificaterequests.cert-manager.io"] {
        kubectl(&["delete", what, "--all", "-n", "default", "--timeout=60s"]);
    }
    run(&["--yes"]).ended_with(0);
    let kinds = "namespaces,customresourcedefinitions,clusterroles,validatingwebhookconfigurations,configmaps,roles";
    let left = kubectl(&["get", kinds, "-A", "-o", "name"]);
    assert!(!left.contains("cert-manager"), "{left}");
    let metrics = kubectl(&["get", "apiservices,deployments", "-A", "-o", "name"]);
    assert!(!metrics.contains("metrics"), "{metrics}");
    assert!(left.contains("local-path"), "what is still named stays: {left}");
    let again = run(&["--yes"]).ended_with(0).stdout;
    assert!(again.contains("Nothing to change"), "{again}");
}

fn apply(world: &World, items: &str) -> Said {
    let list = format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": {items}}}").replace('\n', " ");
    // kubectl's own check asks for a description of the whole API in a form that this build of metrics-server spoils.
    let script =
        format!("printf '%s' '{list}' | kubectl --kubeconfig /etc/kubernetes/admin.conf apply --server-side --validate=false -f -");
    world.inside(1, &["sh", "-c", &script])
}
