//! A smaller world: what `kthw destroy` takes away, and what it leaves to others.
use super::{FULL, Lab, changes, failures, root};
use kthw_engine::{MemoryLedger, Owned, Owner, Plan, Recipe, Report, RunOptions, Source, all_absent, evaluate, plan, run, silent};
use kthw_lab::{EndsAt, Moment, World, peers};
use kthw_stdlib::{Dynamic, proxmox::Orphans, script_engine, ssh::KnownHosts, workspace::Cluster};
use serde_json::Value;
use std::sync::Arc;

impl Lab {
    async fn destruction(&self, recipe: &str) -> Plan {
        plan(&all_absent(self.evaluated(recipe)), &self.peers, &silent()).await.unwrap()
    }

    async fn destroy(&self, recipe: &str) -> Report {
        run(self.destruction(recipe).await, &self.peers, &silent(), &RunOptions::default()).await
    }

    fn known_hosts(&self) -> KnownHosts {
        KnownHosts::open(self.folder.join("known_hosts")).unwrap()
    }

    fn pins(&self) -> String {
        std::fs::read_to_string(self.folder.join("known_hosts")).unwrap_or_default()
    }
}

/// Everything in the world that somebody could miss: machines, disks, images, members of pools.
fn belongings(world: &World) -> Value {
    world.with_state(|state| {
        let pve = serde_json::to_value(&state.pve).unwrap();
        let machines: Vec<&String> = state.machines.keys().collect();
        serde_json::json!({ "vms": pve["vms"], "storages": pve["storages"], "pools": pve["pools"], "machines": machines })
    })
}

/// A world in which nothing is ours: a machine that nobody marked, and the template of another workspace with the image that it came from.
async fn with_a_stranger(name: &str) -> World {
    let other = Lab::changed(&format!("{name}-stranger"), World::default(), &["name=theirs", "template.name=theirs", "template.vmid=9900"]);
    assert_eq!(failures(&other.apply("phases/machines").await), "");
    other.world.with_state(|state| {
        let mut vm = state.pve.vms[&9900].clone();
        vm.config.retain(|key, _| !matches!(key.as_str(), "template" | "description" | "scsi0" | "ide2" | "tags"));
        vm.config.insert("name".into(), "web".into());
        state.pve.vms.retain(|vmid, _| *vmid == 9900);
        state.pve.vms.insert(900, vm);
        state.machines.clear();
        for storage in state.pve.storages.values_mut() {
            storage.volumes.retain(|_, volume| volume.vmid.is_none_or(|vmid| vmid == 9900));
        }
    });
    other.world.clone()
}

fn every_recipe() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["phases", "operations", "ubuntu"] {
        for entry in std::fs::read_dir(root().join("recipes").join(folder)).unwrap() {
            names.push(format!("{folder}/{}", entry.unwrap().path().file_stem().unwrap().to_str().unwrap()));
        }
    }
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn destroying_any_recipe_leaves_nothing_of_ours_and_everything_of_others() {
    for recipe in every_recipe() {
        let lab = Lab::changed(&recipe.replace('/', "-"), with_a_stranger("every").await, &[]);
        let before = belongings(&lab.world);
        if !recipe.starts_with("operations/") {
            assert_eq!(failures(&lab.apply(&recipe).await), "", "{recipe}");
            assert_ne!(belongings(&lab.world), before, "{recipe}");
        }
        assert_eq!(failures(&lab.destroy(&recipe).await), "", "{recipe}");
        assert_eq!(belongings(&lab.world), before, "{recipe}");
        assert_eq!(lab.pins(), "", "{recipe}");
        assert_eq!(changes(&lab.destruction(&recipe).await), Vec::<String>::new(), "{recipe}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_removing_shows_what_goes_and_no_more() {
    let lab = Lab::new("removal-plan");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    expect_test::expect![[r#"
        phases/template
          - proxmox.template/tpl-ubuntu-2404-k8s

        phases/machines
          - proxmox.vm/cu1
          - proxmox.vm/wu1
          - proxmox.vm/wu2
    "#]]
    .assert_eq(&lab.destruction(FULL).await.to_string());
}

#[tokio::test(start_paused = true)]
async fn what_is_protected_in_proxmox_stays() {
    let lab = Lab::new("removal-protected");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.world.with_state(|state| {
        state.pve.vms.get_mut(&401).unwrap().config.insert("protection".into(), "1".into());
        let tags = state.pve.vms.get_mut(&421).unwrap().config.get_mut("tags").unwrap();
        tags.push_str(";protected");
    });
    let planned = changes(&lab.destruction(FULL).await);
    expect_test::expect![[r#"
        delete proxmox.template/tpl-ubuntu-2404-k8s 
        refused proxmox.vm/cu1 
        refused proxmox.vm/wu1 
        delete proxmox.vm/wu2 "#]]
    .assert_eq(&planned.join("\n"));
    let report = lab.destroy(FULL).await;
    assert_eq!(report.refused(), 2);
    assert!(lab.world.with_state(|state| state.pve.vms.contains_key(&401) && state.pve.vms.contains_key(&421)));
    assert!(lab.world.with_state(|state| !state.pve.vms.contains_key(&422)));
}

#[tokio::test(start_paused = true)]
async fn a_template_goes_with_the_workspace_that_made_it() {
    let theirs = Lab::changed("template-theirs", World::default(), &["name=theirs"]);
    assert_eq!(failures(&theirs.apply("phases/template").await), "");
    let ours = Lab::changed("template-ours", theirs.world.clone(), &[]);
    assert_eq!(changes(&ours.plan("phases/template").await), Vec::<String>::new(), "it is used");
    assert_eq!(changes(&ours.destruction("phases/template").await), Vec::<String>::new(), "and not ours to remove");
}

#[tokio::test(start_paused = true)]
async fn our_machine_goes_even_if_somebody_else_has_the_declared_number_now() {
    let lab = Lab::new("removal-number");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    let moved = Lab::changed("removal-number-taken", lab.world.clone(), &[]);
    moved.world.with_state(|state| {
        let ours = state.pve.vms.remove(&422).unwrap();
        let mut other = ours.clone();
        other.config.insert("description".into(), "somebody's".into());
        other.config.insert("name".into(), "web".into());
        state.pve.vms.extend([(422, other), (455, ours)]);
    });
    assert!(changes(&moved.destruction("phases/machines").await).contains(&"delete proxmox.vm/wu2 ".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_machine_under_our_number_that_is_not_ours_is_left_alone() {
    let lab = Lab::new("removal-foreign");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    lab.world.with_state(|state| {
        let vm = state.pve.vms.get_mut(&421).unwrap();
        vm.config.insert("description".into(), "somebody's".into());
    });
    assert_eq!(failures(&lab.destroy("phases/machines").await), "");
    assert_eq!(lab.world.with_state(|state| state.pve.vms.keys().copied().collect::<Vec<_>>()), [421]);
}

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
    assert_eq!(nodes(&lab.world), ["cu1", "wu1"]);
}

impl Lab {
    async fn orphans(&self) -> Vec<Owned> {
        let owned = Orphans(self.workspace.clone()).owned(&self.peers).await.unwrap();
        kthw_engine::orphans(owned, &self.evaluated("phases/machines"))
    }

    /// What `--prune` would do.
    async fn pruning(&self) -> Plan {
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
    lab.world.with_state(|state| state.machines.get_mut("vm/401").unwrap().running = false);
    kept(&fewer, silent_api).await;
    lab.world.with_state(|state| state.machines.get_mut("vm/401").unwrap().running = true);
    unmanaged_pod(&lab, "wu2");
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

#[tokio::test(start_paused = true)]
async fn a_pruning_that_died_anywhere_leaves_neither_machine_nor_node_behind() {
    let lab = Lab::new("prune-crash");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let kept = lab.folder.join("lab.json");
    lab.world.save(&kept).unwrap();
    let again = |name: &str| {
        let lab = Lab::changed(name, World::open(&kept).unwrap(), &[]);
        smaller(&lab, &format!("{name}-fewer"))
    };
    let ledger = Arc::new(MemoryLedger::default());
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    let whole = again("prune-crash-none");
    assert_eq!(failures(&run(whole.pruning().await, &whole.peers, &silent(), &options).await), "");
    let effects = ledger.effects();
    assert!(effects.len() >= 6, "{effects:?}");
    for effect in effects {
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let name = format!("{moment:?} {}", effect.entry.intent.what);
            let lab = again(&format!("prune-crash-{}-{moment:?}", effect.entry.number));
            let ends = EndsAt::new(effect.entry.number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            assert!(ends.cut(run(lab.pruning().await, &lab.peers, &silent(), &options)).await.is_none(), "{name}");
            // What Proxmox goes on with by itself has had its time.
            lab.peers.clock().sleep(std::time::Duration::from_secs(30)).await;
            assert_eq!(failures(&lab.prune().await), "", "{name}");
            assert_eq!(nodes(&lab.world), ["cu1", "wu1"], "{name}");
            assert!(!lab.world.with_state(|state| state.pve.vms.contains_key(&422)), "{name}");
        }
    }
}

/// The names of the nodes that the cluster knows.
fn nodes(world: &World) -> Vec<String> {
    world.with_state(|state| state.clusters[0].objects.keys().filter_map(|key| key.strip_prefix("|nodes||")).map(str::to_owned).collect())
}

/// Takes `wu2` out of the cluster.
const LEAVES: &str = "for node in cluster.nodes { ssh::node(node); }
    kubeadm::control_plane(cluster, #{ version: cluster.versions.kubernetes, endpoint: cluster.endpoint,
        pod_subnet: cluster.network.pods, service_subnet: cluster.network.services });
    kubeadm::worker(cluster, cluster.workers[1], #{ present: false, delete_emptydir_data: true });";

impl Lab {
    /// What a recipe with this text in its `declare` would do.
    async fn plan_text(&self, declare: &str) -> Plan {
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{declare}\n}}\n");
        let engine = script_engine();
        let recipe = Recipe::parse(&engine, Source { name: "own".into(), path: "own.rhai".into(), text }).unwrap();
        let cluster = Cluster::new(self.workspace.clone()).unwrap();
        let evaluated = evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap();
        plan(&[evaluated], &self.peers, &silent()).await.unwrap()
    }

    async fn apply_text(&self, declare: &str) -> Report {
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
    assert_eq!(nodes(&lab.world), ["cu1", "wu1"]);
    let did: Vec<String> = lab.world.journal().into_iter().skip(from).filter(|line| !line.contains(" GET ")).collect();
    let at = |piece: &str| did.iter().position(|line| line.contains(piece)).unwrap_or_else(|| panic!("no {piece} in {did:#?}"));
    let steps =
        [at("PATCH /api/v1/nodes/wu2"), at("/eviction"), at("systemctl stop kubelet"), at("DELETE /api/v1/nodes/wu2"), at("kubeadm reset")];
    assert!(steps.is_sorted(), "{steps:?}");
    assert_eq!(changes(&lab.plan_text(LEAVES).await), Vec::<String>::new());
    // And it can join again.
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(nodes(&lab.world), ["cu1", "wu1", "wu2"]);
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_died_anywhere_is_gone_on_with() {
    let lab = Lab::new("leaves-crash");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    let kept = lab.folder.join("lab.json");
    lab.world.save(&kept).unwrap();
    let again = |name: &str| Lab::changed(name, World::open(&kept).unwrap(), &[]);
    let ledger = Arc::new(MemoryLedger::default());
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    let whole = again("leaves-crash-none");
    assert_eq!(failures(&run(whole.plan_text(LEAVES).await, &whole.peers, &silent(), &options).await), "");
    let effects = ledger.effects();
    assert!(effects.len() >= 5, "{effects:?}");
    for effect in effects {
        for moment in [Moment::Before, Moment::After] {
            let name = format!("{moment:?} {}", effect.entry.intent.what);
            let lab = again(&format!("leaves-crash-{}-{moment:?}", effect.entry.number));
            let ends = EndsAt::new(effect.entry.number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            assert!(ends.cut(run(lab.plan_text(LEAVES).await, &lab.peers, &silent(), &options)).await.is_none(), "{name}");
            assert_eq!(failures(&lab.again().apply_text(LEAVES).await), "", "{name}");
            assert_eq!(nodes(&lab.world), ["cu1", "wu1"], "{name}");
            assert_eq!(changes(&lab.again().plan_text(LEAVES).await), Vec::<String>::new(), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_would_start_again_keep_a_worker_in_its_cluster() {
    let lab = Lab::new("leaves-refused");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    unmanaged_pod(&lab, "wu2");
    let report = lab.apply_text(LEAVES).await;
    let failed = failures(&report);
    assert_eq!(failed, "kubeadm.worker/wu2: wu2 cannot be drained: nothing would start default/debug again\n");
    assert_eq!(nodes(&lab.world), ["cu1", "wu1", "wu2"]);
    assert!(!lab.world.journal().iter().any(|line| line.contains("PATCH /api/v1/nodes/wu2")), "it is not even cordoned");
}

/// A pod that no controller would start again.
fn unmanaged_pod(lab: &Lab, node: &str) {
    let metadata = serde_json::json!({ "name": "debug", "namespace": "default", "uid": "d" });
    let pod = serde_json::json!({ "kind": "Pod", "metadata": metadata, "spec": { "nodeName": node } });
    let object = serde_json::from_value(serde_json::json!({ "value": pod, "applied": {}, "made_ms": 0 })).unwrap();
    lab.world.with_state(|state| state.clusters[0].objects.insert("|pods|default|debug".into(), object));
}
