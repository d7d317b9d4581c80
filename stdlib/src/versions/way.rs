//! The way from one set of versions to another, one component and one allowed hop at a time.
//!
//! Components depend on Kubernetes (and on the operating system, which stays), not on each other. So each has a small problem of its own: which of
//! its versions it may have while Kubernetes stands where. A hop that one of them does not need is never made, and Kubernetes goes on when every
//! component lets it go without a hop more in the end. That is exact: a way is found when there is one, and no way has fewer steps.
use super::{
    Component, Mind, Minor, Set, add_ons, check, etcd,
    hub::{self, Hub},
    kubernetes,
    mind::gone,
    nearest::{cheapest, nearest},
    rules::{distance, is_known},
    track::{Track, may_hop, stops},
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
    /// What to look at.
    pub minds: Vec<Mind>,
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
        tracks.push(Walker { track, left, at: 0 });
    }
    Ok(Walk { hub: &hub, hub_left: &hub_left, tracks, kubernetes: 0, etcd: 0, set: from.clone(), steps: Vec::new() }.walk())
}

/// The set that an upgrade to a Kubernetes version leads to: what is right there stays, and the rest goes as little forward as possible.
pub fn upgraded(from: &Set, kubernetes: &Version) -> Option<Set> {
    let to = completed(from, &Set::new(kubernetes.clone()).on(from.system));
    check(&to).is_empty().then_some(to)
}

/// Components that are measured by Kubernetes, with their versions.
fn movable(set: &Set) -> impl Iterator<Item = (Component, &Version)> {
    set.iter().filter(|(component, _)| !matches!(component, Component::Kubernetes | Component::Etcd))
}

/// The target with a version for every component of the start: the one that it has while that is right, else the right one that the fewest hops
/// lead to, and of those the oldest.
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
        let is_right = |version: &Version| distance(component, version, to.kubernetes(), to.system) == [0, 0];
        let right = forward.iter().zip(hops).filter_map(|(version, hops)| Some((hops.filter(|_| is_right(version))?, version)));
        let best = right.min().map_or(own, |(_, version)| version);
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

/// A component on its way.
struct Walker {
    track: Track,
    left: Vec<Vec<Option<usize>>>,
    at: usize,
}

impl Walker {
    /// Whether Kubernetes may leave `kubernetes` now, at no hop more in the end.
    fn lets_go(&self, kubernetes: usize) -> bool {
        self.track.lets_kubernetes_go(kubernetes, self.at) && self.left[kubernetes + 1][self.at] == self.left[kubernetes][self.at]
    }

    /// The next hop of a shortest way while Kubernetes stays: of several the smallest.
    fn next(&self, kubernetes: usize) -> Option<usize> {
        let left = self.left[kubernetes][self.at]?.checked_sub(1)?;
        self.track.hops_from(kubernetes, self.at).find(|to| self.left[kubernetes][*to] == Some(left))
    }

    /// A hop of a shortest way that brings it nearer to what upstream names.
    fn repair(&self, kubernetes: usize) -> Option<usize> {
        let here = &self.track.outside[kubernetes];
        let left = self.left[kubernetes][self.at]?.checked_sub(1)?;
        let nearer = self
            .track
            .hops_from(kubernetes, self.at)
            .filter(|to| self.left[kubernetes][*to] == Some(left) && here[*to].iter().sum::<u64>() < here[self.at].iter().sum::<u64>());
        nearer.min_by_key(|to| here[*to].iter().sum::<u64>())
    }
}

/// The whole cluster on its way.
struct Walk<'a> {
    hub: &'a Hub,
    hub_left: &'a [Vec<Option<usize>>],
    tracks: Vec<Walker>,
    kubernetes: usize,
    etcd: usize,
    set: Set,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn walk(mut self) -> Vec<Step> {
        self.set = self.set.clone().with(Component::Etcd, self.hub.etcds[0].clone());
        while self.repair() || self.go_on() || self.finish() {}
        self.steps
    }

    /// What is outside comes inside before anything else happens.
    fn repair(&mut self) -> bool {
        let kubernetes = self.kubernetes;
        let found = self.tracks.iter().enumerate().find_map(|(index, walker)| walker.repair(kubernetes).map(|to| (index, to)));
        if let Some((index, to)) = found {
            self.hop(index, to, Purpose::Repair);
            return true;
        }
        let here = &self.hub.outside[kubernetes];
        let nearer = here[self.etcd] != [0, 0];
        match self.next_etcd().filter(|_| nearer) {
            Some(to) => self.move_etcd(to),
            None => false,
        }
    }

    /// The next hop of etcd that is on a shortest way: of several the smallest.
    fn next_etcd(&self) -> Option<usize> {
        let left = self.hub_left[self.kubernetes][self.etcd]?.checked_sub(1)?;
        self.hub.etcds_from(self.kubernetes, self.etcd).find(|to| self.hub_left[self.kubernetes][*to] == Some(left))
    }

    /// Kubernetes goes on, or what keeps it from that is moved out of its way.
    fn go_on(&mut self) -> bool {
        let (kubernetes, etcd) = (self.kubernetes, self.etcd);
        let Some(left) = self.hub_left[kubernetes][etcd].and_then(|left| left.checked_sub(1)) else { return false };
        let after = self.hub.after_kubernetes(kubernetes, etcd).filter(|after| self.hub_left[kubernetes + 1][*after] == Some(left));
        let Some(after) = after else { return self.next_etcd().is_some_and(|to| self.move_etcd(to)) };
        if let Some(index) = self.tracks.iter().position(|walker| !walker.lets_go(kubernetes)) {
            let to = self.tracks[index].next(kubernetes).expect("what keeps Kubernetes has a hop on its shortest way");
            self.hop(index, to, Purpose::Window);
            return true;
        }
        self.move_kubernetes(after);
        true
    }

    /// Kubernetes is where it should be: the rest follows.
    fn finish(&mut self) -> bool {
        let kubernetes = self.kubernetes;
        let found = self.tracks.iter().enumerate().find_map(|(index, walker)| walker.next(kubernetes).map(|to| (index, to)));
        found.map(|(index, to)| self.hop(index, to, Purpose::Target)).is_some()
    }

    fn hop(&mut self, index: usize, to: usize, purpose: Purpose) {
        let walker = &mut self.tracks[index];
        let component = walker.track.component;
        let (from, to_version) = (walker.track.stops[walker.at].clone(), walker.track.stops[to].clone());
        walker.at = to;
        let next = self.hub.kubernetes.get(self.kubernetes + 1).filter(|_| purpose == Purpose::Window);
        let (reason, source) = reason_of(component, &from, &to_version, purpose, &self.hub.kubernetes[self.kubernetes], next);
        self.push(component, from, to_version, purpose, reason, source);
    }

    fn move_etcd(&mut self, to: usize) -> bool {
        let (from, to_version) = (self.hub.etcds[self.etcd].clone(), self.hub.etcds[to].clone());
        let waypoint =
            etcd::before_leaving(Minor::of(&from)).filter(|waypoint| from < waypoint.at_least() && to_version >= waypoint.at_least());
        let leaves =
            self.hub.kubernetes.last().is_some_and(|last| Minor::of(&kubernetes::images_of(last).etcd_version()) > Minor::of(&from));
        let (purpose, reason, source) = match waypoint.filter(|_| leaves && Minor::of(&from) == Minor::of(&to_version)) {
            Some(waypoint) => {
                let why = format!(
                    "upstream asks for {} or later on every member before etcd {} is left: {}. kubeadm leaves this out: set the image for etcd, \
                     wait until all members are healthy, and take the image out again before the next step, because kubeadm skips an etcd \
                     whose image is set",
                    waypoint.at_least(),
                    waypoint.leaving,
                    waypoint.why
                );
                (Purpose::Waypoint, why, waypoint.source)
            }
            None if self.hub.outside[self.kubernetes][self.etcd] != [0, 0] => {
                let own = Minor::of(&self.hub.kubernetes[self.kubernetes]);
                (Purpose::Repair, format!("kubeadm runs Kubernetes {own} with another minor version of etcd"), etcd::ONE_MINOR)
            }
            None => (Purpose::Target, "the target asks for this etcd".into(), etcd::ONE_MINOR),
        };
        self.etcd = to;
        self.push(Component::Etcd, from, to_version, purpose, reason, source);
        true
    }

    fn move_kubernetes(&mut self, etcd: usize) {
        let (from, to) = (self.hub.kubernetes[self.kubernetes].clone(), self.hub.kubernetes[self.kubernetes + 1].clone());
        let reason = if Minor::of(&from) == Minor::of(&to) {
            "a patch of the same minor version".to_owned()
        } else {
            "kubeadm upgrades by one minor version; control planes first, kubelets after them".to_owned()
        };
        let (old, new) = (kubernetes::images_of(&from), kubernetes::images_of(&to));
        let (etcd_before, etcd_after) = (self.hub.etcds[self.etcd].to_string(), self.hub.etcds[etcd].to_string());
        let images = [
            ("etcd", etcd_before, etcd_after),
            ("CoreDNS", old.coredns.to_owned(), new.coredns.to_owned()),
            ("pause", old.pause.to_owned(), new.pause.to_owned()),
        ];
        self.kubernetes += 1;
        self.etcd = etcd;
        self.set = self.set.clone().with(Component::Etcd, self.hub.etcds[etcd].clone());
        self.push(Component::Kubernetes, from, to, Purpose::Kubernetes, reason, kubernetes::SKEW);
        if let Some(step) = self.steps.last_mut() {
            step.brings = images.into_iter().filter(|(_, before, after)| before != after).collect();
            let news = gone(Minor::of(&step.to)).filter(|_| Minor::of(&step.from) != Minor::of(&step.to));
            step.minds = news.map(|gone| gone.minds.to_vec()).unwrap_or_default();
        }
    }

    fn push(&mut self, component: Component, from: Version, to: Version, purpose: Purpose, reason: String, source: &'static str) {
        self.set = self.set.clone().with(component, to.clone());
        let set = self.set.clone();
        self.steps.push(Step { component, from, to, purpose, reason, source, brings: Vec::new(), minds: Vec::new(), set });
    }
}

/// Why a component takes a hop, and the page.
fn reason_of(
    component: Component,
    from: &Version,
    to: &Version,
    purpose: Purpose,
    kubernetes: &Version,
    next: Option<&Version>,
) -> (String, &'static str) {
    let (old, new) = (component.line(from), component.line(to));
    let needs = |version: &Version| add_ons::line_of(component, version).map(|line| line.needs.in_words()).unwrap_or_default();
    let page = add_ons::line_of(component, to).map_or(add_ons::order(component).1, |line| line.source);
    let here = Minor::of(kubernetes);
    if component == Component::Containerd {
        let beside = if purpose == Purpose::Window { next.map_or(here, Minor::of) } else { here };
        let row = super::containerd::row(beside);
        let named = row.map(|row| format!("upstream names containerd {} for Kubernetes {beside}", row.in_words()));
        return match (purpose, named) {
            (Purpose::Repair | Purpose::Window, Some(named)) => (named, row.map_or(page, |row| row.source)),
            _ => (format!("on the way to the target: {}", add_ons::order(component).0), add_ons::order(component).1),
        };
    }
    let spelled = |version: &Version| component.spell(component.line(version));
    match purpose {
        Purpose::Repair => (
            format!(
                "{component} {} is for Kubernetes {}, and this is {here}; {} is for {}",
                spelled(from),
                needs(from),
                spelled(to),
                needs(to)
            ),
            page,
        ),
        Purpose::Window => {
            let next = next.map_or(here, Minor::of);
            (
                format!(
                    "before Kubernetes {next}: {component} {} is for {}, {} for {}",
                    spelled(from),
                    needs(from),
                    spelled(to),
                    needs(to)
                ),
                page,
            )
        }
        _ if old == new => ("the target asks for this release of the same line".into(), page),
        _ => (format!("on the way to the target: {}", add_ons::order(component).0), add_ons::order(component).1),
    }
}
