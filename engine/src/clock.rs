//! The clock for waits: real time in a run, virtual time in the lab.
use crate::peers::BoxFuture;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells time and sleeps.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
    /// The date, in milliseconds since 1970.
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
    /// The date, in seconds since 1970.
    fn unix_s(&self) -> i64 {
        i64::try_from(self.unix_ms() / 1000).unwrap_or(i64::MAX)
    }
    /// Returns after `span` has passed on this clock.
    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()>;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}
