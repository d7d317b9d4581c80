//! `kthw versions`: what a person reads, and what a program does.
use crate::support::{Sandbox, golden, root};
use serde_json::Value;

/// The way from the shipped workspace, which is outside of what upstream tests, to the newest Kubernetes that has a Calico.
const ARGUMENTS: [&str; 7] = ["versions", "-w", "ubuntu", "--to", "1.36.3", "--with", "containerd=1.7.27"];

#[test]
fn a_way_is_shown_with_reasons_and_pages() {
    let said = Sandbox::new().kthw(&ARGUMENTS).ended_with(0);
    golden(root().join("tests/versions/way.txt"), &said.stdout);
    assert_eq!(said.stderr, "");
}

#[test]
fn programs_get_one_event_for_each_step() {
    let said = Sandbox::new().kthw(&[&ARGUMENTS[..], &["--json"]].concat()).ended_with(0);
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&Value> = events.iter().filter(|event| event["event"] == "step").collect();
    let way = events.iter().find(|event| event["event"] == "way").unwrap();
    assert_eq!(way["steps"], steps.len());
    assert!(
        steps.iter().all(|step| step["source"].as_str().is_some_and(|page| page.starts_with("https://")) && step["reason"].is_string())
    );
    assert_eq!(steps.last().unwrap()["after"]["kubernetes"], "1.36.3");
    let waypoint = steps.iter().find(|step| step["purpose"] == "waypoint").unwrap();
    assert_eq!((&waypoint["component"], &waypoint["to"]), (&"etcd".into(), &"3.5.33".into()));
    assert_eq!((&events[0]["event"], &events[0]["nearest"]["calico"]), (&"problem".into(), &"3.29.7".into()));
}

#[test]
fn where_there_is_no_way_the_nearest_right_target_is_named() {
    let said = Sandbox::new().kthw(&["versions", "-w", "ubuntu", "--to", "1.37"]).ended_with(1);
    assert!(said.stderr.contains("Calico 3.32 with Kubernetes 1.34 to 1.36, not") && said.stdout.is_empty(), "{}", said.stderr);
    assert!(said.stderr.contains("the nearest right target is Kubernetes 1.36.3, Calico 3.32.1"), "{}", said.stderr);
    for (arguments, why) in [
        (&["versions", "--to", "1.31"][..], "no version to start from"),
        (&["versions", "--from", "1.30", "--to", "soon"], "`soon` is not a full version"),
        (&["versions", "--from", "1.30", "--to", "1.31", "--with", "kalico=3.28.0"], "`kalico=3.28.0` names no component"),
        (&["versions", "--from", "1.30", "--to", "1.31", "--system", "debian-3"], "does not know the release `debian-3`"),
    ] {
        let said = Sandbox::new().kthw(arguments).ended_with(2);
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }
}

#[test]
fn the_tables_are_listed_with_their_pages() {
    let listed = Sandbox::new().kthw(&["versions"]).ended_with(0).stdout;
    for row in [
        "  1.36   1.36.3   until 2027-06-28  3.6.8   v1.14.2  3.10.2  3.32            2.2.0+, 2.3.0+\n",
        "  3.29  3.29.7  -         1.29 to 1.32  https://docs.tigera.io/calico/3.29/getting-started/kubernetes/requirements\n",
        "  leaving 3.6  from 3.6.11 on  https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/\n",
        "  debian-12     Linux 6.1   x86-64-v1  cgroup v2\n",
    ] {
        // The day decides whether upstream still keeps it.
        let row = row.replace("until 2027-06-28", "");
        let words: Vec<&str> = row.split_whitespace().collect();
        let found = listed.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{row} is not in\n{listed}");
    }
    let events = Sandbox::new().kthw(&["versions", "--json"]).ended_with(0).stdout;
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|event| event["source"].is_string())));
}

/// The shipped workspace says that it knows, so it is told and not refused.
#[test]
fn a_set_that_upstream_never_tested_is_a_warning_where_the_workspace_says_so() {
    let sandbox = Sandbox::new();
    let said = sandbox.kthw(&["check", "ubuntu/full"]).ended_with(0);
    assert!(said.stderr.contains("warning: Workspace ubuntu: upstream tests Calico 3.28 with Kubernetes 1.27 to 1.30, not with 1.31."));
    assert!(
        said.stderr.contains("The nearest right set is Kubernetes 1.31.9, Calico 3.29.7, MetalLB 0.14.8 on ubuntu-24.04."),
        "{}",
        said.stderr
    );
    let said = sandbox.kthw(&["check", "ubuntu/full", "--set", "versions.unsupported=false"]).ended_with(2);
    assert!(
        said.stderr.contains("the nearest right set is Kubernetes 1.31.9, Calico 3.29.7, MetalLB 0.14.8 on ubuntu-24.04; or write"),
        "{}",
        said.stderr
    );
    let right = sandbox.kthw(&["versions", "-w", "ubuntu", "--set", "versions.kubernetes=1.30.14"]).ended_with(0);
    assert_eq!(
        right.stdout,
        "Workspace ubuntu: Kubernetes 1.30.14, Calico 3.28.0, MetalLB 0.14.8 on ubuntu-24.04, which upstream tests together.\n"
    );
}
