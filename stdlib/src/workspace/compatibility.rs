//! Which versions kthw knows, and which of them upstream tests with each other.
use semver::Version;
use std::fmt;

/// A minor version: `1.31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The Kubernetes versions whose kubeadm kthw speaks to. 1.20 is here for air-gapped test peers; no Calico here fits it, so it
/// always needs `versions.unsupported`. Oldest first.
pub const KUBERNETES: &[Minor] = &[
    Minor(1, 20),
    Minor(1, 26),
    Minor(1, 27),
    Minor(1, 28),
    Minor(1, 29),
    Minor(1, 30),
    Minor(1, 31),
    Minor(1, 32),
    Minor(1, 33),
    Minor(1, 34),
];

/// The Calico versions that kthw installs, with the Kubernetes versions that upstream tests each with.
///
/// From <https://docs.tigera.io/archive/v3.26/getting-started/kubernetes/requirements> and the same page of v3.27 and v3.28
/// (`calico_versioned_docs/version-3.28/getting-started/kubernetes/requirements.mdx` in `github.com/tigera/docs`). The pages add
/// that Kubernetes 1.20 and older do not work, and that newer versions may.
pub const CALICO: &[(Minor, &[Minor])] = &[
    (Minor(3, 26), &[Minor(1, 24), Minor(1, 25), Minor(1, 26), Minor(1, 27), Minor(1, 28)]),
    (Minor(3, 27), &[Minor(1, 24), Minor(1, 25), Minor(1, 26), Minor(1, 27), Minor(1, 28)]),
    (Minor(3, 28), &[Minor(1, 27), Minor(1, 28), Minor(1, 29), Minor(1, 30)]),
];

/// The Kubernetes versions that upstream tests a Calico version with; nothing for a version that kthw does not know.
pub fn calico_kubernetes(calico: Minor) -> Option<&'static [Minor]> {
    CALICO.iter().find(|(minor, _)| *minor == calico).map(|(_, kubernetes)| *kubernetes)
}
