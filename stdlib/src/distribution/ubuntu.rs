//! Ubuntu: <https://cloud-images.ubuntu.com>. ufw is in its images and not active.
use super::{
    Distribution, Family, Network, Release, Security, Support, apt,
    nginx::NGINX_OF_DEBIAN,
    release::{CHRONY_OF_DEBIAN, TIMESYNCD},
};

pub(super) const FAMILY: &dyn Family = &apt::Apt;

const NOBLE: Release = Release {
    distribution: Distribution::Ubuntu,
    version: "24.04",
    title: "Ubuntu 24.04 LTS",
    support: Support::Supported,
    hosts_template: "/etc/cloud/templates/hosts.debian.tmpl",
    packages: &["conntrack", "socat", "ethtool"],
    module_packages: &[],
    containerd: Some(("containerd", "2.2.1-0ubuntu1~24.04.2")),
    network: Network::Networkd,
    security: Security::AppArmor,
    firewall: None,
    time: &TIMESYNCD,
    nginx: &NGINX_OF_DEBIAN,
    archive: "http://archive.ubuntu.com/ubuntu/",
    kernel: "6.8.0-79-generic",
    user: "ubuntu",
    has_guest_agent: false,
    cpu_level: 1,
};

pub(super) const RELEASES: &[Release] = &[
    NOBLE,
    // Its kernel, containerd and time service were not looked up in an image.
    Release {
        version: "26.04",
        title: "Ubuntu 26.04 LTS",
        support: Support::Preview,
        time: &CHRONY_OF_DEBIAN,
        kernel: "7.0.0-14-generic",
        ..NOBLE
    },
];
