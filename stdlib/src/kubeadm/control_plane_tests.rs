//! A control plane's states, before and after.
use super::{super::config_tests::workspace, *};
use expect_test::{Expect, expect};
use kthw_engine::node::PathKind;

fn control_plane(more: &str) -> ControlPlane {
    let workspace = Arc::new(workspace("1.31.9", more));
    let spec = ClusterSpec {
        version: workspace.versions.kubernetes.clone(),
        endpoint: workspace.endpoint(),
        pod_subnet: workspace.network.pods,
        service_subnet: workspace.network.services,
    };
    ControlPlane::new(workspace, spec).expect("one control plane")
}

/// Answers to the query: which of the three files are there, the certificate's names, and what asking for readiness gave.
fn findings(files: [bool; 3], names: &str, ready: (i32, &str)) -> Vec<Finding> {
    let file = PathState {
        kind: PathKind::File,
        mode: 0o600,
        owner: "root".into(),
        group: "root".into(),
        modified_s: 0,
        sha256: None,
        content: None,
    };
    let mut findings: Vec<Finding> = files.map(|there| Finding::Path(there.then(|| file.clone()))).into();
    findings.push(Finding::Run(Output { status: i32::from(names.is_empty()), stdout: names.into(), stderr: String::new() }));
    findings.push(Finding::Run(Output { status: ready.0, stdout: String::new(), stderr: ready.1.into() }));
    findings
}

fn check(more: &str, findings: &[Finding], want: &Expect) {
    let resource = control_plane(more);
    let live = resource.live(findings).expect("understood");
    let change = resource.diff(live.as_ref());
    let hides = if resource.hides_dependents(&change) { " (hides what needs it)" } else { "" };
    let mut lines = vec![format!("{} {}{hides}", change.mark(), resource.id())];
    lines.extend(change.fields().iter().map(|field| format!("    {field}")));
    if !matches!(change, Change::None | Change::Refused(_)) {
        match resource.work(live.as_ref(), false) {
            Work::JustInTime => lines.push("just in time".into()),
            Work::Actions(actions) => lines.extend(actions.iter().map(|action| match action {
                Action::Run { argv, timeout_s, .. } => format!("{} ({timeout_s} s)", argv.join(" ")),
                Action::Write { path, mode, .. } => format!("write {path} {mode:o}"),
                Action::Directory { path, mode, .. } => format!("directory {path} {mode:o}"),
                Action::Remove { path } => format!("remove {path}"),
                other => format!("{other:?}"),
            })),
        }
    }
    want.assert_eq(&lines.join("\n"));
}

const NAMES: &str = "X509v3 Subject Alternative Name: \n    DNS:cu1, DNS:cu1.bevz.net, DNS:kubernetes, DNS:localhost, \
                     IP Address:10.96.0.1, IP Address:10.10.10.116, IP Address:127.0.0.1\n";

#[test]
fn nothing_there_is_created() {
    let more = "kubeadm: {skip_phases: [addon/kube-proxy, addon/coredns], ignore_preflight_errors: [NumCPU]}\n";
    check(
        more,
        &findings([false; 3], "", (1, "no such file")),
        &expect![[r#"
            + kubeadm.control_plane/ubuntu (hides what needs it)
                version: 1.31.9
                endpoint: cu1.bevz.net:6443
                pod_subnet: 192.168.0.0/16
                service_subnet: 10.96.0.0/12
                certificate names: 10.10.10.116, cu1, cu1.bevz.net, localhost, 127.0.0.1
            getent ahosts cu1.bevz.net (30 s)
            directory /etc/kubernetes/kthw 700
            write /etc/kubernetes/kthw/kubeadm.yaml 600
            kubeadm init --config /etc/kubernetes/kthw/kubeadm.yaml --skip-token-print --skip-phases=addon/kube-proxy,addon/coredns --ignore-preflight-errors=NumCPU (600 s)"#]],
    );
}

#[test]
fn a_running_one_is_left_alone() {
    check("", &findings([true; 3], NAMES, (0, "")), &expect!["= kubeadm.control_plane/ubuntu"]);
}

#[test]
fn a_name_that_the_certificate_lacks_is_added() {
    check(
        "kubeadm: {cert_sans: [api.bevz.net]}\n",
        &findings([true; 3], NAMES, (0, "")),
        &expect![[r#"
        ~ kubeadm.control_plane/ubuntu
            certificate names: absent -> api.bevz.net
        directory /etc/kubernetes/kthw 700
        write /etc/kubernetes/kthw/kubeadm.yaml 600
        remove /etc/kubernetes/pki/apiserver.crt
        remove /etc/kubernetes/pki/apiserver.key
        kubeadm init phase certs apiserver --config /etc/kubernetes/kthw/kubeadm.yaml (300 s)"#]],
    );
}

#[test]
fn another_version_is_shown_and_left_to_an_upgrade() {
    let mut findings = findings([true; 3], NAMES, (0, ""));
    let Finding::Path(Some(manifest)) = &mut findings[2] else { panic!("a file") };
    manifest.content = Some(b"spec:\n  containers:\n  - command: [x]\n    image: registry.k8s.io/kube-apiserver:v1.30.5\n".into());
    check(
        "",
        &findings,
        &expect![[r#"
            ! kubeadm.control_plane/ubuntu
                version: 1.30.5 -> 1.31.9"#]],
    );
}

#[test]
fn a_silent_one_is_waited_for() {
    check(
        "",
        &findings([true; 3], NAMES, (1, "x\nThe connection to the server was refused\n")),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu (hides what needs it)
                API server: silent (The connection to the server was refused) -> answering
            just in time"#]],
    );
    check(
        "",
        &findings([false, true, false], "", (1, "")),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu (hides what needs it)
                API server: silent (there is no /etc/kubernetes/admin.conf) -> answering
            just in time"#]],
    );
}

#[test]
fn a_refusal_of_one_that_starts_is_explained() {
    for (line, want) in [
        ("Error from server (Forbidden): User \"kubernetes-admin\" cannot get path \"/readyz\"", "403 while it starts: RBAC is not loaded yet"),
        ("error: You must be logged in to the server (Unauthorized)", "401 while it starts: it does not know anybody yet"),
    ] {
        let live = control_plane("").live(&findings([true; 3], NAMES, (1, line))).expect("understood");
        assert_eq!(live, Some(LiveControlPlane::Silent { reason: format!("it answers {want}") }));
    }
}

#[test]
fn several_control_planes_are_refused() {
    let mut workspace = workspace("1.31.9", "");
    workspace.nodes[1].role = Role::ControlPlane;
    let spec = control_plane("").spec;
    let error = ControlPlane::new(Arc::new(workspace), spec).expect_err("refused");
    expect!["the workspace `ubuntu` has 2 control planes; kthw builds clusters with exactly one, not yet with more"]
        .assert_eq(&error.to_string());
}
