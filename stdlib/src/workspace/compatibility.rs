//! Which versions kthw knows, and which of them upstream tests with each other.
use semver::Version;
use std::fmt;

/// A minor version: `1.31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u64, pub u64);

impl Minor {
    /// The minor version that `version` belongs to.
    pub fn of(version: &Version) -> Self {
        Self(version.major, version.minor)
    }

    /// `1.27, 1.28 and 1.29`.
    pub fn list(minors: &[Self]) -> String {
        let words: Vec<String> = minors.iter().map(Self::to_string).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
            None => String::new(),
        }
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A minor version of Kubernetes, and the images that its first release runs beside its own.
///
/// kubeadm chooses etcd and CoreDNS by itself, and a patch may move both; a registry of one's own has to hold them. The pause image is
/// chosen twice, by kubeadm and by containerd's configuration, and has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The minor version.
    pub minor: Minor,
    /// Tag of `pause`.
    pub pause: &'static str,
    /// Tag of `etcd`.
    pub etcd: &'static str,
    /// Tag of `coredns/coredns`.
    pub coredns: &'static str,
}

/// The Kubernetes versions whose kubeadm kthw speaks to, oldest first.
///
/// Each row is what `kubeadm config images list` of that minor prints; the constants behind it are in
/// `cmd/kubeadm/app/constants/constants.go` of <https://github.com/kubernetes/kubernetes> at the row's tag.
pub const KUBERNETES: &[Release] = &[
    row(26, "3.9", "3.5.6-0", "v1.9.3"),     // https://github.com/kubernetes/kubernetes/tree/v1.26.0
    row(27, "3.9", "3.5.7-0", "v1.10.1"),    // https://github.com/kubernetes/kubernetes/tree/v1.27.0
    row(28, "3.9", "3.5.9-0", "v1.10.1"),    // https://github.com/kubernetes/kubernetes/tree/v1.28.0
    row(29, "3.9", "3.5.10-0", "v1.11.1"),   // https://github.com/kubernetes/kubernetes/tree/v1.29.0
    row(30, "3.9", "3.5.12-0", "v1.11.1"),   // https://github.com/kubernetes/kubernetes/tree/v1.30.0
    row(31, "3.10", "3.5.15-0", "v1.11.1"),  // https://github.com/kubernetes/kubernetes/tree/v1.31.0
    row(32, "3.10", "3.5.16-0", "v1.11.3"),  // https://github.com/kubernetes/kubernetes/tree/v1.32.0
    row(33, "3.10", "3.5.21-0", "v1.12.0"),  // https://github.com/kubernetes/kubernetes/tree/v1.33.0
    row(34, "3.10.1", "3.6.4-0", "v1.12.1"), // https://github.com/kubernetes/kubernetes/tree/v1.34.0
    row(35, "3.10.1", "3.6.6-0", "v1.13.1"), // https://github.com/kubernetes/kubernetes/tree/v1.35.0
    row(36, "3.10.2", "3.6.8-0", "v1.14.2"), // https://github.com/kubernetes/kubernetes/tree/v1.36.0
    row(37, "3.10.2", "3.7.0-0", "v1.14.6"), // https://github.com/kubernetes/kubernetes/tree/v1.37.0
];

const fn row(minor: u64, pause: &'static str, etcd: &'static str, coredns: &'static str) -> Release {
    Release { minor: Minor(1, minor), pause, etcd, coredns }
}

/// The minors of [`KUBERNETES`].
pub fn kubernetes_minors() -> Vec<Minor> {
    KUBERNETES.iter().map(|release| release.minor).collect()
}

/// The row of a Kubernetes version. One that the table does not have gets the newest row that is not newer than it, else the oldest.
pub fn release(version: &Version) -> &'static Release {
    KUBERNETES.iter().rev().find(|release| release.minor <= Minor::of(version)).unwrap_or(&KUBERNETES[0])
}

/// The Calico versions that kthw installs, with the Kubernetes versions of [`KUBERNETES`] that upstream tests each with.
///
/// From <https://docs.tigera.io/archive/v3.26/getting-started/kubernetes/requirements> and the same page of v3.27 and v3.28
/// (`calico_versioned_docs/version-3.28/getting-started/kubernetes/requirements.mdx` in `github.com/tigera/docs`). The pages add
/// that newer versions of Kubernetes may work.
pub const CALICO: &[(Minor, &[Minor])] = &[
    (Minor(3, 26), &[Minor(1, 26), Minor(1, 27), Minor(1, 28)]),
    (Minor(3, 27), &[Minor(1, 26), Minor(1, 27), Minor(1, 28)]),
    (Minor(3, 28), &[Minor(1, 27), Minor(1, 28), Minor(1, 29), Minor(1, 30)]),
];

/// The Kubernetes versions that upstream tests a Calico version with; nothing for a version that kthw does not know.
pub fn calico_kubernetes(calico: Minor) -> Option<&'static [Minor]> {
    CALICO.iter().find(|(minor, _)| *minor == calico).map(|(_, kubernetes)| *kubernetes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_finds_its_row_and_a_stranger_the_nearest_older_one() {
        for (version, minor, pause) in [
            ("1.26.15", 26, "3.9"),
            ("1.30.14", 30, "3.9"),
            ("1.31.9", 31, "3.10"),
            ("1.34.1", 34, "3.10.1"),
            ("1.35.0", 35, "3.10.1"),
            ("1.36.3", 36, "3.10.2"),
            ("1.37.2", 37, "3.10.2"),
            ("1.99.0", KUBERNETES[KUBERNETES.len() - 1].minor.1, KUBERNETES[KUBERNETES.len() - 1].pause),
            ("1.3.0", 26, "3.9"),
        ] {
            let release = release(&version.parse().expect("a version"));
            assert_eq!((release.minor, release.pause), (Minor(1, minor), pause), "{version}");
        }
    }

    #[test]
    fn rows_are_one_minor_apart_and_nothing_in_them_goes_back() {
        let numbers = |tag: &str| -> Vec<u64> { tag.split(['.', '-', 'v']).filter_map(|part| part.parse().ok()).collect() };
        for pair in KUBERNETES.windows(2) {
            let (older, newer) = (&pair[0], &pair[1]);
            assert_eq!(Minor(older.minor.0, older.minor.1 + 1), newer.minor);
            for (older, newer) in [(older.pause, newer.pause), (older.etcd, newer.etcd), (older.coredns, newer.coredns)] {
                assert!(numbers(older) <= numbers(newer), "{older} {newer}");
            }
        }
    }

    #[test]
    fn calico_is_only_offered_with_versions_that_are_known() {
        let known = kubernetes_minors();
        assert!(CALICO.iter().flat_map(|(_, tested)| *tested).all(|minor| known.contains(minor)));
    }
}
