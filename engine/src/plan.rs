//! Planning: read the world once, compare, and say what would change. Nothing here can write.
use crate::{
    absent::Presence,
    change::Change,
    error::{Error, Result},
    evaluate::Evaluated,
    event::{Event, Events},
    field::Cost,
    id::Id,
    node::Finding,
    node::Probe,
    order::{Order, order},
    peers::Peers,
};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;

mod choose;
mod look;
mod planning;
mod saved;
mod show;

pub use choose::Choice;
use look::look;
pub(crate) use look::read_node;
use planning::{Decided, Planning};
pub(crate) use planning::{Seen, refreshed_because};
pub use saved::{Asked, SavedPlan, Verb};

/// How many looks are under way at once. A look is one exec on a node, or one resource of another peer.
pub(crate) const AT_ONCE: usize = 256;

/// Which commands by a recipe's author planning may run on a node, to find out whether there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// None.
    Nothing,
    /// Those that change nothing, according to the author.
    WhatReads,
}

impl Asking {
    fn allows(self, probe: &Probe) -> bool {
        match probe {
            Probe::Check { reads, .. } => *reads && self == Self::WhatReads,
            _ => true,
        }
    }
}

/// What a run would do, resource by resource, in the order of the recipes.
#[derive(Debug)]
pub struct Plan {
    pub(crate) order: Order,
    pub(crate) planned: Vec<Planned>,
    pub(crate) seen: Vec<Seen>,
    failures: Vec<(Id, Error)>,
    blocker: Option<Id>,
    left_out: usize,
}

/// One resource of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// Its identity.
    pub id: Id,
    /// The recipe that declares it.
    pub phase: String,
    /// The node that it is on, if it is on one.
    pub node: Option<String>,
    /// What would change.
    #[serde(flatten)]
    pub change: Change,
    /// Whether it is a part of what was asked for; false for what [`Plan::only`] left out, and for what is absent as it should be.
    pub chosen: bool,
    /// Whether what needs it cannot be there before it is as wanted.
    #[serde(skip)]
    pub(crate) hides: bool,
}

impl Plan {
    /// The resources, in the order of their declaration.
    pub fn planned(&self) -> &[Planned] {
        &self.planned
    }

    /// How many resources [`Plan::only`] left out.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// What could not be looked at, or is refused because of what was found: each root cause with its diagnostic, in the order of declaration.
    pub fn failures(&self) -> &[(Id, Error)] {
        &self.failures
    }

    /// The findings of this kind of resource, by node, for the nodes that were looked at. For resources that are as wanted, only the findings
    /// of what opens a node are kept.
    pub fn answers<'p>(&'p self, kind: &'p str) -> impl Iterator<Item = (&'p str, &'p [Finding])> {
        self.planned.iter().zip(&self.seen).filter(move |(planned, _)| planned.id.kind() == kind).filter_map(|(planned, seen)| match seen {
            Seen::OnNode(findings) => Some((planned.node.as_deref()?, findings.as_slice())),
            Seen::No | Seen::Read => None,
        })
    }

    /// Sends an event for every chosen resource, with what would change.
    pub fn announce(&self, events: &Events) {
        for planned in self.planned.iter().filter(|planned| planned.chosen) {
            events(Event::Planned { id: planned.id.clone(), phase: planned.phase.clone(), change: planned.change.clone() });
        }
    }

    /// How many resources are not as declared, or could not be looked at.
    pub fn changes(&self) -> usize {
        self.planned.iter().filter(|planned| !planned.change.is_none()).count()
    }

    /// How many resources a run would remove.
    pub fn deletes(&self) -> usize {
        self.planned.iter().filter(|planned| planned.change == Change::Delete).count()
    }

    /// Checks that a run would remove no more resources than this.
    ///
    /// # Errors
    /// When it would remove more.
    pub fn check_max_destroy(&self, at_most: Option<usize>) -> Result<()> {
        let deletes = self.deletes();
        match at_most {
            Some(at_most) if deletes > at_most => Err(Error::refused(TooMany { deletes, at_most })),
            _ => Ok(()),
        }
    }

    /// What differs in something that everything else was told too, such as the address of a control plane: a run under this plan begins
    /// nothing, for it would tell one half of the world and not the other. A choice of some resources does not change that.
    pub fn blocker(&self) -> Option<&Id> {
        self.blocker.as_ref()
    }

    /// How many resources a run would work on: all that are not as declared, except those that are refused.
    pub fn work(&self) -> usize {
        self.planned.iter().filter(|planned| !matches!(planned.change, Change::None | Change::Refused(_))).count()
    }
}

/// Compares everything that was declared with the world, for a dry run: no command by a recipe's author is run. What such a command decides
/// counts as to be done, and the plan says that it is asked at its turn.
///
/// What needs something that is still to be created counts as absent, without any I/O of its own; so the plan of a cluster that does
/// not exist yet is complete. All queries of a node travel together. A peer that does not answer makes what is on it unknown, and
/// nothing else.
///
/// # Errors
/// A recipe that declares something twice or needs something that nobody declares; something that is missing in the workspace or its secrets.
pub async fn plan(evaluated: &[Evaluated], peers: &Peers, events: &Events) -> Result<Plan> {
    planned(evaluated, peers, events, Asking::Nothing).await
}

/// As [`plan`](fn@plan), for a plan that is about to be carried out: commands that the recipe's author marked `reads: true` are run already.
///
/// # Errors
/// The same as [`plan`](fn@plan).
pub async fn plan_for_run(evaluated: &[Evaluated], peers: &Peers, events: &Events) -> Result<Plan> {
    planned(evaluated, peers, events, Asking::WhatReads).await
}

async fn planned(evaluated: &[Evaluated], peers: &Peers, events: &Events, asking: Asking) -> Result<Plan> {
    let order = order(evaluated)?;
    let mut planning = Planning::new(&order);
    let mut looking = FuturesUnordered::new();
    let mut waiting = std::collections::VecDeque::new();
    loop {
        waiting.extend(planning.looks_due()?);
        while looking.len() < AT_ONCE
            && let Some(due) = waiting.pop_front()
        {
            looking.push(look(due, &order, peers, events, asking));
        }
        match looking.next().await {
            Some(found) => planning.take(found)?,
            None => break,
        }
    }
    drop(looking);
    let (decided, failures) = planning.end();
    let mut planned = Vec::with_capacity(order.items.len());
    let mut seen = Vec::with_capacity(order.items.len());
    for (item, Decided { change, hides, seen: how }) in order.items.iter().zip(decided) {
        planned.push(Planned {
            id: item.id.clone(),
            phase: item.recipe.source.name.clone(),
            node: item.node.map(|node| order.nodes[node].node.clone()),
            chosen: item.presence == Presence::Present || !change.is_none(),
            // Only after all reading is it known which secrets were used.
            change: change.presentable(),
            hides,
        });
        seen.push(how);
    }
    let failures = failures.into_iter().map(|(position, error)| (order.items[position].id.clone(), error)).collect();
    let told_to_all =
        |one: &&Planned| matches!(one.change, Change::Refused(_)) && one.change.fields().iter().any(|field| field.cost == Cost::Everything);
    let blocker = planned.iter().find(told_to_all).map(|one| one.id.clone());
    Ok(Plan { order, planned, seen, failures, blocker, left_out: 0 })
}

/// Checks, without any peer, that everything declared can be ordered; returns the identities in the order of declaration.
///
/// # Errors
/// The same as [`plan`] for wrong recipes.
pub fn check(evaluated: &[Evaluated]) -> Result<Vec<Id>> {
    Ok(order(evaluated)?.items.into_iter().map(|item| item.id).collect())
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{deletes} resource{} would be removed, and at most {at_most} may be", if *deletes == 1 { "" } else { "s" })]
#[diagnostic(
    code(kthw::plan::max_destroy),
    help("nothing was changed; look at what the plan removes, and raise `--max-destroy` if that is meant")
)]
struct TooMany {
    deletes: usize,
    at_most: usize,
}
