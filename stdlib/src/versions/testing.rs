//! Short ways to write sets down in tests.
use super::{Component, Set};

/// A set of these versions.
pub fn set(kubernetes: &str, parts: &[(Component, &str)]) -> Set {
    parts.iter().fold(Set::new(kubernetes.parse().expect("a version")), |set, (component, version)| {
        set.with(*component, version.parse().expect("a version"))
    })
}
