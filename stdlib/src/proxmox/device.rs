//! The property strings of disks and network cards, as far as they matter to us.
use super::property::Properties;
use std::fmt;

/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;

/// A disk: `storage:volume,size=20G,…`, or a disk of the host by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The storage that it lies on; empty for a disk of the host.
    pub storage: String,
    /// Its name there, or its path.
    pub volume: String,
    /// Its size in bytes, if the configuration knows it.
    pub size_bytes: Option<u64>,
    /// Whether it is a CD drive, or the drive that cloud-init reads.
    is_medium: bool,
}

impl Drive {
    /// Reads one; `None` for what is no volume on a storage and no path, such as `none`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = Properties::parse(text, "file");
        let file = parts.get("file")?;
        let (storage, volume) = if file.starts_with('/') { ("", file) } else { file.split_once(':')? };
        let is_medium = parts.get("media") == Some("cdrom") || is_cloud_init(volume);
        Some(Self { storage: storage.into(), volume: volume.into(), size_bytes: parts.get("size").and_then(bytes), is_medium })
    }

    /// Whether it is a layer over a template's disk.
    pub fn is_linked(&self) -> bool {
        self.volume.contains("/base-") || (self.volume.starts_with("base-") && self.volume.contains('/'))
    }

    /// Whether it holds a system or data, and no medium.
    pub fn is_disk(&self) -> bool {
        !self.is_medium
    }

    /// Whether it is what cloud-init reads its settings from.
    pub fn is_cloud_init(&self) -> bool {
        is_cloud_init(&self.volume)
    }

    /// Its name as Proxmox writes it: `storage:volume`, or the path.
    pub fn file(&self) -> String {
        if self.storage.is_empty() { self.volume.clone() } else { format!("{}:{}", self.storage, self.volume) }
    }
}

/// Whether this is the key of a disk drive. Upstream's `valid_drive_names` in
/// <https://git.proxmox.com/?p=qemu-server.git;a=blob;f=src/PVE/QemuServer/Drive.pm>, without what never holds a system (EFI variables, TPM).
pub fn is_drive(key: &str) -> bool {
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    stem != key && BUSES.contains(&stem)
}

/// The buses of disk drives, in the order in which upstream looks for the first disk.
pub const BUSES: [&str; 5] = ["ide", "scsi", "virtio", "sata", "nvme"];

/// `cloudinit`, `vm-401-cloudinit`, `401/vm-401-cloudinit.qcow2`: upstream's `drive_is_cloudinit`, in the same file.
fn is_cloud_init(volume: &str) -> bool {
    let name = volume.rsplit('/').next().unwrap_or(volume);
    let name = name.split_once('.').map_or(name, |(stem, _)| stem);
    let own = name.strip_prefix("vm-").and_then(|rest| rest.split_once('-')).map_or(name, |(_, rest)| rest);
    own == "cloudinit"
}

/// Bytes of a size such as `3584M` or `20G`.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'K') => (&text[..at], 1 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], GIB),
        (at, 'T') => (&text[..at], 1 << 40),
        _ => (text, 1),
    };
    // Proxmox prints fractions such as `2.20G`; a rounding error in the last digits matters to nobody.
    digits.parse::<f64>().ok().filter(|number| *number >= 0.0).map(|number| (number * f64::from(1 << 10) * (unit as f64 / 1024.0)) as u64)
}

/// A network card: `virtio=MAC,bridge=vmbr0,tag=10,…`. What we do not manage stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic(Properties);

impl Nic {
    /// A new card; Proxmox chooses its MAC address.
    pub fn new(bridge: &str, vlan: Option<u16>) -> Self {
        Self::parse("virtio").on(bridge, vlan)
    }

    /// Reads one.
    pub fn parse(text: &str) -> Self {
        Self(Properties::parse(text, "model"))
    }

    /// The bridge that it is plugged into.
    pub fn bridge(&self) -> &str {
        self.0.get("bridge").unwrap_or_default()
    }

    /// Its VLAN.
    pub fn vlan(&self) -> Option<u16> {
        self.0.get("tag").and_then(|tag| tag.parse().ok())
    }

    /// The size of its largest packet; the bridge's or 1500 when absent.
    pub fn mtu(&self) -> Option<u32> {
        self.0.get("mtu").and_then(|mtu| mtu.parse().ok())
    }

    /// The same card with packets of this size.
    #[must_use]
    pub fn with_mtu(self, mtu: Option<u32>) -> Self {
        Self(match mtu {
            Some(mtu) => self.0.with("mtu", mtu),
            None => self.0.without("mtu"),
        })
    }

    /// The same card, plugged in elsewhere.
    #[must_use]
    pub fn on(self, bridge: &str, vlan: Option<u16>) -> Self {
        let plugged = self.0.with("bridge", bridge);
        Self(match vlan {
            Some(vlan) => plugged.with("tag", vlan),
            None => plugged.without("tag"),
        })
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            ["4M", "20G", "1T", "512", "2.5G", "x"].map(bytes),
            [Some(4 << 20), Some(20 * GIB), Some(1024 * GIB), Some(512), Some(5 * GIB / 2), None]
        );
    }

    #[test]
    fn drives_are_told_by_their_keys_and_media_by_their_volumes() {
        assert!(["scsi0", "virtio15", "sata1", "ide2", "nvme0"].into_iter().all(is_drive));
        assert!(!["scsihw", "efidisk0", "tpmstate0", "unused0", "net0", "virtiofs", "ide"].into_iter().any(is_drive));
        let cloud_init = |text| Drive::parse(text).expect("a drive").is_cloud_init();
        assert!(cloud_init("local-lvm:vm-401-cloudinit,media=cdrom,size=4M"));
        assert!(cloud_init("local:401/vm-401-cloudinit.qcow2,media=cdrom") && cloud_init("local-lvm:cloudinit"));
        assert!(!cloud_init("local:iso/cloudinit-tools.iso,media=cdrom") && !cloud_init("local-lvm:vm-401-disk-0"));
        assert_eq!(Drive::parse("none,media=cdrom"), None);
        let host = Drive::parse("/dev/disk/by-path/pci-0000:03:00.0-sas-phy2-lun-0,size=1T").expect("a disk of the host");
        assert_eq!((host.storage.as_str(), host.is_disk()), ("", true));
        assert_eq!(host.file(), "/dev/disk/by-path/pci-0000:03:00.0-sas-phy2-lun-0");
    }

    #[test]
    fn linked_disks_name_their_base() {
        let linked = |text| Drive::parse(text).expect("a disk").is_linked();
        assert!(linked("local-lvm:base-9000-disk-0/vm-401-disk-0,size=3G"));
        assert!(linked("local:9000/base-9000-disk-0.qcow2/401/vm-401-disk-0.qcow2"));
        assert!(!linked("local:401/vm-401-disk-0.qcow2"));
        assert!(!linked("local-lvm:base-9000-disk-0"));
    }

    #[test]
    fn a_card_keeps_what_is_not_ours() {
        let nic = Nic::parse("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5");
        assert_eq!((nic.bridge(), nic.vlan()), ("vmbr0", Some(5)));
        assert_eq!(nic.clone().on("vmbr1", None).to_string(), "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1");
        assert_eq!(nic.on("vmbr0", Some(7)).to_string(), "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=7");
        assert_eq!(Nic::new("vmbr0", Some(3)).to_string(), "virtio,bridge=vmbr0,tag=3");
    }
}
