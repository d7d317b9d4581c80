//! A machine's configuration as Proxmox keeps it: texts by key, and the few property strings that matter to us.
use super::{
    call::percent_decoded,
    device::{BUSES, Drive, Nic, is_drive},
    ownership::Mark,
    property::{Properties, is_set},
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The configuration, with pending changes applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, Value>")]
pub struct Config(BTreeMap<String, String>);

impl From<BTreeMap<String, Value>> for Config {
    fn from(values: BTreeMap<String, Value>) -> Self {
        Self(values.into_iter().map(|(key, value)| (key, text(value))).collect())
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Bool(flag) => u8::from(flag).to_string(),
        other => other.to_string(),
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Config {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(values: T) -> Self {
        Self(values.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// One key of the configuration, and what becomes of it at the next start.
#[derive(Clone, Debug, Deserialize)]
pub struct Pending {
    key: String,
    #[serde(default)]
    pending: Option<Value>,
    #[serde(default)]
    delete: Option<Value>,
}

impl Pending {
    /// The key, if its value changes.
    pub fn name(self) -> Option<String> {
        (self.pending.is_some() || self.delete.is_some()).then_some(self.key)
    }
}

impl Config {
    /// The same configuration as it will be after the next start.
    #[must_use]
    pub fn with(mut self, pending: &[Pending]) -> Self {
        for one in pending {
            if let Some(value) = &one.pending {
                self.0.insert(one.key.clone(), text(value.clone()));
            } else if one.delete.is_some() {
                self.0.remove(&one.key);
            }
        }
        self
    }

    /// The text under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The property string under `key`, of a format whose key `default` may be written without its name.
    pub fn properties(&self, key: &str, default: &'static str) -> Properties {
        Properties::parse(self.get(key).unwrap_or_default(), default)
    }

    /// A whole number; `default` when it is not there. Memory is a property string of which only `current` matters.
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.properties(key, "current").get("current").and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// A flag; `default` when it is not there.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, is_set)
    }

    /// The mark of ownership, if it has one.
    pub fn mark(&self) -> Option<Mark> {
        Mark::find(self.get("description")?)
    }

    /// The virtual disk under `key`, such as `scsi0`.
    pub fn drive(&self, key: &str) -> Option<Drive> {
        self.get(key).and_then(Drive::parse)
    }

    /// The disk that it boots from, by its key: the first one of `order` in `boot`, else of `bootdisk`, as upstream's `get_bootdisks` has it in
    /// <https://git.proxmox.com/?p=qemu-server.git;a=blob;f=src/PVE/QemuServer/Drive.pm>; else the first that there is.
    pub fn boot_disk(&self) -> Option<(&str, Drive)> {
        let boot = self.properties("boot", "legacy");
        let named = boot.get("order").or(self.get("bootdisk")).unwrap_or_default();
        named.split([';', ' ']).find_map(|key| self.disk(key)).or_else(|| self.first_disk())
    }

    fn disk(&self, key: &str) -> Option<(&str, Drive)> {
        let (key, text) = self.0.get_key_value(key).filter(|(key, _)| is_drive(key))?;
        Some((key.as_str(), Drive::parse(text).filter(Drive::is_disk)?))
    }

    fn first_disk(&self) -> Option<(&str, Drive)> {
        let of_bus = |bus: &'static str| (0..=30).find_map(move |number| self.disk(&format!("{bus}{number}")));
        BUSES.into_iter().find_map(of_bus)
    }

    /// Whether it has a drive from which cloud-init reads addresses and keys.
    pub fn has_cloud_init(&self) -> bool {
        let drives = self.0.iter().filter(|(key, _)| is_drive(key));
        drives.filter_map(|(_, text)| Drive::parse(text)).any(|drive| drive.is_cloud_init())
    }

    /// The network card `net0`.
    pub fn net0(&self) -> Option<Nic> {
        self.net(0)
    }

    /// A network card by its number.
    pub fn net(&self, number: usize) -> Option<Nic> {
        self.get(&format!("net{number}")).map(Nic::parse)
    }

    /// The CPU type, without flags.
    pub fn cpu_type(&self) -> String {
        self.properties("cpu", "cputype").get("cputype").unwrap_or("kvm64").to_owned()
    }

    /// The tags as they are written, in their order.
    pub fn tags(&self) -> Vec<&str> {
        self.get("tags").unwrap_or_default().split([';', ',', ' ']).map(str::trim).filter(|tag| !tag.is_empty()).collect()
    }

    /// Whether the guest agent's channel is there.
    pub fn agent_enabled(&self) -> bool {
        self.properties("agent", "enabled").flag("enabled")
    }

    /// The public keys that cloud-init writes, one a line.
    pub fn ssh_keys(&self) -> Vec<String> {
        let text = percent_decoded(self.get("sshkeys").unwrap_or_default());
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// Tags in lower case, sorted, each once, as Proxmox keeps them where it does not tell capitals from small letters.
pub fn tags<'a>(given: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut tags: Vec<String> = given.into_iter().map(|tag| tag.trim().to_lowercase()).filter(|tag| !tag.is_empty()).collect();
    tags.sort();
    tags.dedup();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_proxmox_writes_them() {
        let config: Config = serde_json::from_str(
            r#"{"cores": 2, "memory": "current=4096", "onboot": 1, "agent": "enabled=1,fstrim_cloned_disks=1", "tags": "B;a",
                "cpu": "cputype=host,flags=+aes", "sshkeys": "ssh-ed25519%20AAAA%20me%0A", "scsi0": "local-lvm:vm-1-disk-0,discard=on,size=3584M"}"#,
        )
        .expect("a configuration");
        assert_eq!((config.number("cores", 1), config.number("memory", 512), config.number("sockets", 1)), (2, 4096, 1));
        assert!(config.flag("onboot", false) && config.agent_enabled());
        assert_eq!(config.tags(), ["B", "a"]);
        assert_eq!(config.cpu_type(), "host");
        assert_eq!(config.ssh_keys(), ["ssh-ed25519 AAAA me"]);
        let drive = config.drive("scsi0").expect("a disk");
        assert_eq!((drive.storage.as_str(), drive.size_bytes), ("local-lvm", Some(3584 << 20)));
        assert!(!drive.is_linked());
    }

    #[test]
    fn the_boot_disk_is_what_the_configuration_names() {
        let of = |values: &[(&str, &str)]| {
            let config: Config = values.iter().copied().collect();
            config.boot_disk().map(|(key, drive)| format!("{key} {}", drive.file()))
        };
        let disks = [
            ("scsi0", "slow:vm-1-disk-1,size=9G"),
            ("virtio0", "fast:vm-1-disk-0"),
            ("ide2", "fast:vm-1-cloudinit"),
            ("net0", "virtio=BC"),
        ];
        let with = |more: &[(&'static str, &'static str)]| of(&[&disks[..], more].concat());
        assert_eq!(with(&[("boot", "order=net0;ide2;virtio0;scsi0")]).as_deref(), Some("virtio0 fast:vm-1-disk-0"));
        assert_eq!(with(&[("boot", "c"), ("bootdisk", "virtio0")]).as_deref(), Some("virtio0 fast:vm-1-disk-0"));
        assert_eq!(with(&[("boot", "legacy=cdn"), ("bootdisk", "virtio0")]).as_deref(), Some("virtio0 fast:vm-1-disk-0"));
        assert_eq!(with(&[("boot", "order=virtio0"), ("bootdisk", "scsi0")]).as_deref(), Some("virtio0 fast:vm-1-disk-0"));
        assert_eq!(with(&[]).as_deref(), Some("scsi0 slow:vm-1-disk-1"));
        assert_eq!(of(&[("boot", "order=nvme1"), ("nvme1", "fast:vm-1-disk-3")]).as_deref(), Some("nvme1 fast:vm-1-disk-3"));
        assert_eq!(of(&[("scsihw", "virtio-scsi-single"), ("efidisk0", "fast:vm-1-disk-9"), ("ide0", "none,media=cdrom")]), None);
    }

    #[test]
    fn a_cloud_init_drive_may_be_on_any_bus() {
        let has = |key: &str, text: &str| [(key, text)].into_iter().collect::<Config>().has_cloud_init();
        assert!(
            has("scsi1", "local-lvm:vm-401-cloudinit,media=cdrom,size=4M") && has("ide2", "nfs:401/vm-401-cloudinit.qcow2,media=cdrom")
        );
        assert!(!has("ide2", "none,media=cdrom") && !has("unused0", "local-lvm:vm-401-cloudinit"));
    }

    #[test]
    fn pending_values_count_as_set() {
        let pending: Vec<Pending> = serde_json::from_str(
            r#"[{"key": "cores", "value": 2, "pending": 4}, {"key": "memory", "value": 512}, {"key": "vga", "value": "std", "delete": 1}]"#,
        )
        .expect("a list");
        let config: Config = [("cores", "2"), ("memory", "512"), ("vga", "std")].into_iter().collect();
        assert_eq!(config.with(&pending), [("cores", "4"), ("memory", "512")].into_iter().collect());
    }
}
