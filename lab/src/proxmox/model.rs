//! What the lab's Proxmox VE cluster consists of: nodes, storages, pools, virtual machines, tasks.
use super::{
    access::{ApiToken, Grant},
    task::Task,
};
use kthw_stdlib::workspace::{CloneMode, Workspace};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes in a GiB.
pub(crate) const GIB: u64 = 1 << 30;

/// The Proxmox VE cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pve {
    /// What `GET /version` says.
    pub version: String,
    /// Names of its nodes.
    pub nodes: BTreeSet<String>,
    /// Bridges that every node has.
    pub bridges: BTreeSet<String>,
    /// Storages, which every node has.
    pub storages: BTreeMap<String, Storage>,
    /// Pools and their members.
    pub pools: BTreeMap<String, BTreeSet<u32>>,
    /// Virtual machines.
    pub vms: BTreeMap<u32, Vm>,
    /// Tasks by UPID, also the ended ones.
    pub tasks: BTreeMap<String, Task>,
    /// API tokens by user and name.
    #[serde(default = "super::access::first_users")]
    pub users: BTreeMap<String, BTreeMap<String, ApiToken>>,
    /// The access control list.
    #[serde(default)]
    pub acl: Vec<Grant>,
}

/// A storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Storage {
    /// `dir` or `lvmthin`.
    pub kind: String,
    /// Whether all nodes see the same volumes.
    #[serde(default)]
    pub shared: bool,
    /// The content types that it takes.
    pub content: BTreeSet<String>,
    /// Its volumes by name (without `storage:`).
    pub volumes: BTreeMap<String, Volume>,
}

/// A volume of a storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Content type, such as `images` or `import`.
    pub content: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// Size in bytes.
    pub size: u64,
    /// The VM that it belongs to.
    pub vmid: Option<u32>,
    /// When it was made, in seconds since 1970.
    pub ctime: u64,
    /// The nodes on which a file lies under this name, on a storage that is not shared; none for a VM's disk, whose name is its own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<String>,
    /// The name of the image that was copied to it, if one was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
}

/// A virtual machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Vm {
    /// The node that it is on.
    pub node: String,
    /// Its configuration, as in its file.
    pub config: BTreeMap<String, String>,
    /// Changes that wait for the next start; `None` deletes.
    pub pending: BTreeMap<String, Option<String>>,
    /// Whether it runs.
    pub running: bool,
    /// QEMU's word for why it does not go on, such as `paused` or `io-error`; a VM that hibernates is stopped and locked (`suspended`).
    #[serde(default)]
    pub halt: Option<String>,
    /// When it was started, in virtual milliseconds.
    pub started_ms: u64,
    /// What it is locked for, such as `clone`.
    pub lock: Option<String>,
    /// Commands run through its agent, by pid: exit status, standard output, standard error.
    pub commands: BTreeMap<u64, (i32, String, String)>,
}

impl Default for Pve {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let storage =
            |kind: &str, content: &[&str]| Storage { kind: kind.into(), shared: false, content: names(content), volumes: BTreeMap::new() };
        Self {
            version: "9.0.10".into(),
            nodes: names(&["homelab"]),
            bridges: names(&["vmbr0"]),
            storages: BTreeMap::from([
                ("local".into(), storage("dir", &["backup", "import", "iso", "vztmpl"])),
                ("local-lvm".into(), storage("lvmthin", &["images", "rootdir"])),
            ]),
            pools: BTreeMap::new(),
            vms: BTreeMap::new(),
            tasks: BTreeMap::new(),
            users: super::access::first_users(),
            acl: Vec::new(),
        }
    }
}

impl Pve {
    /// Makes the nodes, storages, bridge and pool that a workspace names. The lab has no hardware of its own to compare with.
    pub(crate) fn provide(&mut self, workspace: &Workspace) {
        let Some(proxmox) = &workspace.proxmox else { return };
        self.nodes.insert(proxmox.node.to_string());
        self.nodes.extend(workspace.template_hosts().map(|(host, _)| host.to_owned()));
        self.nodes.extend(workspace.nodes.iter().filter_map(|node| node.proxmox_node.as_ref().map(ToString::to_string)));
        self.bridges.insert(proxmox.bridge.to_string());
        self.bridges.extend(workspace.network.more.iter().map(|network| network.bridge.to_string()));
        self.pools.extend(
            proxmox
                .pool
                .iter()
                .filter(|pool| !self.pools.contains_key(pool.as_str()))
                .map(|pool| (pool.to_string(), BTreeSet::new()))
                .collect::<Vec<_>>(),
        );
        let mut provide = |name: &str, kind: &str, content: &str| {
            let new = || Storage { kind: kind.into(), shared: false, content: BTreeSet::new(), volumes: BTreeMap::new() };
            self.storages.entry(name.to_owned()).or_insert_with(new).content.insert(content.to_owned());
        };
        provide(&proxmox.image_storage, "dir", "import");
        let kind = if proxmox.clone == CloneMode::Linked { "dir" } else { "lvmthin" };
        provide(&proxmox.storage, kind, "images");
    }

    /// Puts a VM there that belongs to somebody else.
    pub(crate) fn add_foreign_vm(&mut self, vmid: u32, name: &str) {
        let node = self.nodes.first().cloned().unwrap_or_default();
        let config = [("name", name), ("cores", "1"), ("memory", "1024"), ("description", "not made by kthw"), ("ostype", "l26")];
        let config = config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.vms.insert(vmid, Vm { node, config, ..Vm::default() });
    }

    /// Allocates a volume for a VM on `storage` and returns its id.
    pub(crate) fn allocate(&mut self, storage: &str, vmid: u32, what: &str, size: u64, ctime: u64) -> Option<String> {
        let store = self.storages.get_mut(storage)?;
        let is_folder = store.kind == "dir";
        let format = if is_folder && what == "disk" { "qcow2" } else { "raw" };
        let place = |name: &str| if is_folder { format!("{vmid}/{name}.{format}") } else { name.to_owned() };
        let name = match what {
            "cloudinit" => place(&format!("vm-{vmid}-cloudinit")),
            _ => (0..).map(|number| place(&format!("vm-{vmid}-disk-{number}"))).find(|name| !store.volumes.contains_key(name))?,
        };
        let volume = Volume {
            content: "images".into(),
            format: format.into(),
            size,
            vmid: Some(vmid),
            ctime,
            nodes: BTreeSet::new(),
            image: String::new(),
        };
        store.volumes.insert(name.clone(), volume);
        Some(format!("{storage}:{name}"))
    }

    /// The volume with this id.
    pub(crate) fn volume(&self, id: &str) -> Option<&Volume> {
        let (storage, name) = id.split_once(':')?;
        self.storages.get(storage)?.volumes.get(name)
    }

    /// The volumes of a storage that lie on a base, and that base, as the drives of linked clones name them.
    pub(crate) fn on_bases(&self, storage: &str) -> BTreeMap<&str, &str> {
        let drives = self.vms.values().flat_map(|vm| vm.config.values()).filter_map(|value| value.split(',').next());
        let names = drives.filter_map(|id| id.split_once(':')).filter(|(on, name)| *on == storage && name.contains("base-"));
        // `9420/base-9420-disk-0.qcow2/401/vm-401-disk-0.qcow2`
        names
            .filter_map(|(_, name)| Some((name.match_indices('/').nth(1)?.0, name)))
            .map(|(at, name)| (&name[at + 1..], &name[..at]))
            .collect()
    }

    /// Whether the storage of a drive is one that all nodes share.
    pub(crate) fn is_shared(&self, drive: &str) -> bool {
        drive.split_once(':').and_then(|(storage, _)| self.storages.get(storage)).is_some_and(|storage| storage.shared)
    }

    /// The name of the image that this drive was made from; the id of a linked clone on a folder begins with its base's.
    pub(crate) fn image_on(&self, drive: &str) -> String {
        let id = drive.split(',').next().unwrap_or_default();
        let own = id.split_once(':').and_then(|(storage, path)| {
            let parts: Vec<&str> = path.rsplitn(3, '/').collect();
            (parts.len() == 3).then(|| format!("{storage}:{}/{}", parts[1], parts[0]))
        });
        self.volume(own.as_deref().unwrap_or(id)).map(|volume| volume.image.clone()).unwrap_or_default()
    }

    /// The volume with this id, to change it.
    pub(crate) fn volume_mut(&mut self, id: &str) -> Option<&mut Volume> {
        let (storage, name) = id.split_once(':')?;
        self.storages.get_mut(storage)?.volumes.get_mut(name)
    }

    /// The pool that a VM is in.
    pub(crate) fn pool_of(&self, vmid: u32) -> Option<&str> {
        self.pools.iter().find(|(_, members)| members.contains(&vmid)).map(|(name, _)| name.as_str())
    }
}

impl Volume {
    /// Whether a node sees it, as far as that depends on the node.
    pub(crate) fn is_on(&self, node: &str) -> bool {
        self.nodes.is_empty() || self.nodes.contains(node)
    }
}

impl Vm {
    /// Whether it is a template.
    pub(crate) fn is_template(&self) -> bool {
        self.config.get("template").is_some_and(|flag| flag == "1")
    }

    /// Its configuration with what waits for the next start applied.
    pub(crate) fn with_pending(&self) -> BTreeMap<String, String> {
        let mut config = self.config.clone();
        for (key, value) in &self.pending {
            match value {
                Some(value) => config.insert(key.clone(), value.clone()),
                None => config.remove(key),
            };
        }
        config
    }

    /// The digest that guards against changes in between; forty characters as upstream's.
    pub(crate) fn digest(&self) -> String {
        let text = serde_json::to_string(&(&self.config, &self.pending)).unwrap_or_default();
        crate::state::fingerprint(text)[..40].to_owned()
    }

    /// One setting of a property string, such as `bridge` of `net0`.
    pub(crate) fn setting(&self, key: &str, name: &str) -> Option<&str> {
        super::patterns::split_properties(self.config.get(key)?, "").find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Bytes of `20G`, `3584M`, `512K` or plain bytes.
pub(crate) fn bytes_of(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], GIB),
        b'T' => (&text[..text.len() - 1], GIB << 10),
        _ => (text, 1),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let tenths: u64 = part.get(..1)?.parse().ok()?;
    Some(whole.parse::<u64>().ok()? * unit + tenths * unit / 10)
}

/// A size as Proxmox VE writes it: the largest unit that divides it.
pub(crate) fn size_text(bytes: u64) -> String {
    match bytes {
        bytes if bytes % GIB == 0 => format!("{}G", bytes / GIB),
        bytes if bytes % (1 << 20) == 0 => format!("{}M", bytes >> 20),
        bytes => format!("{}K", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes) in [("20G", 20 * GIB), ("3584M", 3584 << 20), ("4M", 4 << 20), ("1.5G", 3 * GIB / 2), ("1T", 1024 * GIB)] {
            assert_eq!(bytes_of(text), Some(bytes), "{text}");
        }
        assert_eq!([size_text(20 * GIB), size_text(3584 << 20), size_text(528 << 10)], ["20G", "3584M", "528K"]);
    }

    #[test]
    fn volumes_are_named_as_their_storage_names_them() {
        let mut pve = Pve::default();
        assert_eq!(pve.allocate("local-lvm", 401, "disk", GIB, 0).as_deref(), Some("local-lvm:vm-401-disk-0"));
        assert_eq!(pve.allocate("local-lvm", 401, "disk", GIB, 0).as_deref(), Some("local-lvm:vm-401-disk-1"));
        assert_eq!(pve.allocate("local-lvm", 401, "cloudinit", 4 << 20, 0).as_deref(), Some("local-lvm:vm-401-cloudinit"));
        assert_eq!(pve.allocate("local", 401, "disk", GIB, 0).as_deref(), Some("local:401/vm-401-disk-0.qcow2"));
        assert_eq!(pve.allocate("nowhere", 401, "disk", GIB, 0), None);
    }
}
