//! What Kubernetes has to know of one release of an operating system, besides its package manager.
use super::{Distribution, Nginx};

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
    /// What keeps its clock.
    pub time: &'static Time,
    /// How it packages NGINX, for machines in front of clusters.
    pub nginx: &'static Nginx,
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

/// The service that keeps a machine's clock, and how it is told its time servers.
#[derive(Debug, PartialEq, Eq)]
pub struct Time {
    /// The service: systemd's own name of it, since an alias cannot be enabled.
    pub service: &'static str,
    /// Its package.
    pub package: &'static str,
    /// The file that kthw puts servers into; it is in a folder that [`include`](Self::include) or the distribution's own file reads.
    pub file: &'static str,
    /// The line that makes the service read that folder, and the file that it belongs into, where the distribution's own does not have it.
    pub include: Option<(&'static str, &'static str)>,
    /// What stands before the servers in the file.
    head: &'static str,
    /// What stands before and behind each server, and what ends the last one.
    each: (&'static str, &'static str),
    tail: &'static str,
}

/// systemd-timesyncd: <https://www.freedesktop.org/software/systemd/man/latest/timesyncd.conf.html>. The empty `NTP=` takes back what other files name.
pub(super) const TIMESYNCD: Time = Time {
    service: "systemd-timesyncd",
    package: "systemd-timesyncd",
    file: "/etc/systemd/timesyncd.conf.d/kthw.conf",
    include: None,
    head: "[Time]\nNTP=\nNTP=",
    each: (" ", ""),
    tail: "\n",
};

/// chrony: <https://chrony-project.org/doc/4.4/chrony.conf.html>. Sources that its other files name stay, and those of kthw come before them (`prefer`).
/// A folder of `sourcedir` (since chrony 4.0) is read for files named `*.sources`.
const CHRONY: Time = Time {
    service: "chronyd",
    package: "chrony",
    file: "/etc/chrony.d/kthw.sources",
    include: None,
    head: "",
    each: ("server ", " iburst prefer\n"),
    tail: "",
};

/// Debian's and Ubuntu's chrony: its own file reads `/etc/chrony/sources.d`, and `chronyd.service` is an alias there
/// (<https://salsa.debian.org/debian/chrony/-/tree/master/debian>).
pub(super) const CHRONY_OF_DEBIAN: Time = Time { service: "chrony", file: "/etc/chrony/sources.d/kthw.sources", ..CHRONY };

/// Red Hat's chrony: its own file reads `/run/chrony-dhcp` alone (<https://src.fedoraproject.org/rpms/chrony>).
pub(super) const CHRONY_OF_RED_HAT: Time = Time { include: Some(("/etc/chrony.conf", "sourcedir /etc/chrony.d")), ..CHRONY };

/// openSUSE's chrony: its own file includes `/etc/chrony.d/*.conf`
/// (<https://build.opensuse.org/package/show/openSUSE:Factory/chrony>).
pub(super) const CHRONY_OF_SUSE: Time = Time { file: "/etc/chrony.d/kthw.conf", ..CHRONY };

impl Time {
    /// The content of [`file`](Self::file) for these servers, addresses or names.
    pub fn content<'a>(&self, servers: impl Iterator<Item = &'a str>) -> String {
        let (before, behind) = self.each;
        let servers: String = servers.map(|server| format!("{before}{server}{behind}")).collect();
        let servers = if self.tail.is_empty() { servers.as_str() } else { servers.trim_start() };
        format!("{}{servers}{}", self.head, self.tail)
    }
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
    fn time_servers_are_written_as_the_service_reads_them() {
        let content = |time: &super::Time| time.content(["10.0.0.1", "ntp.bevz.net"].into_iter());
        assert_eq!(content(&super::TIMESYNCD), "[Time]\nNTP=\nNTP=10.0.0.1 ntp.bevz.net\n");
        assert_eq!(content(&super::CHRONY_OF_SUSE), "server 10.0.0.1 iburst prefer\nserver ntp.bevz.net iburst prefer\n");
        for one in releases() {
            let (folder, name) = one.time.file.rsplit_once('/').expect("a path");
            // chrony reads `*.sources` of a folder of sources, and `*.conf` of one that is included.
            let sources = one.time.include.is_some_and(|(_, line)| line == format!("sourcedir {folder}")) || folder.ends_with("/sources.d");
            assert_eq!(name, if sources { "kthw.sources" } else { "kthw.conf" }, "{}", one.id());
        }
    }

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
