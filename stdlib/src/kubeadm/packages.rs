//! Which packages and which pause image belong to a Kubernetes version, and where they come from.
use crate::workspace::{Distribution, Repository, Workspace};

/// The pause image of each minor version, as kubeadm's own constants have it: from this minor on, this tag.
const PAUSE: &[(u64, &str)] =
    &[(20, "3.2"), (21, "3.4.1"), (22, "3.5"), (23, "3.6"), (24, "3.7"), (25, "3.8"), (26, "3.9"), (31, "3.10"), (34, "3.10.1")];

/// The digest of the key that signs every minor version of `pkgs.k8s.io`: fingerprint DE15B14486CD377B9E876E1A234654DA9A296436,
/// valid until 2026-12-29.
const COMMUNITY_KEY_SHA256: &str = "7627818cf7bae52f9008c93e8b1f961f53dea11d40891778de216fb1b43be54d";

/// The pause image, which the kubelet and containerd must agree on.
pub fn pause_image(workspace: &Workspace) -> String {
    let version = &workspace.versions.kubernetes;
    let tag = PAUSE.iter().rev().find(|(from, _)| version.minor >= *from).map_or(PAUSE[0].1, |(_, tag)| tag);
    let registry = workspace.kubeadm.image_repository.as_deref();
    format!("{}/pause:{tag}", registry.unwrap_or_else(|| default_registry(version)))
}

/// kubeadm moved to the community's registry in 1.25.
fn default_registry(version: &semver::Version) -> &'static str {
    if version.minor < 25 { "k8s.gcr.io" } else { "registry.k8s.io" }
}

/// The version of kubelet, kubeadm and kubectl as the distribution's package manager spells it.
pub fn package_version(workspace: &Workspace) -> String {
    let version = &workspace.versions.kubernetes;
    match (workspace.distribution, workspace.packages.kubernetes_revision.as_deref()) {
        (_, Some(revision)) => format!("{version}-{revision}"),
        (Distribution::Ubuntu | Distribution::Debian, None) => format!("{version}-1.1"),
        (Distribution::Rocky | Distribution::Suse, None) => version.to_string(),
    }
}

/// The repository of those packages: the workspace's, else the community's for this minor version.
pub fn repository(workspace: &Workspace) -> Repository {
    workspace.packages.kubernetes.clone().unwrap_or_else(|| {
        let version = &workspace.versions.kubernetes;
        let minor = format!("https://pkgs.k8s.io/core:/stable:/v{}.{}", version.major, version.minor);
        let format = match workspace.distribution {
            Distribution::Ubuntu | Distribution::Debian => "deb",
            Distribution::Rocky | Distribution::Suse => "rpm",
        };
        Repository {
            url: format!("{minor}/{format}/"),
            key: None,
            key_url: Some(format!("{minor}/deb/Release.key")),
            key_sha256: Some(COMMUNITY_KEY_SHA256.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::config_tests::workspace, *};

    #[test]
    fn the_pause_image_follows_the_version() {
        for (version, image) in [
            ("1.20.2", "k8s.gcr.io/pause:3.2"),
            ("1.24.17", "k8s.gcr.io/pause:3.7"),
            ("1.25.16", "registry.k8s.io/pause:3.8"),
            ("1.30.6", "registry.k8s.io/pause:3.9"),
            ("1.31.9", "registry.k8s.io/pause:3.10"),
            ("1.34.1", "registry.k8s.io/pause:3.10.1"),
        ] {
            assert_eq!(pause_image(&workspace(version, "")), image);
        }
        assert_eq!(pause_image(&workspace("1.31.9", "kubeadm: {image_repository: 'r.lab:5000/k8s'}\n")), "r.lab:5000/k8s/pause:3.10");
    }

    #[test]
    fn packages_are_named_as_the_distribution_does() {
        assert_eq!(package_version(&workspace("1.31.9", "")), "1.31.9-1.1");
        assert_eq!(package_version(&workspace("1.20.2", "packages: {kubernetes_revision: '00'}\n")), "1.20.2-00");
    }

    #[test]
    fn the_repository_is_the_communitys_unless_the_workspace_has_one() {
        let own = "packages: {kubernetes: {url: 'http://mirror.lab/', key: KEY}}\n";
        assert_eq!(repository(&workspace("1.31.9", own)).url, "http://mirror.lab/");
        let community = repository(&workspace("1.31.9", ""));
        assert_eq!(community.url, "https://pkgs.k8s.io/core:/stable:/v1.31/deb/");
        assert_eq!(community.key_url.as_deref(), Some("https://pkgs.k8s.io/core:/stable:/v1.31/deb/Release.key"));
    }
}
