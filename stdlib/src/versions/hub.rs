//! Kubernetes and its etcd, which move together: kubeadm brings an etcd with each version, and some moves of etcd have to be made before.
use super::{
    Component, Minor, System, etcd, kubernetes,
    rules::{Distance, distance, is_no_worse},
};
use semver::Version;
use std::collections::BTreeSet;

/// The Kubernetes versions between two, both included: the newest known patch of each minor between them. `None` when it would go back.
pub fn row(from: &Version, to: &Version) -> Option<Vec<Version>> {
    let between = kubernetes::KUBERNETES.iter().filter(|release| release.minor > Minor::of(from) && release.minor < Minor::of(to));
    let mut row: Vec<Version> = std::iter::once(from.clone()).chain(between.map(kubernetes::Release::newest)).collect();
    if to > from {
        row.push(to.clone());
    }
    (to >= from).then_some(row)
}

/// Every Kubernetes version that could be gone to from `from`, through `to` where that lies on the way.
pub fn row_to_the_newest(from: &Version, to: &Version) -> Vec<Version> {
    let newer = kubernetes::KUBERNETES.iter().filter(|release| release.minor > Minor::of(from)).map(kubernetes::Release::newest);
    let mut row = vec![from.clone()];
    // A patch of the own minor, and the asked patch instead of the newest one of its minor.
    row.extend(Some(to.clone()).filter(|to| to > from && Minor::of(to) == Minor::of(from)));
    row.extend(newer.map(|newest| if Minor::of(&newest) == Minor::of(to) { to.clone() } else { newest }));
    row
}

/// Kubernetes and etcd along a row of Kubernetes versions.
#[derive(Debug)]
pub struct Hub {
    /// The Kubernetes versions, oldest first.
    pub kubernetes: Vec<Version>,
    /// The versions of etcd that may occur, oldest first.
    pub etcds: Vec<Version>,
    /// The position of the etcd that kubeadm has for each Kubernetes version, `None` for one that is older than all that occur.
    brought: Vec<Option<usize>>,
    /// How far each etcd is outside, by position of Kubernetes and then of etcd.
    pub outside: Vec<Vec<Distance>>,
    /// How far each Kubernetes version itself is outside, which only the operating system decides.
    alone: Vec<Distance>,
}

impl Hub {
    /// Kubernetes along `row`, beginning with `from` of etcd, where `asked` is the etcd that is wanted in the end.
    pub fn new(row: Vec<Version>, from: &Version, asked: Option<&Version>, system: Option<&System>) -> Self {
        let of_kubeadm: Vec<Version> = row.iter().map(|version| kubernetes::images_of(version).etcd_version()).collect();
        let waypoints = etcd::WAYPOINTS.iter().map(etcd::Waypoint::through);
        let etcds: BTreeSet<Version> = of_kubeadm
            .iter()
            .cloned()
            .chain(waypoints)
            .chain(asked.cloned())
            .filter(|version| version > from)
            .chain(std::iter::once(from.clone()))
            .collect();
        let etcds: Vec<Version> = etcds.into_iter().collect();
        let brought = of_kubeadm.iter().map(|version| etcds.iter().position(|known| known == version)).collect();
        let far = |kubernetes: &Version| etcds.iter().map(|version| distance(Component::Etcd, version, kubernetes, system)).collect();
        let outside = row.iter().map(far).collect();
        let alone = row.iter().map(|version| distance(Component::Kubernetes, version, version, system)).collect();
        Self { kubernetes: row, etcds, brought, outside, alone }
    }

    /// The etcd after Kubernetes has gone from position `kubernetes` to the next one: kubeadm brings its own unless a newer one is there.
    /// `None` where that step may not be taken.
    pub fn after_kubernetes(&self, kubernetes: usize, etcd: usize) -> Option<usize> {
        let brought = self.brought.get(kubernetes + 1)?;
        let after = brought.map_or(etcd, |brought| brought.max(etcd));
        let may = after == etcd || etcd::may_move(&self.etcds[etcd], &self.etcds[after]);
        let no_worse = is_no_worse(self.outside[kubernetes][etcd], self.outside[kubernetes + 1][after])
            && is_no_worse(self.alone[kubernetes], self.alone[kubernetes + 1]);
        (may && no_worse).then_some(after)
    }

    /// The etcds that may follow `etcd` while Kubernetes stays.
    pub fn etcds_from(&self, kubernetes: usize, etcd: usize) -> impl Iterator<Item = usize> + '_ {
        let here = &self.outside[kubernetes];
        (etcd + 1..self.etcds.len())
            .filter(move |to| etcd::may_move(&self.etcds[etcd], &self.etcds[*to]) && is_no_worse(here[etcd], here[*to]))
    }

    /// Whether a cluster may end at this Kubernetes version.
    pub fn may_end_at(&self, kubernetes: usize) -> bool {
        self.alone[kubernetes] == [0, 0]
    }

    /// The fewest steps to the last Kubernetes version with the etcd that is asked for, or with any that is right there, by position of
    /// Kubernetes and then of etcd.
    pub fn steps_left(&self, asked: Option<&Version>) -> Vec<Vec<Option<usize>>> {
        let (rows, columns) = (self.kubernetes.len(), self.etcds.len());
        let mut left = vec![vec![None; columns]; rows];
        for kubernetes in (0..rows).rev() {
            for etcd in (0..columns).rev() {
                let is_wanted = asked.is_none_or(|asked| *asked == self.etcds[etcd]);
                let end = (kubernetes + 1 == rows && is_wanted && self.outside[kubernetes][etcd] == [0, 0]).then_some(0);
                let up = self.after_kubernetes(kubernetes, etcd).and_then(|after| left[kubernetes + 1][after]).map(|left: usize| left + 1);
                let hops = self.etcds_from(kubernetes, etcd).filter_map(|to| left[kubernetes][to]).map(|left| left + 1).min();
                left[kubernetes][etcd] = [end, up, hops].into_iter().flatten().min();
            }
        }
        left
    }

    /// Which pairs can be reached from the first Kubernetes version with the first etcd.
    pub fn reachable(&self) -> Vec<Vec<bool>> {
        let mut reached = vec![vec![false; self.etcds.len()]; self.kubernetes.len()];
        reached[0][0] = true;
        for kubernetes in 0..self.kubernetes.len() {
            for etcd in 0..self.etcds.len() {
                if !reached[kubernetes][etcd] {
                    continue;
                }
                for to in self.etcds_from(kubernetes, etcd) {
                    reached[kubernetes][to] = true;
                }
                if let Some(after) = self.after_kubernetes(kubernetes, etcd) {
                    reached[kubernetes + 1][after] = true;
                }
            }
        }
        reached
    }
}
