//! A line of releases, and what it needs of Kubernetes.
use super::Minor;
use semver::Version;

/// Releases of one component that upstream keeps compatible with each other, and what they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The minor version; of a chart its major version, with 0 behind it.
    pub line: Minor,
    /// The newest release that this table has seen; upstream may have newer ones.
    pub newest: (u64, u64, u64),
    /// What it needs of Kubernetes.
    pub needs: Needs,
    /// The last day of upstream's support (`2027-02-28`), where upstream names one.
    pub ends: Option<&'static str>,
    /// The page that says so.
    pub source: &'static str,
}

/// What a line needs of Kubernetes. Minors are those of Kubernetes 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Upstream tests it with these, both included.
    Tested(u64, u64),
    /// Upstream supports it from this one on.
    Since(u64),
    /// The other way round: upstream names a release for each Kubernetes version (`containerd.rs`).
    Floors,
    /// Upstream publishes no list, or it could not be read: nothing is refused because of it. The text says what is known instead.
    Unpublished(&'static str),
}

impl Needs {
    /// How many minors `kubernetes` is away from what is needed; 0 when it is inside.
    pub fn outside(self, kubernetes: Minor) -> u64 {
        match self {
            Self::Tested(from, to) => from.saturating_sub(kubernetes.1) + kubernetes.1.saturating_sub(to),
            Self::Since(from) => from.saturating_sub(kubernetes.1),
            Self::Floors | Self::Unpublished(_) => 0,
        }
    }

    /// `1.27 to 1.30`, `1.31 and later`, or what is known instead.
    pub fn in_words(self) -> String {
        match self {
            Self::Tested(from, to) if from == to => format!("1.{from}"),
            Self::Tested(from, to) => format!("1.{from} to 1.{to}"),
            Self::Since(from) => format!("1.{from} and later"),
            Self::Floors => "by Kubernetes version".into(),
            Self::Unpublished(known) => known.into(),
        }
    }
}

impl Line {
    /// The newest release, as a version.
    pub fn newest(&self) -> Version {
        Version::new(self.newest.0, self.newest.1, self.newest.2)
    }
}
