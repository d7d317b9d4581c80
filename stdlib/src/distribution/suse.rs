//! openSUSE Leap: <https://download.opensuse.org/distribution/leap/>.
use super::{Distribution, Family, Network, Release, Security, Support, nginx::NGINX_OF_SUSE, release::CHRONY_OF_SUSE, zypper};

pub(super) const FAMILY: &dyn Family = &zypper::Zypper;

const LEAP_15_6: Release = Release {
    distribution: Distribution::Suse,
    version: "15.6",
    title: "openSUSE Leap 15.6",
    support: Support::Ended("2026-04-30"), // https://en.opensuse.org/Lifetime
    hosts_template: "/etc/cloud/templates/hosts.suse.tmpl",
    packages: &["conntrack-tools", "socat", "ethtool"],
    module_packages: &[],
    containerd: Some(("containerd", "1.7.27-150000.123.1")),
    network: Network::Wicked,
    security: Security::AppArmor,
    firewall: Some("firewalld"),
    time: &CHRONY_OF_SUSE,
    nginx: &NGINX_OF_SUSE,
    archive: "https://download.opensuse.org/distribution/leap/",
    kernel: "6.4.0-150600.23.78-default",
    user: "opensuse",
    has_guest_agent: true,
    cpu_level: 1,
};

pub(super) const RELEASES: &[Release] = &[
    LEAP_15_6,
    // The default user, firewall and containerd of its image were not looked up.
    Release {
        version: "16.0",
        title: "openSUSE Leap 16.0",
        support: Support::Supported,
        network: Network::NetworkManager,
        security: Security::SeLinux,
        kernel: "6.12.0-160000.5-default",
        cpu_level: 2,
        ..LEAP_15_6
    },
];
