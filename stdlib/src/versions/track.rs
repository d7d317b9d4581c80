//! One component beside a row of Kubernetes versions: which of its versions it may have when, and the fewest hops to its end.
use super::{
    Component, System, add_ons, containerd, etcd,
    rules::{Distance, distance, is_no_worse},
};
use semver::Version;

/// The versions that a component may stand at between two of its own: both ends, and the newest release of each line from the first to the
/// last. Nothing goes back, so `to` older than `from` leaves `from` alone; without an end every newer line is there.
pub fn stops(component: Component, from: &Version, to: Option<&Version>) -> Vec<Version> {
    let newest = add_ons::lines(component).iter().map(super::Line::newest);
    let mut stops: Vec<Version> = newest.filter(|version| version > from && to.is_none_or(|to| version < to)).collect();
    stops.push(from.clone());
    stops.extend(to.filter(|to| *to > from).cloned());
    stops.sort();
    stops
}

/// Whether a component other than Kubernetes may go from one version straight to another.
pub fn may_hop(component: Component, from: &Version, to: &Version) -> bool {
    let (old, new) = (component.line(from), component.line(to));
    match component {
        Component::Etcd => etcd::may_move(from, to),
        _ if to <= from => false,
        _ if old == new => true,
        Component::Containerd => containerd::may_move(old, new),
        _ => {
            let lines = add_ons::lines(component);
            let at = |line| lines.iter().position(|known| known.line == line);
            at(old).zip(at(new)).is_some_and(|(old, new)| new == old + 1)
        }
    }
}

/// One component and the row of Kubernetes versions beside it.
#[derive(Debug)]
pub struct Track {
    /// The component.
    pub component: Component,
    /// Its versions, oldest first; it begins at the first.
    pub stops: Vec<Version>,
    /// How far each stop is outside, by position of Kubernetes and then of the stop.
    pub outside: Vec<Vec<Distance>>,
    /// Which stop may follow which.
    hops: Vec<Vec<usize>>,
}

impl Track {
    /// A component with these stops beside these Kubernetes versions.
    pub fn new(component: Component, stops: Vec<Version>, kubernetes: &[Version], system: Option<&System>) -> Self {
        let beside = |kubernetes: &Version| stops.iter().map(|stop| distance(component, stop, kubernetes, system)).collect();
        let outside = kubernetes.iter().map(beside).collect();
        let after = |from: &Version| (0..stops.len()).filter(|to| may_hop(component, from, &stops[*to])).collect();
        let hops = stops.iter().map(after).collect();
        Self { component, stops, outside, hops }
    }

    /// The stops that may follow `at` while Kubernetes stands at `kubernetes`.
    pub fn hops_from(&self, kubernetes: usize, at: usize) -> impl Iterator<Item = usize> + '_ {
        let here = &self.outside[kubernetes];
        self.hops[at].iter().copied().filter(move |to| is_no_worse(here[at], here[*to]))
    }

    /// Whether Kubernetes may go to its next version while this component stands at `at`.
    pub fn lets_kubernetes_go(&self, kubernetes: usize, at: usize) -> bool {
        self.outside.get(kubernetes + 1).is_some_and(|next| is_no_worse(self.outside[kubernetes][at], next[at]))
    }

    /// The fewest hops to the last stop with Kubernetes at its last version, by position of Kubernetes and then of the stop; `None` where no
    /// way leads there.
    pub fn hops_left(&self) -> Vec<Vec<Option<usize>>> {
        let (rows, columns) = (self.outside.len(), self.stops.len());
        let mut left = vec![vec![None; columns]; rows];
        for kubernetes in (0..rows).rev() {
            for at in (0..columns).rev() {
                let end = (kubernetes + 1 == rows && at + 1 == columns).then_some(0);
                let beyond = if self.lets_kubernetes_go(kubernetes, at) { left[kubernetes + 1][at] } else { None };
                let hops = self.hops_from(kubernetes, at).filter_map(|to| left[kubernetes][to].map(|left: usize| left + 1)).min();
                left[kubernetes][at] = [end, beyond, hops].into_iter().flatten().min();
            }
        }
        left
    }

    /// Which stops can be reached from the first one, by position of Kubernetes and then of the stop.
    pub fn reachable(&self) -> Vec<Vec<bool>> {
        let mut reached = vec![vec![false; self.stops.len()]; self.outside.len()];
        reached[0][0] = true;
        for kubernetes in 0..self.outside.len() {
            for at in 0..self.stops.len() {
                if !reached[kubernetes][at] {
                    continue;
                }
                for to in self.hops_from(kubernetes, at) {
                    reached[kubernetes][to] = true;
                }
                if self.lets_kubernetes_go(kubernetes, at) {
                    reached[kubernetes + 1][at] = true;
                }
            }
        }
        reached
    }
}
