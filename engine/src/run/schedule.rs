//! Which resource's turn it is: what it waits for is settled, its queue has room, its node is free.
use super::{
    Report,
    batch::{Batch, because_of},
    errors::KeepsMoving,
    settle::{Ended, within_plan},
};
use crate::{
    change::Change,
    error::{Error, Result},
    event::{Event, Events, Outcome},
    id::Id,
    node::Finding,
    order::Item,
    plan::{Seen, refreshed_because},
    resource::Work,
};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// How often a node may change between reading and writing before its resource fails.
const ATTEMPTS: u32 = 4;

/// Something to do now.
pub(crate) enum Task {
    /// One resource by itself.
    Alone { one: usize, planned: Change, unread: bool },
    /// A look at resources that the plan counted as absent.
    Read { node: String, members: Vec<usize> },
    /// Changes of one node.
    Batch(Batch),
}

/// Something that was done.
pub(crate) enum Done {
    Alone { one: usize, ended: Result<Change> },
    Read { node: String, members: Vec<usize>, found: Result<Vec<(usize, Vec<Finding>)>> },
    Batch { batch: Batch, outcomes: Vec<Ended> },
}

enum State {
    Waiting,
    Working(Instant),
    Over(Outcome),
}

struct Turn {
    state: State,
    planned: Change,
    /// What was last found on the node; `None` while not looked at.
    findings: Option<Vec<Finding>>,
    looked: bool,
    attempts: u32,
}

pub(crate) struct Schedule<'a> {
    items: &'a [Item],
    turns: Vec<Turn>,
    busy_nodes: Vec<String>,
    lanes: HashMap<String, usize>,
    failures: BTreeMap<usize, Error>,
    events: &'a Events,
}

impl<'a> Schedule<'a> {
    pub fn new(items: &'a [Item], planned: Vec<Change>, seen: Vec<Seen>, events: &'a Events) -> Self {
        let turns = planned
            .into_iter()
            .zip(seen)
            .map(|(planned, seen)| {
                let (findings, looked) = match seen {
                    Seen::Absent => (None, false),
                    Seen::Read => (None, true),
                    Seen::OnNode(findings) => (Some(findings), true),
                };
                let state = if planned.is_none() { State::Over(Outcome::Unchanged) } else { State::Waiting };
                Turn { state, planned, findings, looked, attempts: 0 }
            })
            .collect();
        Self { items, turns, busy_nodes: Vec::new(), lanes: HashMap::new(), failures: BTreeMap::new(), events }
    }

    /// Ends everything that has not begun.
    pub fn skip_the_rest(&mut self, because: &str) {
        for one in 0..self.turns.len() {
            if matches!(self.turns[one].state, State::Waiting) {
                self.end(one, Outcome::Skipped { because: because.into() });
            }
        }
    }

    /// Everything whose turn it is now; it counts as begun.
    pub fn ready(&mut self) -> Vec<Task> {
        loop {
            let over = self.over();
            let tasks = self.tasks();
            // A resource that turned out to need nothing, or failed at once, may free others.
            if !tasks.is_empty() || self.over() == over {
                return tasks;
            }
        }
    }

    fn over(&self) -> usize {
        self.turns.iter().filter(|turn| matches!(turn.state, State::Over(_))).count()
    }

    fn tasks(&mut self) -> Vec<Task> {
        self.skip_dependents();
        let mut tasks = Vec::new();
        for one in 0..self.items.len() {
            if self.items[one].node.is_none() && self.is_waiting(one) && self.edges_are_settled(one) && self.enter_lane(one) {
                tasks.push(self.alone(one));
            }
        }
        let mut nodes: Vec<&str> = self.items.iter().filter_map(|item| item.node.as_deref()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            if !self.busy_nodes.iter().any(|busy| busy == node)
                && let Some(task) = self.on_node(node)
            {
                self.busy_nodes.push(node.to_owned());
                tasks.push(task);
            }
        }
        tasks
    }

    fn is_waiting(&self, one: usize) -> bool {
        matches!(self.turns[one].state, State::Waiting)
    }

    fn is_settled(&self, one: usize) -> bool {
        matches!(self.turns[one].state, State::Over(Outcome::Unchanged | Outcome::Changed { .. }))
    }

    fn edges_are_settled(&self, one: usize) -> bool {
        self.items[one].edges().all(|edge| self.is_settled(edge))
    }

    fn alone(&mut self, one: usize) -> Task {
        self.turns[one].state = State::Working(Instant::now());
        Task::Alone { one, planned: self.turns[one].planned.clone(), unread: self.items[one].opens_node && !self.turns[one].looked }
    }

    fn enter_lane(&mut self, one: usize) -> bool {
        let Some(lane) = self.items[one].step.lane() else { return true };
        let inside = self.lanes.entry(lane.name).or_default();
        let enters = *inside < lane.at_most;
        *inside += usize::from(enters);
        enters
    }

    /// The next task of a free node: look at what was counted as absent, then everything that can travel in one batch.
    fn on_node(&mut self, node: &str) -> Option<Task> {
        let members: Vec<usize> =
            (0..self.items.len()).filter(|one| self.items[*one].node.as_deref() == Some(node) && self.is_waiting(*one)).collect();
        let unseen: Vec<usize> = members.iter().copied().filter(|one| !self.turns[*one].looked && !self.items[*one].opens_node).collect();
        let may_look = |one: &usize| self.items[*one].needs.iter().all(|need| self.is_settled(*need) || self.is_on(*need, node));
        let opener_waits = members.iter().any(|one| self.items[*one].opens_node);
        if !opener_waits && unseen.iter().any(|one| may_look(one) && self.edges_are_settled(*one)) {
            return Some(Task::Read { node: node.to_owned(), members: unseen });
        }
        let mut batch = Batch::new(node);
        for one in members {
            let edges_hold = self.items[one].edges().all(|edge| self.is_settled(edge) || batch.members.contains(&edge));
            if !edges_hold || !self.is_waiting(one) {
                continue;
            }
            if self.items[one].opens_node && !self.turns[one].looked {
                return batch.members.is_empty().then(|| self.alone(one));
            }
            if !self.turns[one].looked {
                // It counted as absent; it is looked at when what it needs is there, and never changed unseen.
                continue;
            }
            match self.work_of(one, &batch) {
                Err(error) => self.fail(one, error),
                Ok(None) => self.end(one, Outcome::Unchanged),
                Ok(Some(Work::Actions(actions))) => {
                    let findings = self.turns[one].findings.clone().unwrap_or_default();
                    batch.push(one, &self.items[one], &findings, actions);
                    self.turns[one].state = State::Working(Instant::now());
                }
                Ok(Some(Work::JustInTime)) if batch.members.is_empty() && self.edges_are_settled(one) => return Some(self.alone(one)),
                Ok(Some(Work::JustInTime)) => {}
            }
        }
        (!batch.members.is_empty()).then_some(Task::Batch(batch))
    }

    fn is_on(&self, one: usize, node: &str) -> bool {
        self.items[one].node.as_deref() == Some(node)
    }

    /// What has to be done to a resource, given what was last found; `None` when nothing.
    fn work_of(&self, one: usize, batch: &Batch) -> Result<Option<Work>> {
        let (item, turn) = (&self.items[one], &self.turns[one]);
        let live = match &turn.findings {
            Some(findings) => item.step.understand(findings)?,
            None => None,
        };
        let changed =
            |edge: &usize| matches!(self.turns[*edge].state, State::Over(Outcome::Changed { .. })) || batch.members.contains(edge);
        let cause = item.refreshed_by.iter().copied().find(changed);
        let mut change = item.step.diff(live.as_ref());
        if let (true, Some(cause)) = (change.is_none(), cause) {
            change = Change::Update(vec![refreshed_because(&self.items[cause].id)]);
        }
        let change = within_plan(item, change, &turn.planned)?;
        Ok((!change.is_none()).then(|| item.step.work(live.as_ref(), cause.is_some())))
    }

    /// Notes what was done.
    pub fn take(&mut self, done: Done) {
        match done {
            Done::Alone { one, ended } => {
                if let Some(lane) = self.items[one].step.lane() {
                    self.lanes.entry(lane.name).and_modify(|inside| *inside -= 1);
                }
                if let Some(node) = &self.items[one].node {
                    self.busy_nodes.retain(|busy| busy != node);
                }
                match ended {
                    Ok(Change::None) => self.end(one, Outcome::Unchanged),
                    Ok(change) => self.end(one, Outcome::Changed { change: change.word().into() }),
                    Err(error) => self.fail(one, error),
                }
            }
            Done::Read { node, members, found } => {
                self.busy_nodes.retain(|busy| *busy != node);
                match found {
                    Ok(found) => {
                        for (one, findings) in found {
                            self.turns[one].findings = Some(findings);
                            self.turns[one].looked = true;
                        }
                    }
                    Err(error) => self.fail(members[0], error),
                }
            }
            Done::Batch { batch, outcomes } => {
                self.busy_nodes.retain(|busy| *busy != batch.node);
                for (one, ended) in batch.members.iter().copied().zip(outcomes) {
                    self.take_block(one, &batch.node, ended);
                }
            }
        }
    }

    fn take_block(&mut self, one: usize, node: &str, ended: Ended) {
        match ended {
            Ended::Settled => {
                let change = self.turns[one].planned.word().into();
                self.end(one, Outcome::Changed { change });
            }
            Ended::Held => self.turns[one].state = State::Waiting,
            Ended::Failed(error) => self.fail(one, error),
            Ended::Moved(findings) => {
                let turn = &mut self.turns[one];
                turn.findings = Some(findings);
                turn.attempts += 1;
                turn.state = State::Waiting;
                let attempts = turn.attempts;
                if attempts >= ATTEMPTS {
                    self.fail(one, Error::settle(KeepsMoving { id: self.items[one].id.clone(), node: node.to_owned(), attempts }));
                }
            }
        }
    }

    fn skip_dependents(&mut self) {
        let mut again = true;
        while again {
            again = false;
            for one in 0..self.items.len() {
                if !self.is_waiting(one) {
                    continue;
                }
                let cause = self.items[one].edges().find_map(|edge| match &self.turns[edge].state {
                    State::Over(Outcome::Failed { .. }) => Some(because_of(&self.items[edge].id, "failed")),
                    State::Over(Outcome::Skipped { because }) => Some(because.clone()),
                    _ => None,
                });
                if let Some(because) = cause {
                    self.end(one, Outcome::Skipped { because });
                    again = true;
                }
            }
        }
    }

    fn fail(&mut self, one: usize, error: Error) {
        let text = error.to_string();
        self.failures.insert(one, error);
        self.end(one, Outcome::Failed { error: text });
    }

    fn end(&mut self, one: usize, outcome: Outcome) {
        let seconds = match self.turns[one].state {
            State::Working(begun) => begun.elapsed().as_secs_f64(),
            _ => 0.0,
        };
        (self.events)(Event::Ended { id: self.items[one].id.clone(), outcome: outcome.clone(), seconds });
        self.turns[one].state = State::Over(outcome);
    }

    pub fn report(self, took: Duration, stopped: bool) -> Report {
        let id = |one: usize| -> Id { self.items[one].id.clone() };
        let outcomes: Vec<(Id, Outcome)> = self
            .turns
            .into_iter()
            .enumerate()
            .map(|(one, turn)| match turn.state {
                State::Over(outcome) => (id(one), outcome),
                State::Waiting | State::Working(_) => (id(one), Outcome::Skipped { because: "its turn never came".into() }),
            })
            .collect();
        let stopped = stopped && outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Skipped { .. }));
        Report { outcomes, failures: self.failures.into_iter().map(|(one, error)| (id(one), error)).collect(), took, stopped }
    }
}
