//! What follows from something that was done: whose turn that makes it, and who will never have one.
use super::{
    Report,
    batch::because_of,
    errors::KeepsMoving,
    schedule::{Done, Schedule, State},
    settle::Ended,
};
use crate::{
    change::Change,
    error::{Error, Kind},
    event::{Event, Outcome},
};
use std::time::Duration;

/// How often a node may change between reading and writing before its resource fails.
const ATTEMPTS: u32 = 4;

impl Schedule<'_> {
    /// Notes what was done.
    pub fn take(&mut self, done: Done) {
        match done {
            Done::Alone { one, ended } => {
                self.leave_lane(one);
                match self.order.items[one].node {
                    Some(node) => self.free(node),
                    None => self.working -= 1,
                }
                match ended {
                    Ok(Change::None) => self.end(one, Outcome::Unchanged),
                    Ok(change) => self.end(one, Outcome::Changed { change: change.word().into() }),
                    // Not a failure: nothing was tried that did not work.
                    Err(error) if error.kind() == Kind::Stopped => {
                        self.over(one, Outcome::Skipped { because: error.to_string() });
                        self.fall(one);
                    }
                    Err(error) => self.fail(one, error),
                }
            }
            Done::Read { node, members, found } => {
                self.free(node);
                match found {
                    Ok(found) => {
                        for (one, findings) in found {
                            self.turns[one].findings = Some(findings);
                            self.turns[one].looked = true;
                        }
                    }
                    Err(error) => self.fail_look(&members, error),
                }
            }
            Done::Batch { batch, outcomes } => {
                self.free(batch.node);
                // What was not done waits again before anything ends: it may come after something that failed.
                for (one, ended) in batch.members.iter().zip(&outcomes) {
                    if matches!(ended, Ended::Held | Ended::Moved(_)) {
                        self.turns[*one].state = State::Waiting;
                    }
                }
                for (one, ended) in batch.members.iter().copied().zip(outcomes) {
                    self.leave_lane(one);
                    self.take_block(one, batch.node, ended);
                }
            }
        }
    }

    fn free(&mut self, node: usize) {
        self.busy.remove(&node);
        self.awake.insert(node);
    }

    /// A node did not answer: one look failed, not one for each resource on it.
    fn fail_look(&mut self, members: &[usize], error: Error) {
        // Some may have been skipped while the look was under way.
        let members: Vec<usize> = members.iter().copied().filter(|one| self.is_waiting(*one)).collect();
        let Some((first, others)) = members.split_first() else { return };
        self.fail(*first, error);
        let because = because_of(&self.order.items[*first].id, "failed");
        for one in others {
            if self.skip(*one, &because) {
                self.fall(*one);
            }
        }
    }

    fn take_block(&mut self, one: usize, node: usize, ended: Ended) {
        match ended {
            Ended::Settled => self.end(one, Outcome::Changed { change: self.turns[one].doing.into() }),
            Ended::Held => {}
            Ended::Failed(error) => self.fail(one, error),
            Ended::Moved(findings) if self.is_waiting(one) => {
                let turn = &mut self.turns[one];
                turn.findings = Some(findings);
                turn.attempts += 1;
                let attempts = turn.attempts;
                if attempts >= ATTEMPTS {
                    let (id, node) = (self.order.items[one].id.clone(), self.order.nodes[node].node.clone());
                    self.fail(one, Error::settle(KeepsMoving { id, node, attempts }));
                }
            }
            Ended::Moved(_) => {}
        }
    }

    pub(super) fn fail(&mut self, one: usize, error: Error) {
        let text = error.to_string();
        self.failures.insert(one, error);
        self.end(one, Outcome::Failed { error: text });
    }

    pub(super) fn end(&mut self, one: usize, outcome: Outcome) {
        let failed = matches!(outcome, Outcome::Failed { .. });
        self.over(one, outcome);
        if !failed {
            return self.release(one);
        }
        if let Some(lane) = self.order.items[one].step.lane().filter(|lane| lane.stop_after_failure) {
            let because = because_of(&self.order.items[one].id, "failed, and nothing else of its kind is touched after that");
            for waiting in self.lanes.close(&lane, &because) {
                if self.skip(waiting, &because) {
                    self.fall(waiting);
                }
            }
        }
        self.fall(one);
    }

    fn over(&mut self, one: usize, outcome: Outcome) {
        let seconds = match self.turns[one].state {
            State::Working(begun) => self.clock.now().saturating_sub(begun).as_secs_f64(),
            _ => 0.0,
        };
        (self.events)(Event::Ended { id: self.order.items[one].id.clone(), outcome: outcome.clone(), seconds });
        self.turns[one].state = State::Over(outcome);
    }

    pub(super) fn skip(&mut self, one: usize, because: &str) -> bool {
        let waiting = self.is_waiting(one);
        if waiting {
            self.over(one, Outcome::Skipped { because: because.into() });
        }
        waiting
    }

    /// `one` is settled: what waited for nothing else may begin.
    pub(super) fn release(&mut self, one: usize) {
        self.readiness.done(one);
        for next in self.readiness.dependents(one) {
            // Even with others still open: it may go out in one batch with them.
            if let Some(node) = self.order.items.get(*next).and_then(|item| item.node) {
                self.awake.insert(node);
            }
        }
        self.take_ready();
    }

    pub(super) fn take_ready(&mut self) {
        while let Some(one) = self.readiness.take() {
            match self.order.items.get(one) {
                Some(item) if item.node.is_none() => _ = self.ready.insert(one),
                Some(_) => {}
                None => self.release(one),
            }
        }
    }

    /// `one` will not be settled: everything that waits for it is skipped, directly or not.
    pub(super) fn fall(&mut self, one: usize) {
        let because = match &self.turns[one].state {
            State::Over(Outcome::Skipped { because }) => because.clone(),
            State::Over(Outcome::Refused { .. }) => because_of(&self.order.items[one].id, "is refused"),
            _ => because_of(&self.order.items[one].id, "failed"),
        };
        let mut falling = vec![one];
        while let Some(one) = falling.pop() {
            for next in self.readiness.dependents(one).to_vec() {
                let falls = if next < self.turns.len() { self.skip(next, &because) } else { self.fallen.insert(next) };
                if falls {
                    falling.push(next);
                }
            }
        }
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
        let failures = self.failures.into_iter().map(|(one, error)| (items[one].id.clone(), error)).collect();
        Report { outcomes, failures, took: Duration::ZERO, stopped, effects: 0 }
    }
}
