//! Peers that never answer, and batches that stop in the middle: on each seam a limit of ours ends the wait and says what was waited for,
//! and the next run goes on from what is there.
use super::{FULL, Lab, changes, failures};
use kthw_engine::Plan;
use kthw_lab::{Fault, Harm, Trigger};

fn mute(on: Trigger) -> Fault {
    Fault::once(on, Harm::Hangs { carried_out: false })
}

fn node(name: &str) -> Trigger {
    Trigger::Node { node: name.into() }
}

fn batch(name: &str) -> Trigger {
    Trigger::Batch { node: name.into() }
}

fn unplanned(plan: &Plan) -> String {
    plan.failures().iter().map(|(id, error)| format!("{id}: {error}\n")).collect()
}

/// What fails when `fault` strikes a run of `recipe`; a plain run after it does all that is left.
async fn fails(name: &str, before: &str, recipe: &str, fault: Fault) -> String {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply(before).await), "");
    lab.world.add_fault(fault);
    let failed = failures(&lab.apply(recipe).await);
    assert!(lab.world.with_state(|state| state.faults.is_empty()), "the fault did not strike");
    assert_eq!(failures(&lab.again().apply(recipe).await), "");
    assert_eq!(changes(&lab.again().plan(recipe).await), Vec::<String>::new());
    failed
}

#[tokio::test(start_paused = true)]
async fn proxmox_is_given_up_after_a_minute() {
    let on = Trigger::http("POST", "/clone");
    // Once, when nothing was begun, it is sent again.
    assert_eq!(fails("mute-proxmox-once", "phases/template", "phases/machines", mute(on.clone())).await, "");
    let failed = fails("mute-proxmox", "phases/template", "phases/machines", mute(on.clone()).times(6)).await;
    let silent = "cannot reach Proxmox for `POST /nodes/homelab/qemu/9420/clone`: pve.lab:8006: no answer within 60 s";
    assert_eq!(failed, ["cu1", "wu1", "wu2"].map(|node| format!("proxmox.vm/{node}: {silent}\n")).concat());
    // Where it was carried out all the same, it is found.
    let done = Fault::once(on, Harm::Hangs { carried_out: true });
    assert_eq!(fails("mute-proxmox-done", "phases/template", "phases/machines", done).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_read_of_proxmox_is_tried_again_and_then_unknown() {
    let lab = Lab::new("mute-reads");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    let on = Trigger::http("GET", "/qemu/421/config");
    lab.world.add_fault(mute(on.clone()).times(2));
    assert_eq!(unplanned(&lab.again().plan("phases/machines").await), "", "two silences are waited for");
    lab.world.add_fault(mute(on).times(1000));
    let told = unplanned(&lab.again().plan("phases/machines").await);
    assert!(told.contains("no answer within 60 s") && told.contains("wu1") && !told.contains("wu2"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_node_is_given_up_after_five_minutes() {
    let lab = Lab::new("mute-look");
    assert_eq!(failures(&lab.apply("phases/kubernetes-host").await), "");
    lab.world.add_fault(mute(node("wu1")));
    let begun = lab.peers.clock().now();
    let told = unplanned(&lab.again().plan("phases/kubernetes-host").await);
    assert!(told.contains("wu1 has not answered for 300 s; asked for was a look at it"), "{told}");
    assert_eq!(lab.peers.clock().now().saturating_sub(begun).as_secs() / 10, 30);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_node_is_given_up_when_its_programs_should_have_ended() {
    for carried_out in [false, true] {
        let fault = Fault::once(batch("wu1"), Harm::Hangs { carried_out });
        let failed = fails(&format!("mute-batch-{carried_out}"), "phases/machines", "phases/kubernetes-host", fault).await;
        let seconds =
            failed.split_once("wu1 has not answered for ").and_then(|(_, rest)| rest.split_once(" s; asked for was a change of it"));
        let seconds: u64 = seconds.unwrap_or_else(|| panic!("{failed}")).0.parse().unwrap();
        assert!((605..=20_000).contains(&seconds), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_kubernetes_api_is_given_up_after_a_minute() {
    let failed = fails("mute-api", "phases/control-plane", "phases/network", mute(Trigger::kubernetes("PATCH", "/installations/"))).await;
    assert!(failed.contains("to take Installation") && failed.contains("last seen: no answer within 60 s"), "{failed}");
    let broken = Fault::once(Trigger::kubernetes("PATCH", "/installations/"), Harm::BrokenAfter);
    assert_eq!(fails("broken-api", "phases/control-plane", "phases/network", broken).await, "", "applying is repeated");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_shows_no_way_to_its_api_is_given_up() {
    let lab = Lab::new("mute-way");
    assert_eq!(failures(&lab.apply("phases/network").await), "");
    let mut told = String::new();
    for after in 0..4 {
        lab.world.add_fault(mute(node("cu1")).after(after));
        told += &unplanned(&lab.again().plan("phases/network").await);
        lab.world.with_state(|state| state.faults.clear());
    }
    assert!(told.contains("cu1 has not shown the way to its Kubernetes API for 300 s"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_stops_in_the_middle_is_gone_on_with() {
    let lab = Lab::new("partial");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    let left = |plan: &Plan| changes(plan).iter().filter(|change| change.contains("/wu1/")).count();
    let all = left(&lab.again().plan("phases/kubernetes-host").await);
    lab.world.add_fault(Fault::once(batch("wu1"), Harm::StopsAfter { blocks: 3 }));
    let failed = failures(&lab.again().apply("phases/kubernetes-host").await);
    assert!(failed.contains("cannot reach wu1"), "{failed}");
    assert_eq!(left(&lab.again().plan("phases/kubernetes-host").await), all - 3, "three blocks were carried out, and no more");
    assert_eq!(failures(&lab.again().apply("phases/kubernetes-host").await), "");
    assert_eq!(changes(&lab.again().plan(FULL).await).iter().filter(|change| change.contains("phases/kubernetes-host")).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_to_a_node_says_so() {
    let lab = Lab::new("refused-node");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    lab.world.add_fault(Fault::once(node("wu1"), Harm::refused(0, "connection refused")).times(1000));
    let plan = lab.again().plan("phases/kubernetes-host").await;
    let error = &plan.failures().first().unwrap().1;
    assert_eq!(error.to_string(), "cannot reach wu1 at 10.10.10.121: connection refused");
}
