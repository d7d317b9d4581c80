//! Kubernetes: which minors kthw speaks to, until when upstream keeps them, and the images that kubeadm runs beside Kubernetes' own.
use super::Minor;
use semver::Version;
use std::cmp::Ordering;

/// Where upstream says how Kubernetes moves: one minor version after the other, and kubelets never ahead of the API server.
pub const SKEW: &str = "https://kubernetes.io/releases/version-skew-policy/";

/// A minor version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The minor version.
    pub minor: Minor,
    /// The newest patch that this table has seen; upstream surely has newer ones.
    pub newest: u64,
    /// The last day of upstream's patches (`2027-02-28`), by <https://kubernetes.io/releases/>; `None` where that day was over when the table
    /// was written.
    pub ends: Option<&'static str>,
    /// The images beside its own, by the first patch that has them, oldest first; the first row is that of patch 0.
    pub images: &'static [(u64, Images)],
    /// The page of the release.
    pub source: &'static str,
}

/// The images that `kubeadm config images list` prints beside Kubernetes' own. A patch may move each of them; a registry of one's own has to
/// hold them. The pause image is chosen twice, by kubeadm and by containerd's configuration, and has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// Tag of `etcd`.
    pub etcd: &'static str,
    /// Tag of `coredns/coredns`.
    pub coredns: &'static str,
    /// Tag of `pause`.
    pub pause: &'static str,
}

impl Images {
    /// The version of etcd, without the number of the image's build.
    pub fn etcd_version(&self) -> Version {
        let version = self.etcd.split_once('-').map_or(self.etcd, |(version, _)| version);
        Version::parse(version).expect("the table's tags begin with a full version, which a test reads")
    }
}

const fn images(etcd: &'static str, coredns: &'static str, pause: &'static str) -> Images {
    Images { etcd, coredns, pause }
}

/// The Kubernetes versions whose kubeadm kthw speaks to, oldest first.
///
/// 1.26 to 1.28 stay known so that clusters which still run them can be read and led on; nothing proposes them for a new cluster.
///
/// The constants are in `cmd/kubeadm/app/constants/constants.go`, read in the Go modules `k8s.io/kubernetes` v1.29.6, v1.30.14, v1.31.14,
/// v1.32.13, v1.33.13, v1.34.4, v1.35.4, v1.36.3 and v1.37.2. At which patch they moved is what minikube recorded from kubeadm
/// (`pkg/minikube/constants/constants_kubeadm_images.go` in <https://github.com/kubernetes/minikube>, August 2026). Not verified: whether a
/// patch after 1.34.10, 1.35.7 or 1.36.3 moved them again.
pub const KUBERNETES: &[Release] = &[
    Release {
        minor: Minor(1, 26),
        newest: 15,
        ends: None,
        images: &[
            (0, images("3.5.6-0", "v1.9.3", "3.9")),
            (10, images("3.5.9-0", "v1.9.3", "3.9")),
            (13, images("3.5.10-0", "v1.9.3", "3.9")),
        ],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.26.15",
    },
    Release {
        minor: Minor(1, 27),
        newest: 16,
        ends: None,
        images: &[
            (0, images("3.5.7-0", "v1.10.1", "3.9")),
            (7, images("3.5.9-0", "v1.10.1", "3.9")),
            (10, images("3.5.10-0", "v1.10.1", "3.9")),
            (12, images("3.5.12-0", "v1.10.1", "3.9")),
        ],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.27.16",
    },
    Release {
        minor: Minor(1, 28),
        newest: 15,
        ends: None,
        images: &[
            (0, images("3.5.9-0", "v1.10.1", "3.9")),
            (6, images("3.5.10-0", "v1.10.1", "3.9")),
            (8, images("3.5.12-0", "v1.10.1", "3.9")),
            (14, images("3.5.15-0", "v1.10.1", "3.9")),
        ],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.28.15",
    },
    Release {
        minor: Minor(1, 29),
        newest: 15,
        ends: None,
        images: &[
            (0, images("3.5.10-0", "v1.11.1", "3.9")),
            (3, images("3.5.12-0", "v1.11.1", "3.9")),
            (9, images("3.5.15-0", "v1.11.1", "3.9")),
            (11, images("3.5.16-0", "v1.11.1", "3.9")),
        ],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.29.15",
    },
    Release {
        minor: Minor(1, 30),
        newest: 14,
        ends: None,
        images: &[(0, images("3.5.12-0", "v1.11.1", "3.9")), (5, images("3.5.15-0", "v1.11.3", "3.9"))],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.30.14",
    },
    Release {
        minor: Minor(1, 31),
        newest: 14,
        ends: None,
        images: &[
            (0, images("3.5.15-0", "v1.11.1", "3.10")),
            (1, images("3.5.15-0", "v1.11.3", "3.10")),
            (14, images("3.5.24-0", "v1.11.3", "3.10")),
        ],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.31.14",
    },
    Release {
        minor: Minor(1, 32),
        newest: 13,
        ends: None,
        images: &[(0, images("3.5.16-0", "v1.11.3", "3.10")), (10, images("3.5.24-0", "v1.11.3", "3.10"))],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.32.13",
    },
    Release {
        minor: Minor(1, 33),
        newest: 13,
        ends: None,
        images: &[(0, images("3.5.21-0", "v1.12.0", "3.10")), (6, images("3.5.24-0", "v1.12.0", "3.10"))],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.33.13",
    },
    Release {
        minor: Minor(1, 34),
        newest: 10,
        ends: None,
        images: &[(0, images("3.6.4-0", "v1.12.1", "3.10.1")), (2, images("3.6.5-0", "v1.12.1", "3.10.1"))],
        source: "https://github.com/kubernetes/kubernetes/tree/v1.34.10",
    },
    Release {
        minor: Minor(1, 35),
        newest: 9,
        ends: Some("2027-02-28"),
        images: &[(0, images("3.6.6-0", "v1.13.1", "3.10.1"))],
        source: "https://kubernetes.io/releases/1.35/",
    },
    Release {
        minor: Minor(1, 36),
        newest: 3,
        ends: Some("2027-06-28"),
        images: &[(0, images("3.6.8-0", "v1.14.2", "3.10.2"))],
        source: "https://kubernetes.io/releases/1.36/",
    },
    Release {
        minor: Minor(1, 37),
        newest: 2,
        ends: Some("2027-10-28"),
        images: &[(0, images("3.7.0-0", "v1.14.6", "3.10.2"))],
        source: "https://kubernetes.io/releases/1.37/",
    },
];

impl Release {
    /// The newest patch, as a version.
    pub fn newest(&self) -> Version {
        Version::new(self.minor.0, self.minor.1, self.newest)
    }

    /// The images of one patch of it.
    pub fn images_of(&self, patch: u64) -> Images {
        let row = self.images.iter().rev().find(|(since, _)| *since <= patch).or_else(|| self.images.first());
        row.expect("every release has a row of images, which a test counts").1
    }
}

/// The minors of [`KUBERNETES`].
pub fn minors() -> Vec<Minor> {
    KUBERNETES.iter().map(|release| release.minor).collect()
}

/// The row of a minor version.
pub fn known(minor: Minor) -> Option<&'static Release> {
    KUBERNETES.iter().find(|release| release.minor == minor)
}

/// The images of a Kubernetes version. A minor that the table does not have gets those of the nearest patch that it has.
pub fn images_of(version: &Version) -> Images {
    let minor = Minor::of(version);
    let row = KUBERNETES.iter().rev().find(|release| release.minor <= minor).unwrap_or(&KUBERNETES[0]);
    row.images_of(match row.minor.cmp(&minor) {
        Ordering::Less => row.newest,
        Ordering::Equal => version.patch,
        Ordering::Greater => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images_at(version: &str) -> (String, &'static str, &'static str) {
        let images = images_of(&version.parse().expect("a version"));
        (images.etcd_version().to_string(), images.coredns, images.pause)
    }

    /// One line for each row, and one beside each edge.
    #[test]
    fn every_patch_has_the_images_that_its_kubeadm_prints() {
        for (version, etcd, coredns, pause) in [
            ("1.26.9", "3.5.6", "v1.9.3", "3.9"),
            ("1.26.10", "3.5.9", "v1.9.3", "3.9"),
            ("1.26.15", "3.5.10", "v1.9.3", "3.9"),
            ("1.27.6", "3.5.7", "v1.10.1", "3.9"),
            ("1.27.9", "3.5.9", "v1.10.1", "3.9"),
            ("1.27.11", "3.5.10", "v1.10.1", "3.9"),
            ("1.27.16", "3.5.12", "v1.10.1", "3.9"),
            ("1.28.5", "3.5.9", "v1.10.1", "3.9"),
            ("1.28.7", "3.5.10", "v1.10.1", "3.9"),
            ("1.28.13", "3.5.12", "v1.10.1", "3.9"),
            ("1.28.15", "3.5.15", "v1.10.1", "3.9"),
            ("1.29.2", "3.5.10", "v1.11.1", "3.9"),
            ("1.29.8", "3.5.12", "v1.11.1", "3.9"),
            ("1.29.10", "3.5.15", "v1.11.1", "3.9"),
            ("1.29.15", "3.5.16", "v1.11.1", "3.9"),
            ("1.30.4", "3.5.12", "v1.11.1", "3.9"),
            ("1.30.14", "3.5.15", "v1.11.3", "3.9"),
            ("1.31.0", "3.5.15", "v1.11.1", "3.10"),
            ("1.31.13", "3.5.15", "v1.11.3", "3.10"),
            ("1.31.14", "3.5.24", "v1.11.3", "3.10"),
            ("1.32.9", "3.5.16", "v1.11.3", "3.10"),
            ("1.32.13", "3.5.24", "v1.11.3", "3.10"),
            ("1.33.5", "3.5.21", "v1.12.0", "3.10"),
            ("1.33.13", "3.5.24", "v1.12.0", "3.10"),
            ("1.34.1", "3.6.4", "v1.12.1", "3.10.1"),
            ("1.34.4", "3.6.5", "v1.12.1", "3.10.1"),
            ("1.35.4", "3.6.6", "v1.13.1", "3.10.1"),
            ("1.36.3", "3.6.8", "v1.14.2", "3.10.2"),
            ("1.37.2", "3.7.0", "v1.14.6", "3.10.2"),
            // Strangers get the nearest older row.
            ("1.99.0", "3.7.0", "v1.14.6", "3.10.2"),
            ("1.3.0", "3.5.6", "v1.9.3", "3.9"),
        ] {
            assert_eq!(images_at(version), (etcd.to_owned(), coredns, pause), "{version}");
        }
    }

    #[test]
    fn rows_are_one_minor_apart_and_nothing_in_them_goes_back() {
        let numbers = |tag: &str| -> Vec<u64> { tag.split(['.', '-', 'v']).filter_map(|part| part.parse().ok()).collect() };
        let ordered = |older: &Images, newer: &Images| {
            for (older, newer) in [(older.pause, newer.pause), (older.etcd, newer.etcd), (older.coredns, newer.coredns)] {
                assert!(numbers(older) <= numbers(newer), "{older} {newer}");
            }
        };
        for pair in KUBERNETES.windows(2) {
            assert_eq!(Minor(pair[0].minor.0, pair[0].minor.1 + 1), pair[1].minor);
            // The first row of a minor was made before the last one of the minor before it, so only first rows are in order.
            ordered(&pair[0].images[0].1, &pair[1].images[0].1);
        }
        for release in KUBERNETES {
            assert_eq!(release.images[0].0, 0, "{}", release.minor);
            assert!(release.images.last().is_some_and(|(since, _)| *since <= release.newest), "{}", release.minor);
            release.images.windows(2).for_each(|pair| ordered(&pair[0].1, &pair[1].1));
            assert!(release.source.starts_with("https://"));
        }
    }
}
