//! Versions in YAML: full, with or without upstream's leading `v`; and all of a workspace as one set.
use super::{NoCluster, Workspace};
use crate::{
    distribution::release,
    versions::{Component, Set, systems},
};
use semver::Version;
use serde::{Deserialize, Deserializer, de::Error};

/// Reads `1.31.9` or `v1.31.9`.
///
/// # Errors
/// When a part is missing: `1.31` says nothing about what is installed.
pub(super) fn full<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bare = text.strip_prefix('v').unwrap_or(&text);
    match Version::parse(bare) {
        Ok(version) => Ok(version),
        Err(_) if bare.split('.').count() < 3 => Err(D::Error::custom(format!("`{text}` is not a full version"))),
        Err(error) => Err(D::Error::custom(format!("`{text}` is not a version: {error}"))),
    }
}

impl Workspace {
    /// The versions that the workspace says, as a set that the rules are about.
    ///
    /// # Errors
    /// [`NoCluster`] for an edge.
    pub fn version_set(&self) -> Result<Set, NoCluster> {
        let versions = self.versions()?;
        let set = Set::new(versions.kubernetes.clone()).with(Component::Calico, versions.calico.clone());
        let set = self.metallb.iter().fold(set, |set, metallb| set.with(Component::MetalLb, metallb.version.clone()));
        Ok(set.on(systems::by_id(&release(self).id())))
    }
}
