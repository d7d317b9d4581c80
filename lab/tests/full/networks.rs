//! Networks beside the nodes' own, search domains and time servers: in a new world, and on machines that are there.
use crate::{FULL, Lab, changes, failures, host_keys, nodes::built, nodes::machine, shelf};
use kthw_lab::World;

const SET: [&str; 4] = [
    "network.more=[{name: backup, range: 10.31.0.0/24, bridge: vmbr1}, {name: storage, range: 10.30.0.0/24, bridge: vmbr1, vlan: 30, mtu: 9000}]",
    "nodes[0].networks={storage: 10.30.0.116}",
    "network.dns_search=[lab.bevz.net, bevz.net]",
    "network.ntp=[10.10.10.5, ntp.bevz.net]",
];

/// A file on the machine of the first node.
fn file(lab: &Lab, path: &str) -> String {
    let address = lab.workspace.nodes[0].address.to_string();
    lab.world.with_state(|state| {
        let machine = state.machines.values().find(|machine| machine.ip() == address).unwrap();
        machine.files.text(path).to_owned()
    })
}

#[tokio::test(start_paused = true)]
async fn every_distribution_is_told_its_time_servers_and_has_its_second_card() {
    for (name, service, servers, include) in [
        ("ubuntu", "systemd-timesyncd", "/etc/systemd/timesyncd.conf.d/kthw.conf", None),
        ("debian", "systemd-timesyncd", "/etc/systemd/timesyncd.conf.d/kthw.conf", None),
        ("rocky", "chronyd", "/etc/chrony.d/kthw.sources", Some("/etc/chrony.conf")),
        ("suse", "chronyd", "/etc/chrony.d/kthw.conf", None),
    ] {
        let world = World::default();
        let known_hosts = host_keys(&world);
        let lab = Lab::on(&format!("networks-{name}"), world, shelf::shipped(name, &SET), &known_hosts);
        let recipe = format!("{name}/full");
        assert_eq!(failures(&lab.apply(&recipe).await), "");
        let plan = lab.plan(&recipe).await;
        assert_eq!(changes(&plan), Vec::<String>::new(), "{name} settles");
        let told = file(&lab, servers);
        assert!(told.contains("10.10.10.5") && told.contains("ntp.bevz.net"), "{name}: {told}");
        let service = format!("ssh.service/{}/{service}", lab.workspace.nodes[0].name);
        assert!(plan.planned().iter().any(|one| one.id.to_string() == service), "{name}: no {service}");
        if let Some(path) = include {
            assert!(file(&lab, path).contains("sourcedir /etc/chrony.d\n"), "{name}");
        }
        let network = file(&lab, "/etc/netplan/50-cloud-init.yaml");
        assert!(network.ends_with("    eth1:\n      addresses: [10.30.0.116/24]\n"), "{name}: {network}");
        // Neither Calico nor the kubelet takes the address of the other card.
        lab.world.with_state(|state| {
            let objects = &state.clusters[0].objects;
            let calico = objects.values().find(|object| object.value["kind"] == "Installation").unwrap();
            let detection = &calico.value["spec"]["calicoNetwork"]["nodeAddressAutodetectionV4"];
            assert_eq!(detection["cidrs"], serde_json::json!(["10.10.10.0/24"]), "{name}");
        });
        let flags = file(&lab, "/var/lib/kubelet/kubeadm-flags.env");
        assert!(flags.contains(&format!("--node-ip={}", lab.workspace.nodes[0].address)), "{name}: {flags}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_card_that_comes_later_has_its_address_after_the_next_restart() {
    let lab = built("later-card").await;
    let with = Lab::changed("with-card", lab.world.clone(), &SET[..2]);
    let plan = with.plan(FULL).await;
    let text = plan.to_string();
    assert_eq!(changes(&plan).len(), 1, "{text}");
    assert!(text.contains("network storage: none -> vmbr1, VLAN 30, MTU 9000") && text.contains("needs a reboot"), "{text}");
    assert_eq!(failures(&with.apply(FULL).await), "");
    assert!(!file(&with, "/etc/netplan/50-cloud-init.yaml").contains("10.30.0.116"), "it goes on without until it is restarted");
    let waits = with.plan("operations/restart").await.to_string();
    assert!(waits.contains("needed (waiting in Proxmox: address storage)"), "{waits}");
    assert_eq!(failures(&with.apply("operations/restart").await), "");
    assert!(file(&with, "/etc/netplan/50-cloud-init.yaml").contains("10.30.0.116"));
    assert_eq!(changes(&with.plan(FULL).await), Vec::<String>::new());
    let boots = |node: &str| lab.world.with_state(|state| state.machines[machine(node)].boots);
    assert_eq!((boots("cu1"), boots("wu1")), (2, 1), "only the machine with another card was restarted");
}
