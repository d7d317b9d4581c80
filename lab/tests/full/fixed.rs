//! Options that are changed in the workspace after a first run: each is changed in the world, or refused while planning. None is ignored.
use crate::{FULL, Lab, changes, failures, work};
use kthw_engine::{Change, Plan};
use kthw_lab::World;
use kthw_stdlib::restart::Restarts;

async fn built(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab
}

/// The same world under a workspace in which this is set.
fn under(lab: &Lab, name: &str, set: &[&str]) -> Lab {
    Lab::changed(name, lab.world.clone(), set)
}

fn restarts(lab: &Lab, plan: &Plan) -> String {
    let restarts = Restarts::seen_by(plan, &lab.peers);
    if restarts.is_empty() { String::new() } else { restarts.to_string() }
}

/// Identities of what is refused, and of what would be changed.
fn refused_and_changed(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let ids = |wanted: &dyn Fn(&Change) -> bool| -> Vec<String> {
        work(plan).filter(|one| wanted(&one.change)).map(|one| one.id.to_string()).collect()
    };
    (ids(&|change| matches!(change, Change::Refused(_))), ids(&|change| !matches!(change, Change::None | Change::Refused(_))))
}

/// A run under `set` refuses these and writes nothing at all.
async fn is_refused(lab: &Lab, name: &str, set: &[&str], ids: &[&str]) {
    let other = under(lab, name, set);
    let plan = other.plan(FULL).await;
    assert_eq!(refused_and_changed(&plan), (ids.iter().map(|id| (*id).to_owned()).collect(), Vec::new()), "{set:?}\n{plan}");
    assert!(plan.to_string().contains("next: "), "{plan}");
    let writes = lab.world.writes();
    let report = other.apply(FULL).await;
    assert_eq!((report.refused(), lab.world.writes()), (ids.len(), writes), "{set:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_was_made_with_is_refused_everywhere_at_once() {
    let lab = built("made-with").await;
    let control_plane = "kubeadm.control_plane/ubuntu";
    is_refused(&lab, "services", &["network.services=10.112.0.0/12"], &[control_plane]).await;
    is_refused(&lab, "pods", &["network.pods=172.16.0.0/16"], &[control_plane, "calico.installation/ubuntu"]).await;
    let workers = ["kubeadm.worker/wu1", "kubeadm.worker/wu2"];
    is_refused(&lab, "endpoint", &["endpoint=api.bevz.net:6443"], &[&[control_plane][..], &workers].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn another_cgroup_driver_is_refused_on_every_node() {
    let lab = built("cgroups").await;
    let config =
        ["ssh.file/cu1/etc/containerd/config.toml", "ssh.file/wu1/etc/containerd/config.toml", "ssh.file/wu2/etc/containerd/config.toml"];
    let kubelets = ["kubeadm.control_plane/ubuntu", "kubeadm.worker/wu1", "kubeadm.worker/wu2"];
    is_refused(&lab, "cgroupfs", &["kubeadm.cgroup_driver=cgroupfs"], &[config, kubelets].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn arguments_of_the_kubelet_are_changed_on_every_node_and_stay() {
    let lab = built("arguments").await;
    let set = ["kubeadm.kubelet_extra_args={max-pods: '50'}", "kubeadm.fail_swap_on=false"];
    let other = under(&lab, "arguments-more", &set);
    let plan = other.plan(FULL).await;
    let kubelets = ["kubeadm.control_plane/ubuntu", "kubeadm.worker/wu1", "kubeadm.worker/wu2"].map(str::to_owned);
    assert_eq!(refused_and_changed(&plan), (Vec::new(), kubelets.into()), "{plan}");
    assert_eq!(failures(&other.apply(FULL).await), "");
    for machine in ["vm/401", "vm/421", "vm/422"] {
        let text = |path: &str| lab.world.with_state(|state| state.machines[machine].files.text(path));
        assert!(text("/var/lib/kubelet/kubeadm-flags.env").contains("--max-pods=50 --node-ip=10.10.10."), "{machine}");
        assert!(text("/var/lib/kubelet/config.yaml").contains("failSwapOn: false"), "{machine}");
    }
    assert_eq!(changes(&other.plan(FULL).await), Vec::<String>::new());
    assert_eq!(lab.world.unknown(), Vec::<String>::new());

    // A worker that comes later begins with the same.
    lab.world.destroy_vm(422);
    assert_eq!(failures(&other.apply(FULL).await), "");
    assert_eq!(changes(&other.plan(FULL).await), Vec::<String>::new());
    // And what is not declared any more goes.
    assert_eq!(failures(&under(&other, "arguments-less", &[]).apply(FULL).await), "");
    let text = lab.world.with_state(|state| state.machines["vm/421"].files.text("/var/lib/kubelet/kubeadm-flags.env"));
    assert!(!text.contains("max-pods") && text.contains("--container-runtime-endpoint="), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_name_in_the_certificate_comes_and_goes() {
    let lab = built("names").await;
    let more = under(&lab, "names-more", &["kubeadm.cert_sans=[api.bevz.net]"]);
    let names = |changes: Vec<String>| changes.iter().map(|one| one.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(changes(&more.plan(FULL).await)), ["kubeadm.control_plane/ubuntu certificate names: absent -> api.bevz.net"]);
    assert_eq!(failures(&more.apply(FULL).await), "");
    assert_eq!(changes(&more.plan(FULL).await), Vec::<String>::new());
    assert_eq!(names(changes(&lab.plan(FULL).await)), ["kubeadm.control_plane/ubuntu certificate names: api.bevz.net -> absent"]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_does_not_change_its_role_in_passing() {
    let lab = built("role").await;
    is_refused(&lab, "role-other", &["nodes.wu2.role=other"], &["kubeadm.outside/wu2"]).await;
    // Worker and control plane change places: neither becomes the other.
    let swapped = under(&lab, "role-swapped", &["nodes.cu1.role=worker", "nodes.wu1.role=control_plane", "endpoint=cu1.bevz.net:6443"]);
    let plan = swapped.plan("phases/control-plane").await;
    assert!(plan.to_string().contains("wu1 is a worker of a cluster"), "{plan}");
    assert_eq!(swapped.apply("phases/control-plane").await.failures.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_never_in_the_cluster_is_outside() {
    let lab = Lab::changed("outside", World::default(), &["nodes.wu2.role=other"]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_changed_in_place() {
    let lab = built("pool").await;
    let pooled = under(&lab, "pool-more", &["proxmox.pool=K8S"]);
    assert_eq!(changes(&pooled.plan(FULL).await)[0], "update proxmox.vm/cu1 pool: none -> K8S");
    assert_eq!(failures(&pooled.apply(FULL).await), "");
    assert_eq!(changes(&pooled.plan(FULL).await), Vec::<String>::new());
    let moved = under(&lab, "pool-other", &["proxmox.pool=other"]);
    assert_eq!(failures(&moved.apply(FULL).await), "");
    lab.world.with_state(|state| {
        assert_eq!(state.pve.pools["other"].iter().collect::<Vec<_>>(), [&401, &421, &422]);
        assert!(state.pve.pools["K8S"].is_empty());
    });
    assert_eq!(changes(&moved.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_host_is_refused_and_another_kind_of_clone_stays() {
    let lab = built("host").await;
    let machines = ["proxmox.vm/cu1", "proxmox.vm/wu1", "proxmox.vm/wu2"];
    is_refused(&lab, "host-other", &["proxmox.node=pve2"], &[&["proxmox.template/tpl-ubuntu-2404-k8s"][..], &machines].concat()).await;
    is_refused(&lab, "host-of-one", &["nodes.wu1.proxmox_node=pve2"], &["proxmox.vm/wu1"]).await;
    assert_eq!(changes(&under(&lab, "clone-other", &["proxmox.clone=linked"]).plan(FULL).await), Vec::<String>::new());
    // Where somebody moved it, it may stay.
    lab.world.with_state(|state| state.pve.vms.get_mut(&421).unwrap().node = "pve2".into());
    assert_eq!(changes(&under(&lab, "host-moved", &[]).plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_address_is_refused_with_the_one_that_the_machine_has() {
    let lab = built("address").await;
    let moved = under(&lab, "address-other", &["nodes.wu1.address=10.10.10.131"]);
    let plan = moved.plan(FULL).await;
    let (refused, changed) = refused_and_changed(&plan);
    assert_eq!(refused, ["proxmox.vm/wu1"], "{plan}");
    assert!(changed.iter().all(|id| id.contains("/wu1")), "{changed:?}");
    let text = plan.to_string();
    assert!(text.contains("wu1 has the address 10.10.10.121 (ipconfig0 of VM 421, and its guest agent says the same)"), "{text}");
    assert!(text.contains("? ssh.node/wu1  (unknown: proxmox.vm/wu1 is refused)") && !text.contains("no route to host"), "{text}");
    assert!(plan.failures().is_empty(), "one voice, no second diagnostic");
    let writes = lab.world.writes();
    let report = moved.apply(FULL).await;
    assert_eq!((report.refused(), failures(&report).as_str(), lab.world.writes()), (1, "", writes));
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_restart_stays_in_every_plan_until_it_is_done() {
    let lab = built("restart").await;
    assert_eq!(restarts(&lab, &lab.plan(FULL).await), "");
    let more = under(&lab, "restart-more", &["nodes.wu1.cores=4"]);
    let plan = more.plan(FULL).await;
    let before = Restarts::seen_by(&plan, &more.peers);
    assert!(before.is_empty(), "it is not changed yet");
    let report = more.apply(FULL).await;
    assert_eq!(failures(&report), "");
    assert_eq!(before.after_run(&report, &more.peers).to_string(), "Restart needed: wu1 (cores)");
    lab.world.with_state(|state| {
        state.machines.get_mut("vm/422").unwrap().files.put("/run/reboot-required", "*** System restart required ***\n", 0o644, 0)
    });

    // Another day, and another one.
    let told = "Restart needed: wu1 (cores), wu2 (/run/reboot-required is there)";
    for name in ["restart-first", "restart-second"] {
        let later = under(&lab, name, &["nodes.wu1.cores=4"]);
        let plan = later.plan(FULL).await;
        assert_eq!(changes(&plan), Vec::<String>::new(), "it is no change");
        assert_eq!(restarts(&later, &plan), told);
    }
    for vmid in [421, 422] {
        lab.world.restart_vm(vmid).unwrap();
    }
    let done = under(&lab, "restart-done", &["nodes.wu1.cores=4"]);
    done.peers.clock().sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(failures(&done.apply(FULL).await), "");
    assert_eq!(restarts(&done, &done.plan(FULL).await), "");
}

#[tokio::test(start_paused = true)]
async fn where_a_control_plane_is_was_told_to_everybody_and_is_not_told_anew_to_half_of_them() {
    let lab = built("moved").await;
    let moved = under(&lab, "moved-away", &["nodes.cu1.address=10.10.10.99"]);
    let plan = moved.plan(FULL).await;
    let (refused, _) = refused_and_changed(&plan);
    assert!(refused.contains(&"proxmox.vm/cu1".to_owned()), "{plan}");
    assert_eq!(plan.blocker().map(ToString::to_string).as_deref(), Some("proxmox.vm/cu1"));
    let writes = lab.world.writes();
    let report = moved.apply(FULL).await;
    assert_eq!((report.changed(), lab.world.writes()), (0, writes), "{}", failures(&report));
    assert!(report.skipped() > 0 && report.refused() > 0);
    // A worker's address is its own affair: the others go on.
    let worker = under(&lab, "moved-worker", &["nodes.wu1.address=10.10.10.98", "machine.cores=4"]);
    let plan = worker.plan(FULL).await;
    assert!(plan.blocker().is_none(), "{plan}");
    assert_eq!(worker.apply(FULL).await.changed(), 2);
}
