//! What is wanted of a machine: the options of `proxmox::vm`, completed by the workspace.
use super::{Vm, cards_of, keys::Keys};
use crate::{
    proxmox::names::{Bridge, CpuType, PoolId, PveNode, StorageId, Tag},
    workspace::{CloneMode, Node},
};
use miette::Diagnostic;
use serde::Deserialize;

/// The options of `proxmox::vm`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmSpec {
    /// The template that it is cloned from, by the name that `proxmox::template` got.
    pub template: String,
    /// Its VM id.
    #[serde(default)]
    pub vmid: Option<u32>,
    /// `full` or `linked`.
    #[serde(default)]
    pub clone: CloneMode,
    /// The storage of its disk.
    pub storage: StorageId,
    /// The bridge of its network card.
    pub bridge: Bridge,
    /// VLAN tag; the workspace's when absent.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// CPU cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// System disk in GiB.
    pub disk_gib: u32,
    /// CPU type.
    pub cpu_type: CpuType,
    /// Whether it starts with its host.
    #[serde(default = "yes")]
    pub on_boot: bool,
    /// Tags beside `kthw`.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Resource pool that it is in; the workspace's when absent. Without any, it stays where it is.
    #[serde(default)]
    pub pool: Option<PoolId>,
    /// The Proxmox node that it is made on; the node's or the workspace's when absent. A machine that somebody moved later may stay there.
    #[serde(default)]
    pub node: Option<PveNode>,
    /// How long its guest agent may stay silent after a start before it is used without.
    #[serde(default = "two_minutes")]
    pub agent_timeout_s: u32,
}

fn yes() -> bool {
    true
}

fn two_minutes() -> u32 {
    120
}

impl Vm {
    /// The machine of `node`.
    ///
    /// # Errors
    /// [`Incomplete`] when the workspace lacks something that a machine needs.
    pub fn new(node: &Node, spec: VmSpec) -> std::result::Result<Self, Incomplete> {
        let workspace = node.workspace();
        let own = node.spec();
        let missing = |what: &'static str, help: &'static str| Incomplete { node: own.name.to_string(), what, help };
        let proxmox = workspace.proxmox.as_ref();
        let host = spec.node.clone().or_else(|| own.proxmox_node.clone()).or_else(|| Some(proxmox?.node.clone()));
        let template = workspace.template.as_ref().filter(|template| template.name == spec.template);
        let network = &workspace.network;
        let host = host.ok_or_else(|| missing("Proxmox node", "write `proxmox.node` in workspace.yaml, or pass `node`"))?;
        let replica = template.and_then(|template| template.replicas.get(&host));
        Ok(Self {
            workspace: workspace.name.clone(),
            node: own.name.to_string(),
            fqdn: workspace.fqdn(own),
            search: workspace.search_domains(),
            role: own.role,
            vmid: spec.vmid.ok_or_else(|| missing("VM id", "write `vmid: …` beside its name in workspace.yaml"))?,
            template_vmid: replica.copied().or_else(|| Some(template?.vmid)),
            host,
            address: own.address,
            prefix: network.nodes.prefix_len(),
            gateway: network.gateway,
            dns: network.dns.clone(),
            user: workspace.ssh.user.clone(),
            port: own.port.unwrap_or(workspace.ssh.port),
            keys: Keys::of(&workspace.ssh),
            vlan: spec.vlan.or_else(|| proxmox?.vlan),
            cards: cards_of(workspace, own),
            pool: spec.pool.clone().or_else(|| proxmox?.pool.clone()),
            spec,
        })
    }
}

/// The workspace lacks something that a machine needs.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`{node}` has no {what}")]
#[diagnostic(code(kthw::proxmox::incomplete), help("{help}"))]
pub struct Incomplete {
    node: String,
    what: &'static str,
    help: &'static str,
}
