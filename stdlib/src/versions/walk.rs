//! The steps of a way, once it is known how many are left from where: in which order they are taken, and why each is.
use super::{Component, Mind, Minor, Purpose, Set, Step, add_ons, containerd, etcd, hub::Hub, kubernetes, mind::gone, track::Track};
use semver::Version;

/// A component on its way.
pub struct Walker {
    track: Track,
    left: Vec<Vec<Option<usize>>>,
    at: usize,
}

impl Walker {
    /// A component at its first stop, with the hops that are left from each.
    pub fn new(track: Track, left: Vec<Vec<Option<usize>>>) -> Self {
        Self { track, left, at: 0 }
    }

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
pub struct Walk<'a> {
    hub: &'a Hub,
    hub_left: &'a [Vec<Option<usize>>],
    tracks: Vec<Walker>,
    kubernetes: usize,
    etcd: usize,
    set: Set,
    steps: Vec<Step>,
}

impl<'a> Walk<'a> {
    /// A cluster at the beginning of its way, with the steps that are left to Kubernetes and etcd from each pair of them.
    pub fn new(from: &Set, hub: &'a Hub, hub_left: &'a [Vec<Option<usize>>], tracks: Vec<Walker>) -> Self {
        let set = from.clone().with(Component::Etcd, hub.etcds[0].clone());
        Self { hub, hub_left, tracks, kubernetes: 0, etcd: 0, set, steps: Vec::new() }
    }

    /// All steps to the end.
    pub fn walk(mut self) -> Vec<Step> {
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
        let is_outside = self.hub.outside[kubernetes][self.etcd] != [0, 0];
        match self.next_etcd().filter(|_| is_outside) {
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
                     wait until all members are healthy, and take the image out again before the next step, because kubeadm keeps to \
                     an image that is set",
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
        let said: Vec<Mind> = self.steps.iter().flat_map(|step| step.minds.iter().copied()).collect();
        if let Some(step) = self.steps.last_mut() {
            step.brings = images.into_iter().filter(|(_, before, after)| before != after).collect();
            step.gone = gone(Minor::of(&step.to)).filter(|_| Minor::of(&step.from) != Minor::of(&step.to));
            let minds = step.gone.map_or(&[][..], |gone| gone.minds).iter();
            // What was looked at before an earlier step needs no second look.
            step.minds = minds.filter(|mind| !said.contains(mind)).copied().collect();
        }
    }

    fn push(&mut self, component: Component, from: Version, to: Version, purpose: Purpose, reason: String, source: &'static str) {
        self.set = self.set.clone().with(component, to.clone());
        let set = self.set.clone();
        self.steps.push(Step { component, from, to, purpose, reason, source, brings: Vec::new(), minds: Vec::new(), gone: None, set });
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
        let row = containerd::row(beside);
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
