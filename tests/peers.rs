//! The law of every recipe against real peers: a dry run writes nothing; apply; again: nothing to change.
use crate::peers_support::{World, missing};

const NODES: [(&str, &str, u32); 3] = [("cp1", "control_plane", 1), ("wp1", "worker", 2), ("wp2", "worker", 3)];

#[test]
fn proxmox_template_and_machines() {
    if missing().is_some() {
        return;
    }
    let mut world = World::up("pve");
    world.learn(&["pve", "--no-hosts"]);
    let workspace = world.workspace(&NODES, true);
    let run = |more: &[&str]| {
        let mut command =
            world.sandbox.command(&[&["run", "tests/recipes/virtual-machines.rhai", "-w", workspace.as_str()], more].concat());
        command.env("PROXMOX_VE_ENDPOINT", world.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", world.value("PVE_TOKEN"));
        command.env("PROXMOX_VE_CA_FILE", world.value("PVE_CA_FILE"));
        crate::support::said(command.output().unwrap())
    };

    let planned = run(&["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("Plan: 4 to create, 0 unchanged."), "{}", planned.stdout);
    assert_eq!(world.pve_writes(), 0, "a dry run writes nothing");

    run(&["--yes"]).ended_with(0);
    let states = world.pve("{str(vm.vmid): vm.status for vm in pve.vms}");
    for vmid in ["401", "402", "403"] {
        assert_eq!(states[vmid], "running", "{states}");
    }
    let addresses = world.pve("[vm.config['ipconfig0'] for vm in sorted(pve.vms, key=lambda vm: vm.vmid) if vm.vmid in (401, 402, 403)]");
    assert_eq!(
        addresses,
        serde_json::json!(["ip=10.77.0.11/24,gw=10.77.0.1", "ip=10.77.0.12/24,gw=10.77.0.1", "ip=10.77.0.13/24,gw=10.77.0.1"])
    );

    let writes = world.pve_writes();
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change: all 4 resources are as declared."), "{}", again.stdout);

    let more_cores = run(&["--dry-run", "--set", "machine.cores=4"]).ended_with(0);
    let differing: Vec<&str> = more_cores.stdout.lines().filter(|line| line.starts_with("      ")).map(str::trim).collect();
    assert_eq!(differing.len(), 3, "{}", more_cores.stdout);
    assert!(differing.iter().all(|line| line.starts_with("cores: 2 -> 4")), "{differing:?}");
    assert_eq!(world.pve_writes(), writes, "neither a settled run nor a dry run writes");
}

#[test]
fn a_foreign_machine_is_refused_and_left_alone() {
    if missing().is_some() {
        return;
    }
    let mut world = World::up("foreign");
    world.learn(&["pve", "--no-hosts"]);
    world.pve("pve.add_vm(402, 'payroll', config={'cores': 8}) and None");
    let workspace = world.workspace(&NODES, true);
    let mut command = world.sandbox.command(&["run", "tests/recipes/virtual-machines.rhai", "-w", &workspace, "--yes"]);
    command.env("PROXMOX_VE_ENDPOINT", world.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", world.value("PVE_TOKEN"));
    command.env("PROXMOX_VE_CA_FILE", world.value("PVE_CA_FILE"));
    let said = crate::support::said(command.output().unwrap());
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("402") && said.stderr.contains("payroll"), "{}", said.stderr);
    let writes: Vec<_> = world.pve_requests().into_iter().filter(|(method, path)| method != "GET" && path.contains("/qemu/402")).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn nodes_are_prepared_settled_and_repaired() {
    if missing().is_some() {
        return;
    }
    let world = World::up("nodes");
    for (name, _, number) in NODES {
        world.host(number, name);
    }
    let workspace = world.workspace(&NODES, false);
    let run = |more: &[&str]| world.kthw(&[&["run", "tests/recipes/nodes.rhai", "-w", workspace.as_str()], more].concat());

    let asked = run(&[]).ended_with(2);
    assert!(asked.stdout.contains("to create") && asked.stderr.contains("--yes"), "nobody to ask: {}", asked.stderr);

    run(&["--yes"]).ended_with(0);
    assert_eq!(world.inside(2, &["sysctl", "-n", "net.ipv4.ip_forward"]).stdout.trim(), "1");
    assert_eq!(world.inside(3, &["systemctl", "is-active", "containerd"]).stdout.trim(), "active");
    assert!(world.inside(1, &["apt-mark", "showhold"]).stdout.contains("kubeadm"));

    let execs = || (1..=3).map(|number| sessions(&world, number)).collect::<Vec<_>>();
    let before = execs();
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    for (before, after) in before.iter().zip(execs()) {
        assert!(after - before <= 2, "a settled node costs at most two execs, not {}", after - before);
    }

    world.inside(2, &["sh", "-c", "sed -i 's/^127.0.0.1 localhost$/127.0.0.1 elsewhere/' /etc/hosts"]).ended_with(0);
    let planned = run(&["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("~ ssh.file/wp1/etc/hosts"), "{}", planned.stdout);
    assert!(planned.stdout.contains("-127.0.0.1 elsewhere") && planned.stdout.contains("+127.0.0.1 localhost"), "{}", planned.stdout);
    run(&["--yes"]).ended_with(0);
    assert!(world.inside(2, &["cat", "/etc/hosts"]).stdout.starts_with("127.0.0.1 localhost\n"));

    world.inside(3, &["sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh"]).ended_with(0);
    let refused = run(&["--dry-run"]).ended_with(3);
    assert!(refused.stderr.contains("wp2") && refused.stderr.to_lowercase().contains("host key"), "{}", refused.stderr);
}

/// How many commands sshd has started on a host.
fn sessions(world: &World, number: u32) -> u32 {
    let log = world.inside(number, &["sh", "-c", "journalctl -u ssh -o cat --no-pager | grep -c 'Starting session: command' || true"]);
    log.stdout.trim().parse().unwrap()
}

#[test]
fn from_nothing_to_a_running_cluster() {
    if missing().is_some() {
        return;
    }
    assert!(std::env::var_os("KTHW_TEST_DATA").is_some() || std::env::var_os("KTHW_REQUIRE_PEERS").is_none(), "KTHW_TEST_DATA is not set");
    if std::env::var_os("KTHW_TEST_DATA").is_none() {
        eprintln!("SKIPPED: KTHW_TEST_DATA names no folder with upstream manifests");
        return;
    }
    let mut world = World::up("cluster");
    world.learn(&["pve"]);
    let workspace = world.workspace(&NODES, true);
    let run = |more: &[&str]| world.kthw(&[&["run", "recipes/ubuntu/full.rhai", "-w", workspace.as_str()], more].concat());
    let kubectl = |arguments: &[&str]| {
        world.inside(1, &[&["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"], arguments].concat()).ended_with(0).stdout
    };

    run(&["--dry-run"]).ended_with(0);
    assert_eq!(world.pve_writes(), 0, "a dry run writes nothing");

    run(&["--yes"]).ended_with(0);
    let nodes = kubectl(&["get", "nodes", "--no-headers"]);
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    assert!(
        kubectl(&["get", "installations.operator.tigera.io", "default", "-o", "jsonpath={.spec.calicoNetwork.ipPools[0].cidr}"])
            .contains("10.244.0.0/16")
    );

    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    world.behind_the_back("POST", "/nodes/pve1/qemu/403/status/stop");
    std::thread::sleep(std::time::Duration::from_secs(5));
    world.behind_the_back("DELETE", "/nodes/pve1/qemu/403");
    std::thread::sleep(std::time::Duration::from_secs(5));
    run(&["--yes"]).ended_with(0);
    let nodes = kubectl(&["get", "nodes", "--no-headers"]);
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    // The tokens of the joins were revoked; the one that `kubeadm init` makes by itself lives for a minute.
    let tokens =
        || kubectl(&["get", "secrets", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token", "-o", "name"]);
    let gone = (0..90).any(|_| {
        tokens().trim().is_empty() || {
            std::thread::sleep(std::time::Duration::from_secs(1));
            false
        }
    });
    assert!(gone, "{}", tokens());
    let settled = run(&["--yes"]).ended_with(0);
    assert!(settled.stdout.contains("Nothing to change"), "{}", settled.stdout);
}
