//! The rules of machines: in force before kubeadm, kept only once kthw has logged in anew, and taken away by the workspace.
use super::{FULL, Lab, changes, failures};
use kthw_lab::{Fault, Harm, Trigger, World};

const PHASE: &str = "phases/firewall";
const ON: &str = "firewall={allow: [{name: metrics, ports: [9100], on: [worker]}]}";

fn rules(lab: &Lab, node: &str) -> String {
    let spec = lab.workspace.nodes.iter().find(|spec| spec.name == node).unwrap();
    let address = spec.address.to_string();
    lab.world.with_state(|state| {
        let machine = state.machines.values().find(|machine| machine.ip() == address).unwrap();
        machine.files.text("/etc/kthw/firewall.nft")
    })
}

#[tokio::test(start_paused = true)]
async fn rules_are_there_before_the_cluster_and_go_when_they_are_not_wanted() {
    let lab = Lab::changed("firewall", World::default(), &[ON]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let journal = lab.world.journal();
    let first = |what: &str| journal.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    assert!(first("kthw-firewall keep") < first("kubeadm init"), "the rules came too late");
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
    assert!(rules(&lab, "cu1").contains("tcp dport 6443 accept comment \"kube-apiserver\"") && !rules(&lab, "cu1").contains("9100"));
    assert!(rules(&lab, "wu1").contains("tcp dport 9100 accept comment \"metrics\"") && !rules(&lab, "wu1").contains("6443"));

    // Without the block they are nobody's business, and with `false` they go.
    let silent = Lab::changed("firewall-silent", lab.world.clone(), &[]);
    let of_firewalls = |id: &str| id.starts_with("firewall.") || id.ends_with("/nftables");
    assert!(!silent.plan(PHASE).await.planned().iter().any(|planned| of_firewalls(&planned.id.to_string())));
    let off = Lab::changed("firewall-off", lab.world.clone(), &["firewall={host: false}"]);
    let gone: Vec<String> = changes(&off.plan(FULL).await).into_iter().filter(|line| line.starts_with("delete")).collect();
    assert_eq!(gone, ["delete firewall.host/cu1 ", "delete firewall.host/wu1 ", "delete firewall.host/wu2 "]);
    assert_eq!(failures(&off.apply(FULL).await), "");
    assert_eq!((rules(&off, "cu1"), changes(&off.plan(FULL).await)), (String::new(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_log_in_anew_has_the_rules_from_before() {
    let lab = Lab::changed("locked-out", World::default(), &[ON]);
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    let before = rules(&lab, "wu1");
    let other = Lab::changed("locked-out-2", lab.world.clone(), &["firewall={}"]);
    other
        .world
        .add_fault(Fault { times: 100, ..Fault::once(Trigger::Login { node: "wu1".into() }, Harm::refused(1, "connection refused")) });
    let failed = failures(&other.apply(PHASE).await);
    assert!(
        failed.contains("firewall.host/wu1") && failed.contains("lets nobody in under its new rules, nor after their trial"),
        "{failed}"
    );
    assert_eq!(rules(&lab, "wu1"), before, "what was not kept is not there at the next start");
    other.world.with_state(|state| state.faults.clear());
    assert_eq!(failures(&other.apply(PHASE).await), "");
    assert_eq!(changes(&other.plan(PHASE).await), Vec::<String>::new());

    let third = Lab::changed("locked-out-3", lab.world.clone(), &[ON]);
    third
        .world
        .add_fault(Fault { times: 25, ..Fault::once(Trigger::Login { node: "wu1".into() }, Harm::refused(1, "connection refused")) });
    let failed = failures(&third.apply(PHASE).await);
    assert!(failed.contains("would lock kthw out, so it has those from before again: "), "{failed}");
    assert_eq!(failures(&third.apply(PHASE).await), "");
    assert_eq!(rules(&third, "wu1"), before);
}
