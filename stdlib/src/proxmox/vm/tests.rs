//! What a plan shows for a machine, case by case.
use super::*;
use crate::{proxmox::machine::Machine, workspace::Cluster};
use expect_test::{Expect, expect};
use std::sync::Arc;

const WORKSPACE: &str = r#"{
    "name": "ubuntu", "domain": "bevz.net", "release_letter": "u", "distribution": "ubuntu",
    "versions": {"kubernetes": "1.31.9", "calico": "3.28.0"},
    "network": {"nodes": "10.10.10.0/24", "gateway": "10.10.10.1", "dns": ["10.10.10.100"], "pods": "192.168.0.0/16", "services": "10.96.0.0/12"},
    "proxmox": {"node": "homelab", "storage": "local-lvm"},
    "template": {"vmid": 9420, "name": "tpl", "image": {"url": "https://images.example/noble.img", "sha256": "", "file": "noble.qcow2"}},
    "ssh": {"authorized_keys": ["ssh-ed25519 AAAA me@home"]},
    "nodes": [{"name": "cu1", "role": "control_plane", "vmid": 401, "address": "10.10.10.116"}]
}"#;

/// A cluster of one machine, `cu1`.
pub fn a_cluster() -> Cluster {
    let workspace = serde_json::from_str(WORKSPACE).expect("a workspace");
    Cluster::new(Arc::new(workspace)).expect("a cluster")
}

/// The machine `cu1`, with these options changed.
pub fn a_vm(changes: &str) -> Vm {
    let cluster = a_cluster();
    let mut scope = rhai::Scope::new();
    scope.push("cluster", cluster);
    let node: Node = crate::script_engine().eval_with_scope(&mut scope, "cluster.nodes[0]").expect("a node");
    let mut options = serde_json::json!({
        "template": "tpl", "vmid": 401, "storage": "local-lvm", "bridge": "vmbr0", "cores": 2, "memory_mib": 4096, "disk_gib": 20,
        "cpu_type": "x86-64-v2-AES", "tags": ["k8s", "ubuntu"],
    });
    let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(changes).expect("options");
    options.as_object_mut().expect("a map").extend(changes);
    Vm::new(&node, serde_json::from_value(options).expect("a spec")).expect("a machine")
}

fn live(running: bool, changes: &[(&str, &str)]) -> Live {
    let usual = [
        ("name", "cu1.bevz.net"),
        ("description", "kthw:ubuntu:cu1:00ff\ntemplate: tpl\n"),
        ("cores", "2"),
        ("memory", "4096"),
        ("cpu", "x86-64-v2-AES"),
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
        ("ipconfig0", "gw=10.10.10.1,ip=10.10.10.116/24"),
        ("nameserver", "10.10.10.100"),
        ("searchdomain", "bevz.net"),
        ("ciuser", "kthw"),
        ("sshkeys", "ssh-ed25519%20AAAA%20me%40home%0A"),
        ("ciupgrade", "0"),
        ("agent", "enabled=1"),
        ("onboot", "1"),
        ("tags", "k8s;kthw;ubuntu"),
        ("boot", "order=scsi0"),
        ("scsi0", "local-lvm:vm-401-disk-0,discard=on,size=20G"),
        ("ide2", "local-lvm:vm-401-cloudinit,media=cdrom"),
    ];
    let config: Config = usual.into_iter().chain(changes.iter().copied()).collect();
    let found = Found { machine: Machine { vmid: 401, host: "homelab".into() }, config, running };
    Live { found, keys: vec!["ssh-ed25519 AAAA me@home".into()] }
}

fn check(vm: &Vm, live: Option<Live>, expected: Expect) {
    let change = vm.diff(live.as_ref());
    let fields: Vec<String> = change.fields().iter().map(|field| format!("\n    {field}")).collect();
    expected.assert_eq(&format!("{} {}{}", change.mark(), vm.id(), fields.concat()));
}

#[test]
fn a_machine_that_is_not_there_is_made() {
    check(
        &a_vm("{}"),
        None,
        expect![[r#"
        + proxmox.vm/cu1
            name: cu1.bevz.net
            vmid: 401
            node: homelab
            template: tpl
            clone: full
            storage: local-lvm
            cores: 2
            memory_mib: 4096
            disk_gib: 20
            cpu_type: x86-64-v2-AES
            network: vmbr0
            address: ip=10.10.10.116/24,gw=10.10.10.1
            user: kthw
            on_boot: true
            tags: k8s kthw ubuntu"#]],
    );
}

#[test]
fn a_machine_as_wanted_needs_nothing() {
    check(&a_vm("{}"), Some(live(true, &[])), expect!["= proxmox.vm/cu1"]);
    check(&a_vm("{}"), Some(live(true, &[("tags", "backup;k8s;kthw;ubuntu")])), expect!["= proxmox.vm/cu1"]);
}

#[test]
fn cores_of_a_running_machine_need_a_reboot() {
    check(
        &a_vm(r#"{"cores": 4}"#),
        Some(live(true, &[])),
        expect![[r#"
        ~ proxmox.vm/cu1
            cores: 2 -> 4  (needs a reboot)"#]],
    );
    check(
        &a_vm(r#"{"cores": 4}"#),
        Some(live(false, &[("cores", "4")])),
        expect![[r#"
        ~ proxmox.vm/cu1
            status: stopped -> running"#]],
    );
}

#[test]
fn a_machine_that_was_only_cloned_is_configured() {
    let bare = [
        ("cores", "1"),
        ("memory", "2048"),
        ("ipconfig0", ""),
        ("nameserver", ""),
        ("searchdomain", ""),
        ("ciuser", ""),
        ("sshkeys", ""),
        ("onboot", "0"),
        ("tags", "kthw"),
        ("scsi0", "local-lvm:vm-401-disk-0,size=3584M"),
    ];
    check(
        &a_vm(r#"{"vlan": 30, "bridge": "vmbr1"}"#),
        Some(live(false, &bare)),
        expect![[r#"
        ~ proxmox.vm/cu1
            status: stopped -> running
            disk_gib: 3.50 -> 20
            cores: 1 -> 2
            memory_mib: 2048 -> 4096
            network: vmbr0 -> vmbr1, VLAN 30
            address: "" -> ip=10.10.10.116/24,gw=10.10.10.1
            dns: "" -> 10.10.10.100
            domain: "" -> bevz.net
            user: "" -> kthw
            ssh_keys: "" -> me@home
            on_boot: false -> true
            tags: kthw -> k8s kthw ubuntu"#]],
    );
}

#[test]
fn what_needs_another_machine_is_told_apart() {
    check(
        &a_vm(r#"{"disk_gib": 10}"#),
        Some(live(true, &[])),
        expect![[r#"
            ! proxmox.vm/cu1
                disk_gib: 20 -> 10  (needs replacement)"#]],
    );
    check(
        &a_vm(r#"{"storage": "nfs", "template": "other"}"#),
        Some(live(true, &[])),
        expect![[r#"
            ! proxmox.vm/cu1
                template: tpl -> other  (needs replacement)
                storage: local-lvm -> nfs  (needs replacement)"#]],
    );
}

#[test]
fn a_network_card_keeps_its_address() {
    let vm = a_vm(r#"{"bridge": "vmbr1"}"#);
    let settings = vm.settings(&live(true, &[]).found.config, true, &["ssh-ed25519 AAAA me@home".into()]);
    let values: Vec<_> = settings.iter().map(|setting| (setting.key, setting.value.as_str())).collect();
    assert_eq!(values, [("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr1")]);
}

#[test]
fn a_machine_to_be_started_hides_what_is_on_it() {
    let vm = a_vm(r#"{"cores": 4}"#);
    assert!(vm.hides_dependents(&vm.diff(None)));
    assert!(vm.hides_dependents(&vm.diff(Some(&live(false, &[])))));
    assert!(!vm.hides_dependents(&vm.diff(Some(&live(true, &[])))));
}
