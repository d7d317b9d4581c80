//! A smaller world: what `kthw destroy` takes away, and what it leaves to others.
use super::{
    FULL, Lab, changes, failures,
    scenes::{every_recipe, said_for},
};
use kthw_engine::{Plan, Report, RunOptions, all_absent, plan, run, silent};
use kthw_lab::{Fault, World};
use kthw_stdlib::ssh::KnownHosts;
use serde_json::Value;

impl Lab {
    pub(crate) async fn destruction(&self, recipe: &str) -> Plan {
        plan(&all_absent(self.evaluated(recipe)), &self.peers, &silent()).await.unwrap()
    }

    async fn destroy(&self, recipe: &str) -> Report {
        run(self.destruction(recipe).await, &self.peers, &silent(), &RunOptions::default()).await
    }

    pub(crate) fn known_hosts(&self) -> KnownHosts {
        KnownHosts::open(self.folder.join("known_hosts")).unwrap()
    }

    pub(crate) fn pins(&self) -> String {
        std::fs::read_to_string(self.folder.join("known_hosts")).unwrap_or_default()
    }
}

/// Everything in the world that somebody could miss: machines, disks, images, members of pools.
fn belongings(world: &World) -> Value {
    world.with_state(|state| {
        let pve = serde_json::to_value(&state.pve).unwrap();
        let machines: Vec<&String> = state.machines.keys().collect();
        let names = &state.pihole.hosts;
        serde_json::json!({ "vms": pve["vms"], "storages": pve["storages"], "pools": pve["pools"], "machines": machines, "names": names })
    })
}

/// A world in which nothing is ours: a machine that nobody marked, and the template of another workspace with the image that it came from.
pub(crate) async fn with_a_stranger(name: &str) -> World {
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

#[tokio::test(start_paused = true)]
async fn destroying_any_recipe_leaves_nothing_of_ours_and_everything_of_others() {
    for recipe in every_recipe() {
        let lab = Lab::changed(&recipe.replace('/', "-"), with_a_stranger("every").await, said_for(&recipe));
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
async fn of_a_machine_that_is_not_seen_gone_nothing_is_forgotten() {
    const MACHINES: &str = "phases/machines";
    let lab = Lab::new("removal-unseen");
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
    let pins = lab.pins();
    // Proxmox says that it is done, and it is not.
    lab.world.add_fault(Fault::task_stops("qmdestroy", "OK").times(100));
    let report = lab.destroy(MACHINES).await;
    assert!(failures(&report).contains("waited 30 s for VM 421 to be gone"), "{}", failures(&report));
    assert_eq!(lab.pins(), pins);
    lab.world.with_state(|state| state.faults.clear());
    assert_eq!((failures(&lab.destroy(MACHINES).await).as_str(), lab.pins().as_str()), ("", ""));
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
