//! What the real kubeadm and the real containerd say of the files that kthw renders for them.
use super::{
    config::{ClusterSpec, certificates, init, join},
    config_tests::workspace,
    containerd::Format,
};
use kthw_peers::{OPENSSL, Peer, ask, built};
use std::{
    path::Path,
    process::{Command, Output},
};

const KUBEADM_1_36: Peer = built(&["bin/kubeadm-1.36"]);
const KUBEADM_1_37: Peer = built(&["bin/kubeadm-1.37"]);
const CONTAINERD: Peer = built(&["bin/containerd"]);
/// Every option that ends in a file.
const ALL_OPTIONS: &str = "kubeadm: {image_repository: 'registry.lab:5000', cgroup_driver: cgroupfs, fail_swap_on: false, \
     kubelet_extra_args: {v: '2', register-with-taints: ''}, cert_sans: [api.bevz.net]}\n";

/// The files of `kubeadm init` and `kubeadm join` for a Kubernetes version.
fn rendered(version: &str, more: &str) -> [String; 2] {
    let workspace = workspace(version, more);
    let kubernetes = workspace.versions.kubernetes.clone();
    let spec = ClusterSpec {
        version: kubernetes.clone(),
        endpoint: workspace.endpoint(),
        pod_subnet: workspace.network.pods,
        service_subnet: workspace.network.services,
    };
    let hash = format!("sha256:{}", "0".repeat(64));
    let worker = join(&workspace, &workspace.nodes[1], &kubernetes, "abcdef.0123456789abcdef", &hash);
    [init(&workspace, &workspace.nodes[0], &spec), worker]
}

fn validated(kubeadm: &Path, text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeadm.yaml");
    std::fs::write(&file, text).expect("a file");
    Command::new(kubeadm).args(["config", "validate", "--config"]).arg(file).output().expect("kubeadm starts")
}

#[test]
fn kubeadm_takes_the_files_of_its_own_version_without_a_word() {
    let Some(programs) = ask([&KUBEADM_1_36, &KUBEADM_1_37]) else { return };
    for (kubeadm, version) in programs.iter().zip(["1.36.3", "1.37.2"]) {
        for more in ["", ALL_OPTIONS] {
            for text in rendered(version, more) {
                let said = validated(kubeadm, &text);
                let why = String::from_utf8_lossy(&said.stderr);
                assert!(said.status.success() && why.trim().is_empty(), "{version}: {why}\n{text}");
            }
        }
    }
}

#[test]
fn kubeadm_makes_a_certificate_beside_links_to_its_authority() {
    let Some([kubeadm, openssl]) = ask([&KUBEADM_1_36, &OPENSSL]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = workspace("1.36.3", ALL_OPTIONS);
    let spec = ClusterSpec {
        version: workspace.versions.kubernetes.clone(),
        endpoint: workspace.endpoint(),
        pod_subnet: workspace.network.pods,
        service_subnet: workspace.network.services,
    };
    let phase = |name: &str, certificates_in: &Path| {
        std::fs::create_dir_all(certificates_in).expect("a folder");
        let file = folder.path().join("renewal.yaml");
        std::fs::write(&file, certificates(&workspace, &workspace.nodes[0], &spec, &certificates_in.display().to_string())).expect("a file");
        Command::new(&kubeadm).args(["init", "phase", "certs", name, "--config"]).arg(&file).output().expect("kubeadm starts")
    };
    let (pki, beside) = (folder.path().join("pki"), folder.path().join("beside"));
    assert!(phase("ca", &pki).status.success());
    assert!(!phase("apiserver", &beside).status.success(), "without an authority there is no certificate");
    for name in ["ca.crt", "ca.key"] {
        std::os::unix::fs::symlink(pki.join(name), beside.join(name)).expect("a link");
    }
    let made = phase("apiserver", &beside);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let probe = super::control_plane::certificate_probe(&beside.join("apiserver.crt").display().to_string());
    let shown = Command::new(openssl).args(&probe[1..]).output().expect("openssl starts");
    let text = String::from_utf8_lossy(&shown.stdout);
    let live = super::control_plane::certificate_shown(&text, shown.status.code().unwrap_or(-1));
    assert_eq!(live.fields(&super::certificate_names(&workspace, &spec.endpoint)), [], "{text}");
}

/// kubeadm 1.36 is the last that reads v1beta3, and takes no Kubernetes older than its own predecessor: so it sees a copy with its own
/// version. That an older kubeadm does what the file says is not shown by this.
#[test]
fn kubeadm_1_36_still_reads_the_files_for_1_30() {
    let Some([kubeadm]) = ask([&KUBEADM_1_36]) else { return };
    for more in ["", ALL_OPTIONS] {
        for text in rendered("1.30.6", more) {
            assert!(text.contains("kubeadm.k8s.io/v1beta3"), "{text}");
            let said = validated(&kubeadm, &text.replace("kubernetesVersion: v1.30.6", "kubernetesVersion: v1.36.3"));
            let why = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.success(), "{why}\n{text}");
            let unexpected: Vec<&str> = why.lines().filter(|line| !line.contains("deprecated API spec")).collect();
            assert!(unexpected.is_empty(), "nothing but the API's own age: {unexpected:?}");
        }
    }
}

#[test]
fn a_field_that_is_none_is_told() {
    let Some([kubeadm]) = ask([&KUBEADM_1_37]) else { return };
    let [text, _] = rendered("1.37.2", "");
    let said = validated(&kubeadm, &text.replace("clusterName:", "clusterNaem:"));
    assert!(String::from_utf8_lossy(&said.stderr).contains("clusterNaem"), "{said:?}");
}

#[test]
fn containerd_takes_its_newest_format_without_a_word_and_migrates_older_ones() {
    let Some([containerd]) = ask([&CONTAINERD]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    for format in Format::ALL {
        std::fs::write(&file, format.text(&workspace("1.37.2", ""))).expect("a file");
        let said = Command::new(&containerd).arg("--config").arg(&file).args(["config", "dump"]).output().expect("containerd starts");
        let (dump, why) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success(), "{why}");
        for wanted in ["registry.k8s.io/pause:3.10.2", "SystemdCgroup = true", "/etc/containerd/certs.d"] {
            assert!(dump.contains(wanted), "{wanted} is in effect from format {}:\n{dump}", format.number());
        }
        let lines: Vec<&str> = why.lines().collect();
        match format {
            Format::Four => assert!(lines.is_empty(), "{why}"),
            _ => assert!(lines.len() == 1 && why.contains("migrated"), "{why}"),
        }
    }
}
