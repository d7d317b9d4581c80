//! The way from one set of versions to another, one component and one allowed hop at a time.
//!
//! Components depend on Kubernetes (and on the operating system, which stays), not on each other. So each has a small problem of its own: which of
//! its versions it may have while Kubernetes stands where. A hop that one of them does not need is never made, and Kubernetes goes on when every
//! component lets it go without a hop more in the end. That is exact: a way is found when there is one, and no way has fewer steps.
use super::{
    Component, Gone, Mind, Set, add_ons, check, etcd,
    hub::{self, Hub},
    kubernetes,
    nearest::{cheapest, nearest},
    rules::{distance, is_known},
    track::{Track, may_hop, stops},
    walk::{Walk, Walker},
};
use semver::Version;

/// Why a step is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The start was outside of what upstream names; this brings it nearer.
    Repair,
    /// Upstream asks for this version in between.
    Waypoint,
    /// Kubernetes goes on, or gets a patch.
    Kubernetes,
    /// Without it the next Kubernetes version would be outside, or a later hop not be possible.
    Window,
    /// It is where the target wants to be, and nothing waits for it.
    Target,
}

impl Purpose {
    /// The word for it in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Waypoint => "waypoint",
            Self::Kubernetes => "kubernetes",
            Self::Window => "window",
            Self::Target => "target",
        }
    }
}

/// One component goes from one version to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The component.
    pub component: Component,
    /// Its version before.
    pub from: Version,
    /// Its version after.
    pub to: Version,
    /// What kind of reason it has.
    pub purpose: Purpose,
    /// The reason, as a sentence without its full stop.
    pub reason: String,
    /// The page that the reason stands on.
    pub source: &'static str,
    /// What comes along by itself: images that kubeadm runs beside Kubernetes, each with its tag before and after.
    pub brings: Vec<(&'static str, String, String)>,
    /// What to look at, unless an earlier step said so.
    pub minds: Vec<Mind>,
    /// What the new minor version of Kubernetes no longer takes.
    pub gone: Option<&'static Gone>,
    /// The versions after the step. Its etcd is always named.
    pub set: Set,
}

/// Why there is no way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoWay {
    /// A sentence without its full stop.
    pub why: String,
    /// The page that it stands on.
    pub source: &'static str,
    /// The right set nearest to the target.
    pub nearest: Option<Set>,
    /// Whether a way leads from the start to it; otherwise the start is such that none leads to any.
    pub is_reachable: bool,
}

/// The steps from one set to another; none when they are the same.
///
/// Components that only `from` names go along as far as they have to. One that only `to` names is installed afterwards and takes no step.
///
/// # Errors
/// [`NoWay`] when `to` is outside of what upstream names, when something would have to go back or be left out, or when the start is such that
/// every step would make it worse.
pub fn way(from: &Set, to: &Set) -> Result<Vec<Step>, NoWay> {
    let to = &completed(from, to);
    if let Some((why, source)) = refused_at_once(from, to) {
        return Err(no_way(from, to, why, source));
    }
    let target = check(to);
    if let Some(problem) = target.first() {
        return Err(no_way(from, to, format!("the target is not right: {}", problem.rule), problem.page));
    }
    let Some(row) = hub::row(from.kubernetes(), to.kubernetes()) else {
        return Err(no_way(from, to, goes_back(Component::Kubernetes, from.kubernetes(), to.kubernetes()), kubernetes::SKEW));
    };
    let asked = to.get(Component::Etcd);
    let hub = Hub::new(row, &from.etcd(), asked, from.system);
    let hub_left = hub.steps_left(asked);
    if hub_left[0][0].is_none() {
        let why = match asked.filter(|asked| **asked < from.etcd()) {
            Some(asked) => goes_back(Component::Etcd, &from.etcd(), asked),
            None => no_steps(Component::Etcd, &from.etcd(), asked),
        };
        return Err(no_way(from, to, why, etcd::NEVER_BACK));
    }
    let mut tracks = Vec::new();
    for (component, own) in movable(from) {
        let Some(goal) = to.get(component) else { continue };
        if goal < own {
            return Err(no_way(from, to, goes_back(component, own, goal), add_ons::order(component).1));
        }
        let track = Track::new(component, stops(component, own, Some(goal)), &hub.kubernetes, from.system);
        let left = track.hops_left();
        if left[0][0].is_none() {
            return Err(no_way(from, to, no_steps(component, own, Some(goal)), add_ons::order(component).1));
        }
        tracks.push(Walker::new(track, left));
    }
    Ok(Walk::new(from, &hub, &hub_left, tracks).walk())
}

/// The set that an upgrade to a Kubernetes version aims at: what is right there stays, and the rest goes as little forward as possible. Where
/// nothing of a component is right, it is the release that is nearest to being so, and [`way`] refuses.
pub fn target(from: &Set, kubernetes: &Version) -> Set {
    completed(from, &Set::new(kubernetes.clone()).on(from.system))
}

/// Components that are measured by Kubernetes, with their versions.
fn movable(set: &Set) -> impl Iterator<Item = (Component, &Version)> {
    set.iter().filter(|(component, _)| !matches!(component, Component::Kubernetes | Component::Etcd))
}

/// The target with a version for every component of the start: the one that is nearest to being right, of those the one that the fewest hops lead to,
/// and then the oldest.
pub(super) fn completed(from: &Set, to: &Set) -> Set {
    movable(from).fold(to.clone(), |to, (component, own)| {
        if to.get(component).is_some() {
            return to;
        }
        let forward = stops(component, own, None);
        let mut hops: Vec<Option<usize>> = vec![Some(0)];
        for (at, stop) in forward.iter().enumerate().skip(1) {
            let before = (0..at).filter(|before| may_hop(component, &forward[*before], stop));
            hops.push(before.filter_map(|before| hops[before]).min().map(|hops| hops + 1));
        }
        let outside = |version: &Version| distance(component, version, to.kubernetes(), to.system).iter().sum::<u64>();
        let reached = forward.iter().zip(hops).filter_map(|(version, hops)| Some((outside(version), hops?, version)));
        let best = reached.min().map_or(own, |(_, _, version)| version);
        to.with(component, best.clone())
    })
}

fn refused_at_once(from: &Set, to: &Set) -> Option<(String, &'static str)> {
    for (component, version) in from.iter().chain(to.iter()) {
        if !is_known(component, version) {
            return Some((format!("no table has {component} {version}"), add_ons::order(component).1));
        }
    }
    if let (Some(old), Some(new)) = (from.system, to.system)
        && old != new
    {
        return Some((format!("nodes on {} do not become nodes on {}: they are replaced one by one", old.id, new.id), new.source));
    }
    None
}

fn goes_back(component: Component, from: &Version, to: &Version) -> String {
    format!("{component} does not go back from {from} to {to}")
}

fn no_steps(component: Component, from: &Version, to: Option<&Version>) -> String {
    let goal = to.map(|to| format!(" to {to}")).unwrap_or_default();
    format!("no row of allowed steps leads {component} from {from}{goal} beside Kubernetes without leaving what upstream names")
}

/// A refusal with the nearest right target: one that can be reached if there is any.
fn no_way(from: &Set, to: &Set, why: String, source: &'static str) -> NoWay {
    let reachable = nearest_reachable(from, to);
    let is_reachable = reachable.is_some();
    NoWay { why, source, nearest: reachable.or_else(|| nearest(to)), is_reachable }
}

/// The right set nearest to `to` that a way leads to from `from`. What only `to` names is left out.
fn nearest_reachable(from: &Set, to: &Set) -> Option<Set> {
    if !is_known(Component::Kubernetes, from.kubernetes()) || from.iter().any(|(component, version)| !is_known(component, version)) {
        return None;
    }
    let known_target = if is_known(Component::Kubernetes, to.kubernetes()) { to.kubernetes() } else { from.kubernetes() };
    let row = hub::row_to_the_newest(from.kubernetes(), known_target);
    let hub = Hub::new(row, &from.etcd(), to.get(Component::Etcd).filter(|asked| is_known(Component::Etcd, asked)), from.system);
    let reached = hub.reachable();
    let ends = |kubernetes: usize, etcd: usize| reached[kubernetes][etcd] && hub.outside[kubernetes][etcd] == [0, 0];
    let candidates: Vec<Version> = (0..hub.kubernetes.len())
        .filter(|at| hub.may_end_at(*at) && (0..hub.etcds.len()).any(|etcd| ends(*at, etcd)))
        .map(|at| hub.kubernetes[at].clone())
        .collect();
    let mut tracks = Vec::new();
    for (component, own) in movable(from) {
        let goal = to.get(component).filter(|goal| is_known(component, goal));
        let mut all = stops(component, own, None);
        all.extend(goal.filter(|goal| *goal > own && !all.contains(goal)).cloned().into_iter().collect::<Vec<_>>());
        all.sort();
        let track = Track::new(component, all, &hub.kubernetes, from.system);
        let reached = track.reachable();
        tracks.push((track, reached));
    }
    let right_beside = |at: usize, component: Component| -> Option<Vec<Version>> {
        let (track, reached) = tracks.iter().find(|(track, _)| track.component == component)?;
        let right = (0..track.stops.len()).filter(|stop| reached[at][*stop] && track.outside[at][*stop] == [0, 0]);
        Some(right.map(|stop| track.stops[stop].clone()).collect())
    };
    let options = |kubernetes: &Version, component: Component, own: &Version| -> Vec<Version> {
        let Some(at) = hub.kubernetes.iter().position(|known| known == kubernetes) else { return Vec::new() };
        if component == Component::Etcd {
            return (0..hub.etcds.len()).filter(|etcd| ends(at, *etcd)).map(|etcd| hub.etcds[etcd].clone()).collect();
        }
        right_beside(at, component).unwrap_or_else(|| vec![own.clone()])
    };
    // What only `to` names is installed afterwards: any right version of it will do, so it does not decide.
    let wanted = movable(from).fold(Set::new(to.kubernetes().clone()).on(from.system), |wanted, (component, own)| {
        wanted.with(component, to.get(component).unwrap_or(own).clone())
    });
    let wanted = match to.get(Component::Etcd) {
        Some(etcd) => wanted.with(Component::Etcd, etcd.clone()),
        None => wanted,
    };
    cheapest(&wanted, &candidates, &options).map(|(_, set)| set)
}
