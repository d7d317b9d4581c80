//! The seam to machines: finds the machine behind a node's name, and takes as much virtual time as the work would.
use super::{
    boot::{Seed, provide},
    host::Host,
    work,
};
use crate::{
    clock::Sleep,
    fault::{Outcome, Trigger},
    state::State,
    world::World,
};
use kthw_engine::{
    BoxFuture, Error, Permit, Result,
    node::{Action, Block, BlockOutcome, Finding, Nodes, Output, Probe},
};
use kthw_stdlib::workspace::Workspace;
use std::{collections::BTreeMap, sync::Arc};

/// The machines of a workspace.
#[derive(Clone, Debug)]
pub struct LabNodes {
    world: World,
    addresses: Arc<BTreeMap<String, String>>,
    user: Arc<str>,
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
        let addresses = workspace.nodes.iter().map(|node| (node.name.clone(), node.address.to_string())).collect();
        Self { world, addresses: Arc::new(addresses), user: workspace.ssh.user.as_str().into() }
    }

    /// Does `work` on a node, in virtual time, with the faults that strike it.
    pub(crate) async fn on<T>(&self, node: &str, work: impl FnOnce(&mut Host) -> T + Send) -> Result<T> {
        let (answer, span_ms) = {
            let state = &mut *self.world.lock();
            let key = self.reach(state, node)?;
            let fault = state.strike(|on| matches!(on, Trigger::Node { node: wanted } if wanted == node));
            if fault == Some(Outcome::BrokenBefore) {
                return Err(unreachable(node, "connection reset by peer"));
            }
            let Some(mut host) = Host::take(state, &key, node) else { return Err(unreachable(node, "no route to host")) };
            let answer = work(&mut host);
            let span_ms = host.put_back();
            match fault {
                Some(_) => (Err(unreachable(node, "connection reset by peer")), span_ms),
                None => (Ok(answer), span_ms),
            }
        };
        Sleep { world: self.world.clone(), span_ms, until_ms: None }.await;
        answer
    }

    fn reach(&self, state: &State, node: &str) -> Result<String> {
        let Some(address) = self.addresses.get(node) else { return Err(unreachable(node, "the workspace has no such node")) };
        let Some(key) = key_of(state, address) else { return Err(unreachable(node, &format!("{address}: no route to host"))) };
        let machine = &state.machines[&key];
        if state.now_ms < machine.ssh_from_ms {
            return Err(unreachable(node, &format!("{address}: connection refused; the machine is still booting")));
        }
        if machine.user != *self.user || !machine.has_keys {
            return Err(unreachable(node, &format!("{}@{address}: permission denied (publickey)", self.user)));
        }
        Ok(key)
    }
}

impl Nodes for LabNodes {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        let look = move |host: &mut Host| {
            let before = host.machine.clone();
            let findings = probes.iter().map(|probe| work::look(host, probe)).collect();
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
        _permit: &'a Permit,
        started: &'a (dyn Fn(usize) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(self.on(node, move |host| work::change(host, batch, started)))
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, _permit: &'a Permit) -> BoxFuture<'a, Result<Output>> {
        Box::pin(self.on(node, move |host| work::act(host, action)))
    }
}

/// The key of the running machine with this address.
pub(crate) fn key_of(state: &State, address: &str) -> Option<String> {
    state.machines.iter().find(|(_, machine)| machine.running && machine.ip() == address).map(|(key, _)| key.clone())
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
    for node in &workspace.nodes {
        let seed = Seed {
            name: workspace.fqdn(node),
            user: workspace.ssh.user.clone(),
            keys: "ssh-ed25519 the-lab-has-no-keys\n".into(),
            address: format!("{}/{}", node.address, workspace.network.nodes.prefix_len()),
            gateway: workspace.network.gateway.to_string(),
            cores: node.cores.unwrap_or(workspace.machine.cores),
            memory_mib: node.memory_mib.unwrap_or(workspace.machine.memory_mib),
            ..Seed::default()
        };
        provide(state, &format!("bare/{}", node.address), &seed);
    }
}

fn unreachable(node: &str, reason: &str) -> Error {
    Error::peer(CannotReach { node: node.to_owned(), reason: reason.to_owned() })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot reach {node}: {reason}")]
#[diagnostic(code(kthw::lab::reach), help("this is the lab; `kthw lab reset` starts over with an empty world"))]
struct CannotReach {
    node: String,
    reason: String,
}
