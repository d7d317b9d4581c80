//! Templates that are built: what is cloned from one answers through its agent at its first start, and is like no other.
use crate::{FULL, Lab, changes, failures};
use kthw_engine::{MemoryLedger, Owner, RunOptions, run, silent};
use kthw_lab::{EndsAt, Fault, Machine, Moment, World, at_rest, differences};
use kthw_stdlib::{proxmox::Orphans, ssh::KnownHosts};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const MACHINES: &str = "phases/machines";

fn machine(lab: &Lab, vmid: u32) -> Machine {
    lab.world.with_state(|state| state.machines[&format!("vm/{vmid}")].clone())
}

/// What of these files differs between the machines of these VMs: how many contents there are of each.
fn different(lab: &Lab, vmids: &[u32], path: &str) -> usize {
    vmids.iter().map(|vmid| machine(lab, *vmid).files.text(path)).filter(|text| !text.is_empty()).collect::<BTreeSet<_>>().len()
}

#[tokio::test(start_paused = true)]
async fn clones_have_the_agent_and_are_like_no_other() {
    for recipe in ["ubuntu/full", "debian/full", "rocky/full", "suse/full"] {
        let lab = Lab::of("template", recipe.strip_suffix("/full").unwrap());
        assert_eq!(failures(&lab.apply(MACHINES).await), "", "{recipe}");
        let vmids: Vec<u32> = lab.workspace.nodes.iter().filter_map(|node| node.vmid).collect();
        for path in ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"] {
            assert_eq!(different(&lab, &vmids, path), vmids.len(), "{recipe}: {path}");
        }
        let macs: BTreeSet<String> = vmids.iter().map(|vmid| machine(&lab, *vmid).mac).collect();
        assert_eq!(macs.len(), vmids.len());
        let said = lab.peers.get::<KnownHosts>().unwrap().take_warnings();
        let of_machines: Vec<&String> = said.iter().filter(|text| !text.contains("tpl-")).collect();
        assert!(of_machines.is_empty(), "{recipe}: trust at first sight: {of_machines:?}");
        // Each node's key is pinned, and the build's is forgotten.
        for node in &lab.workspace.nodes {
            assert!(lab.pins().contains(&format!("{} ", node.address)), "{recipe}: {}", lab.pins());
        }
        let build = lab.workspace.template.as_ref().unwrap().build_address.unwrap();
        assert!(!lab.pins().contains(&format!("{build} ")));
        assert_eq!(lab.world.unknown(), Vec::<String>::new());
        assert_eq!(changes(&lab.plan(MACHINES).await), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_build_is_left_in_the_template() {
    let lab = Lab::new("clean");
    assert_eq!(failures(&lab.apply("phases/template").await), "");
    let (template, config) = (machine(&lab, 9420), lab.world.with_state(|state| state.pve.vms[&9420].config.clone()));
    assert!(template.packages.contains_key("qemu-guest-agent") && template.units["qemu-guest-agent.service"].enabled);
    for path in ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub", "/home/kthw", "/etc/netplan/50-cloud-init.yaml"] {
        assert!(!template.files.exists(path), "{path}");
    }
    assert_eq!((template.files.text("/etc/machine-id").as_str(), template.instance.as_str()), ("", ""));
    for key in ["ciuser", "sshkeys", "ipconfig0", "nameserver", "searchdomain"] {
        assert!(!config.contains_key(key), "{key}");
    }
    assert!(config["description"].ends_with("\nbuild: done"), "{}", config["description"]);
}

#[tokio::test(start_paused = true)]
async fn no_clone_waits_for_an_agent_that_is_not_there() {
    let lab = Lab::new("no-wait");
    assert_eq!(failures(&lab.apply("phases/template").await), "");
    let begun = lab.peers.clock().now();
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
    let took = (lab.peers.clock().now() - begun).as_secs();
    // Cloning takes half a minute, and starting as long.
    assert!(took < 90, "{took} s");
    // The image as it is has none.
    let without = Lab::changed("as-it-is", World::default(), &["template.build_address=null"]);
    assert_eq!(failures(&without.apply("phases/template").await), "");
    let begun = without.peers.clock().now();
    assert_eq!(failures(&without.apply(MACHINES).await), "");
    assert!((without.peers.clock().now() - begun).as_secs() > 120);
    assert!(without.peers.get::<KnownHosts>().unwrap().take_warnings().iter().any(|text| text.contains("first connection to cu1")));
}

#[tokio::test(start_paused = true)]
async fn each_proxmox_node_with_a_storage_of_its_own_has_the_template() {
    let set = ["nodes.wu1.proxmox_node=pve2", "template.replicas={pve2: 9421}"];
    let lab = Lab::changed("two-nodes", World::default(), &set);
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
    let (hosts, names) = lab.world.with_state(|state| {
        let of = |vmid: u32| (state.pve.vms[&vmid].node.clone(), state.pve.vms[&vmid].config["name"].clone());
        ([401, 421, 422, 9420, 9421].map(|vmid| of(vmid).0), [9420, 9421].map(|vmid| of(vmid).1))
    });
    assert_eq!(hosts, ["homelab", "pve2", "homelab", "homelab", "pve2"]);
    assert_eq!(names[0], names[1], "the same template");
    assert_eq!(different(&lab, &[401, 421, 422], "/etc/machine-id"), 3);
    let downloads = lab.world.journal().into_iter().filter(|line| line.contains("/download-url")).count();
    assert_eq!(downloads, 2, "each node has its own image storage");
    assert_eq!(changes(&lab.plan(MACHINES).await), Vec::<String>::new());

    // Without a replica nothing is made that could not be cloned.
    let none = Lab::changed("no-replica", World::default(), &set[..1]);
    let report = none.apply(MACHINES).await;
    assert!(failures(&report).contains("lies on the storage local-lvm of homelab alone"), "{}", failures(&report));
    assert!(none.world.with_state(|state| !state.pve.vms.contains_key(&421)));
    let help =
        report.failures.iter().find(|(id, _)| id.to_string() == "proxmox.vm/wu1").unwrap().1.diagnostic().help().unwrap().to_string();
    assert!(help.contains("template.replicas: { pve2: ID }"), "{help}");
}

#[tokio::test(start_paused = true)]
async fn an_old_template_is_pruned_unless_a_linked_clone_lies_on_it() {
    for (clone, stays) in [("full", false), ("linked", true)] {
        let before =
            Lab::changed(&format!("old-{clone}"), World::default(), &[&format!("proxmox.clone={clone}"), "proxmox.storage=folder"]);
        before.world.with_state(|state| state.pve.storages.get_mut("folder").unwrap().kind = "dir".into());
        assert_eq!(failures(&before.apply(MACHINES).await), "");
        let set = [format!("proxmox.clone={clone}"), "proxmox.storage=folder".into(), "template.vmid=9430".into()];
        let after = Lab::changed(&format!("new-{clone}"), before.world.clone(), &set.each_ref().map(String::as_str));
        assert_eq!(failures(&after.apply("phases/template").await), "");
        let listed = Orphans(after.workspace.clone()).owned(&after.peers).await.unwrap();
        let listed: Vec<String> = listed.iter().map(|one| one.what().to_owned()).collect();
        assert_eq!(listed, ["VM 9420 on homelab, an old template"]);
        let plan = after.pruning().await;
        assert_eq!(plan.to_string().contains("is the base of linked clones: folder:"), stays, "{plan}");
        let _ = run(plan, &after.peers, &silent(), &RunOptions::default()).await;
        let there = |vmid: u32| after.world.with_state(|state| state.pve.vms.contains_key(&vmid));
        assert_eq!((there(9420), there(9430)), (stays, true), "{clone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_without_an_agent_makes_no_template() {
    let lab = Lab::new("agentless");
    lab.world.add_fault(Fault::http("GET", "/9420/agent/", 500, "QEMU guest agent is not running").times(100_000));
    let told = failures(&lab.apply(MACHINES).await);
    assert!(told.contains("the guest agent of tpl-ubuntu-2404-k8s@homelab does not tell its host keys after a start"), "{told}");
    lab.world.with_state(|state| {
        assert!(!state.pve.vms[&9420].config.contains_key("template"));
        state.faults.clear();
    });
    // It goes on from there.
    assert_eq!(failures(&lab.apply(MACHINES).await), "");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_address_is_not_built_on() {
    let lab = Lab::new("stranger");
    // Another machine answered in its place until now: the agent of ours, asked over Proxmox, knows another key.
    let (report, ()) = futures::join!(lab.apply("phases/template"), async {
        loop {
            lab.peers.clock().sleep(Duration::from_millis(500)).await;
            let met = lab.world.with_state(|state| {
                let machine = state.machines.get_mut("vm/9420").filter(|machine| !machine.running && machine.boots > 0)?;
                let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdtZ1JzFbiF9tOJ0nHPAFyoBbV8DyhU2y0KtHE1LrGa other\n";
                machine.files.put("/etc/ssh/ssh_host_ed25519_key.pub", other, 0o644, 0);
                Some(())
            });
            if met.is_some() {
                return;
            }
        }
    });
    let told = failures(&report);
    assert!(told.contains("what answered at 10.10.10.119 is not tpl-ubuntu-2404-k8s@homelab"), "{told}");
    assert!(lab.world.with_state(|state| !state.pve.vms[&9420].config.contains_key("template")));
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_left_of_another_recipe_is_made_anew_and_none_is_in_anothers_way() {
    let lab = Lab::new("left");
    lab.world.add_fault(Fault::http("GET", "/9420/agent/", 500, "QEMU guest agent is not running").times(100_000));
    assert_ne!(failures(&lab.apply("phases/template").await), "");
    lab.world.with_state(|state| state.faults.clear());
    // Running, at the address; and now the template is to be another one under another id.
    let moved = Lab::changed("left-moved", lab.world.clone(), &["template.vmid=9430"]);
    assert_eq!(failures(&moved.apply(FULL).await), "");
    assert!(lab.world.with_state(|state| !state.pve.vms[&9420].running && state.pve.vms[&9430].config.contains_key("template")));
    // Back again, with another image.
    let sha256 = format!("template.image.sha256={}", "7".repeat(64));
    let other = Lab::changed("left-other", lab.world.clone(), &[&sha256]);
    let planned = changes(&other.plan("phases/template").await);
    assert_eq!(planned, ["update proxmox.template/tpl-ubuntu-2404-k8s build: left half made, of another image or recipe -> done"]);
    assert_eq!(failures(&other.apply("phases/template").await), "");
    assert_eq!(changes(&other.plan("phases/template").await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn builds_on_two_proxmox_nodes_are_ended_by_the_next_run_whenever_one_dies() {
    const PHASE: &str = "phases/template";
    let set = ["nodes.wu1.proxmox_node=pve2", "template.replicas={pve2: 9421}"];
    let begin = |name: &str| Lab::changed(name, World::default(), &set);
    let (ledger, lab) = (Arc::new(MemoryLedger::default()), begin("two-builds"));
    let options = RunOptions { ledger: ledger.clone(), ..RunOptions::default() };
    assert_eq!(failures(&run(lab.plan(PHASE).await, &lab.peers, &silent(), &options).await), "");
    let wanted = at_rest(&lab.world);
    let effects: Vec<u64> = ledger.effects().iter().map(|effect| effect.entry.number).collect();
    assert!(effects.len() > 30, "{}", effects.len());
    for number in effects {
        for moment in [Moment::Before, Moment::Underway, Moment::After] {
            let lab = begin(&format!("two-builds-{number}-{moment:?}"));
            let ends = EndsAt::new(number, moment);
            let options = RunOptions { ledger: ends.clone(), ..RunOptions::default() };
            let plan = lab.plan(PHASE).await;
            assert!(ends.cut(run(plan, &lab.peers, &silent(), &options)).await.is_none());
            // What was under way in Proxmox or on the machine ends first, as the journal says.
            lab.peers.clock().sleep(Duration::from_secs(120)).await;
            let again = lab.again();
            assert_eq!(failures(&again.apply(PHASE).await), "", "{moment:?} effect {number}");
            assert_eq!(differences(&at_rest(&lab.world), &wanted), Vec::<String>::new(), "{moment:?} effect {number}");
            assert_eq!(changes(&again.plan(PHASE).await), Vec::<String>::new(), "{moment:?} effect {number}");
        }
    }
}
