//! Machines that do not answer, may not be looked at, or are declared as they can never be: the plan stands, and the run does the rest.
use crate::{FULL, Lab, changes, failures, work};
use kthw_engine::{Change, Kind, Outcome, Plan, RunOptions, run, silent};
use kthw_lab::{Fault, World};

async fn built(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab
}

/// What the plan cannot say, by the nodes that it is about.
fn unknown(plan: &Plan) -> Vec<String> {
    let unknown = work(plan).filter(|one| matches!(one.change, Change::Unknown(_)));
    let mut nodes: Vec<String> = unknown.map(|one| one.id.name().split('/').next().unwrap().to_owned()).collect();
    nodes.dedup();
    nodes
}

/// Something to do on a node that is well: /etc/motd is nobody's, so a package goes.
fn drift(lab: &Lab) {
    lab.world.with_state(|state| {
        let machine = state.machines.get_mut("vm/422").expect("wu2 is VM 422");
        machine.packages.remove("socat").expect("the system phase installs socat");
    });
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_unknown_and_the_others_are_mended() {
    let lab = built("dead").await;
    drift(&lab);
    lab.world.add_fault(Fault::node_reset("wu1", false).times(100_000));
    let plan = lab.plan(FULL).await;
    assert_eq!(unknown(&plan), ["wu1"], "{plan}");
    let known: Vec<String> = changes(&plan).into_iter().filter(|change| !change.starts_with("unknown")).collect();
    assert_eq!(known.len(), 1, "{known:?}");
    assert!(known[0].starts_with("create ssh.package/wu2/socat"), "{known:?}");
    assert_eq!(plan.failures().len(), 1, "one diagnostic for the node, not one for each resource on it");

    let report = lab.apply(FULL).await;
    assert_eq!(report.failures.len(), 1, "{}", failures(&report));
    assert_eq!((report.failures[0].0.to_string(), report.failures[0].1.kind()), ("ssh.node/wu1".into(), Kind::Settle));
    let mended = report.outcomes.iter().find(|(id, _)| id.to_string() == "ssh.package/wu2/socat").unwrap();
    assert!(matches!(mended.1, Outcome::Changed { .. }), "{mended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_in_the_end_is_waited_for() {
    let lab = built("late").await;
    lab.world.add_fault(Fault::node_reset("wu1", false).times(5));
    let plan = lab.plan(FULL).await;
    assert_eq!(unknown(&plan), ["wu1"], "{plan}");
    let report = lab.apply(FULL).await;
    assert_eq!(failures(&report), "");
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_the_token_may_not_see_is_unknown_with_what_is_on_it() {
    let lab = built("forbidden").await;
    drift(&lab);
    lab.world.add_fault(Fault::http("GET", "/qemu/421/", 403, "Permission check failed (/vms/421, VM.Audit)").times(100_000));
    let plan = lab.plan(FULL).await;
    assert_eq!(unknown(&plan), ["wu1"], "{plan}");
    assert!(plan.to_string().contains("VM.Audit"), "{plan}");
    let report = lab.apply(FULL).await;
    assert_eq!(report.changed(), 1, "{}", failures(&report));
    assert_eq!(report.failures[0].1.kind(), Kind::Peer);
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_never_made_smaller() {
    let lab = built("smaller").await;
    let smaller = Lab::changed("smaller-disk", lab.world.clone(), &["machine.disk_gib=10"]);
    assert_eq!(changes(&smaller.plan(FULL).await), Vec::<String>::new());
    let writes = lab.world.writes();
    assert_eq!((failures(&smaller.apply(FULL).await).as_str(), lab.world.writes()), ("", writes));
}

#[tokio::test(start_paused = true)]
async fn below_somebody_elses_machine_nothing_is_planned() {
    let lab = Lab::changed("theirs", World::default(), &[]);
    lab.world.add_foreign_vm(421, "theirs");
    let plan = lab.plan("phases/kubernetes-host").await;
    assert_eq!(unknown(&plan), ["wu1"], "{plan}");
    let report = lab.apply("phases/kubernetes-host").await;
    assert_eq!((report.refused(), failures(&report).as_str()), (1, ""));
    lab.world.with_state(|state| assert_eq!(state.pve.vms[&421].config["name"], "theirs"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_owns_a_machine_is_not_given_a_second_one() {
    let lab = built("second").await;
    let moved = Lab::changed("second-id", lab.world.clone(), &["nodes.wu1.vmid=499"]);
    let planned = changes(&moved.plan(FULL).await);
    assert_eq!(planned, ["refused proxmox.vm/wu1 vmid: 421 -> 499  (needs replacement)"]);
    assert_eq!(moved.apply(FULL).await.refused(), 1);
    lab.world.with_state(|state| assert_eq!(state.pve.vms.keys().collect::<Vec<_>>(), [&401, &421, &422, &9420]));
}

#[tokio::test(start_paused = true)]
async fn another_kubernetes_version_is_refused_before_anything_is_swapped() {
    // Three packages on three nodes and the control plane; of another minor version also the repositories, and where pods begin with
    // another image, the configuration of containerd.
    for (version, count) in [("1.34.1", 3 * 3 + 1 + 3 + 3), ("1.32.3", 3 * 3 + 1 + 3), ("1.31.4", 3 * 3 + 1)] {
        let lab = built(version).await;
        let other = Lab::changed(&format!("{version}-other"), lab.world.clone(), &[&format!("versions.kubernetes={version}")]);
        let plan = other.plan(FULL).await;
        let refused = changes(&plan).iter().filter(|change| change.starts_with("refused")).count();
        // Whether the cluster does what it is for is not looked at meanwhile.
        assert_eq!((refused, plan.work()), (count, 1), "{plan}");
        let report = other.apply(FULL).await;
        assert_eq!(report.refused(), refused, "{}", failures(&report));
        lab.world.with_state(|state| {
            for machine in ["vm/401", "vm/421", "vm/422"] {
                assert_eq!(state.machines[machine].packages["kubelet"].version, "1.31.9-1.1");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn packages_that_were_left_half_installed_are_finished_by_the_next_run() {
    let lab = Lab::new("half-installed");
    lab.world.add_fault(Fault::dies("wu1", &["apt-get", "install", "-y", "--allow-change-held-packages", "--no-download"], "configure"));
    // Those of the system are in the template.
    const PHASE: &str = "phases/containerd";
    let report = lab.apply(PHASE).await;
    assert!(failures(&report).contains("ssh.package/wu1/"), "{}", failures(&report));
    let left = lab.world.with_state(|state| state.machines["vm/421"].unconfigured.len());
    assert_ne!(left, 0);
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    assert_eq!(lab.world.with_state(|state| state.machines["vm/421"].unconfigured.len()), 0);
    assert_eq!(changes(&lab.plan(PHASE).await), Vec::<String>::new());
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_later_one_overtook_changes_nothing_more() {
    let lab = Lab::new("overtaken");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    let (first, second) = (lab.plan("phases/kubernetes-host").await, lab.plan("phases/kubernetes-host").await);
    let numbered = |number| RunOptions { number: Some(number), ..RunOptions::default() };
    // Numbers are times in milliseconds; the first run slept while the second one did the work.
    let later = u64::MAX >> 1;
    assert_eq!(failures(&run(second, &lab.peers, &silent(), &numbered(later)).await), "");
    let writes = lab.world.with_state(|state| state.machines.values().map(|machine| machine.files.text("/etc/hosts")).collect::<Vec<_>>());
    let report = run(first, &lab.peers, &silent(), &numbered(later - 1)).await;
    assert!(failures(&report).contains("has changed wu1 meanwhile; this one changes nothing more there"), "{}", failures(&report));
    assert_eq!(report.changed(), 0);
    let now = lab.world.with_state(|state| state.machines.values().map(|machine| machine.files.text("/etc/hosts")).collect::<Vec<_>>());
    assert_eq!(now, writes);
}
