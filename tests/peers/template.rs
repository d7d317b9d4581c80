//! A template from the cloud image to its clones, on booted hosts that keep their disks and are asked by the guest agent's own program: built by kthw;
//! and by hand, without the agent and without the cleaning, to see that the same checks notice it.
mod site;

use crate::{peers_support::World, support::said};
use kthw_peers::{FAKEPVE, HOSTS, ask};
use kthw_stdlib::distribution::{CLEAN, ENABLE_AGENT};
use serde_json::{Value, json};
use site::Site;
use std::process::Command;

const NODES: [(&str, &str, u32); 3] = [("cp1", "control_plane", 1), ("wp1", "worker", 2), ("wp2", "worker", 3)];
/// The host at `template.build_address`.
const BUILD: u32 = 80;
const BUILD_ADDRESS: &str = "template.build_address=10.77.0.90";

#[test]
fn a_template_is_built_on_two_nodes_and_cloned_and_the_old_one_pruned() {
    let Some(_) = ask([&HOSTS, &FAKEPVE]) else { return };
    let site = Site::up("template", r#""phases/template@1""#, r#"clone: if node.name == "wp1" { "linked" } else { "full" }"#);
    let world = &site.world;
    let settings = [BUILD_ADDRESS, "template.replicas={pve2: 9001}", "nodes.wp1.proxmox_node=pve2", "proxmox.storage=local"];

    let planned = site.kthw("run", &["--dry-run"], &settings).ended_with(0).stdout;
    let name = planned.lines().find_map(|line| line.trim().strip_prefix("name: ")).unwrap_or_else(|| panic!("{planned}")).to_owned();
    assert_eq!(world.pve_writes(), 0, "a dry run writes nothing");

    let run = site.kthw("run", &["--yes"], &settings);
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    assert_eq!(site.complaints(&run), Vec::<String>::new(), "{}", run.stderr);

    // The only first sight is that of the machines that are built on, each of which its agent had to confirm.
    let mut first: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    first.sort_unstable();
    assert_eq!(first.len(), 2, "{}", run.stderr);
    for (line, host) in first.iter().zip(["pve1", "pve2"]) {
        assert!(line.starts_with(&format!("warning: first connection to tpl-peers@{host} at 10.77.0.90:22: ")), "{line}");
        assert!(line.ends_with("is taken as it came, its guest agent has to know it before anything is made of it"), "{line}");
        for (.., number) in NODES {
            let keys = site.inside(number, "for F in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $F | cut -d' ' -f2; done");
            assert!(
                keys.lines().count() >= 3 && keys.lines().all(|key| !line.contains(key)),
                "the build's key is no clone's: {line}\n{keys}"
            );
        }
    }
    assert_eq!(site.pins("10.77.0.90"), Vec::<String>::new(), "the keys of the build are forgotten");

    for (vmid, host) in [(9000, "pve1"), (9001, "pve2")] {
        let template = world.pve(&format!("[(vm.node, vm.config) for vm in pve.vms if vm.vmid == {vmid}][0]"));
        assert_eq!((&template[0], &template[1]["template"], &template[1]["name"]), (&json!(host), &json!(1), &json!(name)));
        let description = template[1]["description"].as_str().unwrap();
        assert!(description.starts_with("kthw:peers:template/tpl-peers:") && description.ends_with("\nbuild: done"), "{description}");
        assert!(["ciuser", "sshkeys", "ipconfig0"].iter().all(|key| template[1].get(key).is_none()), "{template}");
        // Nobody waits for an agent that is still to be installed: it is asked once.
        let requests = world.pve_requests().into_iter().filter(|(_, path)| path.contains(&format!("/qemu/{vmid}/")));
        let before = requests.skip_while(|(_, path)| !path.ends_with("/start")).take_while(|(_, path)| !path.ends_with("/shutdown"));
        assert_eq!(before.filter(|(_, path)| path.contains("/agent/")).count(), 1, "VM {vmid}");
        assert_eq!(left(world, vmid), "", "VM {vmid}");
    }
    // A clone comes up within seconds, and is asked every two.
    for (name, _, number) in NODES {
        let asked = site.requests("GET", 400 + number, "agent/network-get-interfaces");
        assert!((1..=15).contains(&asked), "{name} was asked {asked} times");
    }
    let images = "[sorted(kept['nodes']) for name, kept in pve.storages['local']['volumes'].items() if name.startswith('import/')]";
    assert_eq!(world.pve(images), json!([["pve1", "pve2"]]), "each node has the image on its own storage");

    // A clone is what it was after a start, the one that lies on its template too.
    let itself =
        || NODES.map(|(.., number)| site.inside(number, "cat /etc/machine-id /etc/ssh/ssh_host_*.pub /home/kthw/kept; id -u kthw"));
    for (.., number) in NODES {
        site.inside(number, "cat /proc/sys/kernel/random/uuid >/home/kthw/kept");
    }
    let before = itself();
    for ((.., number), host) in NODES.into_iter().zip(["pve1", "pve2", "pve1"]) {
        let vmid = 400 + number;
        site.does("POST", &format!("/nodes/{host}/qemu/{vmid}/status/shutdown"));
        site.does("POST", &format!("/nodes/{host}/qemu/{vmid}/status/start"));
        site.until("its agent", &format!("pve.machines[{vmid}].agent_runs()"));
        world.command(&["host", "wait", &number.to_string()]).ended_with(0);
    }
    assert_eq!(itself(), before);

    let writes = world.pve_writes();
    let again = site.kthw("run", &["--yes"], &settings).ended_with(0);
    assert!(again.stdout.contains("Nothing to change"), "{}", again.stdout);
    assert_eq!(world.pve_writes(), writes, "a settled run writes nothing");

    // Another image under another id. The machines stay; of the old templates only the one on which nothing lies goes.
    let image = format!("template.image.sha256={}", "7".repeat(64));
    let settings = [BUILD_ADDRESS, "template.vmid=9010", &image, "nodes.wp1.proxmox_node=pve2", "proxmox.storage=local"];
    let planned = site.kthw("run", &["--dry-run"], &settings).ended_with(0);
    for old in ["VM 9000 on pve1, an old template", "VM 9001 on pve2, an old template"] {
        assert!(planned.stderr.contains(old) || planned.stdout.contains(old), "{}\n{}", planned.stdout, planned.stderr);
    }
    let pruned = site.kthw("run", &["--yes", "--prune"], &settings);
    let text = format!("{}\n{}", pruned.stdout, pruned.stderr);
    assert!(text.contains("VM 9001 is the base of linked clones: local:9001/base-9001-disk-0.raw/402/vm-402-disk-0.raw"), "{text}");
    assert_eq!(world.pve("sorted(vm.vmid for vm in pve.vms)"), json!([401, 402, 403, 9001, 9010]), "{text}");
    assert_ne!(world.pve("pve.vm(9010).name"), json!(name));
    let disks = world.pve("sorted(name.split('-')[0] for name in hosts.os.listdir(pve.world.path('disks')))");
    assert_eq!(disks, json!(["401", "402", "403", "9001", "9010"]), "a disk goes with its machine");
    for (.., number) in NODES {
        assert_eq!(site.inside(number, "systemctl is-active qemu-guest-agent"), "active");
    }
}

/// What is still on a template's disk of what makes a machine itself.
fn left(world: &World, vmid: u32) -> String {
    let disk = world.pve(&format!("pve.machines[{vmid}].disk.path('upper')"));
    let script = r#"cd "$1" && cat etc/machine-id etc/hostname; test -e usr/sbin/qemu-ga || echo no agent
        for F in etc/ssh/ssh_host_* home/* root/.ssh/authorized_keys var/lib/cloud/instance var/lib/systemd/random-seed; do
            # What was deleted is a device in this layer.
            [ ! -f "$F" ] && [ ! -d "$F" ] || echo "$F"
        done"#;
    said(Command::new("sh").args(["-c", script, "left", disk.as_str().unwrap()]).output().unwrap()).ended_with(0).stdout
}

/// Builds a template as somebody would by hand, at VM id 9100 on pve1; with what kthw builds in and takes away, or without.
fn built_by_hand(site: &Site, agent: bool, clean: bool) {
    let world = &site.world;
    let key = std::fs::read_to_string(world.value("SSH_PUBLIC_KEY")).unwrap().trim().replace(' ', "%20").replace('+', "%2B");
    let config: Value = json!({
        "agent": "enabled=1", "boot": "order=scsi0", "cores": 2, "memory": 2048, "ciuser": "kthw", "ciupgrade": 0, "sshkeys": key,
        "scsi0": "local-lvm:vm-9100-disk-0,size=3584M", "ide2": "local-lvm:vm-9100-cloudinit,media=cdrom,size=4M",
        "net0": "virtio=BC:24:11:00:91:00,bridge=vmbr0", "ipconfig0": "ip=10.77.0.90/24,gw=10.77.0.1",
    });
    world.pve(&format!("pve.add_vm(9100, 'tpl-peers', config={config}) and None"));
    site.does("POST", "/nodes/pve1/qemu/9100/status/start");
    site.until("the machine to start", "bool(pve.machine(pve.vm(9100)).host) and pve.machines[9100].host.booted()");
    world.command(&["host", "wait", &BUILD.to_string()]).ended_with(0);
    if agent {
        site.inside(BUILD, "apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-guest-agent >/dev/null 2>&1");
        world.inside(BUILD, &["sh", "-c", ENABLE_AGENT, "kthw-agent"]).ended_with(0);
    }
    assert_eq!(world.pve("pve.machines[9100].agent_runs()"), agent, "only what is installed answers");
    if clean {
        world.inside(BUILD, &["sh", "-c", CLEAN, "kthw-clean", "kthw"]).ended_with(0);
    }
    site.does("POST", "/nodes/pve1/qemu/9100/status/shutdown");
    site.does("POST", "/nodes/pve1/qemu/9100/template");
}

#[test]
fn a_template_without_the_agent_or_the_cleaning_is_noticed() {
    let Some(_) = ask([&HOSTS, &FAKEPVE]) else { return };
    let site = Site::up("by-hand", "", "agent_timeout_s: 8");
    for (agent, clean, noticed) in [
        (true, true, &[][..]),
        (false, true, &["the agent of cp1 does not answer", "the agent did not vouch for the host key of wp1", "waited for in vain"][..]),
        (
            true,
            false,
            &["the clones have no machine-id each of their own", "cp1 was started more than once, or has the journal of another"][..],
        ),
    ] {
        built_by_hand(&site, agent, clean);
        site.world.pve("pve.requests.clear()");
        let run = site.kthw("run", &["--yes"], &["template.vmid=9100"]);
        let complaints = site.complaints(&run);
        assert_eq!(complaints.is_empty(), noticed.is_empty(), "agent {agent}, clean {clean}: {complaints:?}");
        for one in noticed {
            assert!(complaints.iter().any(|complaint| complaint.contains(one)), "agent {agent}, clean {clean}: {complaints:?}");
        }
        site.kthw("destroy", &["--confirm", "peers"], &["template.vmid=9100"]).ended_with(0);
        site.does("DELETE", "/nodes/pve1/qemu/9100");
        site.until("nothing to be there", "not pve.vms and not hosts.os.listdir(pve.world.path('disks'))");
    }
}
