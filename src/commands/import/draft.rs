//! One environment of the old system as a workspace: what was in force there, which is not always what its variables say.
use super::{
    network::Network,
    nodes::{DraftNode, Found, Sums, nodes},
    settings::{Setting, Settings},
    text::Problem,
    tofu::{Literals, Machines},
};
use kthw_stdlib::{
    distribution::{Distribution, Release},
    versions::{Component, Set, Version, check, systems},
};
use std::net::Ipv4Addr;

/// The Calico that the old playbook installs, whatever `CALICO_VERSION` says.
const CALICO: Version = Version::new(3, 28, 0);
/// The storage of machines' disks, as the old `locals.tf` has it.
const STORAGE: &str = "MyStorage";

/// A workspace to write.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The environment's name, and the workspace's.
    pub name: String,
    /// The DNS domain.
    pub domain: String,
    /// The letter in host names.
    pub letter: char,
    /// Where that is set.
    pub letter_setting: Setting<'a>,
    /// The operating system.
    pub system: &'static Release,
    /// Kubernetes.
    pub kubernetes: Version,
    /// Calico.
    pub calico: Version,
    /// What upstream says against the two, if it does.
    pub unsupported: Option<String>,
    /// The nodes' network.
    pub network: Network,
    /// Its gateway.
    pub gateway: Ipv4Addr,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// The Proxmox node.
    pub pve_node: String,
    /// The storage of disks.
    pub storage: String,
    /// The bridge.
    pub bridge: String,
    /// The template's VM id.
    pub template: u32,
    /// The template's name.
    pub template_name: String,
    /// Where the image comes from.
    pub image: String,
    /// The image's file.
    pub image_file: String,
    /// Cores, memory in MiB, disk in GiB.
    pub size: [u32; 3],
    /// Who logs in.
    pub user: Option<String>,
    /// A public key for that user.
    pub key: Option<String>,
    /// The machines.
    pub nodes: Vec<DraftNode>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What the old system's folder says about every environment alike.
#[derive(Debug)]
pub struct Around<'a> {
    /// Literals of the `.tf` files.
    pub literals: &'a Literals,
    /// The file with the outputs of this environment, and the machines in it.
    pub machines: Option<(&'a str, &'a Machines)>,
}

/// Collects problems and goes on.
struct Collector(Vec<Problem>);

impl Collector {
    fn take<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }
}

/// Makes a workspace of an environment.
///
/// # Errors
/// Everything that is missing or wrong.
pub fn draft<'a>(name: &str, settings: &Settings<'a>, around: &Around<'_>) -> Result<Draft<'a>, Vec<Problem>> {
    let mut problems = Collector(Vec::new());
    let mut notes = Vec::new();
    let default = |name: &str| around.literals.defaults.get(name).cloned().unwrap_or_default();

    let letter = problems.take(letter(settings));
    let image_file = settings.need("IMAGE_NAME", "the cloud image's file, such as `debian-12-genericcloud-amd64.qcow2`");
    let image_file = problems.take(image_file);
    let system = image_file.and_then(|image| problems.take(system(image)));
    let image = problems.take(settings.need("IMAGE_LINK", "the cloud image's URL").and_then(image_url));
    let kubernetes = settings.need("KUBERNETES_LONG_VERSION", "the full version, such as `1.31.9`").and_then(version);
    let kubernetes = problems.take(kubernetes);
    let template = problems.take(settings.need("TEMPLATE_VM_ID", "the template's VM id, such as `9420`").and_then(number));
    let template_name = problems.take(settings.need("TEMPLATE_VM_NAME", "the template's name, such as `tpl-ubuntu-2404-k8s`"));
    let range = settings.find_own("NETWORK_CIDR").and_then(|setting| network(setting, &default("network_cidr"), &mut notes));
    let range = problems.take(range);
    let gateway = settings.find_own("STATIC_IP_GATEWAY").and_then(|setting| setting.map(address).transpose());
    let gateway = problems.take(gateway);
    let servers: Vec<Result<Option<Ipv4Addr>, Problem>> = ["PRIMARY_DNS_SERVER", "SECONDARY_DNS_SERVER"]
        .map(|name| settings.find(name).and_then(|setting| setting.map(address).transpose()))
        .into();
    let dns = servers.into_iter().filter_map(|server| problems.take(server).flatten()).collect();
    let pve_node = problems.take(settings.find("PROXMOX_NODE"));
    let storage = problems.take(settings.find("PROXMOX_DISK_DATASTORE"));
    let start = settings.find_own("STATIC_IP_START").and_then(|setting| number_or(setting, &default("static_ip_start")));
    let start = problems.take(start);
    let size = settings.find_own("WORKSPACE_IP_BLOCK_SIZE").and_then(|setting| number_or(setting, &default("workspace_ip_block_size")));
    let size = problems.take(size);
    let base = problems.take(settings.find_own("STATIC_IP_BASE")).flatten();
    let machine_size = ["vm_cpu_cores", "vm_memory_dedicated", "vm_disk_size"].map(|name| default(name).parse::<u32>().ok());

    let unknown = base.map(|base| format!("STATIC_IP_BASE ({}) moves them away from their block", base.place()));
    let found = match (&letter, &range, start, size) {
        (Some((letter, _)), Some(network), Some(start), Some(size)) => {
            let sums = Sums { name, letter: *letter, network, literals: around.literals, start, size, unknown };
            nodes(settings, &sums, around.machines)
        }
        _ => Found::default(),
    };
    problems.0.extend(found.problems);
    notes.extend(found.notes);
    if let Some(setting) = storage.flatten().filter(|setting| setting.value != STORAGE) {
        notes.push(format!("PROXMOX_DISK_DATASTORE ({}) is written as `proxmox.storage`; the machines' own disks were on {STORAGE}, which was written into locals.tf", setting.place()));
    }
    let user = user(settings);
    let key = problems.take(key(settings)).flatten();

    let complete = (letter, system, image, image_file, kubernetes, template, template_name, range, pve_node);
    let (
        Some(letter),
        Some(system),
        Some(image),
        Some(image_file),
        Some(kubernetes),
        Some(template),
        Some(template_name),
        Some(range),
        Some(pve_node),
    ) = complete
    else {
        return Err(problems.0);
    };
    if !problems.0.is_empty() {
        return Err(problems.0);
    }
    let set = Set::new(kubernetes.clone()).with(Component::Calico, CALICO).on(systems::by_id(&system.id()));
    let unsupported = check(&set).into_iter().next();
    if let Some(problem) = &unsupported {
        let nearest = problem.nearest.as_ref().map(|nearest| format!(" The nearest right set is {nearest}.")).unwrap_or_default();
        notes.push(format!("{}: that is what was installed, so `versions.unsupported` says that you know.{nearest}", problem.rule));
    }
    notes.push("the machines had a CPU of type kvm64 and did not start with their host; `machine` has kthw's defaults for both".into());
    if user.is_none() {
        notes.push("nothing says who logs in: a workspace without `ssh.user` logs in as `kthw`".into());
    }
    Ok(Draft {
        name: name.to_owned(),
        domain: found.domain.unwrap_or_else(|| default("vm_domain").trim_start_matches('.').to_owned()),
        letter: letter.0,
        letter_setting: letter.1,
        system,
        kubernetes,
        calico: CALICO,
        unsupported: unsupported.map(|problem| problem.rule),
        network: range,
        gateway: gateway.flatten().or_else(|| range.host(1)).expect("each network has a first host"),
        dns,
        pve_node: pve_node.map_or_else(|| default("pm_node"), |setting| setting.value.to_owned()),
        storage: storage.flatten().map_or_else(|| STORAGE.to_owned(), |setting| setting.value.to_owned()),
        bridge: default("network_bridge"),
        template,
        template_name: template_name.value.to_owned(),
        image,
        image_file: importable(image_file.value),
        size: machine_size.map(Option::unwrap_or_default),
        user,
        key,
        nodes: found.nodes,
        notes,
    })
}

fn letter<'a>(settings: &Settings<'a>) -> Result<(char, Setting<'a>), Problem> {
    let setting = settings.need("RELEASE_LETTER", "the letter in host names, such as `u` in cu1")?;
    let mut letters = setting.value.chars();
    match (letters.next().filter(char::is_ascii_lowercase), letters.next()) {
        (Some(letter), None) => Ok((letter, setting)),
        _ => Err(setting.wrong(
            "not such a letter",
            "RELEASE_LETTER is not one lower-case letter",
            "host names are made of it: `u` gives cu1, wu1",
        )),
    }
}

/// The release of an operating system, by the name of its image, which is how the old system told it too.
fn system(image: Setting<'_>) -> Result<&'static Release, Problem> {
    let name = image.value.to_ascii_lowercase();
    let prefixes = [
        ("ubuntu-", Distribution::Ubuntu),
        ("debian-", Distribution::Debian),
        ("rocky-", Distribution::Rocky),
        ("opensuse-leap-", Distribution::Suse),
    ];
    let found = prefixes
        .into_iter()
        .find_map(|(prefix, distribution)| Some((distribution, name.strip_prefix(prefix)?.split('-').next()?.to_owned())));
    let Some((distribution, version)) = found else {
        return Err(image.wrong(
            "no image of these",
            "IMAGE_NAME does not tell the operating system",
            "kthw knows images that begin with `ubuntu-`, `debian-`, `Rocky-` and `openSUSE-Leap-`",
        ));
    };
    let releases = distribution.releases();
    releases.iter().find(|release| release.version == version).ok_or_else(|| {
        let known: Vec<&str> = releases.iter().map(|release| release.version).collect();
        image.wrong(
            "this release",
            format!("kthw does not know release {version} of {}", distribution.word()),
            format!("it knows {}", known.join(", ")),
        )
    })
}

fn image_url(setting: Setting<'_>) -> Result<String, Problem> {
    let host = setting.value.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    if host.is_some_and(|host| host.contains('@')) {
        return Err(Problem::of(
            format!("{}: IMAGE_LINK has a user and a password in it", setting.place()),
            "a workspace holds no secrets: put the image where it can be fetched without, and write that address into a copy of the file",
        ));
    }
    Ok(setting.value.to_owned())
}

/// Proxmox imports a `.img` of Ubuntu only under the name of what it is.
fn importable(file: &str) -> String {
    file.strip_suffix(".img").map_or_else(|| file.to_owned(), |stem| format!("{stem}.qcow2"))
}

fn version(setting: Setting<'_>) -> Result<Version, Problem> {
    let bare = setting.value.strip_prefix('v').unwrap_or(setting.value);
    Version::parse(bare).map_err(|_| {
        setting.wrong("not a full version", format!("{} is not a full version", setting.name()), "write the full version, such as `1.31.9`")
    })
}

fn number(setting: Setting<'_>) -> Result<u32, Problem> {
    setting.value.parse().map_err(|_| {
        setting.wrong("not a number", format!("{} is not a whole number", setting.name()), "write digits alone, such as `110`")
    })
}

fn number_or(setting: Option<Setting<'_>>, default: &str) -> Result<u32, Problem> {
    match setting {
        Some(setting) => number(setting),
        None => default.parse().map_err(|_| {
            Problem::of(format!("terraform/variables.tf: `{default}` is not a whole number"), "correct it in a copy of the file")
        }),
    }
}

fn address(setting: Setting<'_>) -> Result<Ipv4Addr, Problem> {
    setting.value.parse().map_err(|_| {
        setting.wrong(
            "no IPv4 address",
            format!("{} is not an IPv4 address", setting.name()),
            "write it as four numbers from 0 to 255, such as `10.10.10.1`",
        )
    })
}

fn network(setting: Option<Setting<'_>>, default: &str, notes: &mut Vec<String>) -> Result<Network, Problem> {
    let help = "write a range as address and length, such as `10.10.10.0/24`";
    let Some(setting) = setting else {
        let network = Network::of(default).map(|(network, _)| network);
        return network.ok_or_else(|| Problem::of(format!("terraform/variables.tf: `{default}` is not a range of addresses"), help));
    };
    let (network, exact) = Network::of(setting.value)
        .ok_or_else(|| setting.wrong("no range", format!("{} is not a range of addresses", setting.name()), help))?;
    if !exact {
        notes.push(format!("NETWORK_CIDR ({}) has other than 24 bits, and machines were given 24: {network} is written", setting.place()));
    }
    Ok(network)
}

/// Who logs in; a name that only the secrets know is not known here.
fn user(settings: &Settings<'_>) -> Option<String> {
    ["ANSIBLE_REMOTE_USER", "VM_USERNAME"]
        .into_iter()
        .find_map(|name| settings.find(name).ok().flatten())
        .map(|setting| setting.value.to_owned())
}

/// The public key of machines' users.
fn key(settings: &Settings<'_>) -> Result<Option<String>, Problem> {
    let Some(setting) = settings.find("VM_SSH_KEY")? else { return Ok(None) };
    let is_public = ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| setting.value.starts_with(kind)) && !setting.value.contains('\n');
    match is_public {
        true => Ok(Some(setting.value.to_owned())),
        false => Err(Problem::of(
            format!("{}: VM_SSH_KEY is not a public key", setting.place()),
            "a workspace holds public keys alone: take it out of a copy of the file, and name the private key's file in `ssh.key_file`",
        )),
    }
}
