//! The packages of a workspace's nodes: which the recipes that ship ask for, and what of the workspace's repositories a bundle has to hold for them.
use super::{
    Cache, RepositoryRow,
    apt::{self, Missing, Wanted, closure},
};
use crate::{
    distribution::release,
    kubeadm::{package_version, repository},
    seams::Http,
    workspace::{Repository, Workspace},
};
use kthw_engine::{Error, Result};

/// Kubernetes' own packages, of one version.
const OF_KUBERNETES: [&str; 3] = ["kubelet", "kubectl", "kubeadm"];

/// What the recipes that ship install on nodes of this workspace, by `ssh::package`.
pub fn wanted_packages(workspace: &Workspace) -> Vec<Wanted> {
    let release = release(workspace);
    let time = (!workspace.network.ntp.is_empty()).then_some(release.time.package);
    let updates = workspace.updates.and_then(|updates| workspace.distribution.family().automatic_updates(updates).package);
    let newest = |name: &str| Wanted { name: name.into(), version: None };
    let of_cluster = workspace.versions.iter().flat_map(|versions| {
        let of_release = release.packages.iter().chain(release.module_packages).map(|name| newest(name));
        let containerd = Wanted { name: workspace.containerd.package.clone(), version: workspace.packages.containerd.clone() };
        let version = package_version(workspace, &versions.kubernetes);
        let kubernetes = OF_KUBERNETES.map(|name| Wanted { name: name.into(), version: Some(version.clone()) });
        of_release.chain([containerd]).chain(kubernetes)
    });
    time.into_iter().chain(updates).map(newest).chain(of_cluster).collect()
}

/// Whether packages for this workspace's nodes can be put into a bundle.
pub fn has_packages(workspace: &Workspace) -> bool {
    workspace.distribution.family().name() == "apt"
}

/// What a bundle says of packages.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) repositories: Vec<RepositoryRow>,
    /// What no repository of the workspace has.
    pub(super) own: Vec<String>,
}

/// Fetches the packages that nodes need, `more` among them.
///
/// # Errors
/// What cannot be had, is not what its index says, or is in no repository although the workspace names the distribution's.
pub(super) async fn gather(
    workspace: &Workspace,
    more: &[String],
    http: &dyn Http,
    cache: &Cache,
    tell: &dyn Fn(&str),
) -> Result<Gathered> {
    let more = more.iter().map(|name| Wanted { name: name.clone(), version: None });
    let wanted: Vec<Wanted> = wanted_packages(workspace).into_iter().chain(more).collect();
    if !has_packages(workspace) {
        return Ok(Gathered { own: wanted.into_iter().map(|one| one.name).collect(), ..Gathered::default() });
    }
    let (mut rows, mut packages) = (Vec::new(), Vec::new());
    for (name, one) in repositories(workspace) {
        tell(&format!("the index of {}", one.url));
        let mut opened = apt::open(http, cache, &name, &one).await?;
        packages.push(std::mem::take(&mut opened.packages));
        rows.push(opened);
    }
    let found = closure(&packages, &wanted);
    let (own, missing): (Vec<_>, Vec<_>) = found.missing.into_iter().partition(|one| is_left_to_nodes(workspace, one));
    if !missing.is_empty() {
        return Err(Error::usage(NotThere { missing: missing.iter().map(in_words).collect() }));
    }
    for (at, package) in found.taken.into_values() {
        rows[at].fetch(http, cache, package, tell).await?;
    }
    let repositories = rows.into_iter().map(|opened| {
        let mut row = opened.row;
        row.files.sort();
        row
    });
    let mut own: Vec<String> = own.into_iter().map(|one| one.what).collect();
    own.dedup();
    Ok(Gathered { repositories: repositories.collect(), own })
}

/// The repositories of a workspace, by the names that they have on nodes, in the order in which apt reads their files.
fn repositories(workspace: &Workspace) -> Vec<(String, Repository)> {
    let packages = &workspace.packages;
    let containerd = packages.containerd_repository.iter().map(|one| ("containerd".to_owned(), one.clone()));
    let distribution = packages.distribution.iter().enumerate().map(|(at, one)| (format!("distribution-{}", at + 1), one.clone()));
    let kubernetes = workspace.versions.iter().map(|versions| ("kubernetes".to_owned(), repository(workspace, &versions.kubernetes)));
    containerd.chain(distribution).chain(kubernetes).collect()
}

/// What only the distribution can have is its own sources' affair, where the workspace does not name its repositories.
fn is_left_to_nodes(workspace: &Workspace, missing: &Missing) -> bool {
    let packages = &workspace.packages;
    let name = missing.what.split(' ').next().unwrap_or_default();
    let of_ours = OF_KUBERNETES.contains(&name) || (name == workspace.containerd.package && packages.containerd_repository.is_some());
    packages.distribution.is_empty() && !(missing.by.is_none() && of_ours)
}

fn in_words(missing: &Missing) -> String {
    let by = missing.by.as_ref().map_or_else(String::new, |by| format!(", which {by} needs"));
    let there = if missing.there.is_empty() { String::new() } else { format!("; there are {}", missing.there.join(", ")) };
    format!("{}{by}{there}", missing.what)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no repository of the workspace has {}", missing.join("\nnor "))]
#[diagnostic(
    code(kthw::bundle::no_package),
    help(
        "the packages come from `packages.kubernetes`, `packages.containerd_repository` and `packages.distribution`; does one of them lack a suite or a component?"
    )
)]
struct NotThere {
    missing: Vec<String>,
}
