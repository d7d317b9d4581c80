//! What a machine gets before it becomes a template, and what it must not keep. Both scripts are the same on every distribution: what one does not
//! have is passed over.

/// The package of the guest agent, and its service.
pub const GUEST_AGENT: &str = "qemu-guest-agent";

/// Raised when a template has to be built anew because of what these scripts do: it is part of every built template's digest.
pub const BUILD_VERSION: u32 = 1;

/// Lets the guest agent start with the machine and tell the SSH host keys.
///
/// RHEL and its kin forbid their agent to read files: `BLACKLIST_RPC` (8), `BLOCK_RPCS` (9) or `FILTER_RPC_ARGS` (9.4) in /etc/sysconfig/qemu-ga
/// (<https://git.centos.org/rpms/qemu-kvm>), and SELinux does (`virt_qemu_ga_read_nonsecurity_files`, qemu-ga_selinux(8)). Whoever may ask
/// the agent can read the machine's disk in Proxmox anyway.
pub const ENABLE_AGENT: &str = r#"F=/etc/sysconfig/qemu-ga
if [ -f "$F" ]; then
  for R in guest-file-open guest-file-close guest-file-read; do
    sed -i -E -e "/^(BLACKLIST_RPC|BLOCK_RPCS)=|--block-rpcs=/{s/$R,//g;s/,?$R//g}" -e "/--allow-rpcs=/{/$R/!s/--allow-rpcs=/&$R,/}" "$F" || exit
  done
fi
if [ -e /sys/fs/selinux/enforce ] && command -v setsebool >/dev/null; then setsebool -P virt_qemu_ga_read_nonsecurity_files 1 || exit; fi
# Debian's is started by its device, of which udev learns by the package's own rule; there is nothing to enable, which it says on standard error.
systemctl enable qemu-guest-agent.service || exit
udevadm trigger --action=add --subsystem-match=virtio-ports 2>/dev/null && udevadm settle --timeout=10
# That it comes by itself shows at the next start, so one that does not come now is no failure yet.
timeout 30 systemctl restart qemu-guest-agent.service || :
sync"#;

/// Takes away what makes a machine itself, and what the user `$1` left, who was made for the build.
///
/// cloud-init forgets first: a machine that is started although this did not end gets its user, keys and address again, and can be cleaned again.
/// An empty /etc/machine-id is filled at the next start; `uninitialized`, as `cloud-init clean --machine-id` writes, would also set every unit
/// back to its preset (machine-id(5), "First Boot Semantics"). Services that write when they are stopped are stopped before.
pub const CLEAN: &str = r#"cloud-init clean --logs || exit
systemctl stop systemd-random-seed.service rsyslog.service 2>/dev/null
journalctl --relinquish-var >/dev/null 2>&1
rm -rf /var/log/journal/*
find /var/log -xdev -type f -exec truncate -s 0 {} +
for D in /etc/netplan /etc/NetworkManager/system-connections /etc/network/interfaces.d /etc/sysconfig/network /etc/sysconfig/network-scripts /etc/systemd/network /etc/udev/rules.d; do
  [ ! -d "$D" ] || find "$D" -xdev -type f \( -name '*cloud-init*' -o -exec grep -qsi 'created by cloud-init' {} \; \) -exec rm -f {} +
done
rm -f /var/lib/dhcp/*.leases /var/lib/dhclient/*.lease* /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key /var/lib/wicked/lease-* /var/lib/wicked/duid.xml
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -f /root/.ssh/authorized_keys /root/.*_history /home/*/.*_history
if [ "$1" != root ] && id "$1" >/dev/null 2>&1; then
  # It may be logged in: this script came over its login.
  userdel -f -r "$1" >/dev/null 2>&1
  ! id "$1" >/dev/null 2>&1 || { echo "the user $1 is still there" >&2; exit 1; }
  rm -f /etc/sudoers.d/90-cloud-init-users
fi
rm -f /home/*/.ssh/authorized_keys
rm -f /etc/ssh/ssh_host_*
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
: >/etc/hostname && : >/etc/machine-id || exit
for F in /etc/ssh/ssh_host_* /root/.ssh/authorized_keys; do [ ! -e "$F" ] || { echo "$F is still there" >&2; exit 1; }; done
sync"#;

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::{path::Path, process::Command};

    #[test]
    fn another_script_is_another_build() {
        let digest = hex::encode(Sha256::digest(format!("{BUILD_VERSION}\n{ENABLE_AGENT}\n{CLEAN}")));
        // Raise BUILD_VERSION if templates have to be built anew for this; then write the new digest here.
        assert_eq!(&digest[..16], "01ad5e9e79bc6916");
    }

    #[test]
    fn both_are_shell() {
        for script in [ENABLE_AGENT, CLEAN] {
            let output = Command::new("sh").args(["-n", "-c", script]).output().expect("a shell");
            assert!(output.status.success(), "{output:?}");
        }
    }

    /// What the script makes of a settings file of the agent, with programs that do nothing in place of the machine's.
    fn settings(folder: &Path, before: &str) -> String {
        let file = folder.join("qemu-ga");
        std::fs::write(&file, before).expect("a file");
        let script = ENABLE_AGENT.replace("/etc/sysconfig/qemu-ga", &file.display().to_string());
        let script =
            format!("systemctl() {{ :; }}\nudevadm() {{ :; }}\ntimeout() {{ :; }}\nsync() {{ :; }}\nsetsebool() {{ :; }}\n{script}");
        let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert!(output.status.success(), "{output:?}");
        std::fs::read_to_string(file).expect("the file")
    }

    #[test]
    fn the_agent_may_read_files_and_nothing_else_is_allowed() {
        let folder = tempfile::tempdir().expect("a folder");
        for (before, after) in [
            (
                "BLACKLIST_RPC=guest-file-open,guest-file-close,guest-file-read,guest-file-write,guest-exec\n",
                "BLACKLIST_RPC=guest-file-write,guest-exec\n",
            ),
            ("BLOCK_RPCS=guest-exec,guest-file-open,guest-file-close,guest-file-read\n", "BLOCK_RPCS=guest-exec\n"),
            ("BLOCK_RPCS=\n", "BLOCK_RPCS=\n"),
            (
                "FILTER_RPC_ARGS=\"--allow-rpcs=guest-ping,guest-info\"\n",
                "FILTER_RPC_ARGS=\"--allow-rpcs=guest-file-read,guest-file-close,guest-file-open,guest-ping,guest-info\"\n",
            ),
            (
                "FILTER_RPC_ARGS=\"--block-rpcs=guest-exec,guest-exec-status\"\n",
                "FILTER_RPC_ARGS=\"--block-rpcs=guest-exec,guest-exec-status\"\n",
            ),
        ] {
            let first = settings(folder.path(), before);
            assert_eq!(first, after);
            assert_eq!(settings(folder.path(), &first), after, "a second time changes nothing");
        }
    }
}
