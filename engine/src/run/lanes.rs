//! The queues that resources share: how many are inside, which wait, and which queues are closed after a failure.
use crate::resource::Lane;
use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(crate) struct Lanes(HashMap<String, Queue>);

#[derive(Debug, Default)]
struct Queue {
    inside: usize,
    waiting: BTreeSet<usize>,
    /// Why nothing may enter any more.
    closed: Option<String>,
}

/// The answer to a resource that wants to enter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Entered,
    /// It is full; the resource is woken when there is room.
    Full,
    /// It was closed, for this reason.
    Closed(String),
}

impl Lanes {
    /// Lets `position` enter if there is room.
    pub fn enter(&mut self, position: usize, lane: Lane) -> Admission {
        let queue = self.0.entry(lane.name).or_default();
        if let Some(because) = &queue.closed {
            return Admission::Closed(because.clone());
        }
        // Nothing could ever enter a lane of width 0.
        if queue.inside < lane.at_most.max(1) {
            queue.inside += 1;
            queue.waiting.remove(&position);
            return Admission::Entered;
        }
        queue.waiting.insert(position);
        Admission::Full
    }

    /// A resource left; returns those that wait. One that finds the lane full again waits again: the first may not want to enter any more.
    pub fn leave(&mut self, lane: &Lane) -> BTreeSet<usize> {
        let Some(queue) = self.0.get_mut(&lane.name) else { return BTreeSet::new() };
        queue.inside -= 1;
        std::mem::take(&mut queue.waiting)
    }

    /// Closes the lane; returns those that wait.
    pub fn close(&mut self, lane: &Lane, because: &str) -> BTreeSet<usize> {
        let queue = self.0.entry(lane.name.clone()).or_default();
        queue.closed.get_or_insert_with(|| because.into());
        std::mem::take(&mut queue.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(at_most: usize) -> Lane {
        Lane { name: "clones".into(), at_most, stop_after_failure: true }
    }

    #[test]
    fn when_one_leaves_a_full_lane_all_that_wait_may_try() {
        let mut lanes = Lanes::default();
        let entries: Vec<Admission> = [4, 9, 7].into_iter().map(|position| lanes.enter(position, lane(1))).collect();
        assert_eq!(entries, [Admission::Entered, Admission::Full, Admission::Full]);
        assert_eq!(lanes.leave(&lane(1)), BTreeSet::from([7, 9]));
        assert_eq!((lanes.enter(7, lane(1)), lanes.enter(9, lane(1))), (Admission::Entered, Admission::Full));
        assert_eq!(
            (lanes.leave(&lane(1)), lanes.enter(9, lane(1)), lanes.leave(&lane(1))),
            (BTreeSet::from([9]), Admission::Entered, BTreeSet::new())
        );
    }

    #[test]
    fn a_closed_lane_lets_nobody_in() {
        let mut lanes = Lanes::default();
        lanes.enter(1, lane(1));
        lanes.enter(2, lane(1));
        assert_eq!(lanes.close(&lane(1), "1 failed"), BTreeSet::from([2]));
        assert_eq!(lanes.leave(&lane(1)), BTreeSet::new());
        assert_eq!(lanes.enter(3, lane(1)), Admission::Closed("1 failed".into()));
    }

    #[test]
    fn a_lane_for_none_is_a_lane_for_one() {
        assert_eq!(Lanes::default().enter(1, lane(0)), Admission::Entered);
    }
}
