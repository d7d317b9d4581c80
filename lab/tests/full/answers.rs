//! Proxmox VE as it really answers: machines that are halted, answers that are lost, locks of backups, disks that an administrator moved.
use crate::{FULL, Lab, changes, failures};
use kthw_lab::Fault;
use std::time::Duration;

const MACHINES: &str = "phases/machines";

async fn built(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.peers.clock().sleep(Duration::from_secs(3600)).await;
    lab
}

/// Sets an entry of the configuration of VM 421 as an administrator would.
fn set(lab: &Lab, key: &str, value: &str) {
    lab.world.with_state(|state| state.pve.vms.get_mut(&421).unwrap().config.insert(key.into(), value.into()));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_go_on_is_shown_and_resumed() {
    let lab = built("halted").await;
    for (why, shown) in [("paused", "paused"), ("io-error", "io-error"), ("hibernated", "hibernated")] {
        lab.world.halt_vm(421, why);
        let planned = changes(&lab.again().plan(FULL).await);
        let machine: Vec<&String> = planned.iter().filter(|one| one.contains("proxmox.vm/")).collect();
        assert!(matches!(machine[..], [one] if one.starts_with(&format!("update proxmox.vm/wu1 status: {shown} ("))), "{planned:?}");
        assert_eq!(failures(&lab.again().apply(FULL).await), "", "{why}");
        assert_eq!(changes(&lab.again().plan(FULL).await), Vec::<String>::new(), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_gave_up_is_left_to_a_person() {
    let lab = built("crashed").await;
    lab.world.halt_vm(421, "internal-error");
    let report = lab.again().apply(MACHINES).await;
    let (id, error) = &report.failures[0];
    assert_eq!((report.failures.len(), id.to_string().as_str()), (1, "proxmox.vm/wu1"));
    assert_eq!(error.to_string(), "VM 421 does not go on by itself: it is crashed");
    assert!(error.diagnostic().help().unwrap().to_string().contains("`qm stop 421`"));
}

#[tokio::test(start_paused = true)]
async fn what_can_be_repeated_is_when_its_answer_is_lost() {
    for (method, path) in [("POST", "/clone"), ("PUT", "/config"), ("PUT", "/resize"), ("POST", "/status/start")] {
        for carried_out in [false, true] {
            let lab = Lab::new(&format!("lost-{}-{carried_out}", path.replace('/', "-")));
            lab.world.add_fault(Fault::http_broken(method, path, carried_out));
            assert_eq!(failures(&lab.apply(MACHINES).await), "", "{method} {path} {carried_out}");
            assert_eq!(changes(&lab.again().plan(MACHINES).await), Vec::<String>::new(), "{method} {path} {carried_out}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_without_an_answer_is_asked_again() {
    let lab = Lab::new("gateway");
    for (status, method, path) in [(502, "GET", "/cluster/resources"), (503, "GET", "/config"), (504, "PUT", "/config")] {
        lab.world.add_fault(Fault::http(method, path, status, "Bad Gateway").times(2));
    }
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_waited_for_and_not_for_ever() {
    let lab = built("backup").await;
    let backup = |times| Fault::http("PUT", "/qemu/421/config", 500, "VM is locked (backup)").times(times);
    lab.world.add_fault(backup(5));
    set(&lab, "onboot", "0");
    assert_eq!(failures(&lab.again().apply(FULL).await), "");
    lab.world.add_fault(backup(1000));
    set(&lab, "onboot", "0");
    let (lab, begun) = (lab.again(), lab.peers.clock().now());
    let report = lab.apply(MACHINES).await;
    assert!(report.failures[0].1.to_string().contains("VM is locked (backup)"), "{}", failures(&report));
    let waited = lab.peers.clock().now() - begun;
    assert!((900..1000).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_somebody_moved_and_grew_keeps_nothing_else_from_being_done() {
    let lab = built("moved-disk").await;
    set(&lab, "scsi0", "ceph:vm-421-disk-0,discard=on,size=400G");
    set(&lab, "tags", "kthw");
    let planned = changes(&lab.again().plan(FULL).await);
    assert!(matches!(&planned[..], [one] if one.starts_with("update proxmox.vm/wu1 tags: kthw -> ")), "{planned:?}");
    assert_eq!(failures(&lab.again().apply(FULL).await), "");
    assert_eq!(changes(&lab.again().plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_template_without_a_cloud_init_drive_is_refused_before_anything_is_made() {
    let lab = built("no-cloud-init").await;
    lab.world.with_state(|state| {
        let template = state.pve.vms.values_mut().find(|vm| vm.config.contains_key("template")).unwrap();
        template.config.remove("ide2");
    });
    lab.world.destroy_vm(421);
    let lab = lab.again();
    let plan = lab.plan(FULL).await;
    let (id, error) = &plan.failures()[0];
    assert_eq!(id.to_string(), "proxmox.vm/wu1");
    assert!(error.to_string().contains("has no cloud-init drive"), "{error}");
    assert!(error.diagnostic().help().unwrap().to_string().contains("--ide2 local-lvm:cloudinit"));
}
