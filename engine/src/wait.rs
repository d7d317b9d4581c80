//! Bounded waits that explain themselves: what is waited for, what was last seen, what to do.
use crate::{
    error::{Error, Result},
    event::progress,
    peers::Peers,
    stop::ends_waits,
};
use std::{future::Future, time::Duration};

/// How long a wait may take, and how often it looks.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The longest time to wait.
    pub at_most: Duration,
    /// The longest pause between two looks; the first pauses are shorter.
    pub pause: Duration,
}

impl Limit {
    /// At most this many seconds, looking at least every two seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self { at_most: Duration::from_secs(seconds), pause: Duration::from_secs(2) }
    }

    /// At most this many minutes, looking at least every two seconds.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }
}

/// One look of a wait.
#[derive(Debug)]
pub enum Poll<T> {
    /// It is there.
    Ready(T),
    /// Not yet; the text says what was seen, such as `cloud-init is still running`.
    Pending(String),
}

/// Calls `look` until it finds what `what` names; fails with the last thing seen once `limit` has passed.
///
/// # Errors
/// Whatever `look` fails with, at once; [`Kind::Settle`](crate::Kind::Settle) once the limit has passed;
/// [`Kind::Stopped`](crate::Kind::Stopped) when the run was told to stop meanwhile, unless the wait is part of an effect.
pub async fn wait<T, F, Fut>(peers: &Peers, limit: Limit, what: &str, help: &str, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Poll<T>>>,
{
    let clock = peers.clock();
    let begun = clock.now();
    let mut pause = Duration::from_millis(50).min(limit.pause);
    let mut shown = String::new();
    loop {
        let seen = match look().await? {
            Poll::Ready(found) => return Ok(found),
            Poll::Pending(seen) => seen,
        };
        if seen != shown {
            progress(format!("waiting for {what}: {seen}"));
            shown.clone_from(&seen);
        }
        if ends_waits() {
            return Err(Error::stopped(StoppedWaiting { what: what.into(), seen }));
        }
        let waited = clock.now().saturating_sub(begun);
        if waited + pause > limit.at_most {
            return Err(Error::settle(WaitedTooLong { what: what.into(), seen, seconds: limit.at_most.as_secs(), help: help.into() }));
        }
        clock.sleep(pause).await;
        pause = (pause * 2).min(limit.pause);
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the run was asked to stop while it waited for {what}; last seen: {seen}")]
#[diagnostic(code(kthw::run::stopped), help("run it again: it goes on from what is there"))]
struct StoppedWaiting {
    what: String,
    seen: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("waited {seconds} s for {what}; last seen: {seen}")]
#[diagnostic(code(kthw::waited_too_long), help("{help}"))]
struct WaitedTooLong {
    what: String,
    seen: String,
    seconds: u64,
    help: String,
}
