//! Restarts that do not go as planned: new host keys, a kernel that is not booted, somebody who was faster.
use crate::{
    FULL, Lab, changes, failures,
    nodes::{FREE, MACHINES, RESTART, asks, boots, built, cordon, put_web},
};
use kthw_engine::{MemoryLedger, RunOptions, run, silent};
use kthw_lab::{EndsAt, Fault, Moment, World};
use std::{sync::Arc, time::Duration};

#[tokio::test(start_paused = true)]
async fn host_keys_that_a_restart_made_anew_are_vouched_for_and_kept() {
    let lab = built("restart-keys").await;
    // Cloud-init makes new keys where it is told something else than before.
    let other = Lab::changed("restart-keys-dns", lab.world.clone(), &["nodes.wu1.cores=4", "network.dns=[10.10.10.101]"]);
    assert_eq!(failures(&other.apply(FULL).await), "");
    let key = |lab: &Lab| lab.world.with_state(|state| state.machines["vm/421"].files.text("/etc/ssh/ssh_host_ed25519_key.pub"));
    let before = key(&other);
    assert_eq!(changes(&other.plan(RESTART).await).len(), 1);
    assert_eq!(failures(&other.apply(RESTART).await), "");
    assert_ne!(key(&other), before);
    let pins = std::fs::read_to_string(other.folder.join("known_hosts")).unwrap();
    let data = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    assert!(pins.contains(&data(&key(&other))) && !pins.contains(&data(&before)), "{pins}");
    assert_eq!(changes(&other.again().plan(RESTART).await), Vec::<String>::new());

    // Without a change of what cloud-init is told, another key is somebody else's.
    asks(&other, "wu1");
    other.world.with_state(|state| {
        let files = &mut state.machines.get_mut("vm/421").unwrap().files;
        files.put("/etc/ssh/ssh_host_ed25519_key.pub", &before, 0o644, 0);
    });
    let told = other.plan(RESTART).await.to_string();
    assert!(told.contains("the host key of wu1 at 10.10.10.121 has changed"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_died_while_host_keys_are_made_anew_leaves_no_node_behind() {
    const SET: [&str; 2] = ["nodes.wu1.cores=4", "network.dns=[10.10.10.101]"];
    let lab = built("keys-crash").await;
    let other = Lab::changed("keys-crash-dns", lab.world.clone(), &SET);
    assert_eq!(failures(&other.apply(FULL).await), "");
    other.plan(RESTART).await;
    let kept = lab.folder.join("lab.json");
    other.world.save(&kept).unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    let whole = Lab::changed("keys-crash-none", World::open(&kept).unwrap(), &SET);
    assert_eq!(failures(&run(whole.plan(RESTART).await, &whole.peers, &silent(), &options).await), "");
    let mut wrong = Vec::new();
    for effect in ledger.effects() {
        let number = effect.entry.number;
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let name = format!("{moment:?} effect {number}, {} ({})", effect.entry.intent.what, effect.entry.intent.peer);
            let lab = Lab::changed(&format!("keys-crash-{number}-{moment:?}"), World::open(&kept).unwrap(), &SET);
            let ends = EndsAt::new(number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            assert!(ends.cut(run(lab.plan(RESTART).await, &lab.peers, &silent(), &options)).await.is_none(), "{name}: the run went on");
            // What Proxmox goes on with by itself has had its time.
            lab.peers.clock().sleep(Duration::from_secs(60)).await;
            let again = || Lab {
                peers: lab.peers_again(),
                world: lab.world.clone(),
                workspace: lab.workspace.clone(),
                folder: lab.folder.join("next"),
            };
            let restarts = failures(&again().apply(RESTART).await);
            let left = changes(&again().plan(RESTART).await);
            let cordons: Vec<_> = MACHINES.iter().map(|(node, _)| cordon(&lab, node)).filter(|cordon| *cordon != FREE).collect();
            if !(restarts.is_empty() && left.is_empty() && cordons.is_empty()) {
                wrong.push(format!("{name}: {restarts} {left:?} {cordons:?}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[tokio::test(start_paused = true)]
async fn a_proxmox_that_is_away_while_new_host_keys_are_asked_for_is_waited_for() {
    let lab = built("keys-away").await;
    let other = Lab::changed("keys-away-dns", lab.world.clone(), &["nodes.wu1.cores=4", "network.dns=[10.10.10.101]"]);
    assert_eq!(failures(&other.apply(FULL).await), "");
    let plan = other.plan(RESTART).await;
    // Its agent is asked for three kinds of keys before the restart.
    other.world.add_fault(Fault::http("GET", "/agent/file-read", 595, "No route to host").after(3).times(4));
    assert_eq!(failures(&run(plan, &other.peers, &silent(), &RunOptions::default()).await), "");
    assert!(other.world.with_state(|state| state.faults.is_empty()));
    assert_eq!(changes(&other.again().plan(RESTART).await), Vec::<String>::new());
}

/// Installs a newer kernel on a node, which it does not boot: the lab has one only.
fn installs_kernel(lab: &Lab, node: &str) {
    let machine = MACHINES.iter().find(|(name, _)| *name == node).map(|(_, machine)| *machine).unwrap();
    lab.world.with_state(|state| {
        state.machines.get_mut(machine).unwrap().files.link("/boot/vmlinuz", "vmlinuz-6.8.0-99-generic", 0).unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_boot_its_newer_kernel_is_restarted_once() {
    let lab = built("restart-in-vain").await;
    installs_kernel(&lab, "wu1");
    asks(&lab, "wu2");
    let reason = "kernel 6.8.0-99-generic is installed, 6.8.0-79-generic runs";
    assert_eq!(
        failures(&lab.apply(RESTART).await),
        format!("kubernetes.node_restarted/wu1: wu1 was restarted, which did not help: {reason}\n")
    );
    assert_eq!((boots(&lab), cordon(&lab, "wu1")), (vec![("cu1", 1), ("wu1", 2), ("wu2", 1)], FREE));

    let plan = lab.plan(RESTART).await;
    let text = plan.to_string();
    assert!(text.contains(&format!("(refused: wu1 was restarted before, which did not help: {reason})")), "{text}");
    let report = run(plan, &lab.peers, &silent(), &RunOptions::default()).await;
    assert_eq!((report.refused(), failures(&report).as_str()), (1, ""));
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 2), ("wu2", 2)]);

    // Something else still restarts it, once.
    asks(&lab, "wu1");
    assert_eq!(
        failures(&lab.apply(RESTART).await),
        format!("kubernetes.node_restarted/wu1: wu1 was restarted, which did not help: {reason}\n")
    );
    assert_eq!((boots(&lab)[1], cordon(&lab, "wu1")), (("wu1", 3), FREE));
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_restarted_while_its_pods_left_is_not_restarted_again() {
    let lab = built("restart-faster").await;
    put_web(&lab, 2, 2);
    asks(&lab, "wu1");
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(60)).await;
    let somebody = async {
        lab.peers.clock().sleep(Duration::from_secs(45)).await;
        assert!(cordon(&lab, "wu1").0, "the drain is under way");
        lab.world.with_state(|state| {
            let machine = state.machines.get_mut("vm/421").unwrap();
            machine.boots += 1;
            machine.files.remove_tree("/run/reboot-required");
        });
        put_web(&lab, 3, 2);
    };
    let (report, ()) = futures::join!(lab.apply(RESTART), somebody);
    assert_eq!(failures(&report), "");
    assert_eq!((boots(&lab)[1], cordon(&lab, "wu1")), (("wu1", 2), FREE));
    assert!(!lab.world.journal().iter().any(|line| line.contains("wu1 $ systemctl reboot")));
}
