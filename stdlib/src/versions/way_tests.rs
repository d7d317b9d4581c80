//! The solver: ways that a person can read, and ten thousand pairs against [`World`].
use super::{
    Component, Minor, NoWay, Purpose, Set, System, add_ons, check, containerd, etcd,
    exhaustive::World,
    kubernetes,
    nearest::Cost,
    rules::{distance, is_known, is_no_worse},
    systems, target,
    testing::set,
    track::may_hop,
    way,
    way::completed,
};
use expect_test::{Expect, expect};
use semver::Version;

fn told(from: &Set, to: &Set) -> String {
    match way(from, to) {
        Ok(steps) => {
            let lines = steps.iter().map(|step| {
                let brings: String = step.brings.iter().map(|(image, old, new)| format!(", {image} {old} -> {new}")).collect();
                format!("{}: {} {} -> {}{brings}\n", step.purpose.key(), step.component, step.from, step.to)
            });
            lines.collect()
        }
        Err(NoWay { why, nearest, is_reachable, .. }) => {
            let nearest = nearest.map(|set| set.to_string()).unwrap_or_default();
            format!("no way: {why}\n{} {nearest}\n", if is_reachable { "nearest:" } else { "nearest, not from here:" })
        }
    }
}

fn check_way(from: &Set, to: &Set, expected: &Expect) {
    expected.assert_eq(&told(from, to));
    if let Ok(steps) = way(from, to) {
        follow(from, to, &steps);
    }
}

fn check_upgrade(from: &Set, kubernetes: &str, expected: &Expect) {
    let to = target(from, &kubernetes.parse().expect("a version"));
    check_way(from, &to, expected);
}

/// Takes the steps one by one, and looks at each as a person who knows the rules would.
fn follow(from: &Set, to: &Set, steps: &[super::Step]) {
    let mut set = from.clone().with(Component::Etcd, from.etcd());
    for step in steps {
        assert_eq!(set.get(step.component), Some(&step.from), "{step:?}");
        assert!(step.source.starts_with("https://") && !step.reason.is_empty() && !step.reason.ends_with('.'), "{step:?}");
        let mut next = set.clone().with(step.component, step.to.clone());
        if step.component == Component::Kubernetes {
            let (old, new) = (Minor::of(&step.from), Minor::of(&step.to));
            assert!(step.to > step.from && (new == old || new == Minor(1, old.1 + 1)), "a minor was left out: {step:?}");
            let (before, brought) = (set.etcd(), kubernetes::images_of(&step.to).etcd_version());
            let after = before.clone().max(brought);
            assert!(after == before || etcd::may_move(&before, &after), "etcd {before} -> {after}: no waypoint before {step:?}");
            next = next.with(Component::Etcd, after);
        } else {
            assert!(may_hop(step.component, &step.from, &step.to), "{step:?}");
        }
        for (component, version) in set.iter() {
            let before = distance(component, version, set.kubernetes(), set.system);
            let after = distance(component, next.get(component).expect("still there"), next.kubernetes(), next.system);
            assert!(is_no_worse(before, after), "{component} gets worse: {step:?}");
        }
        assert_eq!(step.set, next, "{step:?}");
        set = next;
    }
    for (component, version) in to.iter().filter(|(component, _)| from.get(*component).is_some()) {
        assert_eq!(set.get(component), Some(version), "the end");
    }
    assert_eq!(check(&set), [], "the end of a way is right");
}

use Component::{Calico, CertManager, Containerd, Etcd, MetricsServer, TraefikChart};

#[test]
fn the_next_calico_comes_before_the_kubernetes_that_needs_it() {
    check_upgrade(
        &set("1.30.14", &[(Calico, "3.28.0")]),
        "1.31.14",
        &expect![[r#"
            window: Calico 3.28.0 -> 3.29.7
            kubernetes: Kubernetes 1.30.14 -> 1.31.14, etcd 3.5.15 -> 3.5.24, pause 3.9 -> 3.10
        "#]],
    );
}

/// The sets that the shipped and the earlier workspaces pin: ubuntu, suse and debian, rocky.
#[test]
fn a_start_that_is_outside_is_repaired_first() {
    check_upgrade(
        &set("1.31.9", &[(Calico, "3.28.0")]),
        "1.32.13",
        &expect![[r#"
            repair: Calico 3.28.0 -> 3.29.7
            kubernetes: Kubernetes 1.31.9 -> 1.32.13, etcd 3.5.15 -> 3.5.24
        "#]],
    );
    check_upgrade(
        &set("1.30.14", &[(Calico, "3.27.0"), (Containerd, "1.7.35")]),
        "1.31.14",
        &expect![[r#"
            repair: Calico 3.27.0 -> 3.28.0
            window: Calico 3.28.0 -> 3.29.7
            kubernetes: Kubernetes 1.30.14 -> 1.31.14, etcd 3.5.15 -> 3.5.24, pause 3.9 -> 3.10
        "#]],
    );
    check_upgrade(
        &set("1.29.15", &[(Calico, "3.26.4")]),
        "1.30.14",
        &expect![[r#"
            repair: Calico 3.26.4 -> 3.27.0
            window: Calico 3.27.0 -> 3.28.0
            kubernetes: Kubernetes 1.29.15 -> 1.30.14, CoreDNS v1.11.1 -> v1.11.3
        "#]],
    );
}

#[test]
fn a_long_way_has_both_kinds_of_waypoints_and_moves_nothing_too_early() {
    check_upgrade(
        &set(
            "1.31.9",
            &[(Calico, "3.28.0"), (Containerd, "1.7.27"), (CertManager, "1.16.5"), (MetricsServer, "0.7.2"), (TraefikChart, "39.0.9")],
        ),
        "1.36.3",
        &expect![[r#"
            repair: Calico 3.28.0 -> 3.29.7
            kubernetes: Kubernetes 1.31.9 -> 1.32.13, etcd 3.5.15 -> 3.5.24
            window: Calico 3.29.7 -> 3.30.7
            window: cert-manager 1.16.5 -> 1.17.4
            kubernetes: Kubernetes 1.32.13 -> 1.33.13, CoreDNS v1.11.3 -> v1.12.0
            waypoint: etcd 3.5.24 -> 3.5.33
            window: containerd 1.7.27 -> 2.3.7
            window: cert-manager 1.17.4 -> 1.18.6
            window: cert-manager 1.18.6 -> 1.19.6
            kubernetes: Kubernetes 1.33.13 -> 1.34.10, etcd 3.5.33 -> 3.6.5, CoreDNS v1.12.0 -> v1.12.1, pause 3.10 -> 3.10.1
            kubernetes: Kubernetes 1.34.10 -> 1.35.9, etcd 3.6.5 -> 3.6.6, CoreDNS v1.12.1 -> v1.13.1
            window: Calico 3.30.7 -> 3.31.7
            window: Calico 3.31.7 -> 3.32.1
            window: cert-manager 1.19.6 -> 1.20.3
            window: cert-manager 1.20.3 -> 1.21.2
            kubernetes: Kubernetes 1.35.9 -> 1.36.3, etcd 3.6.6 -> 3.6.8, CoreDNS v1.13.1 -> v1.14.2, pause 3.10.1 -> 3.10.2
        "#]],
    );
}

#[test]
fn etcd_3_7_has_its_own_waypoint() {
    check_upgrade(
        &set("1.36.3", &[(Containerd, "2.2.9")]),
        "1.37.2",
        &expect![[r#"
            waypoint: etcd 3.6.8 -> 3.6.14
            window: containerd 2.2.9 -> 2.3.7
            kubernetes: Kubernetes 1.36.3 -> 1.37.2, etcd 3.6.14 -> 3.7.0, CoreDNS v1.14.2 -> v1.14.6
        "#]],
    );
}

/// kubeadm keeps to an image of etcd that is set, so a cluster may have come to 1.35 with 3.5.
#[test]
fn an_etcd_that_was_left_behind_is_led_after() {
    check_way(
        &set("1.35.0", &[(Etcd, "3.5.24")]),
        &set("1.36.3", &[]),
        &expect![[r#"
        waypoint: etcd 3.5.24 -> 3.5.33
        kubernetes: Kubernetes 1.35.0 -> 1.36.3, etcd 3.5.33 -> 3.6.8, CoreDNS v1.13.1 -> v1.14.2, pause 3.10.1 -> 3.10.2
    "#]],
    );
}

#[test]
fn a_refusal_names_the_nearest_right_target() {
    check_way(
        &set("1.30.14", &[(Calico, "3.28.0")]),
        &set("1.31.14", &[(Calico, "3.28.0")]),
        &expect![[r#"
        no way: the target is not right: upstream tests Calico 3.28 with Kubernetes 1.27 to 1.30, not with 1.31
        nearest: Kubernetes 1.31.14, Calico 3.29.7
    "#]],
    );
    check_way(
        &set("1.35.9", &[(Calico, "3.31.7")]),
        &set("1.37.2", &[(Calico, "3.32.1")]),
        &expect![[r#"
        no way: the target is not right: upstream tests Calico 3.32 with Kubernetes 1.34 to 1.36, not with 1.37
        nearest: Kubernetes 1.36.3, Calico 3.32.1
    "#]],
    );
    check_way(
        &set("1.32.13", &[(Calico, "3.30.7")]),
        &set("1.31.14", &[(Calico, "3.29.7")]),
        &expect![[r#"
        no way: Kubernetes does not go back from 1.32.13 to 1.31.14
        nearest: Kubernetes 1.32.13, Calico 3.30.7
    "#]],
    );
    check_way(
        &set("1.33.13", &[(Calico, "3.31.7")]),
        &set("1.34.10", &[(Calico, "3.30.7")]),
        &expect![[r#"
        no way: Calico does not go back from 3.31.7 to 3.30.7
        nearest: Kubernetes 1.34.10, Calico 3.31.7
    "#]],
    );
    check_way(
        &set("1.34.10", &[(Etcd, "3.6.14")]),
        &set("1.35.9", &[(Etcd, "3.6.6")]),
        &expect![[r#"
        no way: etcd does not go back from 3.6.14 to 3.6.6
        nearest: Kubernetes 1.35.9, etcd 3.6.14
    "#]],
    );
    check_way(
        &set("1.25.3", &[]),
        &set("1.31.14", &[(Calico, "3.29.7")]),
        &expect![[r#"
        no way: no table has Kubernetes 1.25.3
        nearest, not from here: Kubernetes 1.31.14, Calico 3.29.7
    "#]],
    );
    let on = |id: &str| systems::by_id(id);
    check_way(
        &set("1.31.14", &[]).on(on("suse-15.6")),
        &set("1.31.14", &[]).on(on("suse-16.0")),
        &expect![[r#"
        no way: nodes on suse-15.6 do not become nodes on suse-16.0: they are replaced one by one
        nearest: Kubernetes 1.31.14 on suse-15.6
    "#]],
    );
}

#[test]
fn nothing_to_do_is_no_step() {
    let same = set("1.31.14", &[(Calico, "3.29.7")]);
    assert_eq!(way(&same, &same), Ok(vec![]));
    check_way(&set("1.29.15", &[(Calico, "3.27.0")]), &set("1.29.15", &[(CertManager, "1.17.4")]), &expect![""]);
}

/// The same numbers every time: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A release of one of the lines that `wanted` accepts, or of any when none is.
    fn release(&mut self, component: Component, wanted: impl Fn(&Version) -> bool) -> Version {
        let lines = add_ons::lines(component);
        let fitting: Vec<_> = lines.iter().filter(|line| wanted(&line.newest())).collect();
        let line = if fitting.is_empty() { self.of(lines) } else { self.of(&fitting) };
        let newest = line.newest();
        if self.percent(60) { newest } else { Version::new(newest.major, newest.minor, self.below(newest.patch as usize + 1) as u64) }
    }
}

/// A pair: mostly a start that upstream names and a target that it names too, and often not.
fn pair(random: &mut Random, start: Option<Set>) -> (Set, Set) {
    let old = &kubernetes::KUBERNETES[if random.percent(8) { random.below(3) } else { 3 + random.below(9) }];
    let own = start
        .as_ref()
        .map_or_else(|| Version::new(1, old.minor.1, random.below(old.newest as usize + 1) as u64), |set| set.kubernetes().clone());
    let ahead = *random.of(&[-1, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5]);
    let minor = (own.minor as i64 + ahead).clamp(26, 37) as u64;
    let new = kubernetes::known(Minor(1, minor)).expect("known");
    let goal = Version::new(1, minor, if random.percent(60) { new.newest } else { random.below(new.newest as usize + 1) as u64 });
    let system: Option<&'static System> = random.percent(50).then(|| random.of(systems::SYSTEMS));
    let mut from = start.unwrap_or_else(|| {
        let mut from = Set::new(own.clone());
        for component in Component::ALL.into_iter().filter(|component| !add_ons::lines(*component).is_empty()) {
            if random.percent(35) {
                let fits = random.percent(85);
                let version = random.release(component, |version| !fits || distance(component, version, &own, system) == [0, 0]);
                from = from.with(component, version);
            }
        }
        if random.percent(15) {
            from = from.with(Etcd, random.of(&ETCDS).parse().expect("a version"));
        }
        from.on(system)
    });
    if random.percent(1) {
        from = from.with(Calico, Version::new(3, 19, 1));
    }
    let mut to = Set::new(goal.clone()).on(if random.percent(2) { systems::by_id("debian-13") } else { from.system });
    for (component, own) in from.iter().filter(|(component, _)| !matches!(component, Component::Kubernetes | Etcd)) {
        if random.percent(85) {
            let (fits, forward) = (random.percent(94), random.percent(96));
            let version = random.release(component, |version| {
                (!fits || distance(component, version, &goal, from.system) == [0, 0]) && (!forward || version >= own)
            });
            to = to.with(component, if forward { version.max(own.clone()) } else { version });
        }
    }
    if random.percent(10) {
        to = to.with(Etcd, random.of(&ETCDS).parse().expect("a version"));
    }
    (from, to)
}

const ETCDS: [&str; 11] = ["3.5.10", "3.5.15", "3.5.24", "3.5.26", "3.5.32", "3.5.34", "3.6.4", "3.6.8", "3.6.11", "3.6.15", "3.7.0"];

/// What the earlier workspaces pin, with and without the add-ons that came with them.
fn seeds() -> Vec<Set> {
    let pins = [
        ("1.31.9", "3.28.0"),
        ("1.33.0", "3.28.0"),
        ("1.30.14", "3.27.0"),
        ("1.30.2", "3.27.0"),
        ("1.29.15", "3.26.4"),
        ("1.29.0", "3.26.4"),
    ];
    let alone = pins.map(|(kubernetes, calico)| set(kubernetes, &[(Calico, calico)]));
    let more = alone.clone().map(|set| set.with(Containerd, Version::new(1, 7, 24)).with(Component::MetalLb, Version::new(0, 14, 5)));
    alone.into_iter().chain(more).collect()
}

/// The law of the solver, on ten thousand pairs: a way is found exactly when a search through everything finds one, it is no longer than that one,
/// and each of its steps is one that upstream allows; and every refusal names the nearest right target.
#[test]
fn a_first_quarter_of_ten_thousand_pairs_agrees_with_a_search_through_everything() {
    a_quarter(1);
}

#[test]
fn a_second_quarter_agrees_with_a_search_through_everything() {
    a_quarter(2);
}

#[test]
fn a_third_quarter_agrees_with_a_search_through_everything() {
    a_quarter(3);
}

#[test]
fn a_fourth_quarter_agrees_with_a_search_through_everything() {
    a_quarter(4);
}

fn a_quarter(seed: u64) {
    let mut random = Random(seed);
    let (mut found, mut refused, mut compared, mut waypoints, mut repairs) = (0, 0, 0, [0, 0], 0);
    let seeds = seeds();
    for number in 0..2500 {
        let (from, to) = pair(&mut random, seeds.get(number / 20).cloned());
        let answer = way(&from, &to);
        let is_same_system = from.system.is_none() || to.system.is_none() || from.system == to.system;
        let all_known = from.iter().chain(to.iter()).all(|(component, version)| is_known(component, version));
        let fewest = (is_same_system && all_known).then(|| World::up_to(&from, &to).fewest_steps(&to)).flatten();
        let context = format!("pair {number}: {from}  =>  {to}");
        match answer {
            Ok(steps) => {
                found += 1;
                assert_eq!(Some(steps.len()), fewest, "{context}\n{steps:#?}");
                follow(&from, &to, &steps);
                repairs += steps.iter().filter(|step| step.purpose == Purpose::Repair).count();
                for step in &steps {
                    waypoints[usize::from(step.to.minor == 6)] += usize::from(step.purpose == Purpose::Waypoint);
                }
            }
            Err(no_way) => {
                refused += 1;
                assert_eq!(fewest, None, "{context}\n{no_way:#?}");
                let Some(nearest) = no_way.nearest else { panic!("{context}: no nearest right set\n{}", no_way.why) };
                assert_eq!(check(&nearest), [], "{context}\n{nearest}");
                if no_way.is_reachable {
                    let steps = way(&from, &nearest).unwrap_or_else(|no_way| panic!("{context}\n{nearest}\n{no_way:#?}"));
                    follow(&from, &nearest, &steps);
                }
                let world = all_known.then(|| World::new(&from, &to)).filter(|world| world.size() <= 2000);
                if let Some(world) = world {
                    compared += 1;
                    let cost = |set: &Set| {
                        let wanted = completed(&from, &to);
                        let costs =
                            set.iter().filter_map(|(component, version)| Some(Cost::of(component, wanted.get(component)?, version)));
                        costs.fold(Cost::default(), Cost::and)
                    };
                    let cheapest = world.right_sets(&to).iter().map(cost).min();
                    assert_eq!(cheapest, no_way.is_reachable.then(|| cost(&nearest)), "{context}\n{nearest}");
                }
            }
        }
    }
    assert!(found >= 1250 && refused >= 250 && compared >= 250, "{found} found, {refused} refused, {compared} compared");
    assert!(waypoints.iter().all(|count| *count >= 50) && repairs >= 100, "{waypoints:?} {repairs}");
}

/// Each hop that a table allows is one that upstream supports, and nothing goes back.
#[test]
fn hops_are_in_order() {
    for component in Component::ALL.into_iter().filter(|component| !add_ons::lines(*component).is_empty()) {
        let versions: Vec<_> = add_ons::lines(component).iter().map(super::Line::newest).collect();
        for (old, from) in versions.iter().enumerate() {
            for (new, to) in versions.iter().enumerate() {
                let jump = component == Containerd && (Minor::of(from), Minor::of(to)) == (Minor(1, 7), Minor(2, 3));
                assert_eq!(may_hop(component, from, to), new == old + 1 || jump, "{component} {from} {to}");
            }
        }
    }
    assert!(containerd::row(Minor(1, 30)).is_some());
}
