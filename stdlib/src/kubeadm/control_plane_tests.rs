//! A control plane's states, before and after.
use super::{
    super::config_tests::workspace,
    init::{BEGUN, ENDED},
    *,
};
use crate::ssh::testing::{a_file, printed};
use expect_test::{Expect, expect};
use kthw_engine::node::{Content, PathState};

fn control_plane(more: &str) -> ControlPlane {
    let workspace = Arc::new(workspace("1.31.9", more));
    let spec = ClusterSpec {
        version: workspace.versions().expect("a cluster").kubernetes.clone(),
        endpoint: workspace.endpoint(),
        pod_subnet: workspace.network.pods.expect("a cluster"),
        service_subnet: workspace.network.services.expect("a cluster"),
    };
    ControlPlane::new(workspace, spec).expect("one control plane")
}

const API_SERVER_POD: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.10.10.116\n    \
                              - --service-cluster-ip-range=10.96.0.0/12\n    image: registry.k8s.io/kube-apiserver:v1.31.9\n";
const CONTROLLER_MANAGER_POD: &str = "spec:\n  containers:\n  - command:\n    - kube-controller-manager\n    - --cluster-cidr=192.168.0.0/16\n    \
                                      - --cluster-name=ubuntu\n";

/// Answers to the query.
struct Answers {
    /// Which of the administrator's and the kubelet's configuration and the manifests are there.
    files: [bool; 3],
    /// What the manifests of API server and controller manager say, and the line of the server in the administrator's configuration.
    says: [String; 3],
    /// How far `kubeadm init` came, as far as it was noted.
    init: Option<&'static str>,
    /// Which of the certificate, its key, and the two that are made beside them are there.
    certificate: [bool; 4],
    /// What openssl says of the certificate.
    shown: Output,
    /// What asking for readiness gave.
    ready: Output,
    /// What the late phases left.
    made: [Output; 3],
}

fn output(status: i32, stdout: &str, stderr: &str) -> Output {
    Output { status, stdout: stdout.into(), stderr: stderr.into() }
}

/// Those of a control plane that runs.
fn running() -> Answers {
    let system = "configmap/kubeadm-config\nconfigmap/kubelet-config\nconfigmap/coredns\nconfigmap/kube-proxy\n\
                  deployment.apps/coredns\nservice/kube-dns\ndaemonset.apps/kube-proxy\n";
    Answers {
        files: [true; 3],
        says: [API_SERVER_POD, CONTROLLER_MANAGER_POD, "    server: https://cu1.bevz.net:6443\n"].map(str::to_owned),
        init: Some(ENDED),
        certificate: [true, true, false, false],
        shown: output(0, NAMES, ""),
        ready: output(0, "ok", ""),
        made: [system, "configmap/cluster-info\n", "node/cu1\n"].map(|names| output(0, names, "")),
    }
}

fn nothing() -> Answers {
    let refused = || output(1, "", "no such file");
    let (says, made) = ([(); 3].map(|()| String::new()), [(); 3].map(|()| refused()));
    Answers { files: [false; 3], says, init: None, certificate: [false; 4], shown: refused(), ready: refused(), made }
}

fn silent(said: &str) -> Answers {
    Answers { ready: output(1, "", said), made: [(); 3].map(|()| output(1, "", said)), ..running() }
}

impl Answers {
    fn findings(self) -> Vec<Finding> {
        let file = |there: bool, text: &str| Finding::Path(there.then(|| PathState { mode: 0o600, ..a_file(text, false) }));
        let ([admin, kubelet, manifests], [api_server, controller_manager, server]) = (self.files, self.says);
        let mut findings = vec![
            file(admin, ""),
            file(kubelet, ""),
            file(manifests, &api_server),
            file(manifests, &controller_manager),
            Finding::Run(if admin { output(0, &server, "") } else { output(2, "", "grep: No such file or directory") }),
            Finding::Path(self.init.map(|text| PathState { sha256: Some(Content::plain(text).sha256()), ..a_file(text, true) })),
        ];
        findings.extend(self.certificate.map(|there| file(there, "")));
        findings.extend([self.shown, self.ready].map(Finding::Run));
        findings.extend(self.made.map(Finding::Run));
        findings.extend([
            file(kubelet, "cgroupDriver: systemd\nfailSwapOn: true\n"),
            file(kubelet, "KUBELET_KUBEADM_ARGS=\"--node-ip=10.10.10.116\"\n"),
            printed("ExecMainStartTimestamp=Thu 1970-01-01 00:16:40 UTC\n"),
        ]);
        findings
    }
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
            Work::Alone => lines.push("just in time".into()),
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
                     IP Address:10.96.0.1, IP Address:10.10.10.116, IP Address:127.0.0.1\n\
                     notAfter=Aug 15 08:00:00 2027 GMT\nCertificate will not expire\n";

#[test]
fn nothing_there_is_created() {
    let more = "kubeadm: {skip_phases: [addon/kube-proxy, addon/coredns], ignore_preflight_errors: [NumCPU]}\n";
    check(
        more,
        &nothing().findings(),
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
            write /etc/kubernetes/kthw/init 600
            kubeadm init --config /etc/kubernetes/kthw/kubeadm.yaml --skip-token-print --skip-phases=addon/kube-proxy,addon/coredns --ignore-preflight-errors=NumCPU (600 s)
            write /etc/kubernetes/kthw/init 600"#]],
    );
}

#[test]
fn a_running_one_is_left_alone() {
    check("", &running().findings(), &expect!["= kubeadm.control_plane/ubuntu"]);
    // Made before kthw took notes, or by somebody else.
    check("", &Answers { init: None, ..running() }.findings(), &expect!["= kubeadm.control_plane/ubuntu"]);
}

#[test]
fn a_name_that_the_certificate_lacks_is_added() {
    check(
        "kubeadm: {cert_sans: [api.bevz.net]}\n",
        &running().findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu
                certificate names: absent -> api.bevz.net
            just in time"#]],
    );
}

#[test]
fn a_certificate_that_ends_soon_is_renewed() {
    let ends = NAMES.replace("2027", "2026").replace("will not expire", "will expire");
    check(
        "",
        &Answers { shown: output(1, &ends, ""), ..running() }.findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu
                certificate: valid until Aug 15 08:00:00 2026 GMT -> renewed
            just in time"#]],
    );
}

#[test]
fn what_an_interrupted_renewal_left_is_seen() {
    check(
        "",
        &Answers { certificate: [true, true, true, false], ..running() }.findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu
                certificate: renewed by half -> renewed
            just in time"#]],
    );
    check(
        "",
        &Answers { certificate: [false; 4], shown: output(1, "", "Could not open file"), ..running() }.findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu
                certificate: absent -> made
            just in time"#]],
    );
}

#[test]
fn an_openssl_that_fails_does_not_say_that_names_are_missing() {
    let error = |shown| control_plane("").live(&Answers { shown, ..running() }.findings()).expect_err("no answer").to_string();
    expect!["cannot look into the API server's certificate on cu1: there is no `openssl`"].assert_eq(&error(output(127, "", "")));
    expect!["cannot read the certificate /etc/kubernetes/pki/apiserver.crt on cu1: unable to load certificate"].assert_eq(&error(output(
        1,
        "",
        "unable to load certificate\n",
    )));
    expect!["cannot read the certificate /etc/kubernetes/pki/apiserver.crt on cu1: Killed"]
        .assert_eq(&error(output(137, NAMES, "Killed\n")));
}

#[test]
fn one_that_died_after_its_server_answered_is_finished() {
    let refused = || output(1, "", "Error from server (Forbidden): x");
    for made in [running().made, [(); 3].map(|()| output(0, "", "")), [(); 3].map(|()| refused())] {
        check(
            "",
            &Answers { init: Some(BEGUN), made, ..running() }.findings(),
            &expect![[r#"
                ~ kubeadm.control_plane/ubuntu
                    kubeadm init: begun -> ended
                just in time"#]],
        );
    }
}

#[test]
fn what_the_late_phases_made_is_missed() {
    let made = ["configmap/kubelet-config\nconfigmap/coredns\ndeployment.apps/coredns\nservice/kube-dns\n", "", "node/cu1\n"];
    check(
        "kubeadm: {skip_phases: [addon/kube-proxy]}\n",
        &Answers { made: made.map(|names| output(0, names, "")), ..running() }.findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu
                configmap/kubeadm-config: absent -> present
                configmap/cluster-info: absent -> present
            just in time"#]],
    );
}

#[test]
fn another_version_is_shown_and_left_to_an_upgrade() {
    let mut answers = running();
    answers.says[0] = API_SERVER_POD.replace("1.31.9", "1.30.5");
    check(
        "",
        &answers.findings(),
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
        &silent("x\nThe connection to the server was refused\n").findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu (hides what needs it)
                API server: silent (The connection to the server was refused) -> answering
            just in time"#]],
    );
    check(
        "",
        &Answers { files: [false, true, true], ..silent("") }.findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu (hides what needs it)
                API server: silent (there is no /etc/kubernetes/admin.conf) -> answering
            just in time"#]],
    );
}

#[test]
fn a_worker_does_not_become_a_control_plane() {
    check(
        "",
        &Answers { files: [false, true, false], init: None, ..silent("") }.findings(),
        &expect![[r#"
        ! kubeadm.control_plane/ubuntu (hides what needs it)
            role: worker -> control_plane
          cu1 is a worker of a cluster; kthw makes no control plane of it
          set the role of cu1 back to `worker`; or take it out of the cluster (`kubectl drain cu1`, `kubectl delete node cu1`, then `kubeadm reset -f` on it) and run again"#]],
    );
}

#[test]
fn a_control_plane_that_was_begun_is_no_worker() {
    check(
        "",
        &Answers { files: [false, true, false], init: Some(BEGUN), ..silent("") }.findings(),
        &expect![[r#"
        ~ kubeadm.control_plane/ubuntu (hides what needs it)
            API server: silent (there is no /etc/kubernetes/admin.conf) -> answering
            kubeadm init: begun -> ended
        just in time"#]],
    );
}

#[test]
fn a_name_that_nobody_asks_for_any_more_goes() {
    let more = NAMES.replace("DNS:localhost", "DNS:localhost, DNS:old.bevz.net");
    check(
        "",
        &Answers { shown: output(0, &more, ""), ..running() }.findings(),
        &expect![[r#"
        ~ kubeadm.control_plane/ubuntu
            certificate names: old.bevz.net -> absent
        just in time"#]],
    );
}

#[test]
fn what_a_cluster_is_made_with_stays() {
    let mut moved = running();
    for (position, from, to) in
        [(0, "10.96.0.0/12", "10.200.0.0/16"), (1, "192.168.0.0/16", "10.1.0.0/16"), (2, "cu1.bevz.net:6443", "api.old.net:443")]
    {
        moved.says[position] = moved.says[position].replace(from, to);
    }
    check(
        "",
        &moved.findings(),
        &expect![[r#"
        ! kubeadm.control_plane/ubuntu
            endpoint: api.old.net:443 -> cu1.bevz.net:6443  (cannot be changed)
            pod_subnet: 10.1.0.0/16 -> 192.168.0.0/16  (cannot be changed)
            service_subnet: 10.200.0.0/16 -> 10.96.0.0/12  (cannot be changed)
          the control plane on cu1 was made with another endpoint, pod_subnet, service_subnet, which stays for the cluster's life
          set back `endpoint` to api.old.net:443 and `network.pods` to 10.1.0.0/16 and `network.services` to 10.200.0.0/16; anything else needs a new cluster"#]],
    );
    check(
        "kubeadm: {image_repository: 'r.lab:5000'}\n",
        &running().findings(),
        &expect![[r#"
            ! kubeadm.control_plane/ubuntu
                image_repository: registry.k8s.io -> r.lab:5000
              the control plane on cu1 has its images from registry.k8s.io, which kubeadm changes only with an upgrade
              set `kubeadm.image_repository` back to registry.k8s.io"#]],
    );
}

#[test]
fn a_kubelet_is_kept_and_new_nodes_begin_with_the_same() {
    check(
        "kubeadm: {fail_swap_on: false, kubelet_extra_args: {v: '2'}}\n",
        &running().findings(),
        &expect![[r#"
        ~ kubeadm.control_plane/ubuntu
            kubelet --v: absent -> 2
            kubelet failSwapOn: true -> false
        directory /etc/kubernetes/kthw 700
        write /etc/kubernetes/kthw/kubeadm.yaml 600
        kubeadm init phase upload-config kubelet --config /etc/kubernetes/kthw/kubeadm.yaml (300 s)
        write /var/lib/kubelet/config.yaml 644
        write /var/lib/kubelet/kubeadm-flags.env 644
        systemctl restart kubelet (300 s)"#]],
    );
}

#[test]
fn a_refusal_of_one_that_starts_is_explained() {
    for (line, want) in [
        (
            "Error from server (Forbidden): User \"kubernetes-admin\" cannot get path \"/readyz\"",
            "403 while it starts: RBAC is not loaded yet",
        ),
        ("error: You must be logged in to the server (Unauthorized)", "401 while it starts: it does not know anybody yet"),
    ] {
        let Ok(Some(LiveMachine::ControlPlane(live))) = control_plane("").live(&silent(line).findings()) else {
            panic!("one that is there")
        };
        assert_eq!(live.silent, Some(format!("it answers {want}")));
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

#[test]
fn what_the_api_server_is_told_is_changed_just_in_time() {
    check(
        "audit: {}\n",
        &running().findings(),
        &expect![[r#"
            ~ kubeadm.control_plane/ubuntu
                --audit-log-maxage: absent -> 30
                --audit-log-maxbackup: absent -> 9
                --audit-log-maxsize: absent -> 100
                --audit-log-path: absent -> /var/log/kubernetes/audit/audit.log
                --audit-policy-file: absent -> /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml
            just in time"#]],
    );
    check(
        "pod_security: {}\n",
        &nothing().findings(),
        &expect![[r#"
            + kubeadm.control_plane/ubuntu (hides what needs it)
                version: 1.31.9
                endpoint: cu1.bevz.net:6443
                pod_subnet: 192.168.0.0/16
                service_subnet: 10.96.0.0/12
                certificate names: 10.10.10.116, cu1, cu1.bevz.net, localhost, 127.0.0.1
                pod_security: enforce baseline, warn restricted, audit restricted, not in kube-system
            getent ahosts cu1.bevz.net (30 s)
            directory /etc/kubernetes/kthw 700
            write /etc/kubernetes/kthw/kubeadm.yaml 600
            directory /etc/kubernetes/kthw 700
            directory /etc/kubernetes/kthw/api-server 700
            write /etc/kubernetes/kthw/api-server/admission-cbdbb4f9cbda.yaml 600
            write /etc/kubernetes/kthw/init 600
            kubeadm init --config /etc/kubernetes/kthw/kubeadm.yaml --skip-token-print (600 s)
            write /etc/kubernetes/kthw/init 600"#]],
    );
}
