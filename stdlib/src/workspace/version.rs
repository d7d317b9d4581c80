//! Versions in YAML: full, with or without upstream's leading `v`; and all of a workspace as one set.
use super::{NoCluster, Workspace};
use crate::{
    distribution::release,
    versions::{Component, Set, systems},
};
use semver::Version;
use serde::{Deserialize, Deserializer, de::Error};
use std::collections::BTreeMap;

/// Reads `1.31.9` or `v1.31.9`.
///
/// # Errors
/// When a part is missing: `1.31` says nothing about what is installed.
pub(super) fn full<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    read(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads such versions by their names.
///
/// # Errors
/// As [`full`].
pub(super) fn full_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Version>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    texts.into_iter().map(|(name, text)| Ok((name, read(&text).map_err(D::Error::custom)?))).collect()
}

fn read(text: &str) -> Result<Version, String> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    Version::parse(bare).map_err(|error| match bare.split('.').count() {
        0..3 => format!("`{text}` is not a full version"),
        _ => format!("`{text}` is not a version: {error}"),
    })
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
        let named = [(Component::CertManager, "cert-manager"), (Component::MetricsServer, "metrics-server")];
        let named = named.into_iter().filter_map(|(component, name)| Some((component, self.add_ons.get(name)?.clone())));
        let set = named.fold(set, |set, (component, version)| set.with(component, version));
        Ok(set.on(systems::by_id(&release(self).id())))
    }
}
