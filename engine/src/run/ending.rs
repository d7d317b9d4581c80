//! What follows once a task is done: whose turn comes next, and what is skipped.
use super::{
    Report,
    batch::because_of,
    errors::KeepsMoving,
    schedule::{Done, Schedule, State},
    settle::MemberOutcome,
};
use crate::{
    change::Change,
    error::{Error, Kind},
    event::{Event, Outcome},
};
use std::time::Duration;

/// How many times a node may change between reading and writing before its resource fails.
const ATTEMPTS: u32 = 4;

impl Schedule<'_> {
    /// Notes what was done.
    pub fn take(&mut self, done: Done) {
        match done {
            Done::Alone { position, ended } => {
                self.leave_lane(position);
                match self.order.items[position].node {
                    Some(node) => self.free(node),
                    None => self.working -= 1,
                }
                match ended {
                    Ok(Change::None) => self.end(position, Outcome::Unchanged),
                    Ok(change) => self.end(position, Outcome::Changed { change: change.word().into() }),
                    // Not a failure: nothing was tried.
                    Err(error) if error.kind() == Kind::Stopped => {
                        self.over(position, Outcome::Skipped { because: error.to_string() });
                        _ = self.fall(position);
                    }
                    Err(error) => self.fail(position, error),
                }
            }
            Done::Read { node, members, found } => {
                self.free(node);
                match found {
                    Ok(found) => {
                        for (position, findings) in found {
                            self.turns[position].findings = Some(findings);
                            self.turns[position].looked = true;
                        }
                    }
                    Err(error) => self.fail_look(&members, error),
                }
            }
            Done::Batch { batch, outcomes } => {
                self.free(batch.node);
                // Members that were not done wait again before anything ends: they may depend on one that failed.
                for (position, outcome) in batch.members.iter().zip(&outcomes) {
                    if matches!(outcome, MemberOutcome::Held | MemberOutcome::Moved(_)) {
                        self.turns[*position].state = State::Waiting;
                    }
                }
                for (position, outcome) in batch.members.iter().copied().zip(outcomes) {
                    self.leave_lane(position);
                    self.take_member(position, batch.node, outcome);
                }
            }
        }
    }

    fn free(&mut self, node: usize) {
        self.busy.remove(&node);
        self.awake.insert(node);
    }

    /// A node did not answer: that is one failure, not one for each resource on it.
    fn fail_look(&mut self, members: &[usize], error: Error) {
        // Some may have been skipped while the look was under way.
        let members: Vec<usize> = members.iter().copied().filter(|position| self.is_waiting(*position)).collect();
        let Some((first, others)) = members.split_first() else { return };
        self.fail(*first, error);
        let because = because_of(&self.order.items[*first].id, "failed");
        for position in others {
            if self.skip(*position, &because) {
                self.close_lane(*position, "could not be looked at");
                self.fall_after_failure(*position);
            }
        }
    }

    fn take_member(&mut self, position: usize, node: usize, outcome: MemberOutcome) {
        match outcome {
            MemberOutcome::Settled => self.end(position, Outcome::Changed { change: self.turns[position].doing.into() }),
            MemberOutcome::Held => {}
            MemberOutcome::Failed(error) => self.fail(position, error),
            MemberOutcome::Moved(findings) if self.is_waiting(position) => {
                let turn = &mut self.turns[position];
                turn.findings = Some(findings);
                turn.attempts += 1;
                let attempts = turn.attempts;
                if attempts >= ATTEMPTS {
                    let (id, node) = (self.order.items[position].id.clone(), self.order.nodes[node].node.clone());
                    self.fail(position, Error::settle(KeepsMoving { id, node, attempts }));
                }
            }
            MemberOutcome::Moved(_) => {}
        }
    }

    pub(super) fn fail(&mut self, position: usize, error: Error) {
        let text = error.to_string();
        self.overtaken |= error.kind() == Kind::Overtaken;
        self.failures.insert(position, error);
        self.end(position, Outcome::Failed { error: text });
    }

    pub(super) fn end(&mut self, position: usize, outcome: Outcome) {
        let failed = matches!(outcome, Outcome::Failed { .. });
        self.over(position, outcome);
        if !failed {
            return self.release(position);
        }
        self.close_lane(position, "failed");
        self.fall_after_failure(position);
    }

    /// Lets nothing more into the lane of `position`, which was not done, if it is one that stops then.
    fn close_lane(&mut self, position: usize, why: &str) {
        let Some(lane) = self.order.items[position].step.lane().filter(|lane| lane.stop_after_failure) else { return };
        let because = because_of(&self.order.items[position].id, &format!("{why}, and nothing else of its kind is touched after that"));
        for waiting in self.lanes.close(&lane, &because) {
            if self.skip(waiting, &because) {
                self.fall_after_failure(waiting);
            }
        }
    }

    /// As [`fall`](Self::fall), and the lanes of what is skipped are closed too: a node that is down keeps its neighbours from being touched,
    /// although what was to be done to itself was never begun.
    pub(super) fn fall_after_failure(&mut self, position: usize) {
        for skipped in self.fall(position) {
            self.close_lane(skipped, "was not done");
        }
    }

    fn over(&mut self, position: usize, outcome: Outcome) {
        let seconds = match self.turns[position].state {
            State::Working(begun) => self.clock.now().saturating_sub(begun).as_secs_f64(),
            _ => 0.0,
        };
        (self.events)(Event::Ended { id: self.order.items[position].id.clone(), outcome: outcome.clone(), seconds });
        self.turns[position].state = State::Over(outcome);
    }

    pub(super) fn skip(&mut self, position: usize, because: &str) -> bool {
        let waiting = self.is_waiting(position);
        if waiting {
            self.over(position, Outcome::Skipped { because: because.into() });
        }
        waiting
    }

    /// `position` is settled: whatever waited only for it may begin.
    pub(super) fn release(&mut self, position: usize) {
        self.readiness.done(position);
        for next in self.readiness.dependents(position) {
            // Even if it still waits for others: they may share a batch.
            if let Some(node) = self.order.items.get(*next).and_then(|item| item.node) {
                self.awake.insert(node);
            }
        }
        self.take_ready();
    }

    pub(super) fn take_ready(&mut self) {
        while let Some(position) = self.readiness.take() {
            match self.order.items.get(position) {
                Some(item) if item.node.is_none() => _ = self.ready.insert(position),
                Some(_) => {}
                None => self.release(position),
            }
        }
    }

    /// `position` will not be settled: everything that waits for it is skipped, directly or not. Returns what is.
    pub(super) fn fall(&mut self, position: usize) -> Vec<usize> {
        let because = match &self.turns[position].state {
            State::Over(Outcome::Skipped { because }) => because.clone(),
            State::Over(Outcome::Refused { .. }) => because_of(&self.order.items[position].id, "is refused"),
            _ => because_of(&self.order.items[position].id, "failed"),
        };
        let (mut falling, mut skipped) = (vec![position], Vec::new());
        while let Some(position) = falling.pop() {
            for next in self.readiness.dependents(position).to_vec() {
                let is_resource = next < self.turns.len();
                let falls = if is_resource { self.skip(next, &because) } else { self.fallen.insert(next) };
                if falls {
                    falling.push(next);
                    skipped.extend(is_resource.then_some(next));
                }
            }
        }
        skipped
    }

    pub fn report(self, stopped: bool) -> Report {
        let items = &self.order.items;
        let outcomes: Vec<_> = self
            .turns
            .into_iter()
            .zip(items)
            .map(|(turn, item)| match turn.state {
                State::Over(outcome) => (item.id.clone(), outcome),
                State::Waiting | State::Working(_) => (item.id.clone(), Outcome::Skipped { because: "its turn never came".into() }),
            })
            .collect();
        let stopped = stopped && outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Skipped { .. }));
        let failures = self.failures.into_iter().map(|(position, error)| (items[position].id.clone(), error)).collect();
        Report { outcomes, failures, took: Duration::ZERO, stopped, effects: 0 }
    }
}
