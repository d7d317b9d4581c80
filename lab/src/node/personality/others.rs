//! The other releases, out of the table of distributions alone: what recipes may ask about, in versions that look like theirs.
use super::ubuntu;
use kthw_stdlib::distribution::{Distribution, Release, Security};

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
    "/etc/apt/auth.conf.d",
    "/etc/apt/keyrings",
    "/etc/apt/preferences.d",
    "/etc/apt/sources.list.d",
    "/etc/netplan",
    "/usr/share/keyrings",
    "/var/cache/apt/archives",
    "/var/lib/apt/lists",
    "/var/lib/dpkg",
];
const DNF_DIRECTORIES: &[&str] = &[
    "/etc/dnf",
    "/etc/yum.repos.d",
    "/etc/pki/rpm-gpg",
    "/etc/NetworkManager/conf.d",
    "/etc/selinux",
    "/etc/sysconfig",
    "/var/lib/dnf",
    "/var/cache/dnf",
];
const ZYPPER_DIRECTORIES: &[&str] =
    &["/etc/zypp/repos.d", "/etc/pki/rpm-gpg", "/etc/NetworkManager/conf.d", "/etc/selinux", "/etc/sysconfig", "/var/cache/zypp"];

/// Whether this is the release in an image of that name, in small letters: it holds the distribution's name and, further on, the version.
pub(super) fn in_image(release: &Release, name: &str) -> bool {
    let distribution = if release.distribution == Distribution::Suse { "leap" } else { release.distribution.word() };
    let rest = name.split_once(distribution).map_or("", |(_, rest)| rest);
    rest.split(|c: char| !(c.is_ascii_digit() || c == '.')).any(|number| number.trim_matches('.') == release.version)
}

fn manager(release: &Release) -> &'static str {
    release.distribution.family().name()
}

pub(super) fn packages(release: &Release) -> Vec<(&'static str, &'static str)> {
    let mut packages = PACKAGES.to_vec();
    packages.push((manager(release), "2.6.1-1"));
    packages.push(if manager(release) == "apt" { ("python3", "3.11.2-1+b1") } else { ("rpm", "4.16.1.3-39") });
    packages.push((release.time.package, "1.0-1"));
    packages.extend(release.has_guest_agent.then_some(("qemu-guest-agent", "8.2.0-1")));
    packages
}

pub(super) fn directories(release: &Release) -> &'static [&'static str] {
    match manager(release) {
        "apt" => APT_DIRECTORIES,
        "dnf" => DNF_DIRECTORIES,
        _ => ZYPPER_DIRECTORIES,
    }
}

pub(super) fn os_release(release: &Release) -> String {
    let id = if release.distribution == Distribution::Suse { "opensuse-leap" } else { release.distribution.word() };
    format!("PRETTY_NAME=\"{0}\"\nNAME=\"{0}\"\nVERSION_ID=\"{1}\"\nID=\"{id}\"\n", release.title, release.version)
}

/// Files of the image that depend on the distribution: the one that names its own archive, its key, and what keeps SELinux on.
pub(super) fn sources(release: &Release) -> Vec<(String, String)> {
    let (name, archive) = (release.distribution.word(), release.archive);
    let mut files = match manager(release) {
        "apt" => {
            let key = format!("/usr/share/keyrings/{name}-archive-keyring.gpg");
            let text = format!("Types: deb\nURIs: {archive}\nSuites: stable stable-updates\nComponents: main\nSigned-By: {key}\n");
            vec![(format!("/etc/apt/sources.list.d/{name}.sources"), text), (key, "keyring\n".into())]
        }
        manager => {
            let key = format!("/etc/pki/rpm-gpg/RPM-GPG-KEY-{name}");
            let text = format!("[base]\nname=base\nbaseurl={archive}\nenabled=1\ngpgcheck=1\ngpgkey=file://{key}\n");
            let folder = if manager == "dnf" { "/etc/yum.repos.d" } else { "/etc/zypp/repos.d" };
            vec![(format!("{folder}/{name}.repo"), text), (key, "key\n".into())]
        }
    };
    if manager(release) == "dnf" {
        files.push(("/etc/dnf/dnf.conf".into(), "[main]\ngpgcheck=1\ninstallonly_limit=3\nbest=True\n".into()));
    }
    if release.security == Security::SeLinux {
        files.push(("/etc/selinux/config".into(), "SELINUX=enforcing\nSELINUXTYPE=targeted\n".into()));
    }
    files
}

/// Timers of the image's package manager.
pub(super) fn timers(release: &Release) -> &'static [&'static str] {
    match manager(release) {
        "apt" => &["apt-daily.timer", "apt-daily-upgrade.timer"],
        _ => &[],
    }
}

/// What the distribution's own archive offers beyond the image.
pub(super) fn archive(release: &Release) -> Vec<(&'static str, Vec<&'static str>)> {
    if release.distribution == Distribution::Ubuntu {
        return ubuntu::ARCHIVE.iter().map(|(name, versions)| (*name, versions.to_vec())).collect();
    }
    let names = release.packages.iter().chain(release.module_packages).chain(release.nginx.packages).chain(&[
        "chrony",
        "firewalld",
        "haproxy",
        "jq",
        "keepalived",
        "nftables",
        "qemu-guest-agent",
        "tree",
    ]);
    let mut offered: Vec<(&str, Vec<&str>)> = names.map(|name| (*name, vec!["1.0-1"])).collect();
    match manager(release) {
        "apt" => offered.push(("unattended-upgrades", vec!["2.9.1"])),
        "dnf" => offered.push(("dnf-automatic", vec!["4.14.0-1"])),
        _ => {}
    }
    if let Some((package, version)) = release.containerd {
        offered.extend([(package, vec![version]), ("runc", vec!["1.2.6-1"])]);
    }
    offered
}

#[cfg(test)]
mod tests {
    use super::super::{in_image, of};
    use kthw_stdlib::distribution::releases;

    #[test]
    fn images_say_what_is_in_them() {
        for (image, id) in [
            ("local:import/ubuntu-24.04-server-cloudimg-amd64-20260814-6e40c07a.qcow2", "ubuntu-24.04"),
            ("ubuntu-26.04-server-cloudimg-amd64.qcow2", "ubuntu-26.04"),
            ("debian-12-genericcloud-amd64.qcow2", "debian-12"),
            ("Rocky-9-GenericCloud.latest.x86_64.qcow2", "rocky-9"),
            ("Rocky-10-GenericCloud-Base.latest.x86_64.qcow2", "rocky-10"),
            ("openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build16.32.qcow2", "suse-15.6"),
            ("openSUSE-Leap-16.0-Minimal-VM.qcow2", "suse-16.0"),
            ("somebodys.raw", "ubuntu-24.04"),
        ] {
            assert_eq!(in_image(image), id);
        }
        for release in releases() {
            let personality = of(&release.id());
            assert_eq!(personality.release.id(), release.id());
            let offered = |name: &str| personality.archive.iter().any(|(known, _)| *known == name) || personality.has_package(name);
            assert!(release.packages.iter().all(|name| offered(name)), "{}", release.id());
        }
    }
}
