//! Ubuntu 24.04: what its cloud image has, and what its archive offers.

pub(super) const OS_RELEASE: &str = r#"PRETTY_NAME="Ubuntu 24.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.3 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=noble
"#;

/// Packages of the image that recipes may ask about.
pub(super) const PACKAGES: &[(&str, &str)] = &[
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
    ("sudo", "1.9.15p5-3ubuntu5"),
    ("systemd", "255.4-1ubuntu8.10"),
    ("systemd-timesyncd", "255.4-1ubuntu8.10"),
    ("unattended-upgrades", "2.9.1+nmu4ubuntu1"),
];

/// What Ubuntu's own archive offers beyond that.
pub(super) const ARCHIVE: &[(&str, &[&str])] = &[
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
    ("keepalived", &["1:2.2.8-1build2"]),
    ("libnginx-mod-stream", &["1.24.0-2ubuntu7.5"]),
    ("linux-modules-extra-6.8.0-31-generic", &["6.8.0-31.31"]),
    ("nfs-common", &["1:2.6.4-3ubuntu5.1"]),
    ("nginx", &["1.24.0-2ubuntu7.5"]),
    ("open-iscsi", &["2.1.9-3ubuntu5.4"]),
    ("qemu-guest-agent", &["1:8.2.2+ds-0ubuntu1.10"]),
    ("runc", &["1.1.12-0ubuntu3", "1.2.5-0ubuntu1~24.04.1"]),
    ("socat", &["1.8.0.0-4build3"]),
    ("tree", &["2.1.1-2ubuntu3"]),
];

pub(super) const UNITS: &[&str] = &[
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "cron.service",
    "networkd-dispatcher.service",
    "rsyslog.service",
    "ssh.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "unattended-upgrades.service",
];
