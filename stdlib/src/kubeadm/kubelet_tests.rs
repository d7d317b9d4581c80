//! A joined node's kubelet, before and after.
use super::{super::config_tests::workspace, *};
use crate::ssh::testing::{a_file, printed};
use expect_test::{Expect, expect};

const AS_MADE: &str = "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=10.10.10.121 \
                       --pod-infra-container-image=registry.k8s.io/pause:3.10\"\n";
const CONFIGURED: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\ncgroupDriver: systemd\nfailSwapOn: true\nkind: KubeletConfiguration\n";
/// The files of the tests are from second 1000.
const AFTER: &str = "ExecMainStartTimestamp=Thu 1970-01-01 00:16:40 UTC\n";

/// The change of `wu1`'s kubelet and what is done, for these lines of the workspace and these files.
fn check(more: &str, [config, arguments]: [&str; 2], started: &str, want: &Expect) {
    let workspace = workspace("1.31.9", more);
    let kubelet = Kubelet::of(&workspace, &workspace.nodes[1]);
    let file = |text| Finding::Path(Some(a_file(text, false)));
    let live = Kubelet::live(&[file(config), file(arguments), printed(started)]);
    let change = change(kubelet.refusals(&live), kubelet.fields(&live));
    let mut shown = change.word().to_owned();
    change.fields().iter().for_each(|field| shown += &format!("\n    {field}"));
    match &change {
        Change::Refused(refusal) => shown += &format!("\n  {}\n  {}", refusal.why, refusal.next),
        Change::None => {}
        _ => kubelet.work(&live).iter().for_each(|action| match action {
            Action::Write { path, content, .. } => {
                shown += &format!("\n  > {path}: {}", String::from_utf8_lossy(content.bytes()).trim_end())
            }
            Action::Run { argv, .. } => shown += &format!("\n  > {}", argv.join(" ")),
            other => panic!("{other:?}"),
        }),
    }
    want.assert_eq(&shown);
}

#[test]
fn as_kubeadm_made_it_nothing_changes() {
    check("", [CONFIGURED, AS_MADE], AFTER, &expect!["none"]);
    let newer = "KUBELET_KUBEADM_ARGS=\"--hostname-override=wu1 --node-ip=10.10.10.121\"\n";
    check("", [CONFIGURED, newer], AFTER, &expect!["none"]);
}

#[test]
fn arguments_are_changed_in_place_and_what_kubeadm_added_stays() {
    check(
        "kubeadm: {kubelet_extra_args: {max-pods: '50', v: '2'}}\n",
        [CONFIGURED, &AS_MADE.replace("--node-ip", "--max-pods=110 --eviction-hard=x --node-ip")],
        AFTER,
        &expect![[r#"
            update
                kubelet --max-pods: 110 -> 50
                kubelet --v: absent -> 2
                kubelet --eviction-hard: x -> absent
              > /var/lib/kubelet/kubeadm-flags.env: KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock --max-pods=50 --node-ip=10.10.10.121 --pod-infra-container-image=registry.k8s.io/pause:3.10 --v=2"
              > systemctl restart kubelet"#]],
    );
}

#[test]
fn swap_is_one_line_of_its_configuration() {
    check(
        "kubeadm: {fail_swap_on: false}\n",
        [CONFIGURED, AS_MADE],
        AFTER,
        &expect![[r#"
            update
                kubelet failSwapOn: true -> false
              > /var/lib/kubelet/config.yaml: apiVersion: kubelet.config.k8s.io/v1beta1
            cgroupDriver: systemd
            failSwapOn: false
            kind: KubeletConfiguration
              > systemctl restart kubelet"#]],
    );
}

#[test]
fn serving_certificates_of_the_cluster_are_one_line_more_and_taken_back() {
    let of_cluster = "kubeadm: {kubelet_serving_certificates: true}\n";
    check(
        of_cluster,
        [CONFIGURED, AS_MADE],
        AFTER,
        &expect![[r#"
            update
                kubelet serverTLSBootstrap: false -> true
              > /var/lib/kubelet/config.yaml: apiVersion: kubelet.config.k8s.io/v1beta1
            cgroupDriver: systemd
            failSwapOn: true
            kind: KubeletConfiguration
            serverTLSBootstrap: true
              > systemctl restart kubelet"#]],
    );
    let with_it = format!("{CONFIGURED}serverTLSBootstrap: true\n");
    check(of_cluster, [&with_it, AS_MADE], AFTER, &expect!["none"]);
    // Who set it by hand, and says nothing in the workspace, keeps it.
    check("", [&with_it, AS_MADE], AFTER, &expect!["none"]);
    check(
        "kubeadm: {kubelet_serving_certificates: false}\n",
        [&with_it, AS_MADE],
        AFTER,
        &expect![[r#"
            update
                kubelet serverTLSBootstrap: true -> false
              > /var/lib/kubelet/config.yaml: apiVersion: kubelet.config.k8s.io/v1beta1
            cgroupDriver: systemd
            failSwapOn: true
            kind: KubeletConfiguration
            serverTLSBootstrap: false
              > systemctl restart kubelet"#]],
    );
}

#[test]
fn a_file_that_the_kubelet_has_not_read_yet_is_not_forgotten() {
    check(
        "",
        [CONFIGURED, AS_MADE],
        "ExecMainStartTimestamp=Thu 1970-01-01 00:16:39 UTC\n",
        &expect![[r#"
            update
                kubelet: /var/lib/kubelet/config.yaml is newer than its start -> restarted with it
              > systemctl restart kubelet"#]],
    );
}

#[test]
fn another_cgroup_driver_is_refused() {
    check(
        "kubeadm: {cgroup_driver: cgroupfs, kubelet_extra_args: {v: '2'}}\n",
        [CONFIGURED, AS_MADE],
        AFTER,
        &expect![[r#"
            refused
                cgroup_driver: systemd -> cgroupfs
              wu1 runs pods under the cgroup driver `systemd`, which is not changed under them
              set `kubeadm.cgroup_driver` back to `systemd`, or move node after node by hand (https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/configure-cgroup-driver/) before you run again"#]],
    );
}

#[test]
fn labels_and_taints_of_a_registered_node_are_refused() {
    check(
        "kubeadm: {kubelet_extra_args: {node-labels: 'rack=b', v: '2'}}\n",
        [CONFIGURED, &AS_MADE.replace("--node-ip", "--node-labels=rack=a --register-with-taints=x=y:NoSchedule --v=2 --node-ip")],
        AFTER,
        &expect![[r#"
            refused
                kubelet --node-labels: rack=a -> rack=b
                kubelet --register-with-taints: x=y:NoSchedule -> absent
              a kubelet takes labels, taints and its node's name from its arguments only when the node registers, and wu1 has
              set `kubeadm.kubelet_extra_args` back; or change wu1 itself (`kubectl label node`, `kubectl taint node`) and write the same into /var/lib/kubelet/kubeadm-flags.env on it"#]],
    );
}

#[test]
fn what_cannot_be_read_is_not_compared() {
    let workspace = workspace("1.31.9", "kubeadm: {cgroup_driver: cgroupfs}\n");
    let kubelet = Kubelet::of(&workspace, &workspace.nodes[1]);
    let live = Kubelet::live(&[Finding::Path(None), Finding::Path(None), printed("")]);
    assert_eq!(change(kubelet.refusals(&live), kubelet.fields(&live)), Change::None);
}

#[test]
fn arguments_survive_being_written() {
    let arguments = BTreeMap::from([("a".to_owned(), "x \"y\" \\z".to_owned()), ("b".to_owned(), "1,2".to_owned())]);
    assert_eq!(arguments_in(&written(&arguments)), Some(arguments));
    assert_eq!(arguments_in("# nothing\n"), None);
}
