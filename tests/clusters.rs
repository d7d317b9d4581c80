//! Whole clusters on real, current Kubernetes: from nothing to Ready, twice, and without a complaint about what kthw rendered.
mod access;
mod add_ons;
mod bundle;
mod firewall;
mod picture;
mod traffic;
mod validation;

use crate::peers_support::World;
use kthw_peers::{FAKEPVE, HOSTS, KUBERNETES, MANIFESTS, TEST_DATA, ask};

const NODES: [(&str, &str, u32); 3] = [("cp1", "control_plane", 1), ("wp1", "worker", 2), ("wp2", "worker", 3)];

#[test]
fn kubernetes_1_36_from_nothing_to_ready() {
    from_nothing_to_ready("1.36.3", "0.14.8");
}

#[test]
fn kubernetes_1_37_from_nothing_to_ready() {
    from_nothing_to_ready("1.37.2", "0.15.2");
}

/// The stand-in Proxmox boots machines; the recipe that ships turns them into a cluster of this version.
fn from_nothing_to_ready(version: &str, metallb: &str) {
    let Some(_) = ask([&HOSTS, &KUBERNETES, &FAKEPVE, &TEST_DATA, &MANIFESTS]) else { return };
    let mut world = World::up("cluster");
    world.learn(&["pve"]);
    let workspace = world.workspace(version, "containerd.io", &NODES, true);
    // Two of the machines are in a second network too, with a card that comes before the nodes' own.
    let storage = ["network.more=[{name: storage, range: 10.78.0.0/24, bridge: vmbr1}]", "nodes.cp1.networks={storage: 10.78.0.11}"];
    let storage = ["--set", storage[0], "--set", storage[1], "--set", "nodes.wp1.networks={storage: 10.78.0.12}"];
    let plainly =
        |more: &[&str]| world.kthw(&[&["run", "recipes/ubuntu/full.rhai", "-w", workspace.as_str()], &storage[..], more].concat());
    // On one of both clusters there is more from the beginning on; the other gets a part of it later.
    let more = metallb == "0.15.2";
    if more {
        add_ons::are_pinned(&world, &workspace, add_ons::NAMED.trim_start_matches("add_ons="));
    }
    let beside = if more { [&access::named()[..], &["--set", add_ons::SERVING]].concat() } else { Vec::new() };
    let traffic = traffic::named(metallb, if more { add_ons::NAMED } else { add_ons::NAMED_NO_LONGER });
    let settings: Vec<&str> = traffic.iter().map(String::as_str).chain(beside.iter().copied()).collect();
    let run = |more: &[&str]| plainly(&[&settings[..], more].concat());
    let kubectl = |arguments: &[&str]| {
        world.inside(1, &[&["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"], arguments].concat()).ended_with(0).stdout
    };
    let three_ready = || {
        let nodes = kubectl(&["get", "nodes", "--no-headers"]);
        assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ") && line.contains(version)).count(), 3, "{nodes}");
    };

    run(&["--dry-run"]).ended_with(0);
    assert_eq!(world.pve_writes(), 0, "a dry run writes nothing");

    run(&["--yes"]).ended_with(0);
    three_ready();
    pods_run_and_names_resolve(&kubectl);
    nothing_complains(&world);
    the_cluster_is_in_the_network_of_nodes(&world, &kubectl);
    traffic::answers(&world);
    if more {
        add_ons::are_well(&world, &kubectl);
        add_ons::metrics_are_known(&world, &kubectl);
    }
    let validate = || world.kthw(&[&["validate", "--json", "-w", workspace.as_str()], &storage[..], &settings[..]].concat());
    validation::is_well(&validate);
    if !more {
        firewall::lets_in_what_is_needed(&world);
    }
    if more {
        access::is_kept(&world, &kubectl);
        access::is_given(&world, &|words: &[&str]| match words {
            ["kubeconfig", "--inspect", ..] => world.kthw(words),
            _ => world.kthw(&[words, &["-w", workspace.as_str()], &storage[..], &settings[..]].concat()),
        });
    }

    let writes = world.pve_writes();
    let files = || (1..=3).map(|number| written_files(&world, number)).collect::<Vec<_>>();
    let before = files();
    assert!(before[0].contains("/etc/kubernetes/kthw/kubeadm.yaml "), "the list of files holds what kthw wrote: {}", before[0]);
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    run(&["--dry-run"]).ended_with(0);
    assert_eq!((world.pve_writes(), files()), (writes, before), "neither a settled run nor a dry run writes");

    world.behind_the_back("POST", "/nodes/pve1/qemu/403/status/stop");
    world.until("VM 403 to stop", 60, || world.pve("pve.find('pve1', 403).status") == "stopped");
    world.behind_the_back("DELETE", "/nodes/pve1/qemu/403");
    world.until("VM 403 to be gone", 60, || world.pve("[vm.vmid for vm in pve.vms if vm.vmid == 403]") == serde_json::json!([]));
    run(&["--yes"]).ended_with(0);
    three_ready();
    // The tokens of the joins were revoked; the one that `kubeadm init` makes by itself lives for a minute.
    let tokens =
        || kubectl(&["get", "secrets", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token", "-o", "name"]);
    world.until("the bootstrap tokens to be gone", 90, || tokens().trim().is_empty());
    // The pods of the machine that is gone come to others, and a node is Ready before its share of MetalLB runs.
    let own = [("metallb-system", "daemonset/speaker"), ("metallb-system", "deployment/controller"), ("traefik", "deployment/traefik")];
    for (namespace, workload) in own.into_iter().chain(add_ons::WORKLOADS.into_iter().filter(|_| more)) {
        kubectl(&["rollout", "status", "-n", namespace, workload, "--timeout=180s"]);
    }
    let settled = run(&["--yes"]).ended_with(0);
    assert!(settled.stdout.contains("Nothing to change"), "{}", settled.stdout);
    traffic::answers(&world);
    if more {
        let fewer = traffic::named(metallb, add_ons::NAMED_NO_LONGER);
        let fewer: Vec<&str> = fewer.iter().map(String::as_str).chain(beside.iter().copied()).collect();
        add_ons::go_with_their_names(&|more: &[&str]| plainly(&[&fewer[..], more].concat()), &kubectl);
        let validate = || world.kthw(&[&["validate", "--json", "-w", workspace.as_str()], &storage[..], &fewer[..]].concat());
        validation::names_what_is_broken(&world, &validate, &kubectl);
    } else {
        let words = [&["-w", workspace.as_str()], &storage[..], &settings[..]].concat();
        traffic::is_told_to_a_router(&world, &words, &run);
        traffic::is_upgraded(&world, &plainly, &kubectl);
        traffic::goes_with_its_name(&world, &plainly, &kubectl);
        access::comes_later(&world, &plainly, &kubectl);
    }
}

/// Calico's operator says that its network is there, CoreDNS answers a pod, and the pod's network reaches it.
fn pods_run_and_names_resolve(kubectl: &dyn Fn(&[&str]) -> String) {
    let pool = kubectl(&["get", "installations.operator.tigera.io", "default", "-o", "jsonpath={.spec.calicoNetwork.ipPools[0].cidr}"]);
    assert_eq!(pool, "10.244.0.0/16");
    kubectl(&["wait", "--for=condition=Available", "tigerastatus/calico", "--timeout=120s"]);
    kubectl(&["wait", "-n", "kube-system", "--for=condition=Ready", "pod", "--all", "--timeout=180s"]);
    let lookup = "nslookup kubernetes.default.svc.cluster.local";
    kubectl(&["run", "asks", "--image=docker.io/library/busybox:1.35.0", "--restart=Never", "--command", "--", "sh", "-c", lookup]);
    kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/asks", "--timeout=120s"]);
    let said = kubectl(&["logs", "asks"]);
    assert!(said.contains("10.96.0.1"), "the API server's service address: {said}");
    kubectl(&["delete", "pod", "asks", "--wait=false"]);
}

/// The second network is there, and neither kubelets, nor the API server, nor Calico have anything of it.
fn the_cluster_is_in_the_network_of_nodes(world: &World, kubectl: &dyn Fn(&[&str]) -> String) {
    world.inside(1, &["ping", "-c", "1", "-W", "2", "10.78.0.12"]).ended_with(0);
    let first = world.inside(1, &["sh", "-c", "ip -o -4 addr show scope global | head -n 1"]).ended_with(0).stdout;
    assert!(first.contains("10.78.0.11/24"), "who takes the first address that he finds would take this one: {first}");
    let path = "jsonpath={.items[*].status.addresses[?(@.type=='InternalIP')].address}";
    assert_eq!(kubectl(&["get", "nodes", "-o", path]), "10.77.0.11 10.77.0.12 10.77.0.13");
    assert_eq!(kubectl(&["get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[*].addresses[*].ip}"]), "10.77.0.11");
    let path = "jsonpath={.spec.calicoNetwork.nodeAddressAutodetectionV4}";
    assert_eq!(
        kubectl(&["get", "installations.operator.tigera.io", "default", "-o", path]),
        r#"{"cidrs":["10.77.0.0/24"],"firstFound":false}"#
    );
}

/// What kubeadm, the kubelet and containerd say of the configuration that kthw rendered: nothing.
fn nothing_complains(world: &World) {
    world.inside(1, &["kubeadm", "config", "validate", "--config", "/etc/kubernetes/kthw/kubeadm.yaml"]).ended_with(0);
    for (_, _, number) in NODES {
        let dump = world.inside(number, &["containerd", "config", "dump"]).ended_with(0);
        assert_eq!(dump.stderr.trim(), "", "containerd has nothing to say about its configuration");
        assert!(dump.stdout.contains("/pause:3.10.2"), "{}", dump.stdout);
        let crictl = world.inside(number, &["crictl", "info"]).ended_with(0);
        assert_eq!(crictl.stderr.trim(), "", "crictl has nothing to say about its configuration");
        let log = |filter: &str| world.inside(number, &["journalctl", "--no-pager", "-o", "cat", filter]).ended_with(0).stdout;
        // Its package starts containerd with a file of its own; what counts is what it says since it has ours.
        let start = world.inside(number, &["systemctl", "show", "containerd", "--property=InvocationID", "--value"]).ended_with(0).stdout;
        let containerd = log(&format!("_SYSTEMD_INVOCATION_ID={}", start.trim()));
        assert!(containerd.contains("containerd successfully booted"), "{containerd}");
        let kubeadm = world.inside(number, &["cat", "/var/log/kubeadm.log"]).ended_with(0).stdout;
        assert!(kubeadm.contains("== kubeadm"), "kubeadm ran on host {number}, and the log of its calls is there");
        let kubelet = log("--unit=kubelet");
        assert!(kubelet.contains("Started kubelet"), "{kubelet}");
        let found = [complaints("kubeadm", &kubeadm), complaints("kubelet", &kubelet), complaints("containerd", &containerd)];
        assert!(found.iter().all(Vec::is_empty), "host {number}: {found:#?}");
    }
}

/// The lines of a log that complain about a configuration: something deprecated, unknown, ignored or migrated.
fn complaints(program: &str, log: &str) -> Vec<String> {
    const WORDS: [&str; 7] =
        ["deprecated", "unknown field", "unknown flag", "unknown key", "strict decoding", "has been removed", "migrat"];
    // What the fixtures of a test host bring about, and what every cluster of this version says (docs/TESTING.md has the reasons).
    const FIXTURES: [&str; 8] = [
        "--cgroups-per-qos",
        "--enforce-node-allocatable",
        "--fail-swap-on",
        "--eviction-hard",
        "--image-gc-high-threshold",
        "[WARNING SystemVerification]",
        "v1 Endpoints is deprecated",
        "\"KubeProxyConfiguration\"",
    ];
    let complains = |line: &str| {
        let lower = line.to_lowercase();
        WORDS.iter().any(|word| lower.contains(word)) || (program == "kubeadm" && (line.contains("[WARNING") || line.starts_with('W')))
    };
    let ours = |line: &&str| complains(line) && !FIXTURES.iter().any(|fixture| line.contains(fixture));
    log.lines().filter(ours).map(str::to_owned).collect()
}

/// What a run could have written on a host, with the times of change.
fn written_files(world: &World, number: u32) -> String {
    let list =
        "find /etc /usr/local /opt /root /home /var/lib/kthw -xdev -type f -printf '%p %C@ %s\\n' 2>/dev/null | grep -v '/etc/mtab' | sort";
    world.inside(number, &["sh", "-c", list]).stdout
}

#[test]
fn a_complaint_is_found() {
    let log = "Flag --pod-infra-container-image has been deprecated, will be removed\nFlag --cgroups-per-qos has been deprecated, set it in the file\nfine\n";
    assert_eq!(complaints("kubelet", log), ["Flag --pod-infra-container-image has been deprecated, will be removed"]);
    assert_eq!(complaints("kubeadm", "W1128 08:00:00.000000 1 x.go:1] odd\n\t[WARNING SystemVerification]: cgroups\n").len(), 1);
    assert_eq!(complaints("containerd", "level=warning msg=\"Configuration migrated from version 2\"\n").len(), 1);
}
