//! Asking a run to stop: what is under way is finished, nothing new is begun, and waits end.
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Asks a run to stop: what is under way is finished, nothing new is begun.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

tokio::task_local! {
    /// What ends the waits of this task; none inside an effect, which is always finished once it has begun.
    static ENDS_WAITS: Option<Stop>;
}

/// Runs `work` so that its waits end when `stop` is requested.
pub(crate) async fn stoppable<T>(stop: Stop, work: impl Future<Output = T>) -> T {
    ENDS_WAITS.scope(Some(stop), work).await
}

/// Runs `work`, whose waits go on even when a stop is requested.
pub(crate) async fn not_to_be_stopped<T>(work: impl Future<Output = T>) -> T {
    ENDS_WAITS.scope(None, work).await
}

/// Whether the waits of this task have to end now.
pub(crate) fn ends_waits() -> bool {
    ENDS_WAITS.try_with(|stop| stop.as_ref().is_some_and(Stop::is_asked)).unwrap_or(false)
}
