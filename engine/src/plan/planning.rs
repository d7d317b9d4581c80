//! Decides about one resource after the other, each as soon as all that it needs is decided.
use crate::{
    absent::Presence,
    change::{Change, Refusal},
    error::{Error, Kind, Result},
    field::Field,
    id::Id,
    node::Finding,
    order::{Item, Order},
    readiness::Readiness,
    resource::Live,
};
use std::collections::BTreeSet;

/// What planning found out about one resource.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Not looked at: something that it needs is not there yet, or the look failed.
    No,
    /// Looked at through its own client.
    Read,
    /// Looked at together with the rest of its node.
    OnNode(Vec<Finding>),
}

/// Something to look at now.
pub(super) enum Look {
    /// One resource through its own client.
    Read(usize),
    /// Everything on one node.
    Node(usize),
}

/// What a look found.
pub(super) enum Found {
    Read(usize, Result<Option<Live>>),
    Node(usize, Result<Vec<(usize, Vec<Finding>)>>),
}

/// What was decided about one resource.
pub(super) struct Decided {
    pub change: Change,
    /// Whether what needs it cannot be looked at.
    pub hides: bool,
    pub seen: Seen,
}

#[derive(Default)]
struct Entry {
    /// What its node answered, until it is understood.
    findings: Option<Vec<Finding>>,
    decided: Option<Decided>,
    /// Why the look at it failed.
    failure: Option<Error>,
    /// The resource that makes this one unknown.
    because_of: Option<usize>,
    /// Whether its decision covers what lives inside it, which is absent, or goes or stays with it.
    decides_inside: bool,
}

/// How far the look at a node is.
enum NodeLook {
    NotYet,
    /// Under way; these wait for it.
    UnderWay(Vec<usize>),
    Answered,
    Failed(String),
}

pub(super) struct Planning<'a> {
    order: &'a Order,
    readiness: Readiness,
    entries: Vec<Entry>,
    nodes: Vec<NodeLook>,
}

impl<'a> Planning<'a> {
    pub fn new(order: &'a Order) -> Self {
        let edges = |item: &Item| -> BTreeSet<usize> {
            match item.step.judges() {
                true => order.all_before(item).collect(),
                // What only comes first, without being needed, has no influence on a difference.
                false => item.needs.iter().chain(&item.refreshed_by).copied().collect(),
            }
        };
        Self {
            order,
            readiness: Readiness::new(order.items.iter().map(edges)),
            entries: order.items.iter().map(|_| Entry::default()).collect(),
            nodes: order.nodes.iter().map(|_| NodeLook::NotYet).collect(),
        }
    }

    /// Decides whatever can be decided without looking, and returns what has to be looked at now.
    pub fn looks_due(&mut self) -> Result<Vec<Look>> {
        let mut due = Vec::new();
        while let Some(position) = self.readiness.take() {
            due.extend(self.turn(position)?);
        }
        Ok(due)
    }

    fn turn(&mut self, position: usize) -> Result<Option<Look>> {
        let item = &self.order.items[position];
        if item.presence != Presence::Present && self.is_settled_by_its_needs(position) {
            return Ok(None);
        }
        if let Some(unknown) = item.needs.iter().find(|need| self.hides(**need) && self.is_not_known(**need)) {
            self.decide_unknown_because_of(position, *unknown);
            return Ok(None);
        }
        if item.needs.iter().any(|need| self.hides(*need)) {
            self.decide_below_something_new(position);
            return Ok(None);
        }
        if item.step.judges() && self.is_settled_by_changes_before(position) {
            return Ok(None);
        }
        let Some(node) = item.node else { return Ok(Some(Look::Read(position))) };
        match &mut self.nodes[node] {
            look @ NodeLook::NotYet => {
                *look = NodeLook::UnderWay(vec![position]);
                return Ok(Some(Look::Node(node)));
            }
            NodeLook::UnderWay(waiting) => waiting.push(position),
            NodeLook::Answered => self.understand(position)?,
            NodeLook::Failed(why) => {
                let change = Change::Unknown(why.clone());
                self.decide(position, change, Seen::No);
            }
        }
        Ok(None)
    }

    /// Decides about something that judges what others made, where these are to be changed first, or are not as they were declared.
    fn is_settled_by_changes_before(&mut self, position: usize) -> bool {
        let changes = |before: &usize| self.change(*before).is_some_and(|change| !change.is_none());
        let changing: Vec<usize> = self.order.all_before(&self.order.items[position]).filter(changes).collect();
        match changing.iter().find(|before| self.is_not_known(**before)) {
            Some(unknown) => self.decide_unknown_because_of(position, *unknown),
            None if changing.is_empty() => return false,
            None => self.decide_below_something_new(position),
        }
        true
    }

    /// Decides about something that is to be absent, where what it needs is enough to decide: it goes away with that, was never there, or
    /// is removed, if it exists, once it can be looked at.
    fn is_settled_by_its_needs(&mut self, position: usize) -> bool {
        let item = &self.order.items[position];
        let elsewhere =
            |need: &&usize| self.order.items[**need].opens_node || self.order.items[**need].node != item.node || item.node.is_none();
        let decided = item.needs.iter().any(|need| self.entries[*need].decides_inside && self.holds(*need, position));
        let hiding: Vec<&usize> =
            item.needs.iter().filter(elsewhere).filter(|need| self.hides(**need) && !self.is_not_known(**need)).collect();
        let not_made = hiding.iter().any(|need| matches!(self.change(**need), Some(Change::Create(_))));
        let later = !hiding.is_empty();
        self.entries[position].decides_inside = decided || not_made;
        let change = match () {
            () if decided || not_made || item.presence == Presence::Stays => Change::None,
            () if later => Change::Delete,
            () => return false,
        };
        self.decide(position, change, Seen::No);
        true
    }

    /// Whether `position` lives inside `need`: on the same machine, on the machine that `need` is, or in a cluster.
    fn holds(&self, need: usize, position: usize) -> bool {
        let (need, inner) = (&self.order.items[need], &self.order.items[position]);
        match (need.node, inner.node) {
            (Some(theirs), Some(own)) => theirs == own,
            (None, Some(_)) => true,
            (Some(_), None) => need.opens_node || need.step.holds_dependents(),
            (None, None) => false,
        }
    }

    /// Notes what a look found.
    pub fn take(&mut self, found: Found) -> Result<()> {
        match found {
            Found::Read(position, Ok(live)) => {
                let change = self.order.items[position].step.diff(live.as_ref());
                self.decide(position, change, Seen::Read);
            }
            Found::Read(position, Err(error)) => self.decide_failed(position, error)?,
            Found::Node(node, answer) => self.take_node(node, answer)?,
        }
        Ok(())
    }

    fn take_node(&mut self, node: usize, answer: Result<Vec<(usize, Vec<Finding>)>>) -> Result<()> {
        let (look, failure) = match answer {
            Ok(answers) => {
                for (position, findings) in answers {
                    self.entries[position].findings = Some(findings);
                }
                (NodeLook::Answered, None)
            }
            Err(error) => (NodeLook::Failed(error.to_string()), Some(error)),
        };
        let NodeLook::UnderWay(waiting) = std::mem::replace(&mut self.nodes[node], look) else { return Ok(()) };
        let mut failure = failure;
        for position in waiting {
            match failure.take() {
                // The first is what opens the node, if anything does; the others become unknown for the same reason.
                Some(error) => self.decide_failed(position, error)?,
                None => {
                    let look = self.turn(position)?;
                    debug_assert!(look.is_none(), "the node was looked at");
                }
            }
        }
        Ok(())
    }

    /// The look at `position` failed: it is unknown, or refused, or the whole plan cannot be made.
    fn decide_failed(&mut self, position: usize, error: Error) -> Result<()> {
        let why = error.to_string();
        let change = match error.kind() {
            Kind::Usage | Kind::Recipe => return Err(error),
            Kind::Peer | Kind::Settle | Kind::Overtaken | Kind::Stopped => Change::Unknown(why),
            Kind::Refused => {
                let next = error.diagnostic().help().map(|help| help.to_string()).unwrap_or_default();
                Change::Refused(Refusal { why, next, fields: Vec::new() })
            }
        };
        self.entries[position].failure = Some(error);
        self.decide(position, change, Seen::No);
        Ok(())
    }

    fn understand(&mut self, position: usize) -> Result<()> {
        let step = &self.order.items[position].step;
        let Some(findings) = self.entries[position].findings.take() else {
            self.decide_asked_later(position);
            return Ok(());
        };
        match step.understand(&findings) {
            Ok(live) => {
                let change = step.diff(live.as_ref());
                self.decide(position, change, Seen::OnNode(findings));
                Ok(())
            }
            Err(error) => self.decide_failed(position, error),
        }
    }

    /// Decides about something that only a command by the recipe's author can tell, which planning does not run. It may be done already,
    /// so what needs it is judged by what is there now.
    fn decide_asked_later(&mut self, position: usize) {
        let mut change = self.order.items[position].step.diff(None);
        if let Change::Create(fields) = &mut change {
            fields.push(asked_later());
        }
        self.decide(position, change, Seen::No);
        if let Some(decided) = &mut self.entries[position].decided {
            decided.hides = false;
        }
    }

    /// Decides about something whose needs are not there yet. Answers that came with the node's one look anyway are used, so that
    /// the change can share a batch with what it needs; everything else counts as absent and is looked at when its turn comes.
    fn decide_below_something_new(&mut self, position: usize) {
        let item = &self.order.items[position];
        let travelled = |need: &usize| !self.hides(*need) || self.travelled_with(*need, item);
        let findings = if item.needs.iter().all(travelled) { self.entries[position].findings.take() } else { None };
        match findings.and_then(|findings| Some((item.step.understand(&findings).ok()?, findings))) {
            Some((live, findings)) => {
                let change = item.step.diff(live.as_ref());
                self.decide(position, change, Seen::OnNode(findings));
            }
            None => {
                let change = item.step.diff(None);
                self.decide(position, change, Seen::No);
            }
        }
    }

    fn travelled_with(&self, need: usize, item: &Item) -> bool {
        let seen = self.entries[need].decided.as_ref().map(|decided| &decided.seen);
        matches!(seen, Some(Seen::OnNode(_))) && self.order.items[need].node == item.node && !self.order.items[need].opens_node
    }

    fn decide_unknown_because_of(&mut self, position: usize, need: usize) {
        let root = self.entries[need].because_of.unwrap_or(need);
        let word = self.change(root).map_or("unknown", Change::word);
        self.entries[position].because_of = Some(root);
        self.decide(position, Change::Unknown(format!("{} is {word}", self.order.items[root].id)), Seen::No);
    }

    fn decide(&mut self, position: usize, mut change: Change, mut seen: Seen) {
        let item = &self.order.items[position];
        if change.is_none() {
            let moves = |cause: &&usize| self.change(**cause).is_some_and(|change| !matches!(change, Change::None | Change::Refused(_)));
            match item.refreshed_by.iter().find(moves) {
                Some(cause) if self.is_not_known(*cause) => {
                    change = Change::Unknown(format!("{} is unknown, which refreshes it", self.order.items[*cause].id));
                }
                Some(cause) => change = Change::Update(vec![refreshed_because(&self.order.items[*cause].id)]),
                None => {}
            }
        }
        let hides = match &change {
            Change::Unknown(_) => true,
            // What was looked at exists as it is, and what needs it is judged by that.
            Change::Refused(_) => matches!(seen, Seen::No) || item.step.hides_dependents(&change),
            change => item.step.hides_dependents(change),
        };
        if item.presence == Presence::Absent && item.step.holds_dependents() {
            self.entries[position].decides_inside |= !matches!(change, Change::Unknown(_));
        }
        // Nobody asks for the findings of something that is as wanted, and a plan may hold very many. What opens a node is an exception: it
        // describes the node itself (`Plan::answers`), and each node has only one.
        if let (Change::None, Seen::OnNode(findings), false) = (&change, &mut seen, item.opens_node) {
            *findings = Vec::new();
        }
        self.entries[position].decided = Some(Decided { change, hides, seen });
        self.readiness.done(position);
    }

    fn change(&self, position: usize) -> Option<&Change> {
        self.entries[position].decided.as_ref().map(|decided| &decided.change)
    }

    fn hides(&self, position: usize) -> bool {
        self.entries[position].decided.as_ref().is_some_and(|decided| decided.hides)
    }

    fn is_not_known(&self, position: usize) -> bool {
        matches!(self.change(position), Some(Change::Unknown(_) | Change::Refused(_)))
    }

    /// What was decided about every resource, and why the look at some of them failed.
    pub fn end(self) -> (Vec<Decided>, Vec<(usize, Error)>) {
        let mut failures = Vec::new();
        let decide = |(position, entry): (usize, Entry)| {
            failures.extend(entry.failure.map(|error| (position, error)));
            entry.decided.expect("resources that wait for each other were refused before")
        };
        let decided = self.entries.into_iter().enumerate().map(decide).collect();
        (decided, failures)
    }
}

/// The field that shows that it is not known yet whether there is something to do.
fn asked_later() -> Field {
    Field::new("if", "its own check says so, which is asked at its turn")
}

/// The field that shows why something acts although it is as wanted itself.
pub(crate) fn refreshed_because(cause: &Id) -> Field {
    Field::new("refreshed by", cause)
}
