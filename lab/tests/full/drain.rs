//! Drains: within disruption budgets, never of a pod that is not to be evicted, and at an end whatever comes in spite of the cordon.
use crate::{
    Lab, changes, failures,
    nodes::{FREE, RESTART, asks, boots, built, cordon, debug_pod, pods, put, put_web},
};
use kthw_engine::{Outcome, RunOptions, run, silent};
use kthw_lab::Fault;
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_budget_that_allows_nothing_ends_in_a_limit_that_names_pods_and_budget() {
    let lab = built("restart-held").await;
    put_web(&lab, 2, 2);
    asks(&lab, "wu1");
    asks(&lab, "wu2");
    // The workload has had its time to come up.
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(60)).await;
    let plan = lab.plan(RESTART).await;
    let planned = changes(&plan);
    assert!(planned[0].contains("held at the moment: default/web-"), "{planned:?}");
    assert!(planned[0].contains("(the disruption budget default/web needs 2 healthy pods and has 2)"), "{planned:?}");
    let begun = lab.peers.clock().now();
    let report = run(plan, &lab.peers, &silent(), &RunOptions::default()).await;
    let took = (lab.peers.clock().now() - begun).as_secs();
    assert!((590..660).contains(&took), "{took}");
    let failed = failures(&report);
    assert!(
        failed.starts_with("kubernetes.node_restarted/wu1: waited 600 s for the pods of wu1 to leave; last seen: default/web-"),
        "{failed}"
    );
    let words = "Cannot evict pod as it would violate the pod's disruption budget. (The disruption budget web needs 2 healthy pods and has 2 currently)";
    assert!(failed.contains(words), "{failed}");
    assert_eq!(report.failures.len(), 1);
    let of = |id: &str| report.outcomes.iter().find(|(one, _)| one.to_string() == id).unwrap().1.clone();
    assert!(
        matches!(of("kubernetes.node_restarted/wu2"), Outcome::Skipped { because } if because == "kubernetes.node_restarted/wu1 failed")
    );
    assert_eq!((cordon(&lab, "wu1"), cordon(&lab, "wu2")), ((true, Some("a restart".into())), FREE));
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 1), ("wu2", 1)]);
    let asked = lab.world.journal().iter().filter(|line| line.contains("/eviction")).count();
    assert!((2..40).contains(&asked), "a held pod is asked for now and then, not all the time: {asked}");

    // Somebody makes room.
    put_web(&lab, 3, 2);
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 2), ("wu2", 2)]);
    assert_eq!((cordon(&lab, "wu1"), cordon(&lab, "wu2")), (FREE, FREE));
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_budget_holds_all_the_way_through() {
    let lab = built("restart-budget").await;
    put_web(&lab, 4, 3);
    lab.plan(RESTART).await;
    asks(&lab, "wu1");
    asks(&lab, "wu2");
    let well = |lab: &Lab| -> u64 {
        lab.world.with_state(|state| {
            state.clusters[0].objects["policy|poddisruptionbudgets|default|web"].value["status"]["currentHealthy"].as_u64().unwrap()
        })
    };
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(60)).await;
    lab.plan(RESTART).await;
    assert_eq!((well(&lab), pods(&lab, "wu1").len() + pods(&lab, "wu2").len()), (4, 10));
    let watch = async {
        let mut fewest = u64::MAX;
        loop {
            lab.peers.clock().sleep(Duration::from_secs(1)).await;
            fewest = fewest.min(well(&lab));
            if lab.world.with_state(|state| ["vm/421", "vm/422"].iter().all(|machine| state.machines[*machine].boots == 2)) {
                return fewest;
            }
        }
    };
    let (report, fewest) = futures::join!(lab.apply(RESTART), watch);
    assert_eq!(failures(&report), "");
    assert_eq!(fewest, 3, "one at a time, never two");
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_would_start_again_are_named_before_anything_is_done() {
    let lab = built("restart-unmanaged").await;
    put(&lab, "", "pods", debug_pod("wu1", &json!({})));
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new(), "nobody asks for a restart");
    asks(&lab, "wu1");
    asks(&lab, "wu2");
    let writes = lab.world.writes();
    let plan = lab.plan(RESTART).await;
    assert_eq!(lab.world.writes(), writes);
    let text = plan.to_string();
    assert!(text.contains("(refused: wu1 cannot be drained: nothing would start default/debug again)"), "{text}");
    assert!(text.contains("next: take those pods away yourself, or allow it with `force: true`"), "{text}");
    let report = lab.apply(RESTART).await;
    assert_eq!((report.refused(), failures(&report).as_str()), (1, ""));
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 1), ("wu2", 2)]);
    assert_eq!(cordon(&lab, "wu1"), FREE);
}

/// A deployment of one pod that belongs on `wu1`, cordoned or not.
fn put_stubborn(lab: &Lab) {
    let labels = json!({ "app": "stubborn" });
    let spec = json!({ "nodeSelector": { "kubernetes.io/hostname": "wu1" }, "tolerations": [{ "operator": "Exists", "effect": "NoSchedule" }],
        "containers": [{ "name": "stubborn" }] });
    let template = json!({ "metadata": { "labels": labels }, "spec": spec });
    let spec = json!({ "replicas": 1, "selector": { "matchLabels": labels }, "template": template });
    put(
        lab,
        "apps",
        "deployments",
        json!({ "kind": "Deployment", "metadata": { "name": "stubborn", "namespace": "default" }, "spec": spec }),
    );
}

/// Looks at pods, and gives them the time to come up.
async fn comes_up(lab: &Lab) {
    lab.plan(RESTART).await;
    lab.peers.clock().sleep(Duration::from_secs(60)).await;
    lab.plan(RESTART).await;
}

fn evictions(lab: &Lab, of: &str) -> usize {
    lab.world.journal().iter().filter(|line| line.contains(&format!("/{of}")) && line.contains("/eviction")).count()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_in_spite_of_the_cordon_stays() {
    let lab = built("drain-stubborn").await;
    put_stubborn(&lab);
    asks(&lab, "wu1");
    comes_up(&lab).await;
    assert!(pods(&lab, "wu1").iter().any(|pod| pod.starts_with("stubborn-")), "{:?}", pods(&lab, "wu1"));
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!((boots(&lab), cordon(&lab, "wu1")), (vec![("cu1", 1), ("wu1", 2), ("wu2", 1)], FREE));
    assert_eq!(evictions(&lab, "stubborn-"), 1, "once, as everything that was there");
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_to_be_evicted_never_is_even_if_it_comes_during_the_drain() {
    for (name, more) in [("plain", json!({})), ("tolerant", json!({ "tolerations": [{ "operator": "Exists" }] }))] {
        let lab = built(&format!("drain-newcomer-{name}")).await;
        put_web(&lab, 2, 2);
        asks(&lab, "wu1");
        comes_up(&lab).await;
        let later = async {
            lab.peers.clock().sleep(Duration::from_secs(40)).await;
            assert!(cordon(&lab, "wu1").0, "the drain is under way");
            put(&lab, "", "pods", debug_pod("wu1", &more));
            // The budget holds no more.
            put_web(&lab, 3, 2);
        };
        let (report, ()) = futures::join!(lab.apply(RESTART), later);
        assert_eq!(failures(&report), "kubernetes.node_restarted/wu1: wu1 cannot be drained: nothing would start default/debug again\n");
        assert_eq!((evictions(&lab, "debug"), boots(&lab)[1]), (0, ("wu1", 1)));
        assert_eq!(cordon(&lab, "wu1"), (true, Some("a restart".into())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_ends_takes_its_pods_with_it() {
    let lab = built("drain-namespace").await;
    put_web(&lab, 2, 1);
    asks(&lab, "wu1");
    comes_up(&lab).await;
    let said = "pods \"web\" is forbidden: unable to create new content in namespace default because it is being terminated";
    // A server that is ready is asked once more after a refusal.
    lab.world.add_fault(Fault::kubernetes("POST", "/namespaces/default/pods/", 403, said).times(4));
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!(boots(&lab)[1], ("wu1", 2));
    assert!(lab.world.with_state(|state| state.faults.is_empty()));
}
