//! What the cluster stands on: the operating systems of its nodes and Proxmox VE below them, as far as versions of others depend on them.

/// A release of a distribution.
#[derive(Debug, PartialEq, Eq)]
pub struct System {
    /// The distribution and its release, such as `ubuntu-24.04`.
    pub id: &'static str,
    /// Major and minor version of the kernel that it is installed with.
    pub kernel: (u64, u64),
    /// Whether cgroup v2 is what it starts with; `None` where that was not read, so that nothing is refused because of it.
    pub cgroup_v2: Option<bool>,
    /// The microarchitecture level of x86-64 that its packages are built for.
    pub cpu_level: u8,
    /// What there is to know before one takes it.
    pub note: &'static str,
    /// Where this comes from.
    pub source: &'static str,
}

const fn system(
    id: &'static str,
    kernel: (u64, u64),
    cgroup_v2: Option<bool>,
    cpu_level: u8,
    note: &'static str,
    source: &'static str,
) -> System {
    System { id, kernel, cgroup_v2, cpu_level, note, source }
}

/// The releases that kthw is for.
///
/// Read: the kernel of Debian 12 (its package index) and of Ubuntu 26.04 (the notes of images that are built from it), cgroup v2 of Red Hat
/// Enterprise Linux 9 and 10 (Red Hat's documentation of mounting cgroup v1), of Ubuntu since 21.10 (ubuntu-devel, 2021-08) and of Debian since
/// systemd 247; Leap's ends (endoflife.date). The other kernels are well known, and all are newer than anything here asks for.
pub const SYSTEMS: &[System] = &[
    system("ubuntu-24.04", (6, 8), Some(true), 1, "", "https://documentation.ubuntu.com/release-notes/24.04/"),
    system(
        "ubuntu-26.04",
        (7, 0),
        Some(true),
        1,
        "preview: its AppArmor keeps containers from signals and systemd (containerd issue 12886)",
        "https://github.com/containerd/containerd/issues/12886",
    ),
    system("debian-12", (6, 1), Some(true), 1, "", "https://www.debian.org/releases/bookworm/"),
    system("debian-13", (6, 12), Some(true), 1, "", "https://www.debian.org/releases/trixie/"),
    system("rocky-9", (5, 14), Some(true), 2, "", "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9"),
    system(
        "rocky-10",
        (6, 12),
        Some(true),
        3,
        "no legacy iptables; its cloud image lacks kernel-modules-extra",
        "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/10/optimize-mounting_cgroups_v1",
    ),
    system("suse-15.6", (6, 4), None, 1, "ended on 2026-04-30: only to come from", "https://en.opensuse.org/Lifetime"),
    system("suse-16.0", (6, 12), None, 2, "SELinux instead of AppArmor; until 2027-10-31", "https://en.opensuse.org/Lifetime"),
];

/// The release that [`System::id`] names.
pub fn by_id(id: &str) -> Option<&'static System> {
    SYSTEMS.iter().find(|system| system.id == id)
}

/// The kubelet refuses cgroup v1 from this minor on unless it is told otherwise: `FailCgroupV1` in
/// `pkg/kubelet/apis/config/v1beta1/defaults.go` is false in the Go module `k8s.io/kubernetes` v1.34.4 and true in v1.35.4.
pub const CGROUP_V2_SINCE: u64 = 35;

/// Where [`CGROUP_V2_SINCE`] was decided.
pub const CGROUP_V2: &str = "https://github.com/kubernetes/kubernetes/pull/134298";

/// A major version of Proxmox VE. No version of Kubernetes depends on it, so nothing is refused; what kthw does there does.
#[derive(Debug, PartialEq, Eq)]
pub struct ProxmoxVe {
    /// The major version.
    pub major: u64,
    /// What is different about it.
    pub note: &'static str,
    /// Where this comes from.
    pub source: &'static str,
}

/// The versions of Proxmox VE. Read in the changelogs of `pve-access-control`, `pve-storage` and `qemu-server` (mirrors on GitHub).
pub const PROXMOX_VE: &[ProxmoxVe] = &[
    ProxmoxVe {
        major: 8,
        note: "names CPU levels (x86-64-v2 and later) since qemu-server 8.0.4, takes images by upload since pve-storage 8.3.6",
        source: "https://github.com/proxmox/pve-storage/blob/master/debian/changelog",
    },
    ProxmoxVe {
        major: 9,
        note: "VM.Monitor became VM.GuestAgent.* in pve-access-control 9.0.2",
        source: "https://github.com/proxmox/pve-access-control/blob/master/debian/changelog",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_found_by_its_name_and_says_where_it_comes_from() {
        for system in SYSTEMS {
            assert_eq!(by_id(system.id), Some(system));
            assert!(system.source.starts_with("https://") && (1..=4).contains(&system.cpu_level), "{}", system.id);
            assert!(system.kernel >= (5, 10), "{}: a kernel that Calico refuses", system.id);
        }
        assert_eq!(by_id("debian-11"), None);
        let joined = crate::distribution::releases().filter_map(|release| Some((release, by_id(&release.id())?)));
        let joined: Vec<_> = joined.collect();
        assert_eq!(joined.len(), SYSTEMS.len(), "each row is of a release that kthw installs on");
        assert!(joined.iter().all(|(release, system)| system.cpu_level == release.cpu_level));
        assert!(PROXMOX_VE.windows(2).all(|pair| pair[0].major + 1 == pair[1].major));
    }
}
