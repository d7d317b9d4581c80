//! Many plays side by side: each core takes the next one, in a runtime of its own, whose time stands still until everybody waits.
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What `play` makes of each case, in the order of the cases.
pub(crate) fn on_all_cores<C: Sync, T: Send>(cases: &[C], play: impl AsyncFn(&C) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let played: Mutex<Vec<(usize, T)>> = Mutex::default();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { break };
            let done = in_lab_time(play(case));
            played.lock().unwrap_or_else(PoisonError::into_inner).push((number, done));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let mut played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, done)| done).collect()
}

/// Does some work in a runtime as `#[tokio::test(start_paused = true)]` has it.
pub(crate) fn in_lab_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}
