//! What a plan shows for a machine, case by case.
use super::*;
use crate::{
    proxmox::guest::Guest,
    workspace::{Cluster, Node},
};
use expect_test::{Expect, expect};
use std::{sync::Arc, time::Duration};

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
    let found = Found {
        guest: Guest { vmid: 401, host: "homelab".into() },
        config,
        running,
        halt: None,
        up_for: Duration::from_secs(9000),
        waiting: Vec::new(),
        pool: None,
    };
    let disk = found.config.boot_disk().map(|(key, drive)| (key.to_owned(), drive));
    Live { found, disk, keys: vec!["ssh-ed25519 AAAA me@home".into()], addresses: Vec::new(), starting: false }
}

fn check(vm: &Vm, live: Option<Live>, expected: Expect) {
    let change = vm.diff(live.as_ref());
    let fields: Vec<String> = change.fields().iter().map(|field| format!("\n    {field}")).collect();
    expected.assert_eq(&format!("{} {}{}", change.mark(), vm.id(), fields.concat()));
}

/// The same with the reason and the way out of a refusal.
fn check_refused(vm: &Vm, live: Live, expected: Expect) {
    let Change::Refused(refusal) = vm.diff(Some(&live)) else { panic!("refused") };
    let fields: Vec<String> = refusal.fields.iter().map(|field| format!("{field}\n")).collect();
    expected.assert_eq(&format!("{}{}\n{}", fields.concat(), refusal.why, refusal.next));
}

#[test]
fn another_address_is_refused_and_says_which_it_has() {
    let moved = [("ipconfig0", "ip=10.10.10.99/24,gw=10.10.10.1")];
    let mut seen = live(true, &moved);
    check_refused(
        &a_vm("{}"),
        seen.clone(),
        expect![[r#"
        address: ip=10.10.10.99/24,gw=10.10.10.1 -> ip=10.10.10.116/24,gw=10.10.10.1  (cannot be changed)
        cu1 has the address 10.10.10.99 (ipconfig0 of VM 401), and a node keeps its address
        set `address` of cu1 back to 10.10.10.99; certificates, etcd and the other nodes know it by that address"#]],
    );
    seen.addresses = vec![[10, 10, 10, 98].into()];
    check_refused(
        &Vm { role: Role::Worker, ..a_vm(r#"{"cores": 4}"#) },
        seen.clone(),
        expect![[r#"
        cores: 2 -> 4  (needs a reboot)
        address: ip=10.10.10.99/24,gw=10.10.10.1 -> ip=10.10.10.116/24,gw=10.10.10.1
        cu1 has the address 10.10.10.99 (ipconfig0 of VM 401; its guest agent says 10.10.10.98), and a node keeps its address
        set `address` of cu1 back to 10.10.10.99; for another one let it be made anew: take it out of the cluster (`kubectl drain cu1`, `kubectl delete node cu1`), remove VM 401, run again"#]],
    );
    seen.addresses = vec![[10, 10, 10, 99].into()];
    check_refused(
        &a_vm(r#"{"template": "other"}"#),
        seen,
        expect![[r#"
        template: tpl -> other  (needs replacement)
        address: ip=10.10.10.99/24,gw=10.10.10.1 -> ip=10.10.10.116/24,gw=10.10.10.1  (cannot be changed)
        cu1 has the address 10.10.10.99 (ipconfig0 of VM 401, and its guest agent says the same), and a node keeps its address; it would have to be replaced, which is never done on its own
        set `address` of cu1 back to 10.10.10.99; certificates, etcd and the other nodes know it by that address; set the field back, or remove the old one yourself and run again"#]],
    );
    let vm = a_vm("{}");
    assert!(vm.hides_dependents(&vm.diff(Some(&live(true, &moved)))));
    // It has the address already: only its configuration is wrong.
    let mut elsewhere = live(true, &moved);
    elsewhere.addresses = vec![[10, 10, 10, 116].into()];
    check(
        &vm,
        Some(elsewhere),
        expect![[r#"
        ~ proxmox.vm/cu1
            address: ip=10.10.10.99/24,gw=10.10.10.1 -> ip=10.10.10.116/24,gw=10.10.10.1  (needs a reboot)"#]],
    );
    // Another gateway of the same address is only a one.
    check(
        &a_vm("{}"),
        Some(live(true, &[("ipconfig0", "ip=10.10.10.116/24,gw=10.10.10.254")])),
        expect![[r#"
        ~ proxmox.vm/cu1
            address: ip=10.10.10.116/24,gw=10.10.10.254 -> ip=10.10.10.116/24,gw=10.10.10.1  (needs a reboot)"#]],
    );
}

#[test]
fn a_machine_is_not_moved_but_may_have_been() {
    let description = |host: &str| format!("kthw:ubuntu:cu1:00ff\ntemplate: tpl\nclone: full\nnode: {host}\n");
    let on = |host: &str, made_on: Option<&str>| {
        let text = made_on.map(description);
        let mut live = live(true, &text.as_ref().map(|text| ("description", text.as_str())).into_iter().collect::<Vec<_>>());
        live.found.guest.host = host.into();
        live
    };
    check(&a_vm("{}"), Some(on("pve2", Some("homelab"))), expect!["= proxmox.vm/cu1"]);
    check(&a_vm(r#"{"node": "pve2"}"#), Some(on("pve2", Some("homelab"))), expect!["= proxmox.vm/cu1"]);
    check_refused(
        &a_vm(r#"{"node": "pve2"}"#),
        on("homelab", Some("homelab")),
        expect![[r#"
        node: homelab -> pve2
        VM 401 lies on homelab; kthw moves no machine from host to host
        `qm migrate 401 pve2 --online` on homelab, or set the node back to homelab (`proxmox_node` of cu1)"#]],
    );
    check_refused(
        &a_vm("{}"),
        on("pve2", None),
        expect![[r#"
        node: pve2 -> homelab
        VM 401 lies on pve2; kthw moves no machine from host to host
        `qm migrate 401 homelab --online` on pve2, or set the node back to pve2 (`proxmox_node` of cu1)"#]],
    );
}

#[test]
fn the_pool_is_kept_where_one_is_named() {
    let mut in_pool = live(true, &[]);
    in_pool.found.pool = Some("old".into());
    check(&a_vm("{}"), Some(in_pool.clone()), expect!["= proxmox.vm/cu1"]);
    check(&a_vm(r#"{"pool": "old"}"#), Some(in_pool.clone()), expect!["= proxmox.vm/cu1"]);
    check(
        &a_vm(r#"{"pool": "K8S"}"#),
        Some(in_pool),
        expect![[r#"
        ~ proxmox.vm/cu1
            pool: old -> K8S"#]],
    );
    check(
        &a_vm(r#"{"pool": "K8S"}"#),
        Some(live(true, &[])),
        expect![[r#"
        ~ proxmox.vm/cu1
            pool: none -> K8S"#]],
    );
}

#[test]
fn sockets_multiply_cores() {
    check(
        &a_vm("{}"),
        Some(live(true, &[("sockets", "2")])),
        expect![[r#"
        ~ proxmox.vm/cu1
            sockets: 2 -> 1  (needs a reboot)"#]],
    );
}

/// What is told of a machine that is another than declared, and fine.
fn drift(vm: &Vm, changes: &[(&str, &str)]) -> String {
    let Live { found, disk, .. } = live(true, changes);
    let change = vm.diff(Some(&Live { found: found.clone(), disk: disk.clone(), ..live(true, changes) }));
    assert!(change.is_none(), "{change:?}");
    vm.drift(&found, disk.as_ref()).join("\n")
}

#[test]
fn what_an_administrator_did_with_the_disk_is_told_and_stays() {
    let moved = [("scsi0", "ceph:vm-401-disk-0,discard=on,size=40G")];
    expect![[r#"
        scsi0 of VM 401 lies on ceph, declared is local-lvm; it stays there
        scsi0 of VM 401 has 40 GiB, declared are 20; a disk is never made smaller"#]]
    .assert_eq(&drift(&a_vm("{}"), &moved));
    let rounded = [("scsi0", "local-lvm:vm-401-disk-1,discard=on,size=20974976K")];
    assert_eq!(drift(&a_vm("{}"), &rounded), "");
    let passed_through = [("scsi0", "/dev/disk/by-id/nvme-x,size=20G")];
    assert_eq!(
        drift(&a_vm("{}"), &passed_through),
        "scsi0 of VM 401 lies on /dev/disk/by-id/nvme-x, declared is local-lvm; it stays there"
    );
}

#[test]
fn the_kind_of_clone_is_told_by_the_disk_or_by_the_note() {
    let noted = |kind: &str| format!("kthw:ubuntu:cu1:00ff\nclone: {kind}\n");
    let based = [("scsi0", "local-lvm:base-9420-disk-0/vm-401-disk-0,size=20G")];
    let linked = r#"{"clone": "linked"}"#;
    assert_eq!(drift(&a_vm(linked), &[("description", &noted("full"))]), "VM 401 is a full clone, declared is a linked one; it stays so");
    assert_eq!(drift(&a_vm("{}"), &[("description", &noted("linked"))]), "VM 401 is a linked clone, declared is a full one; it stays so");
    assert_eq!(drift(&a_vm("{}"), &based), "VM 401 is a linked clone, declared is a full one; it stays so");
    assert_eq!(drift(&a_vm(linked), &based), "");
    // Of a machine whose description says nothing, nothing is known.
    assert_eq!(drift(&a_vm(linked), &[]), "");
}

#[test]
fn a_machine_that_does_not_go_on_is_resumed() {
    let halted = |running: bool, halt: Halt| {
        let mut live = live(running, &[]);
        live.found.halt = Some(halt);
        live
    };
    let change = |live: &Live| a_vm("{}").diff(Some(live));
    check(
        &a_vm("{}"),
        Some(halted(true, Halt::IoError)),
        expect![[r#"
        ~ proxmox.vm/cu1
            status: io-error (a disk failed, or its storage is full; it is resumed, which helps once there is room) -> running"#]],
    );
    check(
        &a_vm("{}"),
        Some(halted(false, Halt::Hibernated)),
        expect![[r#"
        ~ proxmox.vm/cu1
            status: hibernated (its memory lies on disk; it is woken) -> running"#]],
    );
    for live in [halted(true, Halt::Paused), halted(true, Halt::Crashed), halted(false, Halt::Hibernated)] {
        assert!(a_vm("{}").hides_dependents(&change(&live)));
    }
}

#[test]
fn property_strings_keep_what_is_not_ours() {
    let values = |vm: &Vm, changes: &[(&str, &str)]| {
        let differences = vm.differences(&live(true, changes).found.config, true, &["ssh-ed25519 AAAA me@home".into()]);
        differences.into_iter().map(|one| format!("{}={}", one.key, one.value)).collect::<Vec<_>>().join("\n")
    };
    let odd = [
        ("agent", "0,fstrim_cloned_disks=1,type=virtio"),
        ("ipconfig0", "gw=10.10.10.2,ip=10.10.10.116/24,ip6=auto"),
        ("cpu", "cputype=host,flags=+aes;+pcid"),
        ("net0", "e1000=BC:24:11:00:00:01,bridge=vmbr9,firewall=1,trunks=10;20"),
        ("memory", "current=2048"),
        ("tags", "Backup;K8S;kthw;ubuntu"),
    ];
    expect![[r#"
        memory=4096
        cpu=cputype=x86-64-v2-AES,flags=+aes;+pcid
        net0=e1000=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,trunks=10;20
        ipconfig0=gw=10.10.10.1,ip=10.10.10.116/24,ip6=auto
        agent=1,fstrim_cloned_disks=1,type=virtio"#]]
    .assert_eq(&values(&a_vm("{}"), &odd));
    // Capitals stay where Proxmox keeps them.
    assert_eq!(values(&a_vm(r#"{"tags": ["new"]}"#), &[("tags", "Backup;kthw")]), "tags=Backup;kthw;new");
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
fn a_tag_that_was_given_and_is_no_longer_named_goes_and_peoples_own_stay() {
    let described = ("description", "notes of mine\nkthw:ubuntu:cu1:00ff\ntemplate: tpl\ntags: k8s kthw old ubuntu\n");
    check(
        &a_vm("{}"),
        Some(live(true, &[described, ("tags", "backup;k8s;kthw;old;ubuntu")])),
        expect![[r#"
            ~ proxmox.vm/cu1
                tags: backup k8s kthw old ubuntu -> backup k8s kthw ubuntu
                description:
                -tags: k8s kthw old ubuntu
                +tags: k8s kthw ubuntu"#]],
    );
}

#[test]
fn name_servers_that_are_no_longer_named_go() {
    let mut vm = a_vm("{}");
    vm.dns.clear();
    check(
        &vm,
        Some(live(false, &[])),
        expect![[r#"
            ~ proxmox.vm/cu1
                status: stopped -> running
                dns: 10.10.10.100 -> its host's"#]],
    );
    let config: Config = [("nameserver", "10.10.10.100")].into_iter().collect();
    let differences = vm.differences(&config, false, &[]);
    assert!(differences.iter().any(|one| (&*one.key, one.value.as_str()) == ("delete", "nameserver")));
    check(&vm, Some(live(true, &[("nameserver", "")])), expect!["= proxmox.vm/cu1"]);
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
            tags: kthw -> kthw k8s ubuntu"#]],
    );
}

#[test]
fn what_needs_another_machine_is_told_apart() {
    check(
        &a_vm(r#"{"storage": "nfs", "template": "other"}"#),
        Some(live(true, &[])),
        expect![[r#"
            ! proxmox.vm/cu1
                template: tpl -> other  (needs replacement)"#]],
    );
    check(
        &a_vm("{}"),
        Some(live(true, &[("scsi0", "none")])),
        expect![[r#"
            ! proxmox.vm/cu1
                disk: none -> a boot disk  (needs replacement)"#]],
    );
}

#[test]
fn a_network_card_keeps_its_address() {
    let vm = a_vm(r#"{"bridge": "vmbr1"}"#);
    let differences = vm.differences(&live(true, &[]).found.config, true, &["ssh-ed25519 AAAA me@home".into()]);
    let values: Vec<_> = differences.iter().map(|one| (&*one.key, one.value.as_str())).collect();
    assert_eq!(values, [("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr1")]);
}

/// The machine `cu1` in a network for storage, which is the second one of the workspace.
fn a_vm_with_storage() -> Vm {
    let mut workspace: crate::workspace::Workspace = serde_json::from_str(WORKSPACE).expect("a workspace");
    workspace.network.more = serde_json::from_str(
        r#"[{"name": "backup", "range": "10.31.0.0/24", "bridge": "vmbr1"}, {"name": "storage", "range": "10.30.0.0/24", "bridge": "vmbr1", "vlan": 30, "mtu": 9000}]"#,
    )
    .expect("networks");
    workspace.nodes[0].networks = serde_json::from_str(r#"{"storage": "10.30.0.116"}"#).expect("an address");
    let mut scope = rhai::Scope::new();
    scope.push("cluster", Cluster::new(Arc::new(workspace)).expect("a cluster"));
    let node: Node = crate::script_engine().eval_with_scope(&mut scope, "cluster.nodes[0]").expect("a node");
    Vm::new(&node, a_vm("{}").spec).expect("a machine")
}

#[test]
fn a_network_beside_the_nodes_own_is_a_card_with_an_address_and_no_gateway() {
    let vm = a_vm_with_storage();
    let fields: Vec<String> = vm.create_fields().iter().map(ToString::to_string).filter(|field| field.contains("storage:")).collect();
    assert_eq!(fields, ["storage: local-lvm", "network storage: vmbr1, VLAN 30, MTU 9000", "address storage: ip=10.30.0.116/24"]);
    check(
        &vm,
        Some(live(true, &[])),
        expect![[r#"
            ~ proxmox.vm/cu1
                network storage: none -> vmbr1, VLAN 30, MTU 9000  (needs a reboot)
                address storage: "" -> ip=10.30.0.116/24  (needs a reboot)"#]],
    );
    let values = |live: &Live| -> Vec<(String, String)> {
        let differences = vm.differences(&live.found.config, true, &["ssh-ed25519 AAAA me@home".into()]);
        differences.into_iter().map(|one| (one.key.into_owned(), one.value)).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
    assert_eq!(values(&live(true, &[])), pairs(&[("net2", "virtio,bridge=vmbr1,tag=30,mtu=9000"), ("ipconfig2", "ip=10.30.0.116/24")]));
    // What is there keeps its address and what an administrator set; where it is plugged in changes at once.
    let made = ("net2", "virtio=BC:24:11:00:00:02,bridge=vmbr9,firewall=1,mtu=9000,tag=30");
    let own = ("ipconfig2", "ip=10.30.0.116/24,ip6=auto");
    assert_eq!(values(&live(true, &[made, own])), pairs(&[("net2", "virtio=BC:24:11:00:00:02,bridge=vmbr1,firewall=1,mtu=9000,tag=30")]));
    check(
        &vm,
        Some(live(true, &[made, own])),
        expect![[r#"
            ~ proxmox.vm/cu1
                network storage: vmbr9, VLAN 30, MTU 9000 -> vmbr1, VLAN 30, MTU 9000"#]],
    );
    let settled = ("net2", "virtio=BC:24:11:00:00:02,bridge=vmbr1,mtu=9000,tag=30");
    check(&vm, Some(live(true, &[settled, own])), expect!["= proxmox.vm/cu1"]);
    // A card that the workspace does not name is somebody's own.
    check(&a_vm("{}"), Some(live(true, &[settled, own])), expect!["= proxmox.vm/cu1"]);
    // What cloud-init is told makes a machine new to it.
    assert!(vm.makes_new_host_keys(&live(false, &[]).found.config, &["ssh-ed25519 AAAA me@home".into()]));
    assert!(!vm.makes_new_host_keys(&live(false, &[settled, own]).found.config, &["ssh-ed25519 AAAA me@home".into()]));
}

#[test]
fn search_domains_are_those_of_the_workspace_or_its_domain() {
    let mut vm = a_vm("{}");
    assert_eq!(vm.search, "bevz.net");
    let mut workspace: crate::workspace::Workspace = serde_json::from_str(WORKSPACE).expect("a workspace");
    workspace.network.dns_search = serde_json::from_str(r#"["lab.bevz.net", "bevz.net"]"#).expect("domains");
    vm.search = workspace.search_domains();
    check(
        &vm,
        Some(live(true, &[])),
        expect![[r#"
            ~ proxmox.vm/cu1
                domain: bevz.net -> lab.bevz.net bevz.net  (needs a reboot)"#]],
    );
}

#[test]
fn a_machine_to_be_started_hides_what_is_on_it() {
    let vm = a_vm(r#"{"cores": 4}"#);
    assert!(vm.hides_dependents(&vm.diff(None)));
    assert!(vm.hides_dependents(&vm.diff(Some(&live(false, &[])))));
    assert!(!vm.hides_dependents(&vm.diff(Some(&live(true, &[])))));
}
