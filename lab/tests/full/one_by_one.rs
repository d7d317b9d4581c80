//! Restarts of a cluster: one node at a time, whatever an earlier run left; and a cordon belongs to whoever made it.
use crate::{
    Lab, changes, checks, failures,
    nodes::{FREE, RESTART, asks, boots, built, cordon, kubectl_cordons, put_web, written},
};
use kthw_engine::{Outcome, RunOptions, plan_for_run, run, silent};
use std::time::Duration;

fn skipped(report: &kthw_engine::Report) -> Vec<String> {
    let of = |(id, outcome): &(kthw_engine::Id, Outcome)| matches!(outcome, Outcome::Skipped { .. }).then(|| id.to_string());
    report.outcomes.iter().filter_map(of).collect()
}

/// Leaves `wu1` cordoned for a restart that a budget held up.
async fn held_up(lab: &Lab) {
    put_web(lab, 2, 2);
    asks(lab, "wu1");
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(60)).await;
    let failed = failures(&lab.apply(RESTART).await);
    assert!(failed.contains("for the pods of wu1 to leave"), "{failed}");
    assert_eq!(cordon(lab, "wu1"), (true, Some("a restart".into())));
    put_web(lab, 2, 1);
}

#[tokio::test(start_paused = true)]
async fn no_node_goes_while_another_is_not_ready() {
    let lab = built("one-lost").await;
    asks(&lab, "wu1");
    asks(&lab, "cu1");
    let kubelet = |started| {
        lab.world.with_state(|state| {
            state.machines.get_mut("vm/422").unwrap().units.get_mut("kubelet.service").unwrap().started = started;
        });
    };
    kubelet(false);
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(90)).await;
    let report = lab.apply(RESTART).await;
    assert_eq!(
        failures(&report),
        "kubernetes.node_restarted/wu1: wu1 is not taken from the cluster while another node is away: wu2 is not Ready\n"
    );
    assert_eq!(skipped(&report), ["kubernetes.node_restarted/cu1"]);
    assert_eq!((boots(&lab), cordon(&lab, "wu1")), (vec![("cu1", 1), ("wu1", 1), ("wu2", 1)], FREE));
    kubelet(true);
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!(boots(&lab), [("cu1", 2), ("wu1", 2), ("wu2", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_recipe_that_says_nothing_of_an_order_restarts_one_at_a_time_too() {
    let restart = async |lab: &Lab| {
        let script = "for node in cluster.nodes { kubernetes::node_restarted(cluster, node, #{ delete_emptydir_data: true }); }";
        let plan = plan_for_run(&checks::declared(lab, script), &lab.peers, &silent()).await.unwrap();
        run(plan, &lab.peers, &silent(), &RunOptions::default()).await
    };
    let lab = built("one-unordered").await;
    asks(&lab, "wu1");
    asks(&lab, "wu2");
    let from = lab.world.journal().len();
    assert_eq!(failures(&restart(&lab).await), "");
    let cordons = written(&lab, from).into_iter().filter_map(|line| Some(line.split_once("PATCH /api/v1/nodes/")?.1.to_owned()));
    assert_eq!(cordons.collect::<Vec<_>>(), ["wu1", "wu1", "wu2", "wu2"]);
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 2), ("wu2", 2)]);

    // And after one that fails none.
    let lab = built("one-unordered-held").await;
    put_web(&lab, 2, 2);
    asks(&lab, "wu1");
    asks(&lab, "wu2");
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(60)).await;
    let report = restart(&lab).await;
    assert!(failures(&report).contains("for the pods of wu1 to leave"), "{}", failures(&report));
    assert_eq!((report.failures.len(), skipped(&report)), (1, vec!["kubernetes.node_restarted/wu2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_off_keeps_the_others_from_being_restarted() {
    let lab = built("one-off").await;
    asks(&lab, "wu1");
    asks(&lab, "wu2");
    asks(&lab, "cu1");
    // It answers nobody, and the cluster has not noticed yet.
    let runs =
        |running| lab.world.with_state(|state| state.machines.get_mut("vm/421").unwrap().ssh_from_ms = if running { 0 } else { u64::MAX });
    runs(false);
    let report = lab.apply(RESTART).await;
    assert!(!failures(&report).is_empty());
    assert_eq!(boots(&lab)[0], ("cu1", 1), "a control plane before the workers: {}", failures(&report));
    runs(true);
    assert_eq!(failures(&lab.again().apply(RESTART).await), "");
    assert_eq!(boots(&lab), [("cu1", 2), ("wu1", 2), ("wu2", 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_kthw_began_on_one_node_comes_before_another() {
    let lab = built("one-begun").await;
    held_up(&lab).await;
    asks(&lab, "wu2");
    let plan = lab.plan(RESTART).await;
    let only = kthw_engine::Choice { only: vec!["kubernetes.node_restarted/wu2".into()], ..Default::default() };
    let report = kthw_engine::run(plan.only(&only).unwrap(), &lab.peers, &kthw_engine::silent(), &Default::default()).await;
    assert_eq!(
        failures(&report),
        "kubernetes.node_restarted/wu2: wu2 is not taken from the cluster while another node is away: wu1 is cordoned by kthw for a restart\n"
    );
    assert_eq!((boots(&lab)[2], cordon(&lab, "wu2")), (("wu2", 1), FREE));
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 2), ("wu2", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_else_cordoned_stays_cordoned() {
    let lab = built("one-foreign").await;
    asks(&lab, "wu1");
    kubectl_cordons(&lab, "wu1", true);
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!((boots(&lab)[1], cordon(&lab, "wu1")), (("wu1", 2), (true, None)));
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_kubectl_left_makes_nobodys_cordon_ours() {
    let lab = built("one-left").await;
    held_up(&lab).await;
    // Somebody gives up, and cordons the node for a reason of their own.
    kubectl_cordons(&lab, "wu1", false);
    assert_eq!(cordon(&lab, "wu1"), (false, Some("a restart".into())));
    kubectl_cordons(&lab, "wu1", true);
    let planned = changes(&lab.plan(RESTART).await).concat();
    assert!(planned.contains("restart: needed") && !planned.contains("cordoned"), "{planned}");
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!((boots(&lab)[1], cordon(&lab, "wu1")), (("wu1", 2), (true, None)));
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}
