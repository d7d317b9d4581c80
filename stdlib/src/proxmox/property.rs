//! Proxmox VE's property strings, such as `virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1`: read, changed in one place, written back.
//!
//! What is not ours stays as it was written. The rules are `parse_property_string` and `print_property_string` in
//! <https://git.proxmox.com/?p=pve-common.git;a=blob;f=src/PVE/JSONSchema.pm>: `key=value` with commas between, and one key per format whose
//! name may be left out.
use std::fmt;

/// A property string of a format whose key `default` may be written without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    default: &'static str,
    parts: Vec<String>,
}

impl Properties {
    /// Reads one. `default` is the key that may be left out; a format without such a key gets `""`.
    pub fn parse(text: &str, default: &'static str) -> Self {
        let parts = text.split(',').filter(|part| !part.trim().is_empty()).map(str::to_owned).collect();
        Self { default, parts }
    }

    /// Key and value of a part.
    fn split<'p>(&self, part: &'p str) -> (&'p str, &'p str)
    where
        Self: 'p,
    {
        part.trim().split_once('=').unwrap_or((if self.default.is_empty() { part.trim() } else { self.default }, part.trim()))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.parts.iter().map(|part| self.split(part)).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Whether `key` is a flag that is set.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(is_set)
    }

    /// The same string with this value, in its old place, or at the end where it was not there. A name that was left out stays left out.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        let at = self.parts.iter().position(|part| self.split(part).0 == key);
        let written = |part: &String| if part.contains('=') { format!("{key}={value}") } else { value.to_string() };
        match at {
            Some(at) => self.parts[at] = written(&self.parts[at]),
            None if key == self.default => self.parts.insert(0, value.to_string()),
            None => self.parts.push(format!("{key}={value}")),
        }
        self
    }

    /// The same string without `key`.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        let kept: Vec<String> = self.parts.iter().filter(|part| self.split(part).0 != key).cloned().collect();
        self.parts = kept;
        self
    }
}

/// Whether the value of a flag means yes; upstream's `parse_boolean`.
pub fn is_set(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_changes_and_the_others_stay_as_written() {
        let changed = |text: &str, default, key: &str, value: &str| Properties::parse(text, default).with(key, value).to_string();
        assert_eq!(changed("0,fstrim_cloned_disks=1,type=virtio", "enabled", "enabled", "1"), "1,fstrim_cloned_disks=1,type=virtio");
        assert_eq!(changed("type=isa,enabled=0", "enabled", "enabled", "1"), "type=isa,enabled=1");
        assert_eq!(changed("type=isa", "enabled", "enabled", "1"), "1,type=isa");
        assert_eq!(changed("gw=192.0.2.1,ip6=auto,ip=dhcp", "", "ip", "192.0.2.5/24"), "gw=192.0.2.1,ip6=auto,ip=192.0.2.5/24");
        assert_eq!(
            changed("cputype=host,flags=+aes;+pcid", "cputype", "cputype", "x86-64-v2-AES"),
            "cputype=x86-64-v2-AES,flags=+aes;+pcid"
        );
        assert_eq!(changed("kvm64,hidden=1", "cputype", "cputype", "host"), "host,hidden=1");
        assert_eq!(changed("", "", "ip", "dhcp"), "ip=dhcp");
        assert_eq!(
            Properties::parse("virtio=BC:24:11:00:00:01,tag=5,bridge=a", "").without("tag").to_string(),
            "virtio=BC:24:11:00:00:01,bridge=a"
        );
    }

    #[test]
    fn values_are_found_by_their_names_or_as_the_default() {
        let agent = Properties::parse(" 1 , type=isa", "enabled");
        assert_eq!((agent.get("enabled"), agent.get("type"), agent.get("freeze")), (Some("1"), Some("isa"), None));
        assert!(agent.flag("enabled") && !agent.flag("type"));
        assert!(Properties::parse("enabled=On", "enabled").flag("enabled") && !Properties::parse("enabled=0", "enabled").flag("enabled"));
    }
}
