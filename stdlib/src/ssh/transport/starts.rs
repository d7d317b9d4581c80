//! When the machines behind nodes were started, as far as whoever runs them tells: it decides how long a node that does not answer is
//! waited for.
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long after its start a machine may take until it answers: a first start is slow, and some restart in the middle of it.
const BOOT: Duration = Duration::from_secs(600);
/// How long a machine is waited for that should be up, or of which nobody knows when it was started: it may restart just now.
const SHORT: Duration = Duration::from_secs(120);

/// The last start of each node's machine. Times are the run's clock.
#[derive(Debug, Default)]
pub struct Starts(Mutex<BTreeMap<String, Start>>);

#[derive(Clone, Copy, Debug)]
struct Start {
    up_for: Duration,
    told_at: Duration,
}

impl Starts {
    /// Notes that the machine of `node` has run for `up_for`, as was told at `now`.
    pub fn note(&self, node: &str, up_for: Duration, now: Duration) {
        self.starts().insert(node.to_owned(), Start { up_for, told_at: now });
    }

    /// How long to wait at `now` for `node` to answer.
    pub fn patience(&self, node: &str, now: Duration) -> Duration {
        let start = self.starts().get(node).copied();
        let left = start.map(|start| BOOT.saturating_sub(start.up_for + now.saturating_sub(start.told_at)));
        left.unwrap_or_default().max(SHORT)
    }

    fn starts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Start>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_was_started_a_moment_ago_is_waited_for() {
        let (starts, second) = (Starts::default(), Duration::from_secs);
        assert_eq!(starts.patience("wu1", second(0)), SHORT);
        starts.note("wu1", second(60), second(1000));
        assert_eq!(starts.patience("wu1", second(1000)), second(540));
        assert_eq!(starts.patience("wu1", second(1040)), second(500));
        assert_eq!(starts.patience("wu1", second(9000)), SHORT);
        starts.note("wu1", second(0), second(9000));
        assert_eq!(starts.patience("wu1", second(9000)), BOOT);
    }
}
