//! A virtual machine: what is wanted of it, and how that differs from what was found.
use super::{
    config::{Config, tags},
    device::{Drive, GIB, Nic},
    machine::Found,
    names::{Bridge, CpuType, PoolId, PveNode, StorageId, Tag},
    ownership::{Mark, noted, with_note},
    template::Template,
};
use crate::workspace::{CloneMode, Node, Role};
use kthw_engine::{Change, Cost, Field, Id, Peers, Permit, Removable, Resource, Result, field};
use miette::Diagnostic;
use serde::Deserialize;
use std::{fmt, net::Ipv4Addr};

mod build;
mod keys;
mod stays;

use keys::Keys;

/// The note in a machine's description that holds the tags which kthw gave it.
const TAGS: &str = "tags";

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

/// The resource behind `proxmox::vm`.
#[derive(Clone, Debug)]
pub struct Vm {
    workspace: String,
    node: String,
    fqdn: String,
    domain: String,
    role: Role,
    vmid: u32,
    host: PveNode,
    template_vmid: Option<u32>,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
    dns: Vec<Ipv4Addr>,
    user: String,
    port: u16,
    keys: Keys,
    vlan: Option<u16>,
    pool: Option<PoolId>,
    spec: VmSpec,
}

/// What was found: the machine, and the public keys in the operator's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub(super) found: Found,
    pub(super) keys: Vec<String>,
    /// What its guest agent says of its addresses; asked only when its configuration has another one than the workspace.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// It was started a moment ago, no host key of it is known, and its guest agent does not answer yet: who it is cannot be told.
    pub(super) starting: bool,
}

/// One key of the configuration that has to change, and how a plan shows it.
struct Setting {
    key: &'static str,
    value: String,
    field: Field,
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
        Ok(Self {
            workspace: workspace.name.clone(),
            node: own.name.to_string(),
            fqdn: workspace.fqdn(own),
            domain: workspace.domain.clone(),
            role: own.role,
            vmid: spec.vmid.ok_or_else(|| missing("VM id", "write `vmid: …` beside its name in workspace.yaml"))?,
            host: host.ok_or_else(|| missing("Proxmox node", "write `proxmox.node` in workspace.yaml, or pass `node`"))?,
            template_vmid: template.map(|template| template.vmid),
            address: own.address,
            prefix: network.nodes.prefix_len(),
            gateway: network.gateway,
            dns: network.dns.clone(),
            user: workspace.ssh.user.clone(),
            port: own.port.unwrap_or(workspace.ssh.port),
            keys: Keys::of(&workspace.ssh),
            vlan: spec.vlan.or_else(|| proxmox?.vlan),
            pool: spec.pool.clone().or_else(|| proxmox?.pool.clone()),
            spec,
        })
    }

    fn ip_config(&self) -> String {
        format!("ip={}/{},gw={}", self.address, self.prefix, self.gateway)
    }

    fn wanted_tags(&self) -> Vec<String> {
        tags(self.spec.tags.iter().map(Tag::as_str).chain(["kthw"]))
    }

    /// The description of a machine that is made now: its mark, and what it is made from.
    fn description(&self, mark: &Mark) -> String {
        let tags = self.wanted_tags().join(" ");
        format!("{mark}\ntemplate: {}\nclone: {}\nnode: {}\n{TAGS}: {tags}\n", self.spec.template, self.clone_mode(), self.host)
    }

    fn clone_mode(&self) -> &'static str {
        if self.spec.clone == CloneMode::Linked { "linked" } else { "full" }
    }

    /// What differs and can be set on the machine as it is. `running` tells what takes a reboot to take effect.
    fn settings(&self, config: &Config, running: bool, keys: &[String]) -> Vec<Setting> {
        let spec = &self.spec;
        let later = if running { Cost::Reboot } else { Cost::Nothing };
        let set =
            |key, cost, value: String, field: Option<Field>| field.map(|field| Setting { key, value, field: field.at(cost) });
        let text = |key| config.get(key).unwrap_or_default().to_owned();
        let nic = config.net0().unwrap_or_else(|| Nic::new("", None));
        let nic_wanted = nic.clone().on(&spec.bridge, self.vlan);
        let cpu_flags = text("cpu").split_once(',').map(|(_, flags)| format!(",{flags}")).unwrap_or_default();
        // People's own tags stay; those that kthw gave and the recipe no longer names go.
        let given: Vec<&str> = noted(config, TAGS).unwrap_or_default().split(' ').collect();
        let (wanted, live_tags) = (self.wanted_tags(), config.tags());
        let theirs = live_tags.iter().filter(|tag| !given.contains(&tag.as_str()));
        let all_tags = tags(theirs.chain(&wanted).map(String::as_str));
        let note = with_note(&text("description"), TAGS, &wanted.join(" "));
        let dns = self.dns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let nameserver = field("dns", text("nameserver"), dns.clone());
        let key_lines = keys.join("\n");
        let agent = if config.agent_enabled() { "enabled" } else { "disabled" };
        let upgrade = if config.flag("ciupgrade", true) { "on first boot" } else { "never" };
        [
            set("name", Cost::Nothing, self.fqdn.clone(), field("name", text("name"), self.fqdn.clone())),
            set("cores", later, spec.cores.to_string(), field("cores", config.number("cores", 1), spec.cores.into())),
            // `cores` of the workspace is what the machine has; Proxmox multiplies by sockets.
            set("sockets", later, "1".into(), field("sockets", config.number("sockets", 1), 1)),
            set("memory", later, spec.memory_mib.to_string(), field("memory_mib", config.number("memory", 512), spec.memory_mib.into())),
            set("cpu", later, format!("{}{cpu_flags}", spec.cpu_type), field("cpu_type", config.cpu_type(), &spec.cpu_type)),
            set("net0", Cost::Nothing, nic_wanted.to_string(), field("network", Plugged(&nic), Plugged(&nic_wanted))),
            set("ipconfig0", later, self.ip_config(), field("address", sorted(&text("ipconfig0")), sorted(&self.ip_config()))),
            // Without a name server of its own the machine gets its host's.
            match dns.is_empty() {
                true => set("delete", later, "nameserver".into(), nameserver.map(|field| Field { want: "its host's".into(), ..field })),
                false => set("nameserver", later, dns, nameserver),
            },
            set("searchdomain", later, self.domain.clone(), field("domain", text("searchdomain"), self.domain.clone())),
            set("ciuser", later, self.user.clone(), field("user", text("ciuser"), self.user.clone())),
            set("sshkeys", later, super::call::percent_encoded(&format!("{key_lines}\n")), self.keys_field(config, keys)),
            set("ciupgrade", later, "0".into(), field("package_upgrade", upgrade, "never")),
            set("agent", later, "enabled=1".into(), field("guest_agent", agent, "enabled")),
            set("onboot", Cost::Nothing, u8::from(spec.on_boot).to_string(), field("on_boot", config.flag("onboot", false), spec.on_boot)),
            set("tags", Cost::Nothing, all_tags.join(";"), field("tags", live_tags.join(" "), all_tags.join(" "))),
            set("description", Cost::Nothing, note.clone(), field("description", text("description"), note)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn keys_field(&self, config: &Config, keys: &[String]) -> Option<Field> {
        let live = config.ssh_keys();
        let differ = !keys.is_empty() && (live.len() != keys.len() || keys.iter().any(|key| !live.contains(key)));
        let shown = |keys: &[String]| keys.iter().map(|key| keys::short(key)).collect::<Vec<_>>().join(", ");
        differ.then(|| Field { name: "ssh_keys".into(), live: Some(shown(&live)), want: shown(keys), cost: Cost::Nothing })
    }

    /// The disk: it grows in place, everything else about it needs another machine.
    fn disk_fields(&self, drive: Option<&Drive>) -> [Option<Field>; 2] {
        let replace = |field: Option<Field>| field.map(|field| field.at(Cost::Replacement));
        let Some(drive) = drive else {
            return [replace(field("disk", "none", "a boot disk")), None];
        };
        let gib = u64::from(self.spec.disk_gib);
        let size = drive.size_bytes.filter(|bytes| *bytes != gib * GIB).and_then(|bytes| {
            let size = field("disk_gib", Gib(bytes), Gib(gib * GIB));
            if bytes > gib * GIB { replace(size) } else { size }
        });
        [replace(field("storage", drive.storage.as_str(), self.spec.storage.as_str())), size]
    }

    /// The template that it says to be made from; whose image that had does not matter any more.
    fn origin_field(&self, config: &Config) -> Option<Field> {
        field("template", noted(config, "template")?, &self.spec.template).map(|field| field.at(Cost::Replacement))
    }

    fn create_fields(&self) -> Vec<Field> {
        let spec = &self.spec;
        let mut fields = vec![
            Field::new("name", &self.fqdn),
            Field::new("vmid", self.vmid),
            Field::new("node", &self.host),
            Field::new("template", &spec.template),
            Field::new("clone", self.clone_mode()),
            Field::new("storage", &spec.storage),
            Field::new("cores", spec.cores),
            Field::new("memory_mib", spec.memory_mib),
            Field::new("disk_gib", spec.disk_gib),
            Field::new("cpu_type", &spec.cpu_type),
            Field::new("network", Plugged(&Nic::new(&spec.bridge, self.vlan))),
            Field::new("address", sorted(&self.ip_config())),
            Field::new("user", &self.user),
            Field::new("on_boot", spec.on_boot),
            Field::new("tags", self.wanted_tags().join(" ")),
        ];
        fields.extend(self.pool.as_ref().map(|pool| Field::new("pool", pool)));
        fields
    }
}

impl Resource for Vm {
    type Live = Live;
    const REMOVABLE: Removable = Removable::Ours;
    const HOLDS_DEPENDENTS: bool = true;

    fn id(&self) -> Id {
        Id::new("proxmox.vm", &self.node)
    }

    fn after(&self) -> Vec<Id> {
        vec![Template::id_of(&self.spec.template)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        self.find(peers).await
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else { return Change::Create(self.create_fields()) };
        let Live { found, keys, starting, .. } = live;
        let now = match found.running {
            true if *starting => "starting",
            true => "running",
            false => "stopped",
        };
        let status = field("status", now, "running");
        let drive = found.config.boot_disk().map(|(_, drive)| drive);
        let settings = self.settings(&found.config, found.running, keys).into_iter().map(|setting| Some(setting.field));
        let vmid = field("vmid", found.machine.vmid, self.vmid).map(|field| field.at(Cost::Replacement));
        let pool = self.pool.as_ref().and_then(|pool| field("pool", found.pool.as_deref().unwrap_or("none"), pool));
        let own = [status, vmid, self.origin_field(&found.config), self.clone_field(found), pool];
        self.with_refusals(live, Change::between(own.into_iter().chain(self.disk_fields(drive.as_ref())).chain(settings)))
    }

    fn hides_dependents(&self, change: &Change) -> bool {
        // A machine that has to be started cannot be looked into before, and at another address there is another one or none.
        let refused_at = |name| matches!(change, Change::Refused(_)) && change.fields().iter().any(|field| field.name == name);
        let is_stopped = |field: &Field| field.name == "status" && field.live.as_deref() == Some("stopped");
        refused_at("address") || matches!(change, Change::Create(_)) || change.fields().iter().any(is_stopped)
    }

    async fn apply(&self, live: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        self.make_so(live, peers, permit).await
    }

    fn keeps(&self, live: &Live) -> Option<String> {
        live.found.protection()
    }

    async fn remove(&self, live: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        self.unmake(live, peers, permit).await
    }
}

/// Where a card is plugged in.
#[derive(PartialEq)]
struct Plugged<'a>(&'a Nic);

impl fmt::Display for Plugged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.bridge(), self.0.vlan()) {
            ("", _) => f.write_str("none"),
            (bridge, None) => f.write_str(bridge),
            (bridge, Some(vlan)) => write!(f, "{bridge}, VLAN {vlan}"),
        }
    }
}

/// A size, in GiB as far as it is whole.
#[derive(PartialEq)]
struct Gib(u64);

impl fmt::Display for Gib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(GIB) { write!(f, "{}", self.0 / GIB) } else { write!(f, "{:.2}", self.0 as f64 / GIB as f64) }
    }
}

/// The address that cloud-init gives a machine with this configuration.
pub(super) fn known_address(config: &Config) -> Option<Ipv4Addr> {
    let text = config.get("ipconfig0")?;
    let address = text.split(',').find_map(|part| part.trim().strip_prefix("ip="))?;
    address.split('/').next()?.parse().ok()
}

/// A property string with its parts in order: `gw=…,ip=…`.
fn sorted(text: &str) -> String {
    let mut parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.sort_unstable_by(|a, b| b.cmp(a));
    parts.join(",")
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

#[cfg(test)]
pub(super) mod tests;
