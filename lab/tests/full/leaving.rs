//! Workers that leave their cluster: drained, without a Node object left behind, and only out of the cluster that they are in.
use super::{FULL, Lab, changes, failures};
use crate::nodes::{debug_pod, names, put};
use kthw_engine::{Outcome, Plan, Recipe, Report, RunOptions, Source, evaluate, plan, run, silent};
use kthw_stdlib::{Dynamic, script_engine, workspace::Cluster};
use serde_json::json;

/// Takes `wu2` out of the cluster.
pub(crate) const LEAVES: &str = "for node in cluster.nodes { ssh::node(node); }
    kubeadm::control_plane(cluster, #{ version: cluster.versions.kubernetes, endpoint: cluster.endpoint,
        pod_subnet: cluster.network.pods, service_subnet: cluster.network.services });
    kubeadm::worker(cluster, cluster.workers[1], #{ present: false, delete_emptydir_data: true });";

impl Lab {
    /// What a recipe with this text in its `declare` would do.
    pub(crate) async fn plan_text(&self, declare: &str) -> Plan {
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{declare}\n}}\n");
        let engine = script_engine();
        let recipe = Recipe::parse(&engine, Source { name: "own".into(), path: "own.rhai".into(), text }).unwrap();
        let cluster = Cluster::new(self.workspace.clone()).unwrap();
        let evaluated = evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap();
        plan(&[evaluated], &self.peers, &silent()).await.unwrap()
    }

    pub(crate) async fn apply_text(&self, declare: &str) -> Report {
        run(self.plan_text(declare).await, &self.peers, &silent(), &RunOptions::default()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_is_drained_and_leaves_no_node_behind() {
    let lab = Lab::new("worker-leaves");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let from = lab.world.journal().len();
    let plan = lab.plan_text(LEAVES).await;
    assert_eq!(changes(&plan), ["delete kubeadm.worker/wu2 "]);
    assert_eq!(failures(&run(plan, &lab.peers, &silent(), &RunOptions::default()).await), "");
    assert_eq!(names(&lab.world), ["cu1", "wu1"]);
    let did: Vec<String> = lab.world.journal().into_iter().skip(from).filter(|line| !line.contains(" GET ")).collect();
    let at = |piece: &str| did.iter().position(|line| line.contains(piece)).unwrap_or_else(|| panic!("no {piece} in {did:#?}"));
    let steps =
        [at("PATCH /api/v1/nodes/wu2"), at("/eviction"), at("systemctl stop kubelet"), at("DELETE /api/v1/nodes/wu2"), at("kubeadm reset")];
    assert!(steps.is_sorted(), "{steps:?}");
    assert_eq!(changes(&lab.plan_text(LEAVES).await), Vec::<String>::new());
    // And it can join again.
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(names(&lab.world), ["cu1", "wu1", "wu2"]);
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_would_start_again_keep_a_worker_in_its_cluster() {
    let lab = Lab::new("leaves-refused");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    put(&lab, "", "pods", debug_pod("wu2", &json!({})));
    let report = lab.apply_text(LEAVES).await;
    let failed = failures(&report);
    assert_eq!(failed, "kubeadm.worker/wu2: wu2 cannot be drained: nothing would start default/debug again\n");
    assert_eq!(names(&lab.world), ["cu1", "wu1", "wu2"]);
    assert!(!lab.world.journal().iter().any(|line| line.contains("PATCH /api/v1/nodes/wu2")), "it is not even cordoned");
}

/// That `wu2` stays a node, untouched, because of this.
async fn stays(lab: &Lab, because: &str) {
    let writes = lab.world.writes();
    let report = lab.apply_text(LEAVES).await;
    let refused = report.outcomes.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Refused { why } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(refused.unwrap_or_else(|| failures(&report)), because);
    assert_eq!((names(&lab.world), lab.world.writes()), (vec!["cu1".to_owned(), "wu1".into(), "wu2".into()], writes));
}

#[tokio::test(start_paused = true)]
async fn a_machine_of_another_cluster_does_not_leave_this_one() {
    const CONF: &str = "/etc/kubernetes/kubelet.conf";
    let lab = Lab::new("leaves-another");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let conf = lab.world.with_state(|state| state.machines["vm/422"].files.text(CONF));
    let told = |text: &str| lab.world.with_state(|state| state.machines.get_mut("vm/422").unwrap().files.put(CONF, text, 0o600, 0));
    told(&conf.replace("cu1.bevz.net", "other.bevz.net"));
    stays(&lab, "wu2 is in a cluster at other.bevz.net:6443, not in the one at cu1.bevz.net:6443").await;
    told("");
    stays(&lab, "wu2 is in a cluster, and /etc/kubernetes/kubelet.conf does not tell at which endpoint").await;
    told(&conf);
    lab.world.with_state(|state| {
        let node = &mut state.clusters[0].objects.get_mut("|nodes||wu2").unwrap().value;
        node["status"]["addresses"][0]["address"] = json!("10.10.10.99");
    });
    stays(&lab, "kubeadm.worker/wu2: the cluster has another machine as wu2 (at 10.10.10.99, not 10.10.10.120)\n").await;
}
