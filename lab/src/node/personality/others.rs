//! The other releases, out of the table of distributions: what recipes may ask about, in versions that look like theirs.
use super::ubuntu;
use kthw_stdlib::{distribution::Release, workspace::Distribution};

/// What the names of cloud images hold, and the release in them.
pub(super) const IMAGES: &[(&str, &str)] = &[
    ("ubuntu-26.04", "ubuntu-26.04"),
    ("resolute", "ubuntu-26.04"),
    ("debian-12", "debian-12"),
    ("debian-13", "debian-13"),
    ("rocky-9", "rocky-9"),
    ("rocky-10", "rocky-10"),
    ("leap-15.6", "suse-15.6"),
    ("leap-16.0", "suse-16.0"),
];

/// Packages that every image has under the same name.
const PACKAGES: &[(&str, &str)] = &[
    ("bash", "5.2.15-2"),
    ("ca-certificates", "2025.2-1"),
    ("cloud-init", "24.4-1"),
    ("curl", "7.88.1-10"),
    ("openssh-server", "9.2p1-2"),
    ("openssl", "3.0.17-1"),
    ("sudo", "1.9.13-1"),
    ("systemd", "252-55"),
];

pub(super) const UNITS: &[&str] = &["cron.service", "rsyslog.service", "sshd.service"];

const APT_DIRECTORIES: &[&str] = &[
    "/etc/apt/apt.conf.d",
    "/etc/apt/keyrings",
    "/etc/apt/preferences.d",
    "/etc/apt/sources.list.d",
    "/etc/netplan",
    "/usr/share/keyrings",
    "/var/cache/apt/archives",
    "/var/lib/apt/lists",
    "/var/lib/dpkg",
];
const DNF_DIRECTORIES: &[&str] =
    &["/etc/dnf", "/etc/yum.repos.d", "/etc/pki/rpm-gpg", "/etc/NetworkManager/conf.d", "/etc/selinux", "/var/lib/dnf", "/var/cache/dnf"];
const ZYPPER_DIRECTORIES: &[&str] =
    &["/etc/zypp/repos.d", "/etc/pki/rpm-gpg", "/etc/NetworkManager/conf.d", "/etc/selinux", "/var/cache/zypp"];

pub(super) fn kernel(release: &Release) -> &'static str {
    match (release.distribution, release.version) {
        (Distribution::Ubuntu, _) => "7.0.0-14-generic",
        (Distribution::Debian, "12") => "6.1.0-40-cloud-amd64",
        (Distribution::Debian, _) => "6.12.48+deb13-cloud-amd64",
        (Distribution::Rocky, "9") => "5.14.0-611.5.1.el9_7.x86_64",
        (Distribution::Rocky, _) => "6.12.0-124.8.1.el10_1.x86_64",
        (Distribution::Suse, "15.6") => "6.4.0-150600.23.78-default",
        (Distribution::Suse, _) => "6.12.0-160000.5-default",
    }
}

pub(super) fn packages(release: &Release) -> Vec<(&'static str, &'static str)> {
    let mut packages = PACKAGES.to_vec();
    packages.extend(match release.distribution {
        Distribution::Ubuntu | Distribution::Debian => [("apt", "2.6.1"), ("python3", "3.11.2-1+b1")],
        Distribution::Rocky => [("dnf", "4.14.0-31.el9"), ("rpm", "4.16.1.3-39.el9")],
        Distribution::Suse => [("zypper", "1.14.94-150600.10.52.1"), ("rpm", "4.14.3-150400.59.16.1")],
    });
    packages.extend(release.has_guest_agent.then_some(("qemu-guest-agent", "8.2.0-1")));
    packages
}

pub(super) fn directories(release: &Release) -> &'static [&'static str] {
    match release.distribution {
        Distribution::Ubuntu | Distribution::Debian => APT_DIRECTORIES,
        Distribution::Rocky => DNF_DIRECTORIES,
        Distribution::Suse => ZYPPER_DIRECTORIES,
    }
}

pub(super) fn os_release(release: &Release) -> String {
    let id = match release.distribution {
        Distribution::Suse => "opensuse-leap",
        distribution => distribution.word(),
    };
    format!("PRETTY_NAME=\"{0}\"\nNAME=\"{0}\"\nVERSION_ID=\"{1}\"\nID=\"{id}\"\n", release.title, release.version)
}

/// The file that names the distribution's own archive, as its image has it.
pub(super) fn sources(release: &Release) -> &'static [(&'static str, &'static str)] {
    match release.distribution {
        Distribution::Ubuntu => &[
            (
                "/etc/apt/sources.list.d/ubuntu.sources",
                "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu/\nSuites: noble noble-updates noble-security\nComponents: main universe\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n",
            ),
            ("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "keyring\n"),
        ],
        Distribution::Debian => &[
            (
                "/etc/apt/sources.list.d/debian.sources",
                "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: stable stable-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            ),
            ("/usr/share/keyrings/debian-archive-keyring.gpg", "keyring\n"),
        ],
        Distribution::Rocky => &[
            (
                "/etc/yum.repos.d/rocky.repo",
                "[baseos]\nname=BaseOS\nbaseurl=https://dl.rockylinux.org/pub/rocky/BaseOS/x86_64/os/\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-Rocky\n",
            ),
            ("/etc/pki/rpm-gpg/RPM-GPG-KEY-Rocky", "key\n"),
            ("/etc/dnf/dnf.conf", "[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\n"),
            ("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ],
        Distribution::Suse => &[
            (
                "/etc/zypp/repos.d/repo-oss.repo",
                "[repo-oss]\nname=Main Repository\nenabled=1\nautorefresh=1\nbaseurl=https://download.opensuse.org/distribution/leap/repo/oss/\ntype=rpm-md\n",
            ),
            ("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ],
    }
}

/// What the distribution's own archive offers beyond the image.
pub(super) fn archive(release: &Release) -> Vec<(&'static str, Vec<&'static str>)> {
    if release.distribution == Distribution::Ubuntu {
        return ubuntu::ARCHIVE.iter().map(|(name, versions)| (*name, versions.to_vec())).collect();
    }
    let names = release.packages.iter().chain(release.module_packages).chain(&["chrony", "firewalld", "haproxy", "jq", "nginx", "tree"]);
    let mut offered: Vec<(&str, Vec<&str>)> = names.map(|name| (*name, vec!["1.0-1"])).collect();
    if release.containerd.is_some() {
        let containerd = match (release.distribution, release.version) {
            (Distribution::Debian, "12") => "1.6.20~ds1-1+b1",
            (Distribution::Debian, _) => "1.7.24~ds1-6+b4",
            _ => "1.7.27-150000.123.1",
        };
        offered.extend([("containerd", vec![containerd]), ("runc", vec!["1.2.6-150000.73.2"])]);
    }
    offered
}

#[cfg(test)]
mod tests {
    use super::super::{in_image, of};
    use kthw_stdlib::distribution::RELEASES;

    #[test]
    fn images_say_what_is_in_them() {
        for (image, id) in [
            ("local:import/6e40-ubuntu-24.04-server-cloudimg-amd64-20260814.qcow2", "ubuntu-24.04"),
            ("debian-12-genericcloud-amd64.qcow2", "debian-12"),
            ("Rocky-9-GenericCloud.latest.x86_64.qcow2", "rocky-9"),
            ("Rocky-10-GenericCloud-Base.latest.x86_64.qcow2", "rocky-10"),
            ("openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build16.32.qcow2", "suse-15.6"),
            ("somebodys.raw", "ubuntu-24.04"),
        ] {
            assert_eq!(in_image(image), id);
        }
        for release in RELEASES {
            let personality = of(&release.id());
            assert_eq!(personality.release.id(), release.id());
            let offered = |name: &str| personality.archive.iter().any(|(known, _)| *known == name) || personality.has_package(name);
            assert!(release.packages.iter().all(|name| offered(name)), "{}", release.id());
        }
    }
}
