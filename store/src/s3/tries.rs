//! How often something is tried, and for how long.
use super::{failure::Failure, settings::Limits};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first pause between two tries; each is twice as long as the one before, up to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The tries to do one thing.
pub(super) struct Tries {
    limits: Limits,
    begun: Instant,
    pause: Duration,
}

impl Tries {
    pub fn new(limits: Limits) -> Self {
        Self { limits, begun: Instant::now(), pause: FIRST }
    }

    /// Waits for the next try; the failure itself, if another try is of no use or could end too late.
    pub async fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        let Failure::Passing { why, help } = failure else { return Err(failure) };
        let waited = self.begun.elapsed();
        if waited + self.pause + self.limits.request > self.limits.together {
            return Err(Failure::Passing { why: format!("{why} (tried for {} s)", waited.as_secs()), help });
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(())
    }
}
