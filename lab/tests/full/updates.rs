//! A policy of updates: on every distribution what installs them by itself is on or off as it says, and what Kubernetes stands on is held.
use crate::{
    FULL, Lab, changes, failures, host_keys,
    nodes::{FREE, MACHINES, boots, cordon},
    shelf,
};
use kthw_lab::{Machine, State, World};

pub(crate) const UPDATE: &str = "operations/update-os";

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

/// The machines of the cluster: there is also the one that their template was built on.
fn members(state: &State) -> impl Iterator<Item = &Machine> {
    state.machines.values().filter(|machine| machine.packages.contains_key("kubelet"))
}

/// Whether the timer runs and starts with the machine, on every machine that has it; what the file says; and the packages that are held.
fn found(lab: &Lab, timer: &str, file: &str) -> (Vec<(bool, bool)>, String, Vec<String>) {
    lab.world.with_state(|state| {
        let timers = members(state).filter_map(|machine| machine.units.get(timer)).map(|unit| (unit.started, unit.enabled));
        let machine = members(state).next().unwrap();
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

/// Lets the archive have an update of each of these packages for every machine; the first is for security.
pub(crate) fn gets_updates(lab: &Lab, packages: &[&str]) {
    lab.world.with_state(|state| {
        for machine in state.machines.values_mut() {
            for (index, name) in packages.iter().enumerate() {
                machine.updates.insert((*name).to_owned(), (format!("999.{index}-1"), index == 0));
            }
        }
    });
}

fn versions(lab: &Lab, package: &str) -> Vec<String> {
    lab.world.with_state(|state| members(state).map(|machine| machine.packages[package].version.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn nodes_are_updated_one_by_one_as_the_policy_says() {
    for (distribution, ..) in TIMERS {
        let full = format!("{distribution}/full");
        let security = under(&format!("update-{distribution}"), distribution, World::default(), &["updates={policy: security}"]);
        assert_eq!(failures(&security.apply(&full).await), "");
        gets_updates(&security, &["openssl", "sudo", "kubelet"]);
        let (sudo, kubelet) = (versions(&security, "sudo"), versions(&security, "kubelet"));

        // Lists that nobody fetched say nothing; the plan says so, and writes nothing.
        let writes = security.world.writes();
        let plan = security.plan(UPDATE).await;
        assert_eq!(plan.changes(), 3, "{plan}");
        assert!(plan.to_string().contains("package lists: older than a day -> fetched"), "{plan}");
        assert_eq!(security.world.writes(), writes, "{distribution}");
        assert_eq!(failures(&security.apply(UPDATE).await), "", "{distribution}");
        assert_eq!(versions(&security, "openssl"), ["999.0-1"; 3], "{distribution}");
        assert_eq!((versions(&security, "sudo"), versions(&security, "kubelet")), (sudo, kubelet.clone()), "{distribution}");
        assert_eq!(changes(&security.plan(UPDATE).await), Vec::<String>::new(), "{distribution} settles");

        // Another policy allows more, which the plan names; what is held stays.
        let all = under(&format!("update-all-{distribution}"), distribution, security.world.clone(), &["updates={policy: all}"]);
        let plan = all.plan(UPDATE).await.to_string();
        assert!(plan.contains("package sudo: ") && plan.contains(" -> 999.1-1") && !plan.contains("package kubelet"), "{plan}");
        assert_eq!(failures(&all.apply(UPDATE).await), "", "{distribution}");
        assert_eq!((versions(&all, "sudo"), versions(&all, "kubelet")), (vec!["999.1-1".to_owned(); 3], kubelet), "{distribution}");
        assert_eq!(changes(&all.plan(UPDATE).await), Vec::<String>::new(), "{distribution} settles");
        assert_eq!(changes(&all.plan(&full).await), Vec::<String>::new(), "{distribution}: nothing else moved");
        assert_eq!(all.world.unknown(), Vec::<String>::new(), "{distribution}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_asks_for_a_restart_gets_it_before_the_node_takes_pods_again() {
    let lab = Lab::changed("update-restart", World::default(), &["updates={policy: all}"]);
    assert_eq!(failures(&lab.apply(FULL).await), "");
    gets_updates(&lab, &["systemd"]);
    assert_eq!(failures(&lab.apply(UPDATE).await), "");
    assert_eq!(boots(&lab), [("cu1", 2), ("wu1", 2), ("wu2", 2)]);
    for (node, _) in MACHINES {
        assert_eq!(cordon(&lab, node), FREE, "{node}");
    }
    assert_eq!(changes(&lab.plan(UPDATE).await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_nothing_is_updated() {
    let lab = Lab::new("update-none");
    assert_eq!(failures(&lab.apply(FULL).await), "");
    gets_updates(&lab, &["openssl"]);
    assert_eq!(changes(&lab.plan(UPDATE).await), Vec::<String>::new());
}
