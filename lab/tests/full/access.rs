//! The audit log and what pods may be, on a control plane that is made and on one that was made before.
use crate::{FULL, Lab, changes, failures};
use kthw_lab::Fault;

const PHASE: &str = "phases/control-plane";
const CONTROL_PLANE: &str = "kubeadm.control_plane/ubuntu";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const FILES: &str = "/etc/kubernetes/kthw/api-server";
const BOTH: [&str; 2] = ["audit={level: request}", "pod_security={}"];

/// The arguments of the API server that are about access.
fn arguments(lab: &Lab) -> Vec<String> {
    let manifest = lab.world.with_state(|state| state.machines["vm/401"].files.text(MANIFEST));
    let lines = manifest.lines().filter_map(|line| line.trim().strip_prefix("- --"));
    lines.filter(|line| line.starts_with("admission-control") || line.starts_with("audit")).map(str::to_owned).collect()
}

fn files(lab: &Lab) -> usize {
    lab.world.with_state(|state| state.machines["vm/401"].files.names(FILES).len())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_made_with_them() {
    let plain = Lab::new("access-made");
    let lab = Lab::changed("access-made-1", plain.world.clone(), &BOTH);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    assert_eq!((arguments(&lab).len(), files(&lab)), (6, 2));
    assert_eq!(changes(&lab.plan(FULL).await), Vec::<String>::new());
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_made_before_gets_them_changes_them_and_loses_them() {
    let lab = Lab::new("access-later");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    let before = lab.world.with_state(|state| state.machines["vm/401"].files.text(MANIFEST));

    let both = Lab::changed("access-later-1", lab.world.clone(), &BOTH);
    let planned = changes(&both.plan(PHASE).await);
    assert!(
        planned.len() == 1 && planned[0].starts_with(&format!("update {CONTROL_PLANE} --admission-control-config-file: absent")),
        "{planned:?}"
    );
    assert_eq!(arguments(&lab).len(), 0, "a plan writes nothing");
    assert_eq!(failures(&both.apply(PHASE).await), "");
    assert_eq!((arguments(&lab).len(), files(&lab)), (6, 2));
    assert_eq!(changes(&both.plan(PHASE).await), Vec::<String>::new());

    let other = Lab::changed("access-later-2", lab.world.clone(), &["audit={keep_days: 7}", "pod_security={}"]);
    assert_eq!(failures(&other.apply(PHASE).await), "");
    assert!(arguments(&lab).contains(&"audit-log-maxage=7".to_owned()), "{:?}", arguments(&lab));
    assert_eq!(files(&lab), 2, "the policy before went");
    assert_eq!(changes(&other.plan(PHASE).await), Vec::<String>::new());

    assert_eq!(failures(&lab.apply(PHASE).await), "");
    assert_eq!(lab.world.with_state(|state| state.machines["vm/401"].files.text(MANIFEST)), before);
    assert_eq!(files(&lab), 0);
    assert_eq!(changes(&lab.plan(PHASE).await), Vec::<String>::new());
    assert_eq!(lab.world.unknown(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_dies_on_the_way_is_done_by_the_next_run() {
    for (word, fault) in [
        ("manifest", Fault::dies("cu1", &["kubeadm", "init", "phase", "control-plane"], "control-plane/apiserver")),
        ("upload", Fault::dies("cu1", &["kubeadm", "init", "phase", "upload-config"], "upload-config/kubeadm")),
    ] {
        let lab = Lab::new(&format!("access-dies-{word}"));
        assert_eq!(failures(&lab.apply(PHASE).await), "");
        let both = Lab::changed(&format!("access-dies-{word}-1"), lab.world.clone(), &BOTH);
        lab.world.add_fault(fault);
        assert!(failures(&both.apply(PHASE).await).starts_with(CONTROL_PLANE), "{word}");
        assert_eq!(arguments(&lab).len(), 0, "{word}: the cluster's copy comes first");
        assert_eq!(failures(&both.apply(PHASE).await), "", "{word}");
        assert_eq!(changes(&both.plan(PHASE).await), Vec::<String>::new(), "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_come_back_is_said() {
    let lab = Lab::new("access-silent");
    assert_eq!(failures(&lab.apply(PHASE).await), "");
    let both = Lab::changed("access-silent-1", lab.world.clone(), &BOTH);
    lab.world.add_fault(Fault::command("cu1", &["pgrep"], 1, "").times(10_000));
    let failed = failures(&both.apply(PHASE).await);
    assert!(failed.contains("the API server on cu1 to run with its new settings") && failed.contains("it does not run"), "{failed}");
}
