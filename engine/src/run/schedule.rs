//! Whose turn it is: what it waits for is settled, its lane has room, its node is free.
use super::{
    batch::Batch,
    lanes::{Admission, Lanes},
    settle::MemberOutcome,
};
use crate::{
    change::{Change, Refusal},
    clock::Clock,
    error::{Error, Result},
    event::{Events, Outcome},
    node::Finding,
    order::Order,
    plan::{AT_ONCE, Planned, Seen},
    readiness::Readiness,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Something to do now.
pub(crate) enum Job {
    /// One resource by itself.
    Alone { position: usize, consent: Consent, unread: bool },
    /// A look at resources that the plan did not look at.
    Read { node: usize, members: Vec<usize> },
    /// Changes of one node.
    Batch(Batch),
}

/// Something that was done.
pub(crate) enum Done {
    Alone { position: usize, ended: Result<Change> },
    Read { node: usize, members: Vec<usize>, found: Result<Vec<(usize, Vec<Finding>)>> },
    Batch { batch: Batch, outcomes: Vec<MemberOutcome> },
}

/// What a person agreed to for one resource.
#[derive(Clone, Debug)]
pub(crate) struct Consent {
    /// What the plan showed.
    pub planned: Change,
    /// Whether this run changed something that it needs; then more of it may differ than was shown.
    pub touched: bool,
}

pub(super) enum State {
    Waiting,
    /// Since this moment of the engine's clock.
    Working(Duration),
    Over(Outcome),
}

pub(super) struct Turn {
    pub state: State,
    pub planned: Change,
    /// Whether what needs it cannot be there as long as it is not as wanted.
    pub hides: bool,
    /// What was last found on the node; `None` while not looked at.
    pub findings: Option<Vec<Finding>>,
    pub looked: bool,
    /// The word for what is being done to it, which may be less than was planned.
    pub doing: &'static str,
    touched: bool,
    pub attempts: u32,
}

pub(crate) struct Schedule<'a> {
    pub(super) order: &'a Order,
    pub(super) turns: Vec<Turn>,
    pub(super) readiness: Readiness,
    /// Resources that are not on a node and whose turn it is.
    pub(super) ready: BTreeSet<usize>,
    /// How many of those are worked on.
    pub(super) working: usize,
    /// Nodes on which something may have become possible.
    pub(super) awake: BTreeSet<usize>,
    pub(super) busy: BTreeSet<usize>,
    pub(super) lanes: Lanes,
    /// Gates that will never open.
    pub(super) fallen: BTreeSet<usize>,
    pub(super) failures: BTreeMap<usize, Error>,
    pub(super) overtaken: bool,
    pub(super) events: &'a Events,
    pub(super) clock: &'a dyn Clock,
}

impl<'a> Schedule<'a> {
    pub fn new(order: &'a Order, planned: Vec<Planned>, seen: Vec<Seen>, events: &'a Events, clock: &'a dyn Clock) -> Self {
        let turns: Vec<Turn> = planned.into_iter().zip(seen).map(|(planned, seen)| turn(planned, seen)).collect();
        let mut schedule = Self {
            order,
            turns,
            readiness: order.readiness(),
            ready: BTreeSet::new(),
            working: 0,
            awake: (0..order.nodes.len()).collect(),
            busy: BTreeSet::new(),
            lanes: Lanes::default(),
            fallen: BTreeSet::new(),
            failures: BTreeMap::new(),
            overtaken: false,
            events,
            clock,
        };
        schedule.take_ready();
        for position in 0..schedule.turns.len() {
            match &schedule.turns[position].state {
                State::Over(Outcome::Refused { .. }) if schedule.turns[position].hides => _ = schedule.fall(position),
                State::Over(Outcome::Refused { .. } | Outcome::Unchanged) => schedule.release(position),
                _ => {}
            }
        }
        schedule
    }

    /// Whether anything failed so far.
    pub fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Whether another run has the workspace now.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }

    /// Ends everything that has not begun.
    pub fn skip_the_rest(&mut self, because: &str) {
        for position in 0..self.turns.len() {
            self.skip(position, because);
        }
    }

    /// Everything whose turn it is now; it counts as begun.
    pub fn tasks(&mut self) -> Vec<Job> {
        let mut tasks = Vec::new();
        loop {
            if self.working < AT_ONCE
                && let Some(position) = self.ready.pop_first()
            {
                if self.is_waiting(position) && self.enters_lane(position) {
                    self.working += 1;
                    tasks.push(self.alone(position));
                }
            } else if self.busy.len() < AT_ONCE
                && let Some(node) = self.awake.pop_first()
            {
                // A busy node is woken when it is free again.
                if !self.busy.contains(&node)
                    && let Some(task) = self.on_node(node)
                {
                    self.busy.insert(node);
                    tasks.push(task);
                }
            } else {
                return tasks;
            }
        }
    }

    pub(super) fn is_waiting(&self, position: usize) -> bool {
        matches!(self.turns[position].state, State::Waiting)
    }

    pub(super) fn begin(&mut self, position: usize) {
        self.turns[position].state = State::Working(self.clock.now());
    }

    pub(super) fn alone(&mut self, position: usize) -> Job {
        self.begin(position);
        let consent = self.consent(position);
        Job::Alone { position, consent, unread: self.order.items[position].opens_node && !self.turns[position].looked }
    }

    /// What was agreed to for `position`.
    pub(super) fn consent(&mut self, position: usize) -> Consent {
        let item = &self.order.items[position];
        let moved = |need: &usize| {
            let turn = &self.turns[*need];
            turn.touched || matches!(turn.state, State::Over(Outcome::Changed { .. }))
        };
        let touched = item.needs.iter().chain(&item.refreshed_by).any(moved);
        self.turns[position].touched = touched;
        Consent { planned: self.turns[position].planned.clone(), touched }
    }

    /// Whether `position` may begin as far as its lane is concerned; if not, it is woken when there is room.
    pub(super) fn enters_lane(&mut self, position: usize) -> bool {
        let Some(lane) = self.order.items[position].step.lane() else { return true };
        match self.lanes.enter(position, lane) {
            Admission::Entered => true,
            Admission::Full => false,
            Admission::Closed(because) => {
                self.skip(position, &because);
                self.fall_after_failure(position);
                false
            }
        }
    }

    pub(super) fn leave_lane(&mut self, position: usize) {
        if let Some(lane) = self.order.items[position].step.lane() {
            self.lanes.leave(&lane).into_iter().for_each(|next| self.wake(next));
        }
    }

    pub(super) fn wake(&mut self, position: usize) {
        match self.order.items[position].node {
            Some(node) => self.awake.insert(node),
            None => self.ready.insert(position),
        };
    }
}

fn turn(planned: Planned, seen: Seen) -> Turn {
    let Planned { change, hides, .. } = planned;
    let (findings, looked) = match seen {
        Seen::No => (None, false),
        Seen::Read => (None, true),
        Seen::OnNode(findings) => (Some(findings), true),
    };
    let state = match &change {
        Change::None => State::Over(Outcome::Unchanged),
        Change::Refused(Refusal { why, .. }) => State::Over(Outcome::Refused { why: why.clone() }),
        _ => State::Waiting,
    };
    Turn { state, planned: change, hides, findings, looked, doing: "none", touched: false, attempts: 0 }
}
