//! The tables, for people and as events.
use crate::ui::{Ui, table};
use kthw_stdlib::versions::{Component, Line, add_ons, containerd, etcd, gone, kubernetes, systems};
use serde_json::json;

/// Prints everything that is known.
pub fn list(ui: &Ui) {
    let today = jiff::Timestamp::now().to_string();
    let today = today.get(..10).unwrap_or(&today);
    let lines = || Component::ALL.into_iter().flat_map(|component| add_ons::lines(component).iter().map(move |line| (component, line)));
    if ui.is_json() {
        kubernetes::KUBERNETES.iter().for_each(|release| ui.line(&release_as_json(release, today)));
        lines().for_each(|(component, line)| ui.line(&line_as_json(component, line, today)));
        return;
    }
    ui.line("Kubernetes, with the images of its newest known patch");
    let head = ["minor", "newest", "upstream", "etcd", "CoreDNS", "pause", "Calico", "containerd"].map(String::from);
    let rows = kubernetes::KUBERNETES.iter().map(|release| release_in_words(release, today));
    ui.line(&table(std::iter::once(head).chain(rows).collect()));
    for component in Component::ALL.into_iter().filter(|component| !add_ons::lines(*component).is_empty()) {
        ui.line(&format!("\n{component}"));
        let rows = add_ons::lines(component).iter().map(|line| {
            let needs = if component == Component::Containerd { containerd_for(line) } else { line.needs.in_words() };
            [component.spell(line.line), line.newest().to_string(), upstream(line.ends, today, "-"), needs, line.source.into()]
        });
        let head = ["line", "newest", "upstream", "Kubernetes", "page"].map(String::from);
        ui.line(&table(std::iter::once(head).chain(rows).collect()));
    }
    ui.line("\nReleases in trouble");
    let rows = add_ons::TROUBLES.iter().map(|trouble| {
        let release = |of: (u64, u64, u64)| format!("{}.{}.{}", of.0, of.1, of.2);
        [format!("{} {} to {}", trouble.component, release(trouble.from), release(trouble.to)), trouble.what.into(), trouble.source.into()]
    });
    ui.line(&table(rows.collect()));
    ui.line("\nWhat upstream asks for before etcd is led on");
    let rows = etcd::WAYPOINTS
        .iter()
        .map(|waypoint| [format!("leaving {}", waypoint.leaving), format!("from {} on", waypoint.at_least()), waypoint.source.into()]);
    ui.line(&table(rows.collect()));
    ui.line("\nDistributions");
    let rows = systems::SYSTEMS.iter().map(|system| {
        let cgroup = if system.cgroup_v2 == Some(true) { "cgroup v2" } else { "cgroup not read" };
        [
            system.id.into(),
            format!("Linux {}.{}", system.kernel.0, system.kernel.1),
            format!("x86-64-v{}", system.cpu_level),
            cgroup.into(),
            system.note.into(),
        ]
    });
    ui.line(&table(rows.collect()));
    ui.line("\nProxmox VE");
    let rows = systems::PROXMOX_VE.iter().map(|release| [release.major.to_string(), release.note.into()]);
    ui.line(&table(rows.collect()));
    ui.line("\nThe steps from one version to another: `kthw versions --from 1.31.9 --to 1.36`.");
}

/// Until when upstream keeps it.
fn upstream(ends: Option<&str>, today: &str, open: &str) -> String {
    match ends {
        Some(day) if day < today => format!("ended {day}"),
        Some(day) => format!("until {day}"),
        None => open.into(),
    }
}

fn release_in_words(release: &kubernetes::Release, today: &str) -> [String; 8] {
    let images = release.images_of(release.newest);
    let calico = add_ons::lines(Component::Calico).iter().filter(|line| line.needs.outside(release.minor) == 0);
    let calico: Vec<String> = calico.map(|line| line.line.to_string()).collect();
    let containerd = containerd::row(release.minor).map(containerd::Row::in_words).unwrap_or_default();
    [
        release.minor.to_string(),
        release.newest().to_string(),
        upstream(release.ends, today, "ended"),
        images.etcd_version().to_string(),
        images.coredns.into(),
        images.pause.into(),
        if calico.is_empty() { "none known".into() } else { calico.join(" ") },
        containerd.replace(" or later", "+"),
    ]
}

fn release_as_json(release: &kubernetes::Release, today: &str) -> String {
    let (images, gone) = (release.images_of(release.newest), gone(release.minor));
    json!({
        "event": "kubernetes",
        "minor": release.minor.to_string(),
        "newest": release.newest().to_string(),
        "supported": release.ends.is_some_and(|day| day >= today),
        "ends": release.ends,
        "images": { "etcd": images.etcd, "coredns": images.coredns, "pause": images.pause },
        "gone": { "kubelet_flags": gone.map_or(&[][..], |gone| gone.kubelet_flags), "feature_gates": gone.map_or(&[][..], |gone| gone.feature_gates) },
        "source": release.source,
    })
    .to_string()
}

fn line_as_json(component: Component, line: &Line, today: &str) -> String {
    let needs = if component == Component::Containerd { containerd_for(line) } else { line.needs.in_words() };
    json!({
        "event": "line",
        "component": component.key(),
        "line": component.spell(line.line),
        "newest": line.newest().to_string(),
        "supported": line.ends.is_none_or(|day| day >= today),
        "ends": line.ends,
        "kubernetes": needs,
        "source": line.source,
    })
    .to_string()
}

/// The Kubernetes versions that upstream names this line of containerd for.
fn containerd_for(line: &Line) -> String {
    let named: Vec<u64> = containerd::ROWS
        .iter()
        .filter(|row| containerd::outside(&line.newest(), row.kubernetes) == 0)
        .map(|row| row.kubernetes.1)
        .collect();
    match named[..] {
        [] => "none".into(),
        [only] => format!("1.{only}"),
        [first, .., last] => format!("1.{first} to 1.{last}"),
    }
}
