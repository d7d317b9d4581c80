//! What a package manager knows to exist: made from the repositories that a machine's files name.
use super::super::{machine::Machine, personality};
use super::{apt_lists, rpm};
use std::collections::BTreeMap;

/// A repository that a file of the machine names.
#[derive(Debug)]
pub(super) struct Source {
    /// That file.
    pub file: String,
    /// Its URL.
    pub url: String,
    /// The files of the keys that may sign it.
    pub keys: Vec<String>,
}

/// Packages of the Kubernetes repository besides the three of its version.
const KUBERNETES_EXTRAS: &[(&str, &str)] = &[("cri-tools", "1.31.1"), ("kubernetes-cni", "1.5.1")];
/// The versions of containerd in Docker's repositories.
const DOCKER: [&str; 3] = ["1.7.28-1", "2.2.1-1", "2.4.2-1"];
/// The newest patch release in the lab of every minor version.
const NEWEST_PATCH: u32 = 14;

/// Brings the lists up to date from the sources on the machine, without looking at signatures.
/// Only from one file, and beside what is known already, when that is named.
pub(crate) fn update_lists(machine: &mut Machine, only: Option<&str>) {
    let mut catalog: BTreeMap<String, Vec<String>> = if only.is_some() { machine.catalog.clone() } else { BTreeMap::new() };
    let system = personality(&machine.os);
    let sources = if system.package_manager() == "apt" { apt_lists::sources(machine) } else { rpm::sources(machine) };
    for Source { url, .. } in sources.into_iter().filter(|source| only.is_none_or(|only| only == source.file)) {
        if let Some(rest) = url.split("/core:/stable:/v").nth(1) {
            let minor = rest.split('/').next().unwrap_or_default();
            let revision = if rest.ends_with("/deb/") { "1.1" } else { "150500.1.1" };
            for name in ["kubelet", "kubeadm", "kubectl"] {
                let versions = (0..=NEWEST_PATCH).map(|patch| format!("{minor}.{patch}-{revision}"));
                catalog.insert(name.into(), versions.collect());
            }
            catalog.extend(KUBERNETES_EXTRAS.iter().map(|(name, version)| ((*name).to_owned(), vec![format!("{version}-{revision}")])));
        } else if url.contains("download.docker.com/") {
            let build = match system.release.id().as_str() {
                "ubuntu-24.04" => "~ubuntu.24.04~noble".to_owned(),
                _ if system.package_manager() == "apt" => format!("~debian.{}", system.release.version),
                _ => format!(".el{}", system.release.version),
            };
            catalog.insert("containerd.io".into(), DOCKER.iter().map(|version| format!("{version}{build}")).collect());
        } else if url == system.release.archive {
            let offered = system.archive.iter().filter(|(_, versions)| !versions.is_empty());
            let owned = |versions: &[&str]| versions.iter().map(|version| (*version).to_owned()).collect();
            catalog.extend(offered.map(|(name, versions)| ((*name).to_owned(), owned(versions))));
        } else {
            // What somebody's own repository holds is not known; it has whatever version is asked for.
            for name in ["kubelet", "kubeadm", "kubectl", "cri-tools", "kubernetes-cni"] {
                catalog.entry(name.into()).or_insert_with(|| vec!["*".into()]);
            }
        }
    }
    for (name, package) in &machine.packages {
        catalog.entry(name.clone()).or_insert_with(|| vec![package.version.clone()]);
    }
    for (name, (version, _)) in &machine.updates {
        let known = catalog.entry(name.clone()).or_default();
        if !known.contains(version) {
            known.push(version.clone());
        }
    }
    machine.catalog = catalog;
}

/// Packages that are installed, not held, and offered in a newer version: name, both versions, and whether that is for security.
pub(super) fn pending(machine: &Machine) -> Vec<(String, String, String, bool)> {
    let one = |(name, (to, security)): (&String, &(String, bool))| {
        let package = machine.packages.get(name).filter(|package| !package.held && package.version != *to)?;
        let is_known = machine.catalog.get(name).is_some_and(|versions| versions.contains(to));
        is_known.then(|| (name.clone(), package.version.clone(), to.clone(), *security))
    };
    machine.updates.iter().filter_map(one).collect()
}
