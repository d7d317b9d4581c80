//! How a machine differs from what is wanted of it, field by field.
use super::{Card, Vm, keys};
use crate::{
    proxmox::{
        call::percent_encoded,
        config::{Config, tags},
        device::{Drive, GIB, Nic},
        names::Tag,
        ownership::{Mark, noted, with_note},
    },
    workspace::CloneMode,
};
use kthw_engine::{Cost, Field, field};
use std::{borrow::Cow, fmt};

/// The note in a machine's description that holds the tags which kthw gave it.
const TAGS: &str = "tags";

/// One key of the configuration that has to change, and how a plan shows it.
pub(super) struct Difference {
    pub(super) key: Cow<'static, str>,
    pub(super) value: String,
    pub(super) field: Field,
}

impl Vm {
    pub(super) fn ip_config(&self) -> String {
        format!("ip={}/{},gw={}", self.address, self.prefix, self.gateway)
    }

    /// The machine's own address in what cloud-init is told; what else is there, such as IPv6, stays.
    fn ip_config_in(&self, config: &Config) -> String {
        let address = format!("{}/{}", self.address, self.prefix);
        config.properties("ipconfig0", "").with("ip", address).with("gw", self.gateway).to_string()
    }

    /// The tags that it is to have: people's own stay as they are written; those that kthw gave and the recipe no longer names go. Proxmox tells
    /// capitals from small letters only where somebody asks for that, so a tag in other letters counts as there.
    fn tags_in(&self, config: &Config) -> Vec<String> {
        let (wanted, given) = (self.wanted_tags(), noted(config, TAGS).unwrap_or_default());
        let is_wanted = |tag: &str| wanted.iter().any(|one| one.eq_ignore_ascii_case(tag));
        let was_given = |tag: &str| given.split(' ').any(|one| one.eq_ignore_ascii_case(tag));
        let live = config.tags();
        let missing = wanted.iter().filter(|tag| !live.iter().any(|one| one.eq_ignore_ascii_case(tag))).cloned();
        let stays = live.iter().filter(|tag| is_wanted(tag) || !was_given(tag)).map(|tag| (*tag).to_owned());
        stays.chain(missing).collect()
    }

    pub(super) fn wanted_tags(&self) -> Vec<String> {
        tags(self.spec.tags.iter().map(Tag::as_str).chain(["kthw"]))
    }

    /// The description of a machine that is made now: its mark, and what it is made from.
    pub(super) fn description(&self, mark: &Mark) -> String {
        let tags = self.wanted_tags().join(" ");
        format!("{mark}\ntemplate: {}\nclone: {}\nnode: {}\n{TAGS}: {tags}\n", self.spec.template, self.clone_mode(), self.host)
    }

    pub(super) fn clone_mode(&self) -> &'static str {
        if self.spec.clone == CloneMode::Linked { "linked" } else { "full" }
    }

    /// What differs and can be set on the machine as it is. `running` tells what takes a reboot to take effect.
    pub(super) fn differences(&self, config: &Config, running: bool, keys: &[String]) -> Vec<Difference> {
        let spec = &self.spec;
        let later = if running { Cost::Reboot } else { Cost::Nothing };
        let set = |key, cost, value: String, field: Option<Field>| {
            field.map(|field| Difference { key: Cow::Borrowed(key), value, field: field.at(cost) })
        };
        let text = |key| config.get(key).unwrap_or_default().to_owned();
        let nic = config.net0().unwrap_or_else(|| Nic::new("", None));
        let nic_wanted = nic.clone().on(&spec.bridge, self.vlan);
        let cpu = config.properties("cpu", "cputype").with("cputype", &spec.cpu_type).to_string();
        let agent_on = config.properties("agent", "enabled").with("enabled", 1).to_string();
        let ip = self.ip_config_in(config);
        let wanted = self.wanted_tags();
        let (live_tags, all_tags) = (config.tags(), self.tags_in(config));
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
            set("cpu", later, cpu, field("cpu_type", config.cpu_type().as_str(), spec.cpu_type.as_str())),
            set("net0", Cost::Nothing, nic_wanted.to_string(), field("network", Plugged(&nic), Plugged(&nic_wanted))),
            set("ipconfig0", later, ip.clone(), field("address", sorted(&text("ipconfig0")), sorted(&ip))),
            // Without a name server of its own the machine gets its host's.
            match dns.is_empty() {
                true => set("delete", later, "nameserver".into(), nameserver.map(|field| Field { want: "its host's".into(), ..field })),
                false => set("nameserver", later, dns, nameserver),
            },
            set("searchdomain", later, self.search.clone(), field("domain", text("searchdomain"), self.search.clone())),
            set("ciuser", later, self.user.clone(), field("user", text("ciuser"), self.user.clone())),
            set("sshkeys", later, percent_encoded(&format!("{key_lines}\n")), self.keys_field(config, keys)),
            set("ciupgrade", later, "0".into(), field("package_upgrade", upgrade, "never")),
            set("agent", later, agent_on, field("guest_agent", agent, "enabled")),
            set("onboot", Cost::Nothing, u8::from(spec.on_boot).to_string(), field("on_boot", config.flag("onboot", false), spec.on_boot)),
            set("tags", Cost::Nothing, all_tags.join(";"), field("tags", live_tags.join(" "), all_tags.join(" "))),
            set("description", Cost::Nothing, note.clone(), field("description", text("description"), note)),
        ]
        .into_iter()
        .flatten()
        .chain(self.cards.iter().flat_map(|card| card.differences(config, later)))
        .collect()
    }

    pub(super) fn keys_field(&self, config: &Config, keys: &[String]) -> Option<Field> {
        let live = config.ssh_keys();
        let differ = !keys.is_empty() && (live.len() != keys.len() || keys.iter().any(|key| !live.contains(key)));
        let shown = |keys: &[String]| keys.iter().map(|key| keys::short(key)).collect::<Vec<_>>().join(", ");
        differ.then(|| Field { live: Some(shown(&live)), ..Field::new("ssh_keys", shown(keys)) })
    }

    /// The disk grows in place. What an administrator may do with it, moving or growing it, is theirs: [`drift`](Self::drift) tells it.
    pub(super) fn disk_field(&self, drive: Option<&Drive>) -> Option<Field> {
        let Some(drive) = drive else {
            return field("disk", "none", "a boot disk").map(|field| field.at(Cost::Replacement));
        };
        let wanted = u64::from(self.spec.disk_gib) * GIB;
        let bytes = drive.size_bytes.filter(|bytes| *bytes < wanted)?;
        field("disk_gib", Gib(bytes), Gib(wanted))
    }

    /// The template that it says to be made from; whose image that had does not matter any more.
    pub(super) fn origin_field(&self, config: &Config) -> Option<Field> {
        field("template", noted(config, "template")?, &self.spec.template).map(|field| field.at(Cost::Replacement))
    }

    pub(super) fn create_fields(&self) -> Vec<Field> {
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
        fields.extend(self.cards.iter().flat_map(Card::create_fields));
        fields.extend(self.pool.as_ref().map(|pool| Field::new("pool", pool)));
        fields
    }
}

/// Where a card is plugged in.
#[derive(PartialEq)]
pub(super) struct Plugged<'a>(pub(super) &'a Nic);

impl fmt::Display for Plugged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.bridge(), self.0.vlan()) {
            ("", _) => f.write_str("none"),
            (bridge, None) => f.write_str(bridge),
            (bridge, Some(vlan)) => write!(f, "{bridge}, VLAN {vlan}"),
        }?;
        self.0.mtu().map_or(Ok(()), |mtu| write!(f, ", MTU {mtu}"))
    }
}

/// A size, in GiB as far as it is whole.
#[derive(PartialEq)]
pub(super) struct Gib(pub(super) u64);

impl fmt::Display for Gib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(GIB) { write!(f, "{}", self.0 / GIB) } else { write!(f, "{:.2}", self.0 as f64 / GIB as f64) }
    }
}

/// A property string with its parts in order: `gw=…,ip=…`.
pub(super) fn sorted(text: &str) -> String {
    let mut parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.sort_unstable_by(|a, b| b.cmp(a));
    parts.join(",")
}
