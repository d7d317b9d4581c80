//! Golden configurations, one for each of kubeadm's configuration APIs.
use super::config::*;
use crate::workspace::{NodeSpec, Workspace};
use expect_test::{Expect, expect};

/// A small cluster in the given Kubernetes version, with further lines of YAML.
pub(super) fn workspace(version: &str, more: &str) -> Workspace {
    let yaml = format!(
        "name: ubuntu\ndomain: bevz.net\nrelease_letter: u\ndistribution: ubuntu\nversions: {{kubernetes: {version}, calico: 3.28.0}}\n\
         network: {{nodes: 10.10.10.0/24, gateway: 10.10.10.1, pods: 192.168.0.0/16, services: 10.96.0.0/12}}\n\
         nodes: [{{name: cu1, role: control_plane, address: 10.10.10.116}}, {{name: wu1, role: worker, address: 10.10.10.121}}]\n{more}"
    );
    serde_saphyr::from_str(&yaml).expect("a workspace")
}

fn check_init(version: &str, more: &str, want: &Expect) {
    let workspace = workspace(version, more);
    let spec = ClusterSpec {
        version: workspace.versions().expect("a cluster").kubernetes.clone(),
        endpoint: workspace.endpoint(),
        pod_subnet: workspace.network.pods.expect("a cluster"),
        service_subnet: workspace.network.services.expect("a cluster"),
    };
    want.assert_eq(&init(&workspace, &workspace.nodes[0], &spec));
}

fn worker(workspace: &Workspace) -> &NodeSpec {
    &workspace.nodes[1]
}

#[test]
fn init_for_1_30_is_v1beta3() {
    check_init(
        "1.30.5",
        "kubeadm: {image_repository: 'registry.lab:5000', cgroup_driver: cgroupfs, fail_swap_on: false, \
         kubelet_extra_args: {v: '2', register-with-taints: ''}, cert_sans: [api.bevz.net]}\n",
        &expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta3
        kind: InitConfiguration
        bootstrapTokens:
        - ttl: 1m0s
          description: made by kubeadm init, not used
        localAPIEndpoint:
          advertiseAddress: "10.10.10.116"
          bindPort: 6443
        nodeRegistration:
          name: cu1
          criSocket: unix:///run/containerd/containerd.sock
          kubeletExtraArgs:
            node-ip: "10.10.10.116"
            register-with-taints: ""
            v: "2"
        ---
        apiVersion: kubeadm.k8s.io/v1beta3
        kind: ClusterConfiguration
        clusterName: ubuntu
        kubernetesVersion: v1.30.5
        controlPlaneEndpoint: cu1.bevz.net:6443
        imageRepository: registry.lab:5000
        networking:
          dnsDomain: cluster.local
          podSubnet: 192.168.0.0/16
          serviceSubnet: 10.96.0.0/12
        apiServer:
          certSANs:
          - "10.10.10.116"
          - cu1
          - cu1.bevz.net
          - localhost
          - "127.0.0.1"
          - api.bevz.net
        ---
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        cgroupDriver: cgroupfs
        failSwapOn: false
    "#]],
    );
}

#[test]
fn init_for_1_31_is_v1beta4() {
    check_init(
        "1.31.9",
        "endpoint: 10.10.10.100:443\nkubeadm: {kubelet_extra_args: {v: '2'}}\n",
        &expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta4
        kind: InitConfiguration
        bootstrapTokens:
        - ttl: 1m0s
          description: made by kubeadm init, not used
        localAPIEndpoint:
          advertiseAddress: "10.10.10.116"
          bindPort: 6443
        nodeRegistration:
          name: cu1
          criSocket: unix:///run/containerd/containerd.sock
          kubeletExtraArgs:
          - name: node-ip
            value: "10.10.10.116"
          - name: v
            value: "2"
        ---
        apiVersion: kubeadm.k8s.io/v1beta4
        kind: ClusterConfiguration
        clusterName: ubuntu
        kubernetesVersion: v1.31.9
        controlPlaneEndpoint: 10.10.10.100:443
        networking:
          dnsDomain: cluster.local
          podSubnet: 192.168.0.0/16
          serviceSubnet: 10.96.0.0/12
        apiServer:
          certSANs:
          - "10.10.10.116"
          - cu1
          - cu1.bevz.net
          - "10.10.10.100"
          - localhost
          - "127.0.0.1"
        ---
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        cgroupDriver: systemd
        failSwapOn: true
    "#]],
    );
}

#[test]
fn join_for_1_30_and_1_31() {
    let token = "abcdef.0123456789abcdef";
    let old = workspace("1.30.5", "");
    expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta3
        kind: JoinConfiguration
        discovery:
          bootstrapToken:
            apiServerEndpoint: cu1.bevz.net:6443
            token: abcdef.0123456789abcdef
            caCertHashes:
            - sha256:00
        nodeRegistration:
          name: wu1
          criSocket: unix:///run/containerd/containerd.sock
          kubeletExtraArgs:
            node-ip: "10.10.10.121"
    "#]]
    .assert_eq(&join(&old, worker(&old), &old.versions().expect("a cluster").kubernetes, token, "sha256:00"));
    let new = workspace("1.31.9", "");
    expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta4
        kind: JoinConfiguration
        discovery:
          bootstrapToken:
            apiServerEndpoint: cu1.bevz.net:6443
            token: abcdef.0123456789abcdef
            caCertHashes:
            - sha256:00
        nodeRegistration:
          name: wu1
          criSocket: unix:///run/containerd/containerd.sock
          kubeletExtraArgs:
          - name: node-ip
            value: "10.10.10.121"
    "#]]
    .assert_eq(&join(&new, worker(&new), &new.versions().expect("a cluster").kubernetes, token, "sha256:00"));
}

#[test]
fn each_version_gets_the_newest_api_that_it_reads() {
    for (version, api) in [
        ("1.26.0", ConfigApi::V1Beta3),
        ("1.30.14", ConfigApi::V1Beta3),
        ("1.31.0", ConfigApi::V1Beta4),
        ("1.36.3", ConfigApi::V1Beta4),
        ("1.37.2", ConfigApi::V1Beta4),
    ] {
        assert_eq!(ConfigApi::of(&version.parse().expect("a version")), api, "{version}");
    }
}

#[test]
fn what_a_file_says_is_yaml_that_reads_back() {
    let workspace = workspace("1.31.9", "kubeadm: {kubelet_extra_args: {a: 'yes', b: '012', c: ''}}\n");
    let text = join(&workspace, worker(&workspace), &workspace.versions().expect("a cluster").kubernetes, "t", "h");
    let value: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
    let arguments = &value["nodeRegistration"]["kubeletExtraArgs"];
    assert_eq!(arguments[0], serde_json::json!({"name": "a", "value": "yes"}));
    assert_eq!(arguments[1]["value"], "012");
    assert_eq!(arguments[2]["value"], "");
}

#[test]
fn what_the_api_server_is_told_in_both_forms() {
    let part = |version: &str| {
        let workspace = workspace(version, "audit: {}\n");
        let spec = ClusterSpec {
            version: version.parse().expect("a version"),
            endpoint: workspace.endpoint(),
            pod_subnet: workspace.network.pods.expect("a cluster"),
            service_subnet: workspace.network.services.expect("a cluster"),
        };
        let text = init(&workspace, &workspace.nodes[0], &spec);
        let (_, rest) = text.split_once("  extraArgs:\n").expect("arguments");
        format!("extraArgs:\n{}", rest.split_once("---").expect("another document").0)
    };
    expect![[r#"
        extraArgs:
            audit-log-maxage: "30"
            audit-log-maxbackup: "9"
            audit-log-maxsize: "100"
            audit-log-path: /var/log/kubernetes/audit/audit.log
            audit-policy-file: /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml
          extraVolumes:
          - name: kthw-files
            hostPath: /etc/kubernetes/kthw/api-server
            mountPath: /etc/kubernetes/kthw/api-server
            readOnly: true
            pathType: Directory
          - name: kthw-audit
            hostPath: /var/log/kubernetes/audit
            mountPath: /var/log/kubernetes/audit
            pathType: Directory
    "#]]
    .assert_eq(&part("1.30.5"));
    expect![[r#"
        extraArgs:
          - name: audit-log-maxage
            value: "30"
          - name: audit-log-maxbackup
            value: "9"
          - name: audit-log-maxsize
            value: "100"
          - name: audit-log-path
            value: /var/log/kubernetes/audit/audit.log
          - name: audit-policy-file
            value: /etc/kubernetes/kthw/api-server/audit-524b4f0eadf4.yaml
          extraVolumes:
          - name: kthw-files
            hostPath: /etc/kubernetes/kthw/api-server
            mountPath: /etc/kubernetes/kthw/api-server
            readOnly: true
            pathType: Directory
          - name: kthw-audit
            hostPath: /var/log/kubernetes/audit
            mountPath: /var/log/kubernetes/audit
            pathType: Directory
    "#]]
    .assert_eq(&part("1.31.9"));
}
