//! Debian: <https://cloud.debian.org/images/cloud/>. Its own containerd is older than current Kubernetes takes.
use super::{Distribution, Family, Network, Release, Security, Support, apt, nginx::NGINX_OF_DEBIAN, release::TIMESYNCD};

pub(super) const FAMILY: &dyn Family = &apt::Apt;

const BOOKWORM: Release = Release {
    distribution: Distribution::Debian,
    version: "12",
    title: "Debian 12 (bookworm)",
    support: Support::Supported,
    hosts_template: "/etc/cloud/templates/hosts.debian.tmpl",
    packages: &["conntrack", "socat", "ethtool"],
    module_packages: &[],
    containerd: Some(("containerd", "1.6.20~ds1-1+b1")),
    network: Network::Networkd,
    security: Security::AppArmor,
    firewall: None,
    time: &TIMESYNCD,
    nginx: &NGINX_OF_DEBIAN,
    archive: "http://deb.debian.org/debian/",
    kernel: "6.1.0-40-cloud-amd64",
    user: "debian",
    has_guest_agent: false,
    cpu_level: 1,
};

pub(super) const RELEASES: &[Release] = &[
    BOOKWORM,
    Release {
        version: "13",
        title: "Debian 13 (trixie)",
        containerd: Some(("containerd", "1.7.24~ds1-6+b4")),
        kernel: "6.12.48+deb13-cloud-amd64",
        ..BOOKWORM
    },
];
