//! The rules between two components, each as a distance: 0 inside of what upstream names, and larger the further outside.
use super::{Component, Minor, Needs, Set, System, add_ons, calico, containerd, etcd, kubernetes, systems};
use semver::Version;
use std::fmt;

/// One side of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A component.
    Component(Component),
    /// The operating system of the nodes.
    System,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(component) => component.fmt(f),
            Self::System => f.write_str("the operating system"),
        }
    }
}

/// A rule of upstream that a set does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The two that do not fit. A version that no table knows stands alone, twice.
    pub between: (Party, Party),
    /// What upstream says, as a sentence without its full stop.
    pub rule: String,
    /// The page that says it.
    pub page: &'static str,
}

/// How far a component is outside of what it needs: of Kubernetes, and of the operating system. Neither may grow on a way.
pub type Distance = [u64; 2];

/// Whether going from one distance to another makes nothing worse.
pub fn is_no_worse(before: Distance, after: Distance) -> bool {
    before.iter().zip(after).all(|(before, after)| after <= *before)
}

/// How far `version` of a component is outside beside a Kubernetes version and on an operating system.
pub fn distance(component: Component, version: &Version, kubernetes: &Version, system: Option<&System>) -> Distance {
    let minor = Minor::of(kubernetes);
    let line = component.line(version);
    let of_kubernetes = match component {
        Component::Kubernetes => 0,
        Component::Etcd => Minor::of(&kubernetes::images_of(kubernetes).etcd_version()).away(line),
        Component::Containerd => containerd::outside(version, minor),
        _ => add_ons::line_of(component, version).map_or(0, |line| line.needs.outside(minor)),
    };
    let refused = |system: &System| match component {
        Component::Kubernetes => minor.1 >= systems::CGROUP_V2_SINCE && system.cgroup_v2 == Some(false),
        Component::Calico => system.kernel < calico::kernel(line),
        _ => false,
    };
    [of_kubernetes, u64::from(system.is_some_and(refused))]
}

/// Whether any table has this version's line.
pub fn is_known(component: Component, version: &Version) -> bool {
    match component {
        Component::Kubernetes => kubernetes::known(Minor::of(version)).is_some(),
        Component::Etcd => etcd::MINORS.contains(&Minor::of(version)),
        _ => add_ons::line_of(component, version).is_some(),
    }
}

/// The lines of a component that are known, oldest first.
pub fn known_lines(component: Component) -> Vec<Minor> {
    match component {
        Component::Kubernetes => kubernetes::minors(),
        Component::Etcd => etcd::MINORS.to_vec(),
        _ => add_ons::lines(component).iter().map(|line| line.line).collect(),
    }
}

/// Every rule that `set` breaks, in the order of its components.
pub fn broken(set: &Set) -> Vec<Broken> {
    set.iter().flat_map(|(component, version)| of_one(set, component, version)).collect()
}

fn of_one(set: &Set, component: Component, version: &Version) -> Vec<Broken> {
    let own = Party::Component(component);
    if !is_known(component, version) {
        let lines: Vec<String> = known_lines(component).into_iter().map(|line| component.spell(line)).collect();
        let rule = format!("kthw does not know {component} {version}; it knows {}", lines.join(", "));
        return vec![Broken { between: (own, own), rule, page: add_ons::order(component).1 }];
    }
    let kubernetes = set.kubernetes();
    let [of_kubernetes, of_system] = distance(component, version, kubernetes, set.system);
    let mut broken = Vec::new();
    if of_kubernetes > 0 && is_known(Component::Kubernetes, kubernetes) {
        let (rule, page) = kubernetes_rule(component, version, Minor::of(kubernetes));
        broken.push(Broken { between: (Party::Component(Component::Kubernetes), own), rule, page });
    }
    if let Some(system) = set.system.filter(|_| of_system > 0) {
        let (rule, page) = system_rule(component, version, system);
        broken.push(Broken { between: (own, Party::System), rule, page });
    }
    broken
}

/// What upstream says of a component beside Kubernetes, and where.
fn kubernetes_rule(component: Component, version: &Version, kubernetes: Minor) -> (String, &'static str) {
    match (component, add_ons::line_of(component, version), containerd::row(kubernetes)) {
        (Component::Containerd, _, Some(row)) => {
            (format!("upstream names containerd {} for Kubernetes {kubernetes}, not {version}", row.in_words()), row.source)
        }
        (_, Some(line), _) => {
            let does = if matches!(line.needs, Needs::Since(_)) { "supports" } else { "tests" };
            let (line_name, needs) = (component.spell(line.line), line.needs.in_words());
            (format!("upstream {does} {component} {line_name} with Kubernetes {needs}, not with {kubernetes}"), line.source)
        }
        _ => {
            let release = kubernetes::known(kubernetes);
            let etcd = release.map(|release| Minor::of(&release.images_of(release.newest).etcd_version()).to_string()).unwrap_or_default();
            let page = release.map_or(kubernetes::SKEW, |release| release.source);
            (format!("kubeadm runs Kubernetes {kubernetes} with etcd {etcd}, not with {}", Minor::of(version)), page)
        }
    }
}

/// What upstream says of a component and the operating system, and where.
fn system_rule(component: Component, version: &Version, system: &System) -> (String, &'static str) {
    let line = component.line(version);
    if component == Component::Calico {
        let ((major, minor), (own_major, own_minor)) = (calico::kernel(line), system.kernel);
        let page = add_ons::line_of(component, version).map_or(calico::UPGRADES, |line| line.source);
        return (format!("Calico {line} needs Linux {major}.{minor}, and {} has {own_major}.{own_minor}", system.id), page);
    }
    let rule = format!("the kubelet refuses cgroup v1 from Kubernetes 1.{} on, which {} starts with", systems::CGROUP_V2_SINCE, system.id);
    (rule, systems::CGROUP_V2)
}

#[cfg(test)]
mod tests {
    use super::*;

    static OLD: System =
        System { id: "old-8", kernel: (4, 18), cgroup_v2: Some(false), cpu_level: 1, note: "", source: "https://example.org" };

    fn set(kubernetes: &str, parts: &[(Component, &str)]) -> Set {
        parts.iter().fold(Set::new(kubernetes.parse().expect("a version")), |set, (component, version)| {
            set.with(*component, version.parse().expect("a version"))
        })
    }

    fn said(set: &Set) -> Vec<String> {
        broken(set).into_iter().map(|broken| format!("{} / {}: {}", broken.between.0, broken.between.1, broken.rule)).collect()
    }

    #[test]
    fn each_rule_says_what_upstream_says() {
        let broken = set(
            "1.36.1",
            &[
                (Component::Calico, "3.30.0"),
                (Component::Containerd, "1.7.35"),
                (Component::Etcd, "3.5.24"),
                (Component::TraefikChart, "39.0.9"),
                (Component::CertManager, "1.20.3"),
                (Component::MetricsServer, "0.6.4"),
            ],
        );
        assert_eq!(
            said(&broken),
            [
                "Kubernetes / etcd: kubeadm runs Kubernetes 1.36 with etcd 3.6, not with 3.5",
                "Kubernetes / containerd: upstream names containerd 2.2.0 or later, 2.3.0 or later for Kubernetes 1.36, not 1.7.35",
                "Kubernetes / Calico: upstream tests Calico 3.30 with Kubernetes 1.31 to 1.35, not with 1.36",
                "Kubernetes / cert-manager: upstream tests cert-manager 1.20 with Kubernetes 1.32 to 1.35, not with 1.36",
            ]
        );
        let older = set("1.30.0", &[(Component::MetricsServer, "0.9.0")]);
        assert_eq!(
            said(&older),
            ["Kubernetes / metrics-server: upstream supports metrics-server 0.9 with Kubernetes 1.34 and later, not with 1.30"]
        );
    }

    #[test]
    fn an_operating_system_can_be_too_old() {
        let broken = set("1.35.0", &[(Component::Calico, "3.30.0")]).on(Some(&OLD));
        assert_eq!(
            said(&broken),
            [
                "Kubernetes / the operating system: the kubelet refuses cgroup v1 from Kubernetes 1.35 on, which old-8 starts with",
                "Calico / the operating system: Calico 3.30 needs Linux 5.10, and old-8 has 4.18",
            ]
        );
        assert_eq!(said(&set("1.30.0", &[(Component::Calico, "3.28.0")]).on(Some(&OLD))), Vec::<String>::new());
        let unread = System { cgroup_v2: None, kernel: (6, 4), ..OLD };
        assert_eq!(distance(Component::Kubernetes, &Version::new(1, 35, 0), &Version::new(1, 35, 0), Some(&unread)), [0, 0]);
    }

    #[test]
    fn a_version_that_no_table_has_is_said_alone() {
        assert_eq!(
            said(&set("1.22.4", &[(Component::Calico, "3.11.2")])),
            [
                "Kubernetes / Kubernetes: kthw does not know Kubernetes 1.22.4; it knows 1.26, 1.27, 1.28, 1.29, 1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36, 1.37",
                "Calico / Calico: kthw does not know Calico 3.11.2; it knows 3.26, 3.27, 3.28, 3.29, 3.30, 3.31, 3.32",
            ]
        );
    }

    #[test]
    fn worse_is_worse_in_any_rule() {
        assert!(is_no_worse([2, 1], [1, 1]) && is_no_worse([0, 0], [0, 0]));
        assert!(!is_no_worse([2, 0], [1, 1]) && !is_no_worse([0, 0], [1, 0]));
    }
}
