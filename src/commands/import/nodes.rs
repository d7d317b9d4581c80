//! The machines of one environment: those that OpenTofu made, where its outputs are at hand, and the others by the old system's own sums.
use super::{
    network::Network,
    settings::{Setting, Settings},
    text::Problem,
    tofu::{Literals, Machines},
};
use kthw_stdlib::workspace::Role;
use std::net::Ipv4Addr;

/// One node to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftNode {
    /// `wu1`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its VM id.
    pub vmid: u32,
    /// Its address.
    pub address: Ipv4Addr,
    /// The file, and line if there is one, that it comes from.
    pub origin: String,
}

/// What is found out about an environment's machines.
#[derive(Debug, Default)]
pub struct Found {
    /// The control plane, then the workers by their numbers.
    pub nodes: Vec<DraftNode>,
    /// The domain in the host names of machines that were made.
    pub domain: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What keeps the environment from being taken over.
    pub problems: Vec<Problem>,
}

/// A node that the files declare.
struct Declared<'a> {
    role: Role,
    number: u32,
    setting: Option<Setting<'a>>,
}

/// How addresses and ids were computed.
pub struct Sums<'a> {
    /// The environment.
    pub name: &'a str,
    /// Its release letter.
    pub letter: char,
    /// Its network.
    pub network: &'a Network,
    /// What the `.tf` files say.
    pub literals: &'a Literals,
    /// The last part of the first address of block 0.
    pub start: u32,
    /// Addresses of a block.
    pub size: u32,
    /// Why addresses cannot be computed, where they cannot.
    pub unknown: Option<String>,
}

/// The machines of an environment. `machines` are those of OpenTofu's outputs and the file that they are in.
pub fn nodes(settings: &Settings<'_>, sums: &Sums<'_>, machines: Option<(&str, &Machines)>) -> Found {
    let mut found = Found::default();
    let declared = declared(settings, &mut found);
    if let Some((file, machines)) = machines {
        made(&declared, sums, file, machines, settings, &mut found);
    }
    for one in declared {
        let name = name_of(one.role, sums.letter, one.number);
        if found.nodes.iter().any(|node| node.name == name) {
            continue;
        }
        if let Some((file, _)) = machines {
            found.notes.push(format!(
                "{name} is declared, and not among the machines of {file}: it is written with the address that it would get"
            ));
        }
        match sums.of(one.role, one.number, one.setting) {
            Ok((vmid, address)) => {
                let origin = one.setting.map_or_else(|| settings.own.file.name.clone(), |setting| setting.place());
                found.nodes.push(DraftNode { name, role: one.role, vmid, address, origin });
            }
            Err(problem) => found.problems.push(problem),
        }
    }
    // Where nothing can be computed each node has the same problem.
    found.problems.dedup_by_key(|problem| problem.to_string());
    found.nodes.sort_by_key(|node| (node.role != Role::ControlPlane, node.vmid));
    found
}

/// The nodes that every environment had, and those that its file adds.
fn declared<'a>(settings: &Settings<'a>, found: &mut Found) -> Vec<Declared<'a>> {
    let base = |role, number| Declared { role, number, setting: None };
    let mut declared = vec![base(Role::ControlPlane, 1), base(Role::Worker, 1), base(Role::Worker, 2)];
    match settings.find("ADDITIONAL_WORKERS") {
        Ok(Some(setting)) => {
            for word in setting.value.split(',').map(str::trim) {
                match number_of(word, "worker")
                    .filter(|number| !declared.iter().any(|one| one.role == Role::Worker && one.number == *number))
                {
                    Some(number) => declared.push(Declared { role: Role::Worker, number, setting: Some(setting) }),
                    None => found.problems.push(setting.wrong(
                        "these workers",
                        format!("`{word}` names no further worker"),
                        "a worker is named `worker-3`, with a number that no other one has; worker-1 and worker-2 are there in any case",
                    )),
                }
            }
        }
        Ok(None) => {}
        Err(problem) => found.problems.push(problem),
    }
    match settings.find("ADDITIONAL_CONTROLPLANES") {
        Ok(Some(setting)) => found.notes.push(format!(
            "ADDITIONAL_CONTROLPLANES ({}): further control planes are left out; the old system never joined one to the cluster, and kthw builds one",
            setting.place()
        )),
        Ok(None) => {}
        Err(problem) => found.problems.push(problem),
    }
    declared
}

fn number_of(word: &str, kind: &str) -> Option<u32> {
    let rest = word.strip_prefix(kind)?;
    rest.strip_prefix('-').unwrap_or(rest).parse().ok().filter(|number| *number > 0)
}

fn name_of(role: Role, letter: char, number: u32) -> String {
    format!("{}{letter}{number}", if role == Role::ControlPlane { 'c' } else { 'w' })
}

/// The machines that there are.
fn made(declared: &[Declared<'_>], sums: &Sums<'_>, file: &str, machines: &Machines, settings: &Settings<'_>, found: &mut Found) {
    for (key, machine) in machines {
        let kind = key.strip_prefix(sums.name).and_then(|key| key.strip_prefix('-')).unwrap_or(key);
        let control_plane = number_of(kind, "controlplane");
        let number = control_plane.or_else(|| number_of(kind, "worker"));
        let Some(number) = number else {
            found.problems.push(Problem::of(
                format!("{file}: `{key}` is neither a control plane nor a worker of {}", sums.name),
                format!("if it is the output of another environment, name the file after that; here keys begin with `{}-`", sums.name),
            ));
            return;
        };
        let role = if control_plane.is_some() { Role::ControlPlane } else { Role::Worker };
        let (name, domain) = machine.hostname.split_once('.').unwrap_or((&machine.hostname, ""));
        if role == Role::ControlPlane && number > 1 {
            found.notes.push(format!("{name} (VM {}, {file}) is left out: kthw builds one control plane", machine.vmid));
            continue;
        }
        if name != name_of(role, sums.letter, number) {
            found.problems.push(Problem::of(
                format!("{file}: `{key}` is called {name}, and would be called {}", name_of(role, sums.letter, number)),
                format!("RELEASE_LETTER in {} is not the letter that the machines were made with", settings.own.file.name),
            ));
            continue;
        }
        found.domain = found.domain.take().or_else(|| Some(domain.to_owned()).filter(|domain| !domain.is_empty()));
        let told = machine.address.as_deref().unwrap_or("N/A");
        let address = match told.split('/').next().and_then(|told| told.parse().ok()).filter(|address| sums.network.holds(*address)) {
            Some(address) => address,
            None => match sums.of(role, number, None) {
                Ok((_, address)) => {
                    found.notes.push(format!(
                        "{file} has `{told}` as the address of {name}, which is none of {}: {address} is written, which it was given",
                        sums.network
                    ));
                    address
                }
                Err(problem) => {
                    found.problems.push(problem);
                    continue;
                }
            },
        };
        if !declared.iter().any(|one| one.role == role && one.number == number) {
            found.notes.push(format!(
                "{name} is there ({file}), and ADDITIONAL_WORKERS does not name it: it is written; the old system would have removed it at its next `deploy apply`"
            ));
        }
        found.nodes.push(DraftNode { name: name.to_owned(), role, vmid: machine.vmid, address, origin: file.to_owned() });
    }
}

impl Sums<'_> {
    /// VM id and address of a node.
    fn of(&self, role: Role, number: u32, setting: Option<Setting<'_>>) -> Result<(u32, Ipv4Addr), Problem> {
        let outputs = format!(
            "the file is `outputs/{}.json` (`tofu workspace select {0}`, `tofu output -json`), in the folder that `--outputs` names",
            self.name
        );
        if let Some(why) = &self.unknown {
            return Err(Problem::of(format!("{}: the addresses are not known: {why}", self.name), outputs));
        }
        let Some(block) = self.literals.blocks.get(self.name) else {
            let message =
                format!("{0}: the addresses are not known: `workspace_ip_map` in terraform/locals.tf does not name {0}", self.name);
            return Err(Problem::of(message, outputs));
        };
        let (worker_ids, worker_addresses) = if role == Role::Worker { (20, 5) } else { (0, 0) };
        let last = block.saturating_mul(self.size).saturating_add(self.start).saturating_add(worker_addresses).saturating_add(number - 1);
        let address = u8::try_from(last).ok().and_then(|last| self.network.host(last));
        let vmid = block.saturating_mul(100).saturating_add(300 + worker_ids).saturating_add(number);
        address.map(|address| (vmid, address)).ok_or_else(|| {
            let name = name_of(role, self.letter, number);
            let message = format!("{name} of {} would be host {last} of {}, which has no such host", self.name, self.network);
            let help = "the old system's sums lead out of the network here: correct the numbers in a copy of its files";
            setting.map_or_else(|| Problem::of(message.clone(), help), |setting| setting.wrong("with this node", message.clone(), help))
        })
    }
}
