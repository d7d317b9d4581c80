//! A control plane's states, before and after.
use super::{super::config_tests::workspace, *};
use crate::ssh::testing::{a_file, failed, printed};
use expect_test::{Expect, expect};
use kthw_engine::node::PathState;

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

const API_SERVER_POD: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.10.10.116\n    \
                              - --service-cluster-ip-range=10.96.0.0/12\n    image: registry.k8s.io/kube-apiserver:v1.31.9\n";
const CONTROLLER_MANAGER_POD: &str = "spec:\n  containers:\n  - command:\n    - kube-controller-manager\n    - --cluster-cidr=192.168.0.0/16\n    \
                                      - --cluster-name=ubuntu\n";

/// Answers to the query: which of the administrator's, the kubelet's and the API server's files are there, the certificate's names, and what
/// asking for readiness gave.
fn findings(files: [bool; 3], names: &str, ready: (i32, &str)) -> Vec<Finding> {
    let file = |there: bool, text: &str| Finding::Path(there.then(|| PathState { mode: 0o600, ..a_file(text, false) }));
    let [admin, kubelet, manifest] = files;
    vec![
        file(admin, ""),
        file(kubelet, ""),
        file(manifest, API_SERVER_POD),
        file(manifest, CONTROLLER_MANAGER_POD),
        if admin { printed("    server: https://cu1.bevz.net:6443\n") } else { failed(2) },
        Finding::Run(Output { status: i32::from(names.is_empty()), stdout: names.into(), stderr: String::new() }),
        Finding::Run(Output { status: ready.0, stdout: String::new(), stderr: ready.1.into() }),
        file(kubelet, "cgroupDriver: systemd\nfailSwapOn: true\n"),
        file(kubelet, "KUBELET_KUBEADM_ARGS=\"--node-ip=10.10.10.116\"\n"),
        printed("ExecMainStartTimestamp=Thu 1970-01-01 00:16:40 UTC\n"),
    ]
}

fn check(more: &str, findings: &[Finding], want: &Expect) {
    let resource = control_plane(more);
    let live = resource.live(findings).expect("understood");
    let change = resource.diff(live.as_ref());
    let hides = if resource.hides_dependents(&change) { " (hides what needs it)" } else { "" };
    let mut lines = vec![format!("{} {}{hides}", change.mark(), resource.id())];
    lines.extend(change.fields().iter().map(|field| format!("    {field}")));
    if let Change::Refused(refusal) = &change {
        lines.extend([format!("  {}", refusal.why), format!("  {}", refusal.next)]);
    } else if !change.is_none() {
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
    manifest.content = Some(API_SERVER_POD.replace("1.31.9", "1.30.5").into_bytes());
    check(
        "",
        &findings,
        &expect![[r#"
            ! kubeadm.control_plane/ubuntu
                version: 1.30.5 -> 1.31.9
              the control plane on cu1 runs 1.30.5; changing it to 1.31.9 is an upgrade, which kthw does not do yet
              set `versions.kubernetes` to 1.30.5, or run `kubeadm upgrade apply v1.31.9` on cu1 first"#]],
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
        &findings([false, true, true], "", (1, "")),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu (hides what needs it)
                API server: silent (there is no /etc/kubernetes/admin.conf) -> answering
            just in time"#]],
    );
}

#[test]
fn a_worker_does_not_become_a_control_plane() {
    check("", &findings([false, true, false], "", (1, "")), &expect![[r#"
        ! kubeadm.control_plane/ubuntu (hides what needs it)
            role: worker -> control_plane
          cu1 is a worker of a cluster; kthw makes no control plane of it
          set the role of cu1 back to `worker`; or take it out of the cluster (`kubectl drain cu1`, `kubectl delete node cu1`, then `kubeadm reset -f` on it) and run again"#]]);
}

#[test]
fn a_name_that_nobody_asks_for_any_more_goes() {
    check("", &findings([true; 3], &NAMES.replace("DNS:localhost", "DNS:localhost, DNS:old.bevz.net"), (0, "")), &expect![[r#"
        ~ kubeadm.control_plane/ubuntu
            certificate names: old.bevz.net -> absent
        directory /etc/kubernetes/kthw 700
        write /etc/kubernetes/kthw/kubeadm.yaml 600
        remove /etc/kubernetes/pki/apiserver.crt
        remove /etc/kubernetes/pki/apiserver.key
        kubeadm init phase certs apiserver --config /etc/kubernetes/kthw/kubeadm.yaml (300 s)"#]]);
}

#[test]
fn what_a_cluster_is_made_with_stays() {
    let mut moved = findings([true; 3], NAMES, (0, ""));
    let mut replace = |position: usize, from: &str, to: &str| match &mut moved[position] {
        Finding::Path(Some(file)) => {
            let text = String::from_utf8(file.content.take().expect("content")).expect("text");
            file.content = Some(text.replace(from, to).into_bytes());
        }
        Finding::Run(output) => output.stdout = output.stdout.replace(from, to),
        other => panic!("{other:?}"),
    };
    replace(2, "10.96.0.0/12", "10.200.0.0/16");
    replace(3, "192.168.0.0/16", "10.1.0.0/16");
    replace(4, "cu1.bevz.net:6443", "api.old.net:443");
    check("", &moved, &expect![[r#"
        ! kubeadm.control_plane/ubuntu
            endpoint: api.old.net:443 -> cu1.bevz.net:6443
            pod_subnet: 10.1.0.0/16 -> 192.168.0.0/16
            service_subnet: 10.200.0.0/16 -> 10.96.0.0/12
          the control plane on cu1 was made with another endpoint, pod_subnet, service_subnet, which stays for the cluster's life
          set back `endpoint` to api.old.net:443 and `network.pods` to 10.1.0.0/16 and `network.services` to 10.200.0.0/16; anything else needs a new cluster"#]]);
    check(
        "kubeadm: {image_repository: 'r.lab:5000'}\n",
        &findings([true; 3], NAMES, (0, "")),
        &expect![[r#"
            ! kubeadm.control_plane/ubuntu
                image_repository: registry.k8s.io -> r.lab:5000
              the control plane on cu1 has its images from registry.k8s.io, which kubeadm changes only with an upgrade
              set `kubeadm.image_repository` back to registry.k8s.io"#]],
    );
}

#[test]
fn a_kubelet_is_kept_and_new_nodes_begin_with_the_same() {
    check("kubeadm: {fail_swap_on: false, kubelet_extra_args: {v: '2'}}\n", &findings([true; 3], NAMES, (0, "")), &expect![[r#"
        ~ kubeadm.control_plane/ubuntu
            kubelet --v: absent -> 2
            kubelet failSwapOn: true -> false
        directory /etc/kubernetes/kthw 700
        write /etc/kubernetes/kthw/kubeadm.yaml 600
        kubeadm init phase upload-config kubelet --config /etc/kubernetes/kthw/kubeadm.yaml (300 s)
        write /var/lib/kubelet/config.yaml 644
        write /var/lib/kubelet/kubeadm-flags.env 644
        systemctl restart kubelet (300 s)"#]]);
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
