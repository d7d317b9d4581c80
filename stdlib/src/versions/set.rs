//! The versions of one cluster, as a set.
use super::{Component, System, kubernetes};
use semver::Version;
use std::{collections::BTreeMap, fmt};

/// The components of a cluster with their versions. What is not named is not there, or nobody knows it: no rule looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    versions: BTreeMap<Component, Version>,
    /// The release of the operating system on its nodes.
    pub system: Option<&'static System>,
}

impl Set {
    /// A cluster of which nothing but its Kubernetes version is known.
    pub fn new(kubernetes: Version) -> Self {
        Self { versions: BTreeMap::from([(Component::Kubernetes, kubernetes)]), system: None }
    }

    /// The same with one more component, or with another version of one.
    #[must_use]
    pub fn with(mut self, component: Component, version: Version) -> Self {
        self.versions.insert(component, version);
        self
    }

    /// The same on nodes with this operating system.
    #[must_use]
    pub fn on(mut self, system: Option<&'static System>) -> Self {
        self.system = system;
        self
    }

    /// The Kubernetes version.
    pub fn kubernetes(&self) -> &Version {
        &self.versions[&Component::Kubernetes]
    }

    /// The version of a component, if it is named.
    pub fn get(&self, component: Component) -> Option<&Version> {
        self.versions.get(&component)
    }

    /// The named components, Kubernetes first.
    pub fn iter(&self) -> impl Iterator<Item = (Component, &Version)> {
        self.versions.iter().map(|(component, version)| (*component, version))
    }

    /// The etcd of this set: the one that is named, else the one that kubeadm runs with its Kubernetes version.
    pub fn etcd(&self) -> Version {
        self.get(Component::Etcd).cloned().unwrap_or_else(|| kubernetes::images_of(self.kubernetes()).etcd_version())
    }

    /// What differs from `other`, as `Calico 3.28.0 -> 3.29.7`; components that only one of them names are left out.
    pub fn moves_from(&self, other: &Self) -> Vec<String> {
        let both = self.iter().filter_map(|(component, version)| Some((component, other.get(component)?, version)));
        both.filter(|(_, old, new)| old != new).map(|(component, old, new)| format!("{component} {old} -> {new}")).collect()
    }
}

/// `Kubernetes 1.31.9, Calico 3.28.0`.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.iter().map(|(component, version)| format!("{component} {version}")).collect();
        f.write_str(&words.join(", "))?;
        self.system.map_or(Ok(()), |system| write!(f, " on {}", system.id))
    }
}
