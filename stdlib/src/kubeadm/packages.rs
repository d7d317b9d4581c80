//! Which packages and which pause image belong to a Kubernetes version, and where they come from.
use crate::{
    ssh::InUse,
    versions,
    workspace::{Repository, SigningKey, Workspace},
};
use semver::Version;

/// The registry of Kubernetes' images when the workspace names none.
const REGISTRY: &str = "registry.k8s.io";

/// The registry of Kubernetes' images.
pub fn registry(workspace: &Workspace) -> &str {
    workspace.kubeadm.image_repository.as_deref().unwrap_or(REGISTRY)
}

/// The fingerprint of the key that signs every minor version of `pkgs.k8s.io`.
pub const COMMUNITY_KEY: &str = "DE15B14486CD377B9E876E1A234654DA9A296436";

/// The digest of its text.
pub const COMMUNITY_KEY_SHA256: &str = "7627818cf7bae52f9008c93e8b1f961f53dea11d40891778de216fb1b43be54d";

/// The last day of that key.
pub const COMMUNITY_KEY_ENDS: jiff::civil::Date = jiff::civil::date(2026, 12, 29);

/// The pause image, which the kubelet and containerd must agree on.
pub fn pause_image(workspace: &Workspace, kubernetes: &Version) -> String {
    let images = versions::kubernetes::images_of(kubernetes);
    format!("{}/pause:{}", registry(workspace), images.pause)
}

/// The version of kubelet, kubeadm and kubectl as the distribution's package manager spells it.
pub fn package_version(workspace: &Workspace, kubernetes: &Version) -> String {
    let revision = workspace.packages.kubernetes_revision.as_deref();
    workspace.distribution.family().kubernetes_version(kubernetes, revision)
}

/// The kubelet, which is in use on a node that has joined: what belongs to this version is not changed under another.
pub fn kubelet_in_use(workspace: &Workspace, kubernetes: &Version) -> InUse {
    InUse { package: "kubelet".into(), version: package_version(workspace, kubernetes), once: "/etc/kubernetes/kubelet.conf".into() }
}

/// The repository of those packages: the workspace's, else the community's for this minor version.
pub fn repository(workspace: &Workspace, kubernetes: &Version) -> Repository {
    workspace.packages.kubernetes.clone().unwrap_or_else(|| {
        let minor = format!("https://pkgs.k8s.io/core:/stable:/v{}.{}", kubernetes.major, kubernetes.minor);
        let format = workspace.distribution.family().kubernetes_folder();
        let known = || {
            let url = Some(format!("{minor}/deb/Release.key"));
            vec![SigningKey { key: None, url, sha256: Some(COMMUNITY_KEY_SHA256.into()) }]
        };
        let named = &workspace.packages.kubernetes_keys;
        Repository {
            url: format!("{minor}/{format}/"),
            key: None,
            key_url: None,
            key_sha256: None,
            keys: if named.is_empty() { known() } else { named.clone() },
            signed_index: true,
            suite: None,
            components: Vec::new(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::config_tests::workspace, *};

    /// What a workspace of this version, with these further fields, gets.
    fn of<T>(version: &str, more: &str, what: impl Fn(&Workspace, &Version) -> T) -> T {
        what(&workspace(version, more), &version.parse().expect("a version"))
    }

    #[test]
    fn the_pause_image_follows_the_version() {
        for (version, image) in [
            ("1.26.15", "registry.k8s.io/pause:3.9"),
            ("1.31.9", "registry.k8s.io/pause:3.10"),
            ("1.34.1", "registry.k8s.io/pause:3.10.1"),
            ("1.37.2", "registry.k8s.io/pause:3.10.2"),
        ] {
            assert_eq!(of(version, "", pause_image), image);
        }
        assert_eq!(of("1.31.9", "kubeadm: {image_repository: 'r.lab:5000/k8s'}\n", pause_image), "r.lab:5000/k8s/pause:3.10");
    }

    #[test]
    fn packages_are_named_as_the_distribution_does() {
        assert_eq!(of("1.31.9", "", package_version), "1.31.9-1.1");
        assert_eq!(of("1.36.3", "packages: {kubernetes_revision: '2.1'}\n", package_version), "1.36.3-2.1");
    }

    #[test]
    fn the_repository_is_the_communitys_unless_the_workspace_has_one() {
        let own = "packages: {kubernetes: {url: 'http://mirror.lab/', key: KEY}}\n";
        assert_eq!(of("1.31.9", own, repository).url, "http://mirror.lab/");
        let community = of("1.31.9", "", repository);
        assert_eq!(community.url, "https://pkgs.k8s.io/core:/stable:/v1.31/deb/");
        assert_eq!(community.keys[0].url.as_deref(), Some("https://pkgs.k8s.io/core:/stable:/v1.31/deb/Release.key"));
        let keys = "packages: {kubernetes_keys: [{key: NEXT}]}\n";
        let community = of("1.31.9", keys, repository);
        assert_eq!((community.keys.len(), community.keys[0].key.as_deref()), (1, Some("NEXT")), "in place of the one that is known");
    }
}
