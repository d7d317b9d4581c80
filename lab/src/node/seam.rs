//! The seam to machines: finds the machine behind a node's name, and answers for it.
use super::{
    boot::{Seed, provide},
    host::Host,
    machine::Machine,
    work,
};
use crate::{
    fault::{Harm, Trigger},
    state::State,
    world::World,
};
use kthw_engine::{
    BoxFuture, Effect, Error, Result, Secret,
    node::{Action, Block, BlockOutcome, Finding, HostKey, KeyTrust, Nodes, Output, Probe, Told},
};
use kthw_stdlib::{
    sops::Secrets,
    ssh::{KnownHosts, Logins, SshError, Verdict, public_half},
    workspace::Workspace,
};
use std::{collections::BTreeMap, io, sync::Arc};

mod trip;

use trip::Errand;

/// The machines of a workspace.
#[derive(Clone, Debug)]
pub struct LabNodes {
    world: World,
    addresses: Arc<BTreeMap<String, String>>,
    user: Arc<str>,
    /// Whether the workspace says which keys machines are made with; without that the lab logs in all the same.
    keys_are_known: bool,
    known_hosts: Option<KnownHosts>,
    /// Whether there is no Proxmox VE that could be asked for a host key.
    made_elsewhere: bool,
    /// The name of the secret with the key to log in with, where the workspace names one.
    key_secret: Option<Arc<str>>,
    secrets: Option<Secrets>,
}

impl LabNodes {
    pub(crate) fn new(world: World, workspace: &Workspace) -> Self {
        {
            let state = &mut *world.lock();
            state.pve.provide(workspace);
            if workspace.proxmox.is_none() {
                provide_all(state, workspace);
            }
        }
        let nodes = workspace.nodes.iter().map(|node| (node.name.to_string(), node.address.to_string()));
        let template = workspace.template.as_ref().and_then(|template| Some((template, template.build_address?.to_string())));
        let builds = template.iter().flat_map(|(template, address)| {
            workspace.template_hosts().map(|(host, _)| (Workspace::build_machine(&template.name, host), address.clone()))
        });
        let addresses = nodes.chain(builds).collect();
        Self {
            world,
            addresses: Arc::new(addresses),
            user: workspace.ssh.user.as_str().into(),
            keys_are_known: !workspace.ssh.authorized_keys.is_empty(),
            known_hosts: None,
            made_elsewhere: workspace.proxmox.is_none(),
            key_secret: workspace.ssh.key_secret.as_deref().map(Into::into),
            secrets: None,
        }
    }

    /// The same machines, where the key to log in with may be one of `secrets`.
    #[must_use]
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets: Some(secrets), ..self }
    }

    /// The same machines, whose host keys must be those that are pinned.
    #[must_use]
    pub fn with_known_hosts(self, known_hosts: KnownHosts) -> Self {
        Self { known_hosts: Some(known_hosts), ..self }
    }

    /// The key of the machine behind a node's name, if somebody could log in there.
    fn reach(&self, state: &State, node: &str) -> Result<String> {
        let Some(address) = self.addresses.get(node) else { return Err(Error::peer(SshError::NoSuchNode { node: node.to_owned() })) };
        let Some(key) = key_of(state, address) else { return Err(unreachable(node, address, "no route to host")) };
        let machine = &state.machines[&key];
        if state.now_ms < machine.ssh_from_ms {
            return Err(unreachable(node, address, "connection refused"));
        }
        self.check_host_key(node, address, machine)?;
        if machine.user != *self.user || (self.keys_are_known && !machine.has_keys) {
            let (node, address, user) = (node.to_owned(), address.clone(), self.user.to_string());
            return Err(Error::peer(SshError::Refused { node, address, user, tried: "the lab's key".into() }));
        }
        if let (Some(name), Some(secrets)) = (&self.key_secret, &self.secrets) {
            let line = public_half(name, &secrets.get(name)?)?;
            if !holds(machine, &line) {
                let (node, address, user) = (node.to_owned(), address.clone(), self.user.to_string());
                return Err(Error::peer(SshError::Refused { node, address, user, tried: format!("the secret `{name}`") }));
            }
        }
        Ok(key)
    }

    /// A pinned key must be the machine's own. One that nobody pinned is believed where the real transport would.
    fn check_host_key(&self, node: &str, address: &str, machine: &Machine) -> Result<()> {
        let Some(known) = &self.known_hosts else { return Ok(()) };
        let key = machine.files.text("/etc/ssh/ssh_host_ed25519_key.pub");
        if key.is_empty() {
            return Err(unreachable(node, address, "connection reset: its SSH server has no host key"));
        }
        match known.judge_line(address, 22, &key).map_err(Error::peer)? {
            Verdict::Known => Ok(()),
            Verdict::Unknown if known.takes_first(address, 22, self.made_elsewhere) => {
                known.took_first(node, address, 22, &short(&key));
                known.learn_line(address, 22, &key).map_err(Error::peer)
            }
            Verdict::Unknown => {
                let (node, address, file) = (node.to_owned(), address.to_owned(), known.path().display().to_string());
                let (line, why) = (format!("{address} {}", key.trim()), known.why_not_first(&address, 22));
                Err(Error::peer(SshError::UnknownHostKey { node, address, fingerprint: short(&key), why, line, file }))
            }
            Verdict::Changed(_) | Verdict::Revoked => {
                let (node, address, file) = (node.to_owned(), address.to_owned(), known.path().display().to_string());
                let presented = short(&key);
                Err(Error::peer(SshError::HostKeyChanged { node, address, known: "another key".into(), presented, file }))
            }
        }
    }
}

impl LabNodes {
    /// The machine's key, and why it is believed.
    fn host_key(&self, node: &str, machine: &Machine) -> Finding {
        let line = machine.files.text("/etc/ssh/ssh_host_ed25519_key.pub");
        let address = self.addresses.get(node).map_or("", String::as_str);
        let known = self.known_hosts.as_ref().and_then(|known| known.trust_line(address, 22, &line).ok());
        let (fingerprint, trust) = known.unwrap_or_else(|| (String::new(), KeyTrust::Pinned));
        Finding::HostKey(HostKey { fingerprint, trust })
    }
}

impl Nodes for LabNodes {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        let look = move |host: &mut Host| {
            let before = host.machine.clone();
            let findings = probes
                .iter()
                .map(|probe| if *probe == Probe::HostKey { self.host_key(node, &host.machine) } else { work::look(host, probe) });
            let findings = findings.collect();
            if host.machine != before {
                host.state.cannot_play(format!("a probe changed {node}: {probes:?}"));
            }
            findings
        };
        Box::pin(self.on(node, look))
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        effect: &'a Effect,
        told: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        let errand = Errand::Script { run: effect.run(), batch: true };
        Box::pin(self.round_trip(node, errand, move |host, stops_after| work::change(host, batch, told, stops_after)))
    }

    fn keep_host_key<'a>(&'a self, node: &'a str, effect: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (Some(known), Some(address)) = (&self.known_hosts, self.addresses.get(node)) else { return Ok(()) };
            known.pin_learnt(node, address, 22, effect).map_err(Error::peer)
        })
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, effect: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        let errand = Errand::Script { run: effect.run(), batch: false };
        Box::pin(self.round_trip(node, errand, move |host, _| work::act(host, action)))
    }
}

impl Logins for LabNodes {
    fn try_key<'a>(&'a self, node: &'a str, key: &'a Secret) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let line = public_half("the new key", key)?;
            let holds = self.on(node, |host| {
                host.state.journal.push(format!("{node} login"));
                holds(&host.machine, &line)
            });
            if holds.await? {
                return Ok(());
            }
            let (address, user) = (self.addresses[node].clone(), self.user.to_string());
            Err(Error::peer(SshError::Refused { node: node.to_owned(), address, user, tried: "the new key".into() }))
        })
    }

    fn try_anew<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let login = self.on(node, |host| {
                host.state.journal.push(format!("{node} login"));
                let strikes = |on: &Trigger| matches!(on, Trigger::Login { node: struck } if struck == node);
                host.state.strike_as(strikes, |harm| if let Harm::Refused { text, .. } = harm { Some(text.clone()) } else { None })
            });
            match login.await? {
                None => Ok(()),
                Some(why) => Err(unreachable(node, &self.addresses[node], &why)),
            }
        })
    }
}

/// Whether a machine's user may log in with the key of this line of `authorized_keys`.
fn holds(machine: &Machine, line: &str) -> bool {
    let home = if machine.user == "root" { "/root".to_owned() } else { format!("/home/{}", machine.user) };
    let data = line.split(' ').nth(1).unwrap_or_default();
    machine.files.text(&format!("{home}/.ssh/authorized_keys")).lines().any(|known| known.split(' ').any(|word| word == data))
}

/// The key of the running machine with this address.
pub(crate) fn key_of(state: &State, address: &str) -> Option<String> {
    let is_there = |key: &&String| state.machines.get(*key).is_some_and(|machine| machine.running && machine.ip() == address);
    state.agenda.at(address).find(is_there).cloned()
}

/// Runs a program through the guest agent, as root.
pub(crate) fn run_by_agent(state: &mut State, key: &str, argv: &[String], stdin: &[u8]) -> Output {
    let name = state.machines.get(key).map(|machine| machine.hostname.clone()).unwrap_or_default();
    let Some(mut host) = Host::take(state, key, &name) else { return Output::default() };
    let output = host.run(argv, stdin);
    host.put_back();
    output
}

fn provide_all(state: &mut State, workspace: &Workspace) {
    let key = workspace.ssh.key_secret.as_deref().and_then(|name| public_half(name, &crate::peers::stand_in_key(name).ok()?).ok());
    let key = key.unwrap_or_else(|| "ssh-ed25519 the-lab-has-no-keys".into());
    for node in &workspace.nodes {
        let seed = Seed {
            os: kthw_stdlib::distribution::release(workspace).id(),
            name: workspace.fqdn(node),
            user: workspace.ssh.user.clone(),
            keys: format!("{key}\n"),
            address: format!("{}/{}", node.address, workspace.network.nodes.prefix_len()),
            gateway: workspace.network.gateway.to_string(),
            cores: node.cores.unwrap_or(workspace.machine.cores),
            memory_mib: node.memory_mib.unwrap_or(workspace.machine.memory_mib),
            ..Seed::default()
        };
        provide(state, &format!("bare/{}", node.address), &seed);
    }
}

/// The part of a public key that tells it from others.
fn short(key: &str) -> String {
    key.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// What the real transport says of a machine that cannot be reached.
fn unreachable(node: &str, address: &str, reason: &str) -> Error {
    Error::peer(SshError::Unreachable { node: node.to_owned(), address: address.to_owned(), source: io::Error::other(reason.to_owned()) })
}

/// What the real transport says of a connection that breaks while it is used.
fn broken(node: &str) -> Error {
    unreachable(node, node, "connection reset by peer")
}
