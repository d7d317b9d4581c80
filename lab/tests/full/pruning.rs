//! What a workspace no longer names: listed, and taken away with `--prune`, unless its cluster would miss it.
use super::{FULL, Lab, failures};
use crate::{
    nodes::{debug_pod, names, put},
    removal::with_a_stranger,
};
use kthw_engine::{Owned, Owner, Plan, Recipe, Report, RunOptions, Source, plan, run, silent};
use kthw_lab::peers;
use kthw_stdlib::{proxmox::Orphans, script_engine};
use serde_json::json;
use std::sync::Arc;

/// The same world, seen by a workspace that no longer names `wu2` and has another template, which is never pruned: others may use it.
fn smaller(lab: &Lab, name: &str) -> Lab {
    let mut fewer = Lab::changed(name, lab.world.clone(), &["template.name=tpl-new", "template.vmid=9421"]);
    let mut workspace = (*fewer.workspace).clone();
    workspace.nodes.retain(|node| node.name.as_str() != "wu2");
    fewer.workspace = Arc::new(workspace);
    fewer.peers = peers(&fewer.world, &fewer.workspace, fewer.known_hosts(), kthw_lab::stand_in_secrets([])).unwrap();
    fewer
}

#[tokio::test(start_paused = true)]
async fn what_a_workspace_no_longer_names_is_listed_and_pruned() {
    let lab = Lab::changed("orphans", with_a_stranger("orphans").await, &[]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let owned = async |lab: &Lab| Orphans(lab.workspace.clone()).owned(&lab.peers).await.unwrap();
    assert!(owned(&lab).await.is_empty(), "everything is named");

    let fewer = smaller(&lab, "orphans-fewer");
    let orphans = fewer.orphans().await;
    let listed: Vec<String> = orphans.iter().map(|one| format!("{} ({})", one.id(), one.what())).collect();
    assert_eq!(listed, ["proxmox.vm/wu2 (VM 422 on homelab)"]);

    let pruned = fewer.pruning().await;
    expect_test::expect![[r#"
        orphans
          - proxmox.vm/wu2
    "#]]
    .assert_eq(&pruned.to_string());
    let from = lab.world.journal().len();
    assert_eq!(failures(&run(pruned, &fewer.peers, &silent(), &RunOptions::default()).await), "");
    assert_eq!(fewer.world.with_state(|state| state.pve.vms.keys().copied().collect::<Vec<_>>()), [401, 421, 900, 9420, 9900]);
    assert!(!fewer.pins().contains("10.10.10.120 ") && fewer.pins().contains("10.10.10.121 "));
    assert!(owned(&fewer).await.is_empty());
    let did: Vec<String> = lab.world.journal().into_iter().skip(from).filter(|line| !line.contains(" GET ")).collect();
    let at = |piece: &str| did.iter().position(|line| line.contains(piece)).unwrap_or_else(|| panic!("no {piece} in {did:#?}"));
    let steps = [
        at("PATCH /api/v1/nodes/wu2"),
        at("/eviction"),
        at("/422/status/stop"),
        at("DELETE /api/v1/nodes/wu2"),
        at("DELETE /nodes/homelab/qemu/422"),
    ];
    assert!(steps.is_sorted(), "{steps:?}");
    assert_eq!(names(&lab.world), ["cu1", "wu1"]);
}

impl Lab {
    async fn orphans(&self) -> Vec<Owned> {
        let owned = Orphans(self.workspace.clone()).owned(&self.peers).await.unwrap();
        kthw_engine::orphans(owned, &self.evaluated("phases/machines"))
    }

    /// What `--prune` would do.
    pub(crate) async fn pruning(&self) -> Plan {
        let text = "const VERSION = \"1.0.0\";\nfn declare(cluster) {}\n".to_owned();
        let source = Source { name: "orphans".into(), path: "--prune".into(), text };
        let recipe = Recipe::parse(&script_engine(), source).unwrap();
        plan(&[kthw_engine::pruned(recipe, self.orphans().await)], &self.peers, &silent()).await.unwrap()
    }

    async fn prune(&self) -> Report {
        run(self.pruning().await, &self.peers, &silent(), &RunOptions::default()).await
    }
}

/// Why a machine that is not named any more is not removed.
async fn kept(lab: &Lab, because: &str) {
    let writes = lab.world.writes();
    let plan = lab.pruning().await.to_string();
    assert!(plan.contains("! proxmox.vm/wu2") && plan.contains(because), "{plan}");
    assert_eq!(lab.prune().await.refused(), 1);
    assert_eq!(lab.world.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_cluster_cannot_be_asked_is_not_pruned() {
    let lab = Lab::new("prune-kept");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let fewer = smaller(&lab, "prune-kept-fewer");
    let silent_api = "the cluster cannot be asked whether wu2 is one of its nodes, which would be drained first";
    let kubelet = |started| {
        lab.world.with_state(|state| {
            let machine = state.machines.get_mut("vm/401").unwrap();
            machine.units.get_mut("kubelet.service").unwrap().started = started;
        });
    };
    kubelet(false);
    kept(&fewer, silent_api).await;
    kubelet(true);
    const ADMIN: &str = "/etc/kubernetes/admin.conf";
    let admin = lab.world.with_state(|state| {
        let files = &mut state.machines.get_mut("vm/401").unwrap().files;
        let admin = files.text(ADMIN);
        files.remove_tree(ADMIN);
        admin
    });
    let unasked = "cu1 has /etc/kubernetes/manifests/kube-apiserver.yaml, and no /etc/kubernetes/admin.conf to ask its cluster with";
    kept(&fewer, &format!("{silent_api} ({unasked})")).await;
    lab.world.with_state(|state| state.machines.get_mut("vm/401").unwrap().files.put(ADMIN, &admin, 0o600, 0));
    lab.world.with_state(|state| state.machines.get_mut("vm/401").unwrap().running = false);
    kept(&fewer, silent_api).await;
    lab.world.with_state(|state| state.machines.get_mut("vm/401").unwrap().running = true);
    put(&lab, "", "pods", debug_pod("wu2", &json!({})));
    kept(&fewer, "wu2 cannot be drained: nothing would start default/debug again").await;
    lab.world.with_state(|state| drop(state.clusters[0].objects.remove("|pods|default|debug")));
    lab.world.with_state(|state| {
        let node = &mut state.clusters[0].objects.get_mut("|nodes||wu2").unwrap().value;
        node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = "".into();
    });
    kept(&fewer, "wu2 runs a control plane of the cluster").await;
}

#[tokio::test(start_paused = true)]
async fn without_a_cluster_nothing_is_drained_before_a_machine_goes() {
    let lab = Lab::new("prune-plain");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    assert_eq!(failures(&smaller(&lab, "prune-plain-fewer").prune().await), "");
    assert!(!lab.world.with_state(|state| state.pve.vms.contains_key(&422)));

    // The control plane went before.
    let lab = Lab::new("prune-orphaned");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.world.destroy_vm(401);
    assert_eq!(failures(&smaller(&lab, "prune-orphaned-fewer").prune().await), "");
    assert!(!lab.world.with_state(|state| state.pve.vms.contains_key(&422)));
}
