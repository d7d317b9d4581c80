//! What a machine is made of: one personality for each release of the table of distributions. Its disk says which: it was made from an image.
mod others;
mod ubuntu;

use super::{
    files::Files,
    machine::{Machine, Package, Unit},
};
use crate::state::{BEGIN_S, fingerprint};
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_stdlib::distribution::{Network, Release, Security, releases};
use std::sync::OnceLock;

const DIRECTORIES: &[&str] = &[
    "/boot",
    "/etc/cloud/cloud.cfg.d",
    "/etc/default",
    "/etc/modules-load.d",
    "/etc/ssh/sshd_config.d",
    "/etc/sudoers.d",
    "/etc/sysctl.d",
    "/etc/systemd/system",
    "/etc/systemd/resolved.conf.d",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/proc/sys",
    "/root/.ssh",
    "/run/systemd",
    "/srv",
    "/sys",
    "/usr/bin",
    "/usr/lib/systemd/system",
    "/usr/lib/modules-load.d",
    "/usr/lib/sysctl.d",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/var/lib/cloud/instance",
    "/var/log",
    "/var/tmp",
];

/// What a machine of one release is made of.
pub(crate) struct Personality {
    /// Its entry in the table.
    pub release: &'static Release,
    /// The kernel's release.
    pub kernel: &'static str,
    /// What the distribution's own archive offers beyond the image.
    pub archive: Vec<(&'static str, Vec<&'static str>)>,
    packages: Vec<(&'static str, &'static str)>,
    units: Vec<String>,
    image: Files,
}

/// The personality of a release; the first one's for a machine of an earlier version of the lab.
pub(crate) fn of(id: &str) -> &'static Personality {
    static ALL: OnceLock<Vec<(String, Personality)>> = OnceLock::new();
    let all = ALL.get_or_init(|| releases().map(|release| (release.id(), Personality::new(release))).collect());
    all.iter().find(|(known, _)| known == id).map_or(&all[0].1, |(_, personality)| personality)
}

/// The release in a cloud image, by the image's name; the first one for a name that says nothing.
pub(crate) fn in_image(name: &str) -> String {
    let name = name.to_lowercase();
    let named = |release: &&Release| others::in_image(release, &name);
    releases().find(named).or_else(|| releases().next()).map(Release::id).unwrap_or_default()
}

impl Personality {
    fn new(release: &'static Release) -> Self {
        let is_ubuntu = release.id() == "ubuntu-24.04";
        let packages = if is_ubuntu { ubuntu::PACKAGES.to_vec() } else { others::packages(release) };
        let mut units: Vec<String> = ubuntu::UNITS.iter().map(|name| (*name).to_owned()).collect();
        if !is_ubuntu {
            units = others::UNITS.iter().map(|name| (*name).to_owned()).collect();
            let network = match release.network {
                Network::Networkd => "systemd-networkd",
                Network::NetworkManager => "NetworkManager",
                Network::Wicked => "wicked",
            };
            units.extend([network, release.time.service].map(|name| format!("{name}.service")));
            units.extend(others::timers(release).iter().map(|name| (*name).to_owned()));
            units.extend(release.has_guest_agent.then(|| "qemu-guest-agent.service".to_owned()));
        }
        let archive = if is_ubuntu {
            ubuntu::ARCHIVE.iter().map(|(name, versions)| (*name, versions.to_vec())).collect()
        } else {
            others::archive(release)
        };
        Self { release, kernel: release.kernel, archive, packages, units, image: image(release) }
    }

    /// The package manager's name.
    pub fn package_manager(&self) -> &'static str {
        self.release.distribution.family().name()
    }

    /// Whether a package is one of the image's.
    pub fn has_package(&self, package: &str) -> bool {
        self.packages.iter().any(|(name, _)| *name == package)
    }

    /// Whether a unit is one of the image's.
    pub fn has_unit(&self, unit: &str) -> bool {
        self.units.iter().any(|name| name == unit)
    }

    /// Puts what is in the image on a fresh machine.
    pub fn install(&self, machine: &mut Machine) {
        machine.os = self.release.id();
        machine.files = self.image.clone();
        let package = |(name, version): &(&str, &str)| ((*name).to_owned(), Package { version: (*version).to_owned(), held: false });
        machine.packages = self.packages.iter().map(package).collect();
        machine.units = self.units.iter().map(|name| (name.clone(), Unit { enabled: true, started: true, ..Unit::default() })).collect();
        machine.modules = ["ip_tables", "nf_tables", "virtio_net", "virtio_scsi", "x_tables"].map(str::to_owned).into();
        machine.sysctls = SYSCTLS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    }
}

const SYSCTLS: [(&str, &str); 9] = [
    ("fs.inotify.max_user_instances", "128"),
    ("fs.inotify.max_user_watches", "65536"),
    ("kernel.panic", "0"),
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.conf.all.rp_filter", "2"),
    ("net.ipv6.conf.all.forwarding", "0"),
    ("vm.max_map_count", "1048576"),
    ("vm.overcommit_memory", "0"),
    ("vm.swappiness", "60"),
];

/// The files of the image, which all machines made from it share.
fn image(release: &Release) -> Files {
    let mut files = Files::default();
    let own = others::directories(release);
    for path in DIRECTORIES.iter().chain(own) {
        files.make_directory(path, if path.starts_with("/root") { 0o700 } else { 0o755 }, BEGIN_S);
    }
    files.make_directory("/tmp", 0o1777, BEGIN_S);
    for (link, target) in [("/bin", "usr/bin"), ("/lib", "usr/lib"), ("/sbin", "usr/sbin")] {
        // The root directory was just made.
        let _ = files.link(link, target, BEGIN_S);
    }
    for (path, content) in FILES {
        files.put(path, content, 0o644, BEGIN_S);
    }
    for (path, content) in others::sources(release) {
        files.put(&path, &content, 0o644, BEGIN_S);
    }
    if release.security == Security::SeLinux {
        files.put("/sys/fs/selinux/enforce", "1\n", 0o644, BEGIN_S);
    }
    let os_release = if release.id() == "ubuntu-24.04" { ubuntu::OS_RELEASE.to_owned() } else { others::os_release(release) };
    files.put("/usr/lib/os-release", &os_release, 0o644, BEGIN_S);
    let _ = files.link("/etc/os-release", "../usr/lib/os-release", BEGIN_S);
    files.put(MACHINE_ID, "", 0o644, BEGIN_S);
    files
}

const FILES: &[(&str, &str)] = &[
    ("/etc/fstab", "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,commit=30,errors=remount-ro\t0 1\nLABEL=BOOT\t/boot\text4\tdefaults\t0 2\n"),
    ("/etc/sysctl.conf", "# /etc/sysctl.conf\n"),
    ("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n"),
    ("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n"),
];

const MACHINE_ID: &str = "/etc/machine-id";

/// Makes what tells a machine from others, as its system does when it starts: its machine-id where it has none, and its host keys where they are
/// missing or cloud-init takes it for `another` machine. The 64 digits of `identity` make them its own.
pub(crate) fn identify(machine: &mut Machine, identity: &str, another: bool, now_s: u64) {
    if machine.files.text(MACHINE_ID).trim().is_empty() {
        machine.files.put(MACHINE_ID, &format!("{}\n", &identity[..32]), 0o644, now_s);
    }
    if another || !machine.files.exists("/etc/ssh/ssh_host_ed25519_key.pub") {
        make_host_key(machine, identity, now_s);
    }
}

/// Gives a machine the host key that belongs to `identity`.
fn make_host_key(machine: &mut Machine, identity: &str, now_s: u64) {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        machine.files.put(&format!("/etc/ssh/ssh_host_{kind}_key"), "the lab keeps no private keys\n", 0o600, now_s);
    }
    machine.files.put("/etc/ssh/ssh_host_ed25519_key.pub", &host_key(identity, &machine.hostname), 0o644, now_s);
}

/// A public host key that looks right: 32 bytes that depend on `identity` alone.
fn host_key(identity: &str, hostname: &str) -> String {
    let mut blob = Vec::from(*b"\0\0\0\x0bssh-ed25519\0\0\0\x20");
    blob.extend(hex::decode(fingerprint(format!("host key {identity}"))).unwrap_or_default());
    format!("ssh-ed25519 {} root@{hostname}\n", STANDARD.encode(blob))
}
