//! A policy of updates: on every distribution what installs them by itself is on or off as it says, and what Kubernetes stands on is held.
use crate::{Lab, changes, failures, host_keys, shelf};
use kthw_lab::World;

/// Each distribution with the timer that installs updates there, and the file that says which.
const TIMERS: [(&str, &str, &str); 4] = [
    ("ubuntu", "apt-daily-upgrade.timer", "/etc/apt/apt.conf.d/99kthw-updates"),
    ("debian", "apt-daily-upgrade.timer", "/etc/apt/apt.conf.d/99kthw-updates"),
    ("rocky", "dnf-automatic.timer", "/etc/dnf/automatic.conf"),
    ("suse", "kthw-updates.timer", "/etc/systemd/system/kthw-updates.service"),
];

fn under(name: &str, distribution: &str, world: World, set: &[&str]) -> Lab {
    let known_hosts = host_keys(&world);
    Lab::on(name, world, shelf::shipped(distribution, set), &known_hosts)
}

/// Whether the timer runs and starts with the machine, on every machine that has it; what the file says; and the packages that are held.
fn found(lab: &Lab, timer: &str, file: &str) -> (Vec<(bool, bool)>, String, Vec<String>) {
    lab.world.with_state(|state| {
        let timers = state.machines.values().filter_map(|machine| machine.units.get(timer)).map(|unit| (unit.started, unit.enabled));
        let machine = state.machines.values().next().unwrap();
        let held = machine.packages.iter().filter(|(_, package)| package.held).map(|(name, _)| name.clone());
        (timers.collect(), machine.files.text(file).to_owned(), held.collect())
    })
}

#[tokio::test(start_paused = true)]
async fn a_policy_switches_automatic_updates_on_and_off() {
    for (distribution, timer, file) in TIMERS {
        let recipe = format!("{distribution}/full");
        let on =
            under(&format!("updates-{distribution}"), distribution, World::default(), &["updates={policy: security, unattended: true}"]);
        assert_eq!(failures(&on.apply(&recipe).await), "");
        assert_eq!(changes(&on.plan(&recipe).await), Vec::<String>::new(), "{distribution} settles");
        let (timers, content, held) = found(&on, timer, file);
        assert_eq!(timers, [(true, true); 3], "{distribution}");
        assert!(content.contains("security"), "{distribution}: {content}");
        let containerd = on.workspace.containerd.package.as_str();
        for package in ["kubeadm", "kubelet", "kubectl", containerd] {
            assert!(held.iter().any(|name| name == package), "{distribution}: {package} of {held:?}");
        }
        let off = under(&format!("no-updates-{distribution}"), distribution, on.world.clone(), &["updates={policy: none}"]);
        assert_eq!(failures(&off.apply(&recipe).await), "");
        assert_eq!(found(&off, timer, file).0, [(false, false); 3], "{distribution}");
        assert_eq!(changes(&off.plan(&recipe).await), Vec::<String>::new(), "{distribution} settles");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_the_distribution_keeps_its_own() {
    let lab = Lab::new("no-policy");
    let plan = lab.plan("ubuntu/full").await.to_string();
    assert!(!plan.contains("timer") && !plan.contains("updates"), "{plan}");
}
