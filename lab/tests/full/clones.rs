//! Clones that fail, and locks that are left behind.
use crate::{Lab, changes, failures};
use kthw_engine::{Kind, RunOptions, run, silent};
use kthw_lab::{Fault, State, TaskWork, World};
use std::collections::BTreeMap;

const MACHINES: &str = "phases/machines";

fn deletes(lab: &Lab) -> usize {
    lab.world.with_state(|state| state.journal.lines().filter(|line| line.starts_with("pve DELETE")).count())
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_was_interrupted_ends_the_wait_with_the_next_step() {
    let lab = Lab::new("interrupted");
    lab.world.add_fault(Fault::task_stops("qmclone", "received interrupt"));
    let report = lab.apply(MACHINES).await;
    assert!(failures(&report).contains("received interrupt"), "{}", failures(&report));
    assert_eq!(deletes(&lab), 0, "what is locked is not touched");

    let begun_ms = lab.world.with_state(|state| state.now_ms);
    let plan = lab.plan(MACHINES).await;
    let waited_ms = lab.world.with_state(|state| state.now_ms) - begun_ms;
    assert!(waited_ms < 30_000, "{waited_ms} ms");
    let unknown: Vec<String> = changes(&plan).into_iter().filter(|change| change.starts_with("unknown proxmox.vm/")).collect();
    assert_eq!(unknown.len(), 1, "{plan}");
    let (_, error) = &plan.failures()[0];
    assert_eq!(error.kind(), Kind::Peer);
    let help = error.diagnostic().help().unwrap().to_string();
    assert!(help.contains("`qm unlock 4"), "{help}");

    // Somebody does what it says.
    lab.world.with_state(|state| state.pve.vms.retain(|_, vm| vm.lock.is_none()));
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_is_under_way_is_waited_for() {
    let lab = Lab::new("under-way");
    assert_eq!(failures(&lab.apply("phases/template").await), "");
    let other = Lab::changed("under-way-other", lab.world.clone(), &[]);
    // Two runs at once: the second finds the first one's locks.
    let (first, second) = futures::future::join(lab.apply(MACHINES), other.apply(MACHINES)).await;
    assert_eq!(failures(&first), "");
    assert!(!failures(&second).contains("no task is at work"), "{}", failures(&second));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_another_run_makes_is_not_taken_for_ones_own() {
    let lab = Lab::new("at-once");
    assert_eq!(failures(&lab.apply("phases/template").await), "");
    let other = Lab::changed("at-once-other", lab.world.clone(), &[]);
    let plans = (lab.plan(MACHINES).await, other.plan(MACHINES).await);
    let (options, events) = (RunOptions::default(), silent());
    let (first, second) =
        futures::future::join(run(plans.0, &lab.peers, &events, &options), run(plans.1, &other.peers, &events, &options)).await;
    // Both send the same number at the same moment, and the mark of the clone tells whose it is.
    let told = [failures(&first), failures(&second)].concat();
    assert!(told.contains("was made by another run at the same time"), "{told}");
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
}

/// What a clone under way is to become, as soon as it is: nothing more is done when its task ends.
async fn under_way(lab: &Lab, vmid: u32) -> BTreeMap<String, String> {
    let taken = |state: &mut State| {
        let is_its = |work: &TaskWork| matches!(work, TaskWork::Clone { vmid: of, .. } if *of == vmid);
        let task = state.pve.tasks.values_mut().find(|task| is_its(&task.work))?;
        match std::mem::replace(&mut task.work, TaskWork::Nothing) {
            TaskWork::Clone { config, .. } => Some(config),
            _ => None,
        }
    };
    loop {
        if let Some(config) = lab.world.with_state(taken) {
            return config;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_clone_removes_nobody_elses_machine() {
    let lab = Lab::new("taken");
    assert_eq!(failures(&lab.apply("phases/template").await), "");
    // The clone fails, and by the time that shows somebody else has the VM id.
    lab.world.add_fault(Fault::task("qmclone", "clone failed: no space left").times(3));
    let (report, ()) = futures::future::join(lab.apply(MACHINES), async {
        under_way(&lab, 421).await;
        lab.world.with_state(|state| state.pve.vms.remove(&421));
        lab.world.add_foreign_vm(421, "theirs");
    })
    .await;
    assert_eq!(report.failures.len(), 3, "{}", failures(&report));
    assert_eq!(deletes(&lab), 0);
    lab.world.with_state(|state| assert_eq!(state.pve.vms[&421].config["name"], "theirs"));
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_clone_left_is_looked_for_where_it_is() {
    let lab = Lab::changed("left-beside", World::default(), &["nodes.wu1.proxmox_node=pve2"]);
    lab.world.with_state(|state| state.pve.storages.get_mut("local-lvm").unwrap().shared = true);
    assert_eq!(failures(&lab.apply("phases/template").await), "");
    // Proxmox makes a clone whole beside its template and moves it at the end, which fails.
    lab.world.add_fault(Fault::task("qmclone", "cannot move its configuration").times(3));
    let (report, lies_on) = futures::future::join(lab.apply(MACHINES), async {
        let config = under_way(&lab, 421).await;
        lab.world.with_state(|state| {
            let vm = state.pve.vms.get_mut(&421).unwrap();
            (vm.config, vm.lock) = (config, None);
            vm.node.clone()
        })
    })
    .await;
    assert_eq!((lies_on.as_str(), report.failures.len()), ("homelab", 3), "{}", failures(&report));
    assert_eq!((deletes(&lab), lab.world.with_state(|state| state.pve.vms.contains_key(&421))), (1, false));
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
}
