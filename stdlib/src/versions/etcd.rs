//! etcd: how its members may move. Which version a cluster gets is kubeadm's choice and stands in `kubernetes.rs`.
use super::Minor;
use semver::Version;

/// What upstream asks for before the members of a cluster may move to the next minor version of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waypoint {
    /// The minor version that is left.
    pub leaving: Minor,
    /// The oldest patch of it that may be left.
    pub at_least: (u64, u64, u64),
    /// The patch that a way goes through. Both are the first ones that also end GHSA-6vch-q96h-7gc3, by which anybody who reaches the client
    /// port could exhaust a control plane: <https://etcd.io/blog/2026/july-patch-release/> of 2026-07-23.
    pub through: (u64, u64, u64),
    /// Why, in upstream's terms.
    pub why: &'static str,
    /// The page that asks for it.
    pub source: &'static str,
}

/// The waypoints that etcd's upgrade pages ask for and kubeadm leaves out.
///
/// kubeadm 1.33 ends with etcd 3.5.24 and kubeadm 1.34 begins with 3.6; kubeadm 1.36.3 has 3.6.8 and kubeadm 1.37.2 has 3.7.0 (their
/// `constants.go`, read in the Go modules). So an upgrade that only calls kubeadm breaks both rules. Both pages were read in
/// `github.com/etcd-io/website` as of 2026-08-20. Not verified: that registry.k8s.io carries an image of the patch that a way goes through;
/// upstream's own images are on gcr.io/etcd-development/etcd.
pub const WAYPOINTS: &[Waypoint] = &[
    // The blog of 2025-12 asked for 3.5.26, which repairs the list of members; the page has asked for 3.5.32 since 2026-07.
    // https://etcd.io/blog/2025/zombie_members_upgrade/
    Waypoint {
        leaving: Minor(3, 5),
        at_least: (3, 5, 32),
        through: (3, 5, 33),
        why: "members that were removed long ago may come back in 3.6 unless 3.5.26 or later has repaired the list of members, and 3.5.32 finds \
              what of the v2 store would keep 3.6 from starting",
        source: "https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/",
    },
    Waypoint {
        leaving: Minor(3, 6),
        at_least: (3, 6, 11),
        through: (3, 6, 14),
        why: "patches of 3.6 before 3.6.11 may not work beside 3.7 while the members are replaced one by one",
        source: "https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/",
    },
];

/// The minors that the tables lead through, oldest first.
pub const MINORS: &[Minor] = &[Minor(3, 5), Minor(3, 6), Minor(3, 7)];

/// That members move one minor version at a time, and where that stands.
pub const ONE_MINOR: &str = "https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/";

/// kubeadm leaves a newer etcd of the same cluster alone (`performEtcdStaticPodUpgrade` in `cmd/kubeadm/app/phases/upgrade/staticpods.go`), and
/// kthw never asks for an older one: going back needs etcd's own procedure.
pub const NEVER_BACK: &str = "https://etcd.io/docs/v3.6/downgrades/downgrading-etcd/";

const fn version(of: (u64, u64, u64)) -> Version {
    Version::new(of.0, of.1, of.2)
}

impl Waypoint {
    /// The oldest patch that may be left, as a version.
    pub fn at_least(&self) -> Version {
        version(self.at_least)
    }

    /// The patch that a way goes through, as a version.
    pub fn through(&self) -> Version {
        version(self.through)
    }
}

/// What is asked for before `minor` is left.
pub fn before_leaving(minor: Minor) -> Option<&'static Waypoint> {
    WAYPOINTS.iter().find(|waypoint| waypoint.leaving == minor)
}

/// Whether the members may move from one version straight to another: never back, within a minor version always, to the next one from the
/// waypoint on.
pub fn may_move(from: &Version, to: &Version) -> bool {
    let (old, new) = (Minor::of(from), Minor::of(to));
    if to <= from || old.0 != new.0 {
        return false;
    }
    match new.1 - old.1 {
        0 => true,
        1 => before_leaving(old).is_none_or(|waypoint| *from >= waypoint.at_least()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(from: &str, to: &str) -> bool {
        may_move(&from.parse().expect("a version"), &to.parse().expect("a version"))
    }

    #[test]
    fn a_minor_is_left_from_its_waypoint_on() {
        assert!(!may("3.5.24", "3.6.5") && !may("3.5.26", "3.6.5") && !may("3.5.31", "3.6.5"));
        assert!(may("3.5.32", "3.6.5") && may("3.5.33", "3.6.4"));
        assert!(!may("3.6.8", "3.7.0") && !may("3.6.10", "3.7.0"));
        assert!(may("3.6.11", "3.7.0") && may("3.6.14", "3.7.0"));
    }

    #[test]
    fn members_never_go_back_and_never_skip_a_minor() {
        assert!(may("3.5.10", "3.5.24") && !may("3.5.24", "3.5.24") && !may("3.5.24", "3.5.15"));
        assert!(!may("3.6.8", "3.5.33") && !may("3.5.33", "3.7.0") && !may("3.6.14", "4.0.0"));
    }

    #[test]
    fn a_way_goes_through_a_patch_that_may_be_left() {
        for waypoint in WAYPOINTS {
            assert!(waypoint.through() >= waypoint.at_least() && Minor::of(&waypoint.through()) == waypoint.leaving);
            assert!(waypoint.source.starts_with("https://etcd.io/docs/"));
            let next = MINORS.iter().position(|minor| *minor == waypoint.leaving).map(|at| MINORS[at + 1]);
            assert_eq!(next, Some(Minor(3, waypoint.leaving.1 + 1)));
        }
    }
}
