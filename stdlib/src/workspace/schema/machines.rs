//! Proxmox VE, the template, and the size of machines.
use super::super::{
    json_schema,
    validate::{VLANS, VM_IDS},
};
use crate::{
    checked::{Checked, Rule},
    proxmox::names::{Bridge, CpuType, ImageFile, PoolId, PveNode, StorageId, TemplateName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::Ipv4Addr};

/// Where machines are made. The endpoint and its credentials are secrets or environment, never here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxmox {
    /// The Proxmox node that machines are placed on unless they say otherwise.
    pub node: PveNode,
    /// Storage of disks, such as `local-lvm`.
    pub storage: StorageId,
    /// Storage with content type `import`, where cloud images are kept; `local` by default.
    #[serde(default = "default_image_storage")]
    pub image_storage: StorageId,
    /// Bridge of the machines' network; `vmbr0` by default.
    #[serde(default = "default_bridge")]
    pub bridge: Bridge,
    /// VLAN tag, 1 to 4094.
    #[serde(default)]
    #[schemars(range(min = *VLANS.start(), max = *VLANS.end()))]
    pub vlan: Option<u16>,
    /// Resource pool that machines are put in.
    #[serde(default)]
    pub pool: Option<PoolId>,
    /// Whether machines are full copies of the template (`full`) or share its disk (`linked`).
    #[serde(default)]
    pub clone: CloneMode,
}

/// How a machine is cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloneMode {
    /// A full copy.
    #[default]
    Full,
    /// A linked clone on the template's storage.
    Linked,
}

/// The template that machines are cloned from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its VM id, which no node has.
    #[schemars(range(min = *VM_IDS.start(), max = *VM_IDS.end()))]
    pub vmid: u32,
    /// Its name, to which the digest of image and steps is added.
    pub name: TemplateName,
    /// The cloud image.
    pub image: Image,
    /// A free address inside `network.nodes` for the machine that the template is built on: the image is started there once, gets the guest agent
    /// and the packages of its release, and is cleaned. Without it the image is taken as it is, and a machine whose image has no guest agent is
    /// trusted at first sight.
    #[serde(default)]
    pub build_address: Option<Ipv4Addr>,
    /// The same template on further Proxmox nodes, by the VM id that it has there: where machines are placed on a node that does not reach the
    /// template's storage. Such as `{ pve2: 9421 }`.
    #[serde(default)]
    pub replicas: BTreeMap<PveNode, u32>,
}

/// A pinned cloud image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Where Proxmox downloads it from.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub url: String,
    /// Lower-case hex SHA-256 of the file. Without it no template is made of it, other than in the lab.
    #[serde(default)]
    #[schemars(regex(pattern = json_schema::SHA256))]
    pub sha256: Option<String>,
    /// The name under which the storage keeps it; it must end in `.qcow2`, `.raw` or `.vmdk` for import. The digest is put before that
    /// end, so that a file is never taken for another one of the same name.
    pub file: ImageFile,
}

/// What a machine is like.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// CPU cores. A control plane needs 2.
    pub cores: u32,
    /// Memory in MiB. A control plane needs 1700, and 4096 is comfortable.
    pub memory_mib: u32,
    /// System disk in GiB, at least 10.
    pub disk_gib: u32,
    /// CPU type as Proxmox names it; `x86-64-v2-AES` runs every supported distribution. Rocky Linux does not start on `kvm64`.
    pub cpu_type: CpuType,
    /// Whether it starts with its host.
    pub on_boot: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self { cores: 2, memory_mib: 4096, disk_gib: 20, cpu_type: sure("x86-64-v2-AES"), on_boot: true }
    }
}

fn default_image_storage() -> StorageId {
    sure("local")
}

fn default_bridge() -> Bridge {
    sure("vmbr0")
}

/// A value of our own.
fn sure<R: Rule>(text: &str) -> Checked<R> {
    text.parse().expect("a default is as its rule wants it")
}
