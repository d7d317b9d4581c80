//! The releases that kthw knows, one entry each: what Kubernetes has to know of an operating system besides its package manager.
use crate::workspace::Distribution::{self, Debian, Rocky, Suse, Ubuntu};

/// One release of a distribution.
#[derive(Debug)]
pub struct Release {
    /// The distribution that it belongs to.
    pub distribution: Distribution,
    /// Its version, as `/etc/os-release` has it in `VERSION_ID`, without a minor where images are made per major.
    pub version: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Whether its makers look after it.
    pub support: Support,
    /// The template that cloud-init writes `/etc/hosts` from at every start (`hosts.FAMILY.tmpl` of its `templates/`).
    pub hosts_template: &'static str,
    /// What kubeadm's preflight looks for and the kubelet calls, by the names of its packages.
    pub packages: &'static [&'static str],
    /// Packages with kernel modules that the image lacks.
    pub module_packages: &'static [&'static str],
    /// Its own package of containerd; none where it has none.
    pub containerd: Option<&'static str>,
    /// Who configures its network.
    pub network: Network,
    /// The security module that is on in its image.
    pub security: Security,
    /// The service that would filter the cluster's packets, where the image or a package of it brings one.
    pub firewall: Option<&'static str>,
    /// The service that keeps its clock.
    pub time: &'static str,
    /// The user that its cloud image makes when nobody names one.
    pub user: &'static str,
    /// Whether the cloud image has the QEMU guest agent.
    pub has_guest_agent: bool,
    /// The oldest processor that it is built for: the number in `x86-64-vN`.
    pub cpu_level: u8,
}

/// Whether a release is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It gets security updates.
    Supported,
    /// It gets them, and kthw has not been tried on it long.
    Preview,
    /// It has not got any since this day; it is known so that clusters on it can be moved.
    Ended(&'static str),
}

/// Who configures a machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// systemd-networkd, through netplan.
    Networkd,
    /// NetworkManager, which has to leave Calico's interfaces alone.
    NetworkManager,
    /// wicked.
    Wicked,
}

/// The security module that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// AppArmor.
    AppArmor,
    /// SELinux, enforcing.
    SeLinux,
}

const DEB_PACKAGES: &[&str] = &["conntrack", "socat", "ethtool"];
/// `iproute-tc` has `tc`, which kubeadm looks for.
const ROCKY_PACKAGES: &[&str] = &["conntrack-tools", "socat", "ethtool", "iproute-tc", "container-selinux"];
const SUSE_PACKAGES: &[&str] = &["conntrack-tools", "socat", "ethtool"];

const UBUNTU: Release = Release {
    distribution: Ubuntu,
    version: "24.04",
    title: "Ubuntu 24.04 LTS",
    support: Support::Supported,
    hosts_template: "/etc/cloud/templates/hosts.debian.tmpl",
    packages: DEB_PACKAGES,
    module_packages: &[],
    containerd: Some("containerd"),
    network: Network::Networkd,
    security: Security::AppArmor,
    firewall: None, // ufw is there and inactive
    time: "systemd-timesyncd",
    user: "ubuntu",
    has_guest_agent: false,
    cpu_level: 1,
};

const DEBIAN: Release = Release {
    distribution: Debian,
    version: "12",
    title: "Debian 12 (bookworm)",
    containerd: Some("containerd"), // 1.6.20, which current Kubernetes does not take
    user: "debian",
    ..UBUNTU
};

const ROCKY: Release = Release {
    distribution: Rocky,
    version: "9",
    title: "Rocky Linux 9",
    support: Support::Supported,
    hosts_template: "/etc/cloud/templates/hosts.redhat.tmpl",
    packages: ROCKY_PACKAGES,
    module_packages: &[],
    containerd: None,
    network: Network::NetworkManager,
    security: Security::SeLinux,
    firewall: Some("firewalld"),
    time: "chronyd",
    user: "rocky",
    has_guest_agent: true,
    cpu_level: 2,
};

const LEAP: Release = Release {
    distribution: Suse,
    version: "15.6",
    title: "openSUSE Leap 15.6",
    support: Support::Ended("2026-04-30"), // https://en.opensuse.org/Lifetime
    hosts_template: "/etc/cloud/templates/hosts.suse.tmpl",
    packages: SUSE_PACKAGES,
    module_packages: &[],
    containerd: Some("containerd"),
    network: Network::Wicked,
    security: Security::AppArmor,
    firewall: Some("firewalld"),
    time: "chronyd",
    user: "opensuse",
    has_guest_agent: true,
    cpu_level: 1,
};

/// All of them. Of each distribution the first is meant where a workspace names none: it stays the first.
///
/// Sources: the distributions' cloud images and their package lists, cloud-init's `templates/`, and for what Kubernetes calls
/// `cmd/kubeadm/app/preflight/checks.go` and the dependencies of its packages. What was not looked up in an image says so.
pub const RELEASES: &[Release] = &[
    UBUNTU,
    Release {
        version: "26.04",
        title: "Ubuntu 26.04 LTS",
        support: Support::Preview,
        time: "chronyd", // not looked up in an image
        ..UBUNTU
    },
    DEBIAN,
    Release { version: "13", title: "Debian 13 (trixie)", ..DEBIAN },
    ROCKY,
    Release {
        version: "10",
        title: "Rocky Linux 10",
        // br_netfilter is in it: https://github.com/kubernetes/kops/issues/17789
        module_packages: &["kernel-modules-extra"],
        cpu_level: 3,
        ..ROCKY
    },
    LEAP,
    Release {
        version: "16.0",
        title: "openSUSE Leap 16.0",
        support: Support::Supported,
        network: Network::NetworkManager,
        security: Security::SeLinux,
        cpu_level: 2,
        ..LEAP // default user and firewall of its image were not looked up
    },
];

impl Release {
    /// `ubuntu-24.04`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.distribution.word(), self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn each_release_is_there_once_and_found_by_a_workspace() {
        let ids: Vec<String> = RELEASES.iter().map(Release::id).collect();
        assert_eq!(ids, ["ubuntu-24.04", "ubuntu-26.04", "debian-12", "debian-13", "rocky-9", "rocky-10", "suse-15.6", "suse-16.0"]);
        let mut workspace: Workspace = crate::ssh::testing::workspace();
        for release in RELEASES {
            workspace.distribution = release.distribution;
            workspace.release = Some(release.version.into());
            assert_eq!(super::super::release(&workspace).id(), release.id());
        }
        workspace.release = None;
        for (distribution, first) in [(Ubuntu, "ubuntu-24.04"), (Debian, "debian-12"), (Rocky, "rocky-9"), (Suse, "suse-15.6")] {
            workspace.distribution = distribution;
            assert_eq!(super::super::release(&workspace).id(), first);
        }
    }
}
