//! Which machines go on without something until they are restarted: hardware that waits in Proxmox, and what their system says.
//!
//! Nothing is changed for that, and no run restarts a machine: it is a list that stays until it is done.
use crate::{proxmox, ssh::restart_reasons};
use kthw_engine::{Peers, Plan};
use std::{collections::BTreeMap, fmt};

/// The nodes that need a restart, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    /// What their systems say.
    systems: BTreeMap<String, Vec<String>>,
    /// What waits in Proxmox.
    machines: BTreeMap<String, Vec<String>>,
}

impl Restarts {
    /// What this plan saw. It asks nobody anything: all of it came along when the plan was made.
    pub fn seen_by(plan: &Plan, peers: &Peers) -> Self {
        let answers = plan.answers("ssh.node").map(|(node, findings)| (node.to_owned(), restart_reasons(findings)));
        Self { systems: answers.filter(|(_, reasons)| !reasons.is_empty()).collect(), machines: waiting(peers) }
    }

    /// The same after a run, which may have changed machines; what it did on the nodes shows in the next plan.
    #[must_use]
    pub fn after_run(&self, peers: &Peers) -> Self {
        Self { systems: self.systems.clone(), machines: waiting(peers) }
    }

    /// The nodes and what waits on each, in the order of their names.
    pub fn by_node(&self) -> BTreeMap<String, Vec<String>> {
        let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (node, reasons) in self.machines.iter().chain(&self.systems) {
            nodes.entry(node.clone()).or_default().extend(reasons.iter().cloned());
        }
        nodes
    }

    /// Whether no machine needs one.
    pub fn is_empty(&self) -> bool {
        self.systems.is_empty() && self.machines.is_empty()
    }
}

fn waiting(peers: &Peers) -> BTreeMap<String, Vec<String>> {
    // A run without Proxmox has no client.
    peers.get::<proxmox::Client>().map(proxmox::Client::waiting).unwrap_or_default()
}

/// `Restart needed: wu1 (cores, memory), wu2 (…)`.
impl fmt::Display for Restarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.by_node().iter().map(|(node, reasons)| format!("{node} ({})", reasons.join(", "))).collect();
        write!(f, "Restart needed: {}", nodes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_listed_once_with_all_that_waits() {
        let one = |node: &str, reason: &str| BTreeMap::from([(node.to_owned(), vec![reason.to_owned()])]);
        let mut restarts = Restarts { systems: one("wu1", "its system asks for it"), machines: one("wu1", "cores") };
        restarts.machines.extend(one("cu1", "memory"));
        assert_eq!(restarts.to_string(), "Restart needed: cu1 (memory), wu1 (cores, its system asks for it)");
        assert!(!restarts.is_empty() && Restarts::default().is_empty());
    }
}
