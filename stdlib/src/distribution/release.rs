//! What Kubernetes has to know of one release of an operating system, besides its package manager.
use super::Distribution;

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
    /// Its own package of containerd and the version in it; none where it has none.
    pub containerd: Option<(&'static str, &'static str)>,
    /// Who configures its network.
    pub network: Network,
    /// The security module that is on in its image.
    pub security: Security,
    /// The service that would filter the cluster's packets, where the image or a package of it brings one.
    pub firewall: Option<&'static str>,
    /// The service that keeps its clock.
    pub time: &'static str,
    /// Where its own packages come from.
    pub archive: &'static str,
    /// The kernel in its image, as `uname -r` says it.
    pub kernel: &'static str,
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

impl Release {
    /// `ubuntu-24.04`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.distribution.word(), self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Distribution, release, releases};
    use crate::workspace::Workspace;

    #[test]
    fn each_release_is_there_once_and_found_by_a_workspace() {
        let ids: Vec<String> = releases().map(super::Release::id).collect();
        let known = ["ubuntu-24.04", "ubuntu-26.04", "debian-12", "debian-13", "rocky-9", "rocky-10", "suse-15.6", "suse-16.0"];
        assert!(known.iter().all(|id| ids.iter().filter(|other| other == id).count() == 1), "{ids:?}");
        let mut workspace: Workspace = crate::ssh::testing::workspace();
        for one in releases() {
            workspace.distribution = one.distribution;
            workspace.release = Some(one.version.into());
            assert_eq!(release(&workspace).id(), one.id());
        }
        workspace.release = None;
        for distribution in Distribution::ALL {
            workspace.distribution = *distribution;
            assert_eq!(release(&workspace).version, distribution.releases()[0].version, "the first is meant where none is named");
        }
    }
}
