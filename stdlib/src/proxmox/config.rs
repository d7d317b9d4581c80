//! A machine's configuration as Proxmox keeps it: texts by key, and the few property strings that matter to us.
use super::{
    call::percent_decoded,
    device::{Drive, Nic},
    ownership::Mark,
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

    /// A whole number; `default` when it is not there.
    pub fn number(&self, key: &str, default: u64) -> u64 {
        let text = self.get(key).map(|text| text.strip_prefix("current=").unwrap_or(text));
        text.and_then(|text| text.split(',').next()?.parse().ok()).unwrap_or(default)
    }

    /// A flag; `default` when it is not there.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |text| matches!(text, "1" | "on" | "yes" | "true"))
    }

    /// The mark of ownership, if it has one.
    pub fn mark(&self) -> Option<Mark> {
        Mark::find(self.get("description")?)
    }

    /// The virtual disk under `key`, such as `scsi0`.
    pub fn drive(&self, key: &str) -> Option<Drive> {
        self.get(key).and_then(Drive::parse)
    }

    /// The first boot disk, by its key.
    pub fn boot_disk(&self) -> Option<(&str, Drive)> {
        let order = self.get("boot").unwrap_or_default();
        let order = order.split(',').find_map(|part| part.strip_prefix("order=")).unwrap_or_default();
        order.split(';').chain(["scsi0", "virtio0", "sata0"]).find_map(|key| {
            let text = self.get(key).filter(|text| !text.contains("media=cdrom"))?;
            Some((self.0.get_key_value(key)?.0.as_str(), Drive::parse(text)?))
        })
    }

    /// The network card `net0`.
    pub fn net0(&self) -> Option<Nic> {
        self.get("net0").map(Nic::parse)
    }

    /// The CPU type, without flags.
    pub fn cpu_type(&self) -> &str {
        let text = self.get("cpu").unwrap_or("kvm64");
        let first = text.split(',').next().unwrap_or(text);
        first.strip_prefix("cputype=").unwrap_or(first)
    }

    /// The tags, in lower case, sorted.
    pub fn tags(&self) -> Vec<String> {
        tags(self.get("tags").unwrap_or_default().split([';', ',', ' ']))
    }

    /// Whether the guest agent's channel is there.
    pub fn agent_enabled(&self) -> bool {
        let text = self.get("agent").unwrap_or("0");
        text.split(',').any(|part| matches!(part, "1" | "enabled=1" | "enabled=on"))
    }

    /// The public keys that cloud-init writes, one a line.
    pub fn ssh_keys(&self) -> Vec<String> {
        let text = percent_decoded(self.get("sshkeys").unwrap_or_default());
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// Tags in lower case, sorted, each once, as Proxmox keeps them.
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
        assert_eq!(config.tags(), ["a", "b"]);
        assert_eq!(config.cpu_type(), "host");
        assert_eq!(config.ssh_keys(), ["ssh-ed25519 AAAA me"]);
        let drive = config.drive("scsi0").expect("a disk");
        assert_eq!((drive.storage.as_str(), drive.size_bytes), ("local-lvm", Some(3584 << 20)));
        assert!(!drive.is_linked());
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
