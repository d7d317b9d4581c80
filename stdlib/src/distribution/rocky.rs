//! Rocky Linux: <https://dl.rockylinux.org/pub/rocky/>. It has no containerd; `iproute-tc` has `tc`, which kubeadm looks for.
use super::{Distribution, Family, Network, Release, Security, Support, dnf, nginx::NGINX_OF_RED_HAT, release::CHRONY_OF_RED_HAT};

pub(super) const FAMILY: &dyn Family = &dnf::Dnf;

const ROCKY_9: Release = Release {
    distribution: Distribution::Rocky,
    version: "9",
    title: "Rocky Linux 9",
    support: Support::Supported,
    hosts_template: "/etc/cloud/templates/hosts.redhat.tmpl",
    packages: &["conntrack-tools", "socat", "ethtool", "iproute-tc", "container-selinux"],
    module_packages: &[],
    containerd: None,
    network: Network::NetworkManager,
    security: Security::SeLinux,
    firewall: Some("firewalld"),
    time: &CHRONY_OF_RED_HAT,
    nginx: &NGINX_OF_RED_HAT,
    archive: "https://dl.rockylinux.org/pub/rocky/",
    kernel: "5.14.0-611.5.1.el9_7.x86_64",
    user: "rocky",
    has_guest_agent: true,
    cpu_level: 2,
};

pub(super) const RELEASES: &[Release] = &[
    ROCKY_9,
    Release {
        version: "10",
        title: "Rocky Linux 10",
        // br_netfilter is in it: https://github.com/kubernetes/kops/issues/17789
        module_packages: &["kernel-modules-extra"],
        kernel: "6.12.0-124.8.1.el10_1.x86_64",
        cpu_level: 3,
        ..ROCKY_9
    },
];
