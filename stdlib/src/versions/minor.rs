//! A minor version, which is what upstream's tables are about.
use semver::Version;
use std::fmt;

/// A minor version: `1.31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// How many minor versions of the same major lie between the two.
    pub fn away(self, other: Self) -> u64 {
        self.1.abs_diff(other.1)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}
