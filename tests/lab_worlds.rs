//! The lab's worlds: the same to the last byte for the same seed, shown to a person, and played again with their faults.
use crate::support::{Said, Sandbox};
use std::path::Path;

const FULL: &[&str] = &["run", "recipes/ubuntu/full.rhai", "-w", "ubuntu", "--lab", "--yes"];

/// What a sandbox's lab keeps.
fn kept(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let folder = sandbox.path().join("store/ubuntu");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.into_iter().filter(|path| path.is_file()).map(|path| (name(&path), std::fs::read(path).unwrap())).collect()
}

/// Builds a cluster and rotates its credentials: everything that is made up in the lab.
fn build(seed: Option<&str>) -> (Sandbox, Vec<Said>) {
    let sandbox = Sandbox::new();
    let seeded = |arguments: &[&str]| {
        let seed = seed.map_or(Vec::new(), |seed| vec!["--lab-seed", seed]);
        sandbox.kthw(&[arguments, &seed, &["--json"]].concat()).ended_with(0)
    };
    let key = ["--set", "ssh.key_secret=ssh.private_key"];
    let rotate = ["run", "operations/rotate-secrets", "-w", "ubuntu", "--lab", "--set", "rotation.generation=2"];
    let said = vec![seeded(&[FULL, &key].concat()), seeded(&[&rotate[..], &key].concat())];
    (sandbox, said)
}

#[test]
fn two_runs_of_one_seed_are_equal_to_the_last_byte_and_of_two_seeds_are_not() {
    let ((one, said_one), (two, said_two)) = (build(None), build(None));
    for (one, two) in said_one.iter().zip(&said_two) {
        assert!(one.stdout == two.stdout && one.stderr == two.stderr, "two runs said different things");
    }
    let names: Vec<String> = kept(&one).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["lab-known_hosts", "lab.json"]);
    assert!(kept(&one) == kept(&two), "two runs left different worlds");

    let (other, _) = build(Some("7"));
    let world = |sandbox: &Sandbox| -> serde_json::Value { serde_json::from_slice(&kept(sandbox)[1].1).unwrap() };
    let (one, other) = (world(&one), world(&other));
    for path in [
        "/pve/vms/401/config/net0",
        "/pve/vms/401/config/description",
        "/pve/vms/401/config/smbios1",
        "/machines/vm~1401/files/~1etc~1machine-id",
        "/machines/vm~1401/files/~1etc~1ssh~1ssh_host_ed25519_key.pub",
        "/clusters/0/ca_hash",
        "/clusters/0/objects/|nodes||cu1/value/metadata/uid",
        "/secrets/proxmox.token",
        "/secrets/ssh.private_key",
    ] {
        let (here, there) = (one.pointer(path), other.pointer(path));
        assert!(here.is_some() && there.is_some(), "{path} is in no world");
        assert_ne!(here, there, "{path} does not come from the seed");
    }
}

#[test]
fn a_world_keeps_its_seed() {
    let sandbox = Sandbox::new();
    let template = |more: &[&str]| sandbox.kthw(&[&["run", "recipes/phases/template.rhai", "-w", "ubuntu", "--lab"], more].concat());
    let first = template(&["--lab-seed", "7"]).ended_with(0);
    assert!(first.stderr.contains("lab.json (seed 7). Nothing real"), "{}", first.stderr);
    template(&["--lab-seed", "7"]).ended_with(0);
    template(&[]).ended_with(0);
    let other = template(&["--lab-seed", "8"]).ended_with(2);
    assert!(other.stderr.contains("began with seed 7, not 8") && other.stderr.contains("kthw lab reset"), "{}", other.stderr);
}

#[test]
fn the_world_is_shown_to_a_person() {
    let sandbox = Sandbox::new();
    let show = || sandbox.kthw(&["lab", "show", "-w", "ubuntu"]).ended_with(0).stdout;
    assert!(show().contains("It is empty"), "{}", show());
    sandbox.kthw(FULL).ended_with(0);
    let before = kept(&sandbox);
    let shown = show();
    for line in [
        "  401    cu1.bevz.net                     homelab    running",
        "homelab    template",
        "  cu1    10.10.10.116/24    on, user kthw",
        "kubelet 1.31.9-1.1 (held)",
        "services: containerd runs, kubelet runs",
        "Cluster: Kubernetes 1.31.9 at cu1.bevz.net:6443, answers:",
        "  wu1                              Ready     worker         v1.31.9",
        "daemonset kube-system/kube-proxy",
        "Calico installation default",
    ] {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
    assert!(kept(&sandbox) == before, "a look changed the world");
    sandbox.kthw(&["lab", "reset", "-w", "ubuntu"]).ended_with(0);
    assert!(show().contains("It is empty"));
}

#[test]
fn a_seed_is_played_again_the_same_and_nothing_is_kept() {
    let sandbox = Sandbox::new();
    let replay = |more: &[&str]| sandbox.kthw(&[&["lab", "replay", "3"], more].concat()).ended_with(0);
    let (first, second) = (replay(&[]), replay(&[]));
    assert!(first.stdout == second.stdout && first.stderr == second.stderr, "two replays differ");
    assert!(first.stderr.contains("\n  ! on a ") && first.stderr.contains("\nRun 2"), "{}", first.stderr);
    assert!(first.stdout.contains("Plan: ") && first.stdout.contains("Nothing to change"), "{}", first.stdout);
    assert!(
        first.stdout.ends_with(" runs.\n")
            && first.stdout.contains("\nSeed 3: nothing left to do, and the world is as without faults, after "),
        "{}",
        first.stdout
    );
    assert!(!sandbox.path().join("store").exists(), "a replay kept something");
    let events = replay(&["--json"]).stdout;
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["event"], &events.last().unwrap()["event"]), (&"lab_seed".into(), &"lab_played".into()));
    assert!(events.iter().any(|event| event["event"] == "lab_fault") && events.iter().any(|event| event["event"] == "finished"));
}

#[test]
fn a_script_that_the_lab_does_not_play_is_said_to_be_unknown() {
    let sandbox = Sandbox::new();
    let recipe = sandbox.path().join("own.rhai");
    let command = "ssh::command(cluster.workers[0], \"own\", #{ unless: [\"test\", \"-e\", \"/x\"], run: [\"my-own-program\"] });";
    let text = format!("const VERSION = \"1.0.0\";\nconst NEEDS = [\"phases/machines\"];\nfn declare(cluster) {{ {command} }}\n");
    std::fs::write(&recipe, text).unwrap();
    let said = sandbox.kthw(&["run", recipe.to_str().unwrap(), "-w", "ubuntu", "--lab", "--yes"]);
    assert!(said.code != 0 && said.stderr.contains("warning: the lab does not play `wu1 $ my-own-program`"), "{}", said.stderr);
}
