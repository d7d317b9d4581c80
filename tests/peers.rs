//! The law of every recipe against real peers: a dry run writes nothing; apply; again: nothing to change.
pub mod firewall;
mod load_balancer;
mod packages;
mod pair;
mod system;
mod template;
mod through;

use crate::peers_support::World;
use kthw_peers::{FAKEPVE, HOSTS, KUBERNETES, ask};
use kthw_stdlib::distribution::{CLEAN, ENABLE_AGENT};

const NODES: [(&str, &str, u32); 3] = [("cp1", "control_plane", 1), ("wp1", "worker", 2), ("wp2", "worker", 3)];

#[test]
fn proxmox_template_and_machines() {
    let Some(_) = ask([&HOSTS, &FAKEPVE]) else { return };
    let mut world = World::up("pve");
    world.learn(&["pve", "--no-hosts"]);
    let workspace = world.workspace("1.36.3", "containerd", &NODES, true);
    let kthw = |verb: &str, more: &[&str]| {
        let mut command = world.sandbox.command(&[&[verb, "tests/recipes/virtual-machines.rhai", "-w", workspace.as_str()], more].concat());
        command.env("PROXMOX_VE_ENDPOINT", world.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", world.value("PVE_TOKEN"));
        command.env("PROXMOX_VE_CA_FILE", world.value("PVE_CA_FILE"));
        crate::support::said(command.output().unwrap())
    };
    let run = |more: &[&str]| kthw("run", more);

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

    // A second network card, in requests that Proxmox' own schema allows; a workspace that does not name it leaves it.
    let storage = [
        "--set",
        "network.more=[{name: storage, range: 10.30.0.0/24, bridge: vmbr1, vlan: 30, mtu: 9000}]",
        "--set",
        "nodes.wp1.networks={storage: 10.30.0.12}",
    ];
    let planned = run(&[&["--dry-run"][..], &storage].concat()).ended_with(0);
    assert!(planned.stdout.contains("network storage: none -> vmbr1, VLAN 30, MTU 9000"), "{}", planned.stdout);
    run(&[&["--yes"][..], &storage].concat()).ended_with(0);
    let card = "[[c.get('net1', '').split(',', 1)[-1], c.get('ipconfig1')] for c in ({**vm.config, **vm.pending} for vm in pve.vms if vm.vmid == 402)]";
    let card = world.pve(card);
    assert_eq!(card, serde_json::json!([["bridge=vmbr1,mtu=9000,tag=30", "ip=10.30.0.12/24"]]));
    let again = run(&[&["--yes"][..], &storage].concat()).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);

    let writes = world.pve_writes();
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change: all 4 resources are as declared."), "{}", again.stdout);

    let more_cores = run(&["--dry-run", "--set", "machine.cores=4"]).ended_with(0);
    let differing: Vec<&str> = more_cores.stdout.lines().filter(|line| line.starts_with("      ")).map(str::trim).collect();
    assert_eq!(differing.len(), 3, "{}", more_cores.stdout);
    assert!(differing.iter().all(|line| line.starts_with("cores: 2 -> 4")), "{differing:?}");
    assert_eq!(world.pve_writes(), writes, "neither a settled run nor a dry run writes");

    // Taken back: all of ours, and nothing of others.
    world.pve("pve.add_vm(499, 'payroll', config={'cores': 8}) and None");
    let planned = kthw("destroy", &["--dry-run"]).ended_with(0);
    assert!(planned.stdout.contains("4 to delete"), "{}", planned.stdout);
    kthw("destroy", &[]).ended_with(2);
    assert_eq!(world.pve_writes(), writes, "nothing goes in a dry run or before the workspace's name was typed");
    kthw("destroy", &["--confirm", "peers"]).ended_with(0);
    assert_eq!(world.pve("[vm.vmid for vm in pve.vms]"), serde_json::json!([499]));
    let again = kthw("destroy", &[]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
}

#[test]
fn a_foreign_machine_is_refused_and_left_alone() {
    let Some(_) = ask([&HOSTS, &FAKEPVE]) else { return };
    let mut world = World::up("foreign");
    world.learn(&["pve", "--no-hosts"]);
    world.pve("pve.add_vm(402, 'payroll', config={'cores': 8}) and None");
    let workspace = world.workspace("1.36.3", "containerd", &NODES, true);
    let mut command = world.sandbox.command(&["run", "tests/recipes/virtual-machines.rhai", "-w", &workspace, "--yes"]);
    command.env("PROXMOX_VE_ENDPOINT", world.value("PVE_ENDPOINT")).env("PROXMOX_VE_API_TOKEN", world.value("PVE_TOKEN"));
    command.env("PROXMOX_VE_CA_FILE", world.value("PVE_CA_FILE"));
    let said = crate::support::said(command.output().unwrap());
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("402") && said.stderr.contains("payroll"), "{}", said.stderr);
    let writes: Vec<_> = world.pve_requests().into_iter().filter(|(method, path)| method != "GET" && path.contains("/qemu/402")).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn nodes_are_prepared_settled_and_repaired() {
    let Some(_) = ask([&HOSTS, &KUBERNETES]) else { return };
    let world = World::up("nodes");
    for (name, _, number) in NODES {
        world.host(number, name);
    }
    let workspace = world.workspace("1.36.3", "containerd", &NODES, false);
    let run = |more: &[&str]| world.kthw(&[&["run", "tests/recipes/nodes.rhai", "-w", workspace.as_str()], more].concat());

    let asked = run(&[]).ended_with(2);
    assert!(asked.stdout.contains("to create") && asked.stderr.contains("--yes"), "nobody to ask: {}", asked.stderr);

    run(&["--yes"]).ended_with(0);
    assert_eq!(world.inside(2, &["sysctl", "-n", "net.ipv4.ip_forward"]).stdout.trim(), "1");
    assert_eq!(runtime(&world, 3), "1.6");
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

#[test]
fn a_node_of_debian_13_is_prepared_and_settled() {
    let Some(_) = ask([&HOSTS, &KUBERNETES]) else { return };
    let world = World::up("debian-13");
    world.host_of_debian_13(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let release = ["--set", "release=13", "--set", "packages.containerd_repository=null"];
    let run = |more: &[&str]| world.kthw(&[&["run", "tests/recipes/nodes.rhai", "-w", workspace.as_str()], &release[..], more].concat());

    run(&["--yes"]).ended_with(0);
    let again = run(&["--yes"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    assert_eq!(runtime(&world, 1), "1.7");

    world.restart(1);
    let again = run(&["--dry-run"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "after a start: {}", again.stdout);
    assert_eq!(runtime(&world, 1), "1.7");
}

/// Asks a host's containerd over CRI whether it is up, and for its minor version.
fn runtime(world: &World, number: u32) -> String {
    let said = world.inside(number, &["crictl", "info"]).ended_with(0);
    let info: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout));
    let conditions = info["status"]["conditions"].as_array().unwrap_or_else(|| panic!("{info}"));
    let ready = conditions.iter().find(|condition| condition["type"] == "RuntimeReady").unwrap_or_else(|| panic!("{info}"));
    assert_eq!(ready["status"], true, "{info}");
    let version = world.inside(number, &["crictl", "version"]).ended_with(0).stdout;
    let version = version.lines().find_map(|line| line.strip_prefix("RuntimeVersion:")).unwrap_or_else(|| panic!("{version}"));
    version.trim().trim_start_matches('v').split('.').take(2).collect::<Vec<_>>().join(".")
}

/// A recipe in a file of its own that opens every node and declares this on it.
pub fn recipe(world: &World, name: &str, body: &str) -> String {
    let path = world.sandbox.path().join(format!("{name}.rhai"));
    let text = format!(
        "const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n    for node in cluster.nodes {{\n        ssh::node(node);\n        {body}\n    }}\n}}\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn what_the_next_start_brings_is_what_was_declared() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("next-start");
    world.host(1, "cp1");
    let workspace = world.workspace("1.36.3", "containerd", &NODES[..1], false);
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]);
    let now = || inside("sysctl -n vm.max_map_count; tail -n +2 /proc/swaps | cut -d' ' -f1").ended_with(0).stdout;

    // A file of the administrator's that would win over ours, and compressed memory as zram-tools has it. systemd has no swap units in a
    // container (swap_supported() of its src/core/swap.c), so the service is what there is, with programs that keep the list themselves.
    let theirs = r##"
        echo vm.max_map_count=70000 >/etc/sysctl.d/99-theirs.conf
        printf '%s\n' '#!/bin/sh' 'head -n 1 /proc/swaps >/tmp/swaps && cat /tmp/swaps >/proc/swaps' >/usr/local/sbin/swapoff
        printf '%s\n' '#!/bin/sh' "echo '/dev/zram0 partition 1024 0 100' >>/proc/swaps" >/usr/local/sbin/zramswap
        chmod 755 /usr/local/sbin/swapoff /usr/local/sbin/zramswap
        printf '%s\n' '[Service]' Type=oneshot RemainAfterExit=yes ExecStart=/usr/local/sbin/zramswap ExecStop=/usr/local/sbin/swapoff \
            '[Install]' WantedBy=multi-user.target >/etc/systemd/system/zramswap.service
        systemctl enable --quiet zramswap"##;
    inside(theirs).ended_with(0);
    world.restart(1);
    assert_eq!(now(), "70000\n/dev/zram0\n", "without kthw");

    let declared = r#"ssh::sysctl(node, "vm.max_map_count", 262144); ssh::swap(node, #{ enabled: false });"#;
    let declared = recipe(&world, "next-start", declared);
    world.kthw(&["run", &declared, "-w", &workspace, "--yes"]).ended_with(0);
    assert_eq!(now(), "262144\n", "now");
    world.restart(1);
    assert_eq!(now(), "262144\n", "after a start");
    let again = world.kthw(&["run", &declared, "-w", &workspace, "--dry-run"]).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
}

/// What the machine that a template is built on does at its end, on a real system: cleaned, it comes up as another one, with the agent's service.
#[test]
fn a_machine_that_was_cleaned_makes_itself_anew() {
    let Some(_) = ask([&HOSTS]) else { return };
    let world = World::up("cleaned");
    world.host(1, "build");
    let inside = |script: &str| world.inside(1, &["sh", "-c", script]).ended_with(0).stdout;
    let clean = || world.inside(1, &["sh", "-c", CLEAN, "kthw-clean", "kthw"]).ended_with(0);
    // The agent itself needs a device that a host has not.
    inside(
        r"printf '[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/qemu-guest-agent.service
        systemctl daemon-reload; test -s /home/kthw/.ssh/authorized_keys",
    );
    world.inside(1, &["sh", "-c", ENABLE_AGENT, "kthw-agent"]).ended_with(0);
    let keys = inside("cat /etc/ssh/ssh_host_*_key.pub");
    clean();
    let left = inside(
        r"cat /etc/machine-id /etc/hostname
        for F in /etc/ssh/ssh_host_* /home/* /root/.ssh/authorized_keys /var/lib/cloud/instance /var/lib/systemd/random-seed /etc/sudoers.d/90-* /var/log/journal/*; do
          [ ! -e $F ] || echo $F
        done; find /var/log -type f -size +0; id -un kthw 2>/dev/null || :",
    );
    assert_eq!(left, "");
    // A run that died begins again.
    clean();
    world.command(&["host", "stop", "1"]).ended_with(0);
    world.host(1, "build");
    assert_ne!(inside("cat /etc/ssh/ssh_host_*_key.pub"), keys);
    let found = inside("cat /etc/hostname; grep -cE '^[0-9a-f]{32}$' /etc/machine-id; id -un kthw; systemctl is-active qemu-guest-agent");
    // Its name and its user are those of its seed, which a host keeps.
    assert_eq!(found, "build\n1\nkthw\nactive\n");
}

/// How many commands sshd has started on a host.
fn sessions(world: &World, number: u32) -> u32 {
    let log = world.inside(number, &["sh", "-c", "journalctl -u ssh -o cat --no-pager | grep -c 'Starting session: command' || true"]);
    log.stdout.trim().parse().unwrap()
}
