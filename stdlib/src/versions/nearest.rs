//! The nearest right set: as few components as possible are moved, and those as little as possible.
use super::{
    Component, Minor, Set, add_ons, kubernetes,
    rules::{broken, distance, known_lines},
};
use semver::Version;
use std::cmp::Reverse;

/// The first Kubernetes version that is proposed to somebody who has not got an older one.
const PROPOSED_SINCE: Minor = Minor(1, 29);

/// What a move costs, most important first: how many components move, over how many lines, whether Kubernetes is one of them, and how many go
/// back. The rest makes the answer the same every time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    moved: u64,
    lines: u64,
    kubernetes: bool,
    back: u64,
}

impl Cost {
    /// What it costs to have `version` of a component where `wanted` was asked for.
    pub fn of(component: Component, wanted: &Version, version: &Version) -> Self {
        let lines = known_lines(component);
        let position = |version: &Version| lines.partition_point(|line| *line < component.line(version)) as u64;
        let moved = version != wanted;
        Self {
            moved: moved.into(),
            lines: position(version).abs_diff(position(wanted)),
            kubernetes: moved && component == Component::Kubernetes,
            back: (version < wanted).into(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            moved: self.moved + other.moved,
            lines: self.lines + other.lines,
            kubernetes: self.kubernetes || other.kubernetes,
            back: self.back + other.back,
        }
    }
}

/// The cheapest set that holds the components of `wanted`: one Kubernetes version of `candidates`, and beside it of each component one of the
/// versions that `options` allows there. Since components depend on Kubernetes and not on each other, each is chosen by itself.
pub fn cheapest(
    wanted: &Set,
    candidates: &[Version],
    options: &dyn Fn(&Version, Component, &Version) -> Vec<Version>,
) -> Option<(Cost, Set)> {
    let beside = |kubernetes: &Version| {
        let start = (Cost::of(Component::Kubernetes, wanted.kubernetes(), kubernetes), wanted.clone());
        wanted.iter().try_fold(start, |(cost, set), (component, own)| {
            if component == Component::Kubernetes {
                return Some((cost, set.with(component, kubernetes.clone())));
            }
            let best = options(kubernetes, component, own)
                .into_iter()
                .map(|version| (Cost::of(component, own, &version), Reverse(version)))
                .min()?;
            Some((cost.and(best.0), set.with(component, best.1.0)))
        })
    };
    // Of equal ones the newest Kubernetes is taken.
    candidates.iter().filter_map(beside).min_by(|one, other| one.0.cmp(&other.0).then_with(|| other.1.kubernetes().cmp(one.1.kubernetes())))
}

/// The nearest set that breaks no rule; `None` when there is none on this operating system.
pub fn nearest(set: &Set) -> Option<Set> {
    let own = set.kubernetes();
    let others = kubernetes::KUBERNETES.iter().filter(|release| release.minor >= PROPOSED_SINCE && release.minor != Minor::of(own));
    let candidates: Vec<Version> = kubernetes::known(Minor::of(own))
        .map(|_| own.clone())
        .into_iter()
        .chain(others.map(kubernetes::Release::newest))
        .filter(|kubernetes| distance(Component::Kubernetes, kubernetes, kubernetes, set.system) == [0, 0])
        .collect();
    let right = |kubernetes: &Version, component: Component, own: &Version| {
        let mut versions = vec![own.clone()];
        match component {
            Component::Etcd => versions.push(kubernetes::images_of(kubernetes).etcd_version()),
            _ => versions.extend(add_ons::lines(component).iter().map(super::Line::newest)),
        }
        versions
            .retain(|version| super::rules::is_known(component, version) && distance(component, version, kubernetes, set.system) == [0, 0]);
        versions
    };
    let found = cheapest(set, &candidates, &right).map(|(_, set)| set);
    debug_assert!(found.as_ref().is_none_or(|set| broken(set).is_empty()), "the nearest set is right");
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::{check, testing::set};

    fn moves(kubernetes: &str, parts: &[(Component, &str)]) -> String {
        let wrong = set(kubernetes, parts);
        let found = nearest(&wrong).expect("a right set");
        assert_eq!(check(&found), []);
        found.moves_from(&wrong).join(", ")
    }

    #[test]
    fn the_sets_that_people_have_need_a_newer_calico() {
        use Component::Calico;
        for (kubernetes, calico, expected) in [
            ("1.31.9", "3.28.0", "Calico 3.28.0 -> 3.29.7"),
            ("1.30.14", "3.27.0", "Calico 3.27.0 -> 3.28.0"),
            ("1.29.15", "3.26.4", "Calico 3.26.4 -> 3.27.0"),
            ("1.33.0", "3.28.0", "Calico 3.28.0 -> 3.30.7"),
            ("1.29.15", "3.32.0", "Calico 3.32.0 -> 3.29.7"),
        ] {
            assert_eq!(moves(kubernetes, &[(Calico, calico)]), expected, "{kubernetes} {calico}");
        }
    }

    #[test]
    fn kubernetes_moves_when_that_moves_fewer_components() {
        let parts = [(Component::Calico, "3.32.1"), (Component::CertManager, "1.21.2"), (Component::Containerd, "2.3.7")];
        assert_eq!(moves("1.37.2", &parts), "Kubernetes 1.37.2 -> 1.36.3");
        let old = [(Component::Calico, "3.28.0"), (Component::CertManager, "1.15.5")];
        assert_eq!(moves("1.34.1", &old), "Kubernetes 1.34.1 -> 1.30.14");
    }

    #[test]
    fn a_patch_moves_to_the_newest_of_its_line_and_etcd_to_the_one_of_kubeadm() {
        assert_eq!(moves("1.35.0", &[(Component::Containerd, "1.7.20")]), "containerd 1.7.20 -> 1.7.35");
        assert_eq!(moves("1.35.0", &[(Component::Etcd, "3.5.24")]), "etcd 3.5.24 -> 3.6.6");
    }

    #[test]
    fn what_is_right_is_nearest_to_itself_and_a_stranger_gets_the_nearest_known() {
        assert_eq!(moves("1.30.8", &[(Component::Calico, "3.28.0")]), "");
        assert_eq!(moves("1.22.4", &[(Component::Calico, "3.28.0")]), "Kubernetes 1.22.4 -> 1.29.15");
        assert_eq!(moves("1.30.8", &[(Component::Calico, "3.11.2")]), "Calico 3.11.2 -> 3.28.0");
    }
}
