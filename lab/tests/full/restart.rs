//! Restarts with care: only where one is needed, and one node at a time.
use crate::{
    FULL, Lab, changes, failures,
    nodes::{FREE, MACHINES, RESTART, asks, boots, built, cordon, written},
};
use kthw_engine::{RunOptions, run, silent};
use kthw_stdlib::{restart::Restarts, ssh::KnownHosts};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn only_the_nodes_that_need_it_are_restarted_one_by_one() {
    let lab = built("restart-needed").await;
    let plan = lab.plan(RESTART).await;
    assert_eq!(changes(&plan), Vec::<String>::new());
    let more = Lab::changed("restart-needed-more", lab.world.clone(), &["nodes.wu1.cores=4"]);
    assert_eq!(failures(&more.apply(FULL).await), "");
    asks(&more, "wu2");
    asks(&more, "cu1");
    let writes = more.world.writes();
    let plan = more.plan(RESTART).await;
    expect_test::expect![[r#"
        update kubernetes.node_restarted/wu1 restart: needed (waiting in Proxmox: cores) -> done, with 3 pods evicted before
        update kubernetes.node_restarted/wu2 restart: needed (/run/reboot-required is there) -> done, with 3 pods evicted before
        update kubernetes.node_restarted/cu1 restart: needed (/run/reboot-required is there) -> done"#]]
    .assert_eq(&changes(&plan).join("\n"));
    assert_eq!(more.world.writes(), writes, "a plan wrote");
    let restarts = Restarts::seen_by(&plan, &more.peers);
    assert!(!restarts.needs_recipe() && !restarts.is_empty());
    let from = more.world.journal().len();
    let report = run(plan, &more.peers, &silent(), &RunOptions::default()).await;
    assert_eq!(failures(&report), "");
    expect_test::expect![[r#"
        kubernetes PATCH /api/v1/nodes/wu1
        evict
        pve POST /nodes/homelab/qemu/421/status/reboot
        kubernetes PATCH /api/v1/nodes/wu1
        kubernetes PATCH /api/v1/nodes/wu2
        evict
        wu2 $ systemctl reboot
        kubernetes PATCH /api/v1/nodes/wu2
        kubernetes PATCH /api/v1/nodes/cu1
        cu1 $ systemctl reboot
        kubernetes PATCH /api/v1/nodes/cu1"#]]
    .assert_eq(&written(&more, from).join("\n"));
    assert!(restarts.after_run(&report, &more.peers).is_empty());
    assert_eq!(boots(&more), [("cu1", 2), ("wu1", 2), ("wu2", 2)]);
    assert_eq!(more.world.with_state(|state| state.machines["vm/421"].cores), 4);
    for (node, _) in MACHINES {
        assert_eq!(cordon(&more, node), FREE, "{node}");
    }
    assert_eq!(changes(&more.plan(RESTART).await), Vec::<String>::new());
    assert_eq!(changes(&more.plan(FULL).await), Vec::<String>::new());
    assert_eq!(more.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_of_no_cluster_is_just_restarted() {
    let lab = Lab::new("restart-alone");
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    asks(&lab, "wu1");
    let planned = changes(&lab.plan(RESTART).await);
    assert_eq!(planned, ["update kubernetes.node_restarted/wu1 restart: needed (/run/reboot-required is there) -> done"]);
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    assert_eq!(boots(&lab), [("cu1", 1), ("wu1", 2), ("wu2", 1)]);
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn machines_that_kthw_did_not_make_are_restarted_too() {
    let mut lab = Lab::new("restart-given");
    let mut workspace = (*lab.workspace).clone();
    (workspace.proxmox, workspace.template) = (None, None);
    let known = KnownHosts::open(lab.folder.join("known_hosts")).unwrap();
    lab.peers = kthw_lab::peers(&lab.world, &workspace, known, kthw_lab::stand_in_secrets([])).unwrap();
    lab.workspace = Arc::new(workspace);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    lab.world.with_state(|state| {
        let machine = state.machines.get_mut("bare/10.10.10.120").unwrap();
        machine.files.put("/run/reboot-required", "*** System restart required ***\n", 0o644, 0);
    });
    assert_eq!(failures(&lab.apply(RESTART).await), "");
    let boots = lab.world.with_state(|state| state.machines.iter().map(|(key, machine)| (key.clone(), machine.boots)).collect::<Vec<_>>());
    assert_eq!(
        boots,
        [("bare/10.10.10.116", 1), ("bare/10.10.10.120", 2), ("bare/10.10.10.121", 1)].map(|(key, boots)| (key.to_owned(), boots))
    );
    assert_eq!(changes(&lab.plan(RESTART).await), Vec::<String>::new());
}
