//! Which machines go on without something until they are restarted: hardware that waits in Proxmox, and what their system says.
//!
//! It is a list that stays until it is done. Only `kubernetes::node_restarted` restarts anything; no other resource does.
use crate::{proxmox, ssh::restart_reasons};
use kthw_engine::{Outcome, Peers, Plan, Report};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The recipe that restarts the nodes that need it.
pub const RECIPE: &str = "recipes/operations/restart.rhai";

/// The resource that does so for one node.
const KIND: &str = "kubernetes.node_restarted";

/// The nodes that need a restart, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    /// What their systems say.
    systems: BTreeMap<String, Vec<String>>,
    /// What waits in Proxmox.
    machines: BTreeMap<String, Vec<String>>,
    /// The nodes that this very plan restarts where they need it.
    planned: BTreeSet<String>,
}

impl Restarts {
    /// What this plan saw. It asks nobody anything: all of it came along when the plan was made.
    pub fn seen_by(plan: &Plan, peers: &Peers) -> Self {
        let answers = plan.answers("ssh.node").map(|(node, findings)| (node.to_owned(), restart_reasons(findings)));
        let planned = plan.planned().iter().filter(|one| one.chosen && one.id.kind() == KIND).map(|one| one.id.name().to_owned());
        Self { systems: answers.filter(|(_, reasons)| !reasons.is_empty()).collect(), machines: waiting(peers), planned: planned.collect() }
    }

    /// The same after a run, which may have changed machines or restarted nodes; what else it did on them shows in the next plan.
    #[must_use]
    pub fn after_run(&self, report: &Report, peers: &Peers) -> Self {
        let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Changed { .. });
        let restarted: BTreeSet<&str> =
            report.outcomes.iter().filter(|(id, outcome)| id.kind() == KIND && is_done(outcome)).map(|(id, _)| id.name()).collect();
        let mut after = Self { machines: waiting(peers), ..self.clone() };
        after.systems.retain(|node, _| !restarted.contains(node.as_str()));
        after
    }

    /// Whether a node of the list is restarted by no resource of this plan, so that somebody has to be told how.
    pub fn needs_recipe(&self) -> bool {
        self.by_node().keys().any(|node| !self.planned.contains(node))
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
        let mut restarts = Restarts { systems: one("wu1", "its system asks for it"), machines: one("wu1", "cores"), ..Restarts::default() };
        restarts.machines.extend(one("cu1", "memory"));
        assert_eq!(restarts.to_string(), "Restart needed: cu1 (memory), wu1 (cores, its system asks for it)");
        assert!(!restarts.is_empty() && Restarts::default().is_empty());
        assert!(restarts.needs_recipe() && !Restarts::default().needs_recipe());
        restarts.planned.extend(["cu1".to_owned(), "wu1".to_owned()]);
        assert!(!restarts.needs_recipe());
    }
}
