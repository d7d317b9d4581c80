//! What the solver is measured by: a search through every set of versions that can be reached, over the same tables and nothing of the solver.
use super::{
    Component, Minor, Set, add_ons, check, etcd, kubernetes,
    rules::{Distance, distance, is_known, is_no_worse},
    track::may_hop,
};
use semver::Version;
use std::collections::{BTreeSet, VecDeque};

/// All states of one pair. A state holds a position for each component: Kubernetes, etcd, then the rest.
pub struct World {
    components: Vec<Component>,
    versions: Vec<Vec<Version>>,
    /// By component, position of Kubernetes, own position.
    far: Vec<Vec<Vec<Distance>>>,
    /// By component, position, what may follow.
    hops: Vec<Vec<Vec<usize>>>,
    /// By position of Kubernetes and of etcd, the positions of both that may follow when Kubernetes is upgraded.
    upgrades: Vec<Vec<Vec<(usize, usize)>>>,
    from: Set,
}

/// kubeadm upgrades Kubernetes by a minor version or a patch, and etcd to its own unless a newer one is there. What the operating system has
/// against Kubernetes must not grow either.
fn upgrades(versions: &[Vec<Version>], from: &Set) -> Vec<Vec<Vec<(usize, usize)>>> {
    let alone = |version: &Version| distance(Component::Kubernetes, version, version, from.system);
    let after = |old: &Version, etcd: usize| {
        let etcd_version = &versions[1][etcd];
        let may = versions[0]
            .iter()
            .enumerate()
            .filter(|(_, new)| *new > old && new.minor - old.minor <= 1 && is_no_worse(alone(old), alone(new)));
        may.filter_map(|(to, new)| {
            let brought = kubernetes::images_of(new).etcd_version();
            if brought <= *etcd_version {
                return Some((to, etcd));
            }
            let position = versions[1].iter().position(|version| *version == brought)?;
            etcd::may_move(etcd_version, &brought).then_some((to, position))
        })
        .collect()
    };
    versions[0].iter().map(|old| (0..versions[1].len()).map(|etcd| after(old, etcd)).collect()).collect()
}

impl World {
    /// Everything between `from` and the newest release of each line, and what `to` names.
    pub fn new(from: &Set, to: &Set) -> Self {
        Self::within(from, to, |_, _| true)
    }

    /// Only what is not newer than `to`, where `to` names it: nothing newer can be on a way to it, because nothing goes back.
    pub fn up_to(from: &Set, to: &Set) -> Self {
        Self::within(from, to, |component, version| match component {
            Component::Etcd => true,
            _ => to.get(component).is_none_or(|goal| version <= goal),
        })
    }

    fn within(from: &Set, to: &Set, keep: impl Fn(Component, &Version) -> bool) -> Self {
        let mut components = vec![Component::Kubernetes, Component::Etcd];
        components
            .extend(from.iter().map(|(component, _)| component).filter(|component| !components.contains(component)).collect::<Vec<_>>());
        let own = |component| if component == Component::Etcd { from.etcd() } else { from.get(component).expect("named").clone() };
        let mut versions: Vec<Vec<Version>> = Vec::new();
        for component in &components {
            let mut found: BTreeSet<Version> = match component {
                Component::Kubernetes => kubernetes::KUBERNETES.iter().map(kubernetes::Release::newest).collect(),
                Component::Etcd => {
                    let brought = versions[0].iter().map(|version| kubernetes::images_of(version).etcd_version());
                    brought.chain(etcd::WAYPOINTS.iter().map(etcd::Waypoint::through)).collect()
                }
                _ => add_ons::lines(*component).iter().map(super::Line::newest).collect(),
            };
            found.extend(to.get(*component).filter(|version| is_known(*component, version)).cloned());
            let (start, mut found) = (own(*component), found.into_iter().collect::<Vec<_>>());
            // In the minor version that is asked for only the asked patch.
            if *component == Component::Kubernetes {
                found.retain(|version| Minor::of(version) != Minor::of(to.kubernetes()) || version == to.kubernetes());
                found.retain(|version| Minor::of(version) != Minor::of(&start) || version == to.kubernetes());
            }
            found.retain(|version| *version > start && keep(*component, version));
            found.insert(0, start);
            versions.push(found);
        }
        let far = components.iter().zip(&versions).map(|(component, versions_of)| {
            let beside =
                |kubernetes: &Version| versions_of.iter().map(|version| distance(*component, version, kubernetes, from.system)).collect();
            versions[0].iter().map(beside).collect()
        });
        let far = far.collect();
        let hops = components.iter().zip(&versions).map(|(component, versions)| {
            let after = |from: &Version| (0..versions.len()).filter(|to| may_hop(*component, from, &versions[*to])).collect();
            versions.iter().map(after).collect()
        });
        let hops = hops.collect();
        let upgrades = upgrades(&versions, from);
        Self { components, versions, far, hops, upgrades, from: from.clone() }
    }

    /// How many states there are.
    pub fn size(&self) -> usize {
        self.versions.iter().map(Vec::len).product()
    }

    fn number(&self, state: &[usize]) -> usize {
        state.iter().zip(&self.versions).fold(0, |number, (at, versions)| number * versions.len() + at)
    }

    /// The fewest steps to each state that can be reached.
    fn explore(&self) -> Vec<(Vec<usize>, usize)> {
        let mut seen = vec![false; self.size()];
        let mut found = Vec::new();
        let mut queue = VecDeque::from([(vec![0; self.components.len()], 0)]);
        seen[0] = true;
        while let Some((mut state, steps)) = queue.pop_front() {
            self.after(&mut state, &mut |next| {
                let number = self.number(next);
                if !seen[number] {
                    seen[number] = true;
                    queue.push_back((next.to_vec(), steps + 1));
                }
            });
            found.push((state, steps));
        }
        found
    }

    /// Calls `visit` with each state that may follow.
    fn after(&self, state: &mut [usize], visit: &mut dyn FnMut(&[usize])) {
        let kubernetes = state[0];
        for component in 1..state.len() {
            let at = state[component];
            let here = &self.far[component][kubernetes];
            for to in &self.hops[component][at] {
                if is_no_worse(here[at], here[*to]) {
                    state[component] = *to;
                    visit(state);
                }
            }
            state[component] = at;
        }
        let before = state.to_vec();
        for (to, etcd) in &self.upgrades[kubernetes][state[1]] {
            (state[0], state[1]) = (*to, *etcd);
            let no_worse = |component: usize| {
                is_no_worse(self.far[component][kubernetes][before[component]], self.far[component][*to][state[component]])
            };
            if (1..state.len()).all(no_worse) {
                visit(state);
            }
            state.copy_from_slice(&before);
        }
    }

    /// The set of a state. etcd is left out unless `asked` names it.
    fn set(&self, state: &[usize], asked: &Set) -> Set {
        let named = |component: Component| component != Component::Etcd || asked.get(component).is_some();
        let parts = state.iter().enumerate().skip(1).filter(|(index, _)| named(self.components[*index]));
        parts.fold(Set::new(self.versions[0][state[0]].clone()).on(self.from.system), |set, (index, at)| {
            set.with(self.components[index], self.versions[index][*at].clone())
        })
    }

    fn is_right(&self, state: &[usize]) -> bool {
        (0..state.len()).all(|component| self.far[component][state[0]][state[component]] == [0, 0])
    }

    /// The fewest steps to `to`; components that it does not name may end anywhere where they are right.
    pub fn fewest_steps(&self, to: &Set) -> Option<usize> {
        if !check(to).is_empty() {
            return None;
        }
        let is_there = |state: &[usize]| {
            let named = self
                .components
                .iter()
                .enumerate()
                .all(|(index, component)| to.get(*component).is_none_or(|goal| self.versions[index][state[index]] == *goal));
            named && self.is_right(state)
        };
        self.explore().into_iter().filter(|(state, _)| is_there(state)).map(|(_, steps)| steps).min()
    }

    /// Every right set that can be reached, with the components of `asked`.
    pub fn right_sets(&self, asked: &Set) -> Vec<Set> {
        self.explore().into_iter().filter(|(state, _)| self.is_right(state)).map(|(state, _)| self.set(&state, asked)).collect()
    }
}
