//! The property strings of disks and network cards.
use std::fmt;

/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;

/// A disk: `storage:volume,size=20G,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The storage that it lies on.
    pub storage: String,
    /// Its name there.
    pub volume: String,
    /// Its size in bytes, if the configuration knows it.
    pub size_bytes: Option<u64>,
}

impl Drive {
    /// Reads one; `None` for what is no volume on a storage.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let first = parts.next()?;
        let (storage, volume) = first.strip_prefix("file=").unwrap_or(first).split_once(':')?;
        let size_bytes = parts.find_map(|part| part.strip_prefix("size=")).and_then(bytes);
        Some(Self { storage: storage.into(), volume: volume.into(), size_bytes })
    }

    /// Whether it is a layer over a template's disk.
    pub fn is_linked(&self) -> bool {
        self.volume.contains("/base-") || (self.volume.starts_with("base-") && self.volume.contains('/'))
    }
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

/// A network card: `virtio=MAC,bridge=vmbr0,tag=10,…`. What we do not manage keeps its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic(Vec<(String, String)>);

impl Nic {
    /// A new card; Proxmox chooses its MAC address.
    pub fn new(bridge: &str, vlan: Option<u16>) -> Self {
        Self(vec![("virtio".into(), String::new())]).on(bridge, vlan)
    }

    /// Reads one.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| part.split_once('=').map_or((part.to_owned(), String::new()), |(key, value)| (key.into(), value.into()));
        Self(text.split(',').map(pair).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The bridge that it is plugged into.
    pub fn bridge(&self) -> &str {
        self.get("bridge").unwrap_or_default()
    }

    /// Its VLAN.
    pub fn vlan(&self) -> Option<u16> {
        self.get("tag").and_then(|tag| tag.parse().ok())
    }

    /// The same card, plugged in elsewhere.
    #[must_use]
    pub fn on(mut self, bridge: &str, vlan: Option<u16>) -> Self {
        self.0.retain(|(key, _)| key != "tag");
        match self.0.iter_mut().find(|(key, _)| key == "bridge") {
            Some((_, value)) => bridge.clone_into(value),
            None => self.0.push(("bridge".into(), bridge.into())),
        }
        self.0.extend(vlan.map(|vlan| ("tag".to_owned(), vlan.to_string())));
        self
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(key, value): &(String, String)| if value.is_empty() { key.clone() } else { format!("{key}={value}") };
        f.write_str(&self.0.iter().map(part).collect::<Vec<_>>().join(","))
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
