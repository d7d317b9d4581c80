//! The next task of a free node: a look at what the plan did not look at, then everything that can travel in one batch.
use super::{
    batch::Batch,
    schedule::{Job, Schedule, State},
    settle::within_consent,
};
use crate::{absent::Presence, change::Change, error::Result, event::Outcome, node::Probe, plan::refreshed_because, resource::Work};

impl Schedule<'_> {
    pub(super) fn on_node(&mut self, node: usize) -> Option<Job> {
        let order = self.order;
        let waiting = order.nodes[node].items.iter().copied().filter(|position| self.is_waiting(*position));
        // What is removed goes in the opposite order.
        let (mut members, going): (Vec<usize>, Vec<usize>) =
            waiting.partition(|position| order.items[*position].presence == Presence::Present);
        members.extend(going.into_iter().rev());
        let unseen: Vec<usize> =
            members.iter().copied().filter(|position| !self.turns[*position].looked && !order.items[*position].opens_node).collect();
        if unseen.iter().any(|position| self.readiness.open(*position) == 0) {
            // A check that may change something is asked when it is its turn, not together with others.
            let now = |position: &usize| self.readiness.open(*position) == 0 || !order.items[*position].step.query().iter().any(may_write);
            return Some(Job::Read { node, members: unseen.into_iter().filter(now).collect() });
        }
        let mut batch = Batch::new(node);
        for position in members {
            if !self.is_waiting(position) || !self.edges_hold(position, &batch) {
                continue;
            }
            if !self.turns[position].looked {
                // It counted as absent or unknown. What opens the node does its own first look; nothing else is changed without a look.
                if order.items[position].opens_node && batch.members.is_empty() && self.enters_lane(position) {
                    return Some(self.alone(position));
                }
                continue;
            }
            match self.work_of(position, &batch) {
                Err(error) => self.fail(position, error),
                Ok(None) if self.readiness.open(position) == 0 => self.end(position, Outcome::Unchanged),
                // It ends when what it waits for has ended, which may fail.
                Ok(None) => batch.pass(position, &order.items[position]),
                Ok(Some(Work::Actions(actions))) => {
                    if self.enters_lane(position) {
                        let findings = self.turns[position].findings.clone().unwrap_or_default();
                        batch.push(position, &order.items[position], &findings, actions);
                        self.begin(position);
                    }
                }
                Ok(Some(Work::Alone)) if batch.members.is_empty() && self.readiness.open(position) == 0 => {
                    if self.enters_lane(position) {
                        return Some(self.alone(position));
                    }
                }
                Ok(Some(Work::Alone)) => {}
            }
        }
        (!batch.members.is_empty()).then_some(Job::Batch(batch))
    }

    /// Whether everything that `position` waits for is settled or goes out before it in the same batch.
    fn edges_hold(&self, position: usize, batch: &Batch) -> bool {
        let open = self.readiness.open(position);
        let inside = || self.order.items[position].edges.iter().filter(|edge| batch.holds(**edge)).count();
        open == 0 || !batch.members.is_empty() && open == inside()
    }

    /// What has to be done to a resource, given what was last found; `None` for nothing.
    fn work_of(&mut self, position: usize, batch: &Batch) -> Result<Option<Work>> {
        let item = &self.order.items[position];
        let consent = self.consent(position);
        let live = match &self.turns[position].findings {
            Some(findings) => item.step.understand(findings)?,
            None => None,
        };
        let changed =
            |edge: &usize| matches!(self.turns[*edge].state, State::Over(Outcome::Changed { .. })) || batch.members.contains(edge);
        let cause = item.refreshed_by.iter().copied().find(changed);
        let mut change = item.step.diff(live.as_ref());
        if let (true, Some(cause)) = (change.is_none(), cause) {
            // The plan showed the cause, and what it refreshes follows from it.
            change = Change::Update(vec![refreshed_because(&self.order.items[cause].id)]);
        } else {
            change = within_consent(item, change, &consent)?;
        }
        self.turns[position].doing = change.word();
        Ok((!change.is_none()).then(|| item.step.work(live.as_ref(), cause.is_some())))
    }
}

/// Whether a look may change something: only the recipe's author could have said that it does not.
fn may_write(probe: &Probe) -> bool {
    matches!(probe, Probe::Check { reads: false, .. })
}
