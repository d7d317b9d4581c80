//! The Ubuntu personality: what a machine made from a 24.04 cloud image has when it first boots.
use super::{
    files::Files,
    machine::{Machine, Package, Unit},
};
use crate::state::{BEGIN_S, fingerprint};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::OnceLock;

/// The kernel's release.
pub(crate) const KERNEL: &str = "6.8.0-79-generic";

const OS_RELEASE: &str = r#"PRETTY_NAME="Ubuntu 24.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.3 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=noble
"#;

const DIRECTORIES: &[&str] = &[
    "/boot",
    "/etc/apt/apt.conf.d",
    "/etc/apt/keyrings",
    "/etc/apt/preferences.d",
    "/etc/apt/sources.list.d",
    "/etc/cloud/cloud.cfg.d",
    "/etc/default",
    "/etc/modules-load.d",
    "/etc/netplan",
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
    "/usr/sbin",
    "/usr/share/keyrings",
    "/var/cache/apt/archives",
    "/var/lib/apt/lists",
    "/var/lib/cloud/instance",
    "/var/lib/dpkg",
    "/var/log",
    "/var/tmp",
];

/// Packages of the image that recipes may ask about.
const PACKAGES: &[(&str, &str)] = &[
    ("apt", "2.8.3"),
    ("apt-transport-https", "2.8.3"),
    ("bash", "5.2.21-2ubuntu4"),
    ("ca-certificates", "20240203"),
    ("cloud-init", "25.1.4-0ubuntu0~24.04.1"),
    ("curl", "8.5.0-2ubuntu10.6"),
    ("gpg", "2.4.4-2ubuntu17.3"),
    ("iproute2", "6.1.0-1ubuntu6"),
    ("iptables", "1.8.10-3ubuntu2"),
    ("kmod", "31+20240202-2ubuntu7"),
    ("nftables", "1.0.9-1build1"),
    ("openssh-server", "1:9.6p1-3ubuntu13.13"),
    ("openssl", "3.0.13-0ubuntu3.5"),
    ("procps", "2:4.0.4-4ubuntu3"),
    ("python3", "3.12.3-0ubuntu2"),
    ("qemu-guest-agent", "1:8.2.2+ds-0ubuntu1.10"),
    ("sudo", "1.9.15p5-3ubuntu5"),
    ("systemd", "255.4-1ubuntu8.10"),
    ("unattended-upgrades", "2.9.1+nmu4ubuntu1"),
];

/// What Ubuntu's own archive offers beyond that.
pub(crate) const ARCHIVE: &[(&str, &[&str])] = &[
    ("chrony", &["4.5-1ubuntu4.2"]),
    ("conntrack", &["1:1.4.8-1ubuntu1"]),
    ("containerd", &["1.7.12-0ubuntu4", "1.7.27-0ubuntu1~24.04.1", "2.2.1-0ubuntu1~24.04.2"]),
    ("cri-tools", &[]),
    ("ebtables", &["2.0.11-6build1"]),
    ("ethtool", &["1:6.7-1build1"]),
    ("haproxy", &["2.8.5-1ubuntu3.3"]),
    ("ipset", &["7.19-1ubuntu2"]),
    ("ipvsadm", &["1:1.31-1ubuntu0.1"]),
    ("jq", &["1.7.1-3ubuntu0.24.04.1"]),
    ("libnginx-mod-stream", &["1.24.0-2ubuntu7.5"]),
    ("linux-modules-extra-6.8.0-31-generic", &["6.8.0-31.31"]),
    ("nfs-common", &["1:2.6.4-3ubuntu5.1"]),
    ("nginx", &["1.24.0-2ubuntu7.5"]),
    ("open-iscsi", &["2.1.9-3ubuntu5.4"]),
    ("runc", &["1.1.12-0ubuntu3", "1.2.5-0ubuntu1~24.04.1"]),
    ("socat", &["1.8.0.0-4build3"]),
    ("tree", &["2.1.1-2ubuntu3"]),
];

const UNITS: &[&str] = &[
    "cron.service",
    "networkd-dispatcher.service",
    "qemu-guest-agent.service",
    "rsyslog.service",
    "ssh.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "unattended-upgrades.service",
];

/// The files of the image, which all machines made from it share.
fn image() -> &'static Files {
    static IMAGE: OnceLock<Files> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut files = Files::default();
        for path in DIRECTORIES {
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
        let _ = files.link("/etc/os-release", "../usr/lib/os-release", BEGIN_S);
        for kind in ["ed25519", "ecdsa", "rsa"] {
            files.put(&format!("/etc/ssh/ssh_host_{kind}_key"), "the lab keeps no private keys\n", 0o600, BEGIN_S);
        }
        files
    })
}

const FILES: &[(&str, &str)] = &[
    ("/usr/lib/os-release", OS_RELEASE),
    ("/etc/fstab", "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,commit=30,errors=remount-ro\t0 1\nLABEL=BOOT\t/boot\text4\tdefaults\t0 2\n"),
    ("/etc/sysctl.conf", "# /etc/sysctl.conf\n"),
    ("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n"),
    ("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n"),
    (
        "/etc/apt/sources.list.d/ubuntu.sources",
        "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu/\nSuites: noble noble-updates noble-security\nComponents: main universe\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n",
    ),
    ("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "keyring\n"),
];

/// Gives a machine a host key that no other has.
pub(super) fn make_host_key(machine: &mut Machine, serial: u64, now_s: u64) {
    machine.files.put("/etc/ssh/ssh_host_ed25519_key.pub", &host_key(serial, &machine.hostname), 0o644, now_s);
}

/// Fills a fresh machine. `serial` makes its identities its own.
pub(crate) fn install(machine: &mut Machine, serial: u64, now_s: u64) {
    machine.files = image().clone();
    let machine_id = &fingerprint(format!("machine {serial}"))[..32];
    machine.files.put("/etc/machine-id", &format!("{machine_id}\n"), 0o644, now_s);
    make_host_key(machine, serial, now_s);
    machine.packages =
        PACKAGES.iter().map(|(name, version)| ((*name).to_owned(), Package { version: (*version).to_owned(), held: false })).collect();
    machine.units = UNITS.iter().map(|name| ((*name).to_owned(), Unit { enabled: true, started: true, ..Unit::default() })).collect();
    machine.modules = ["ip_tables", "nf_tables", "virtio_net", "virtio_scsi", "x_tables"].map(str::to_owned).into();
    machine.sysctls = [
        ("fs.inotify.max_user_instances", "128"),
        ("fs.inotify.max_user_watches", "65536"),
        ("kernel.panic", "0"),
        ("net.ipv4.ip_forward", "0"),
        ("net.ipv4.conf.all.rp_filter", "2"),
        ("net.ipv6.conf.all.forwarding", "0"),
        ("vm.max_map_count", "1048576"),
        ("vm.overcommit_memory", "0"),
        ("vm.swappiness", "60"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
}

/// A public host key that looks right: 32 bytes that depend on `serial` alone.
fn host_key(serial: u64, hostname: &str) -> String {
    let mut blob = Vec::from(*b"\0\0\0\x0bssh-ed25519\0\0\0\x20");
    blob.extend(hex::decode(fingerprint(format!("host key {serial}"))).unwrap_or_default());
    format!("ssh-ed25519 {} root@{hostname}\n", STANDARD.encode(blob))
}
