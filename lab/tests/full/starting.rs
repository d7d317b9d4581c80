//! Machines that were started a moment ago: who they are is asked until they can tell, and they are waited for; a dead one is not for long.
use crate::{FULL, Lab, changes, failures};
use kthw_engine::{Kind, MemoryLedger, RunOptions, run, silent};
use kthw_lab::{EndsAt, Moment};
use kthw_stdlib::ssh::KnownHosts;
use std::{sync::Arc, time::Duration};

const PHASE: &str = "phases/kubernetes-host";

async fn built(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    lab.peers.clock().sleep(Duration::from_secs(3600)).await;
    lab
}

/// Lets the machine behind VM 421 answer only after so many seconds more, over SSH and by its guest agent.
fn slow(lab: &Lab, seconds: u64) {
    lab.world.with_state(|state| {
        let from_ms = state.now_ms + seconds * 1000;
        let machine = state.machines.get_mut("vm/421").unwrap();
        (machine.ssh_from_ms, machine.agent_from_ms) = (from_ms, from_ms);
    });
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_boots_is_not_taken_for_one_without_a_guest_agent() {
    let lab = built("boots").await.elsewhere("boots-again");
    lab.world.restart_vm(421).unwrap();
    slow(&lab, 60);
    let plan = lab.plan(PHASE).await;
    let planned = changes(&plan);
    assert_eq!(
        planned.iter().filter(|one| one.contains("proxmox.vm/")).collect::<Vec<_>>(),
        ["update proxmox.vm/wu1 status: starting -> running"]
    );
    assert!(planned.iter().any(|one| one.starts_with("unknown ssh.node/wu1")), "{planned:?}");
    let (id, error) = &plan.failures()[0];
    assert_eq!(id.to_string(), "ssh.node/wu1");
    let said = error.to_string();
    assert!(said.contains("its machine was started") || said.contains("connection refused"), "{said}");
    let known = lab.peers.get::<KnownHosts>().unwrap();
    let report = run(plan, &lab.peers, &silent(), &RunOptions::default()).await;
    assert_eq!((failures(&report).as_str(), known.take_warnings()), ("", Vec::new()));
    assert_eq!(changes(&lab.plan(PHASE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_started_a_moment_ago_is_waited_for() {
    let lab = built("slow").await;
    lab.world.restart_vm(421).unwrap();
    slow(&lab, 400);
    assert!(changes(&lab.plan(PHASE).await).iter().any(|one| one.starts_with("unknown ssh.node/wu1")));
    assert_eq!(failures(&lab.apply(PHASE).await), "");
}

#[tokio::test(start_paused = true)]
async fn a_dead_one_is_not_waited_for_as_long() {
    let lab = built("dead-for-long").await;
    slow(&lab, 1_000_000);
    let begun = lab.peers.clock().now();
    let report = lab.apply(PHASE).await;
    assert_eq!((report.failures.len(), report.failures[0].1.kind()), (1, Kind::Settle), "{}", failures(&report));
    let waited = lab.peers.clock().now() - begun;
    assert!(waited < Duration::from_secs(150), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_around_a_start_with_new_host_keys_leaves_no_old_ones() {
    // Another name server: cloud-init takes the machine for another one, which makes its host keys anew.
    let stopped = async |name: &str| {
        let lab = built(name).await;
        lab.world.with_state(|state| {
            state.pve.vms.get_mut(&421).unwrap().running = false;
            state.machines.get_mut("vm/421").unwrap().running = false;
        });
        Lab::changed(&format!("{name}-dns"), lab.world.clone(), &["network.dns=[10.10.10.101]"])
    };
    let ledger = Arc::new(MemoryLedger::default());
    let lab = stopped("new-keys").await;
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    assert_eq!(failures(&run(lab.plan(PHASE).await, &lab.peers, &silent(), &options).await), "");
    let effects: Vec<u64> = ledger.effects().iter().map(|effect| effect.entry.number).collect();
    assert!(effects.len() > 5, "{effects:?}");
    for number in effects {
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let lab = stopped(&format!("new-keys-{number}-{moment:?}")).await;
            let ends = EndsAt::new(number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            let plan = lab.plan(PHASE).await;
            assert!(ends.cut(run(plan, &lab.peers, &silent(), &options)).await.is_none());
            let again = lab.again();
            assert_eq!(failures(&again.apply(PHASE).await), "", "{moment:?} effect {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_waits_for_no_machine_to_tell_its_host_keys_and_the_run_does() {
    const RESTART: &str = "operations/restart";
    let lab = Lab::new("untold");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.peers.clock().sleep(Duration::from_secs(3600)).await;
    let lab = lab.elsewhere("untold-again");
    lab.world.restart_vm(421).unwrap();
    slow(&lab, 45);
    let begun = lab.peers.clock().now();
    let planned = changes(&lab.plan(RESTART).await);
    assert!(lab.peers.clock().now() - begun < Duration::from_secs(10), "{:?}", lab.peers.clock().now() - begun);
    let untold = "update proxmox.host_keys/wu1 host keys: not told yet -> told by its guest agent";
    assert_eq!(planned.iter().filter(|one| one.contains("proxmox.host_keys/")).collect::<Vec<_>>(), [untold]);
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}
