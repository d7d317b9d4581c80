//! Tests that share fixed addresses, ports or the machine's cores run one after the other: threads of one process, and processes.
use std::{
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

/// The longest wait. A cluster from nothing takes minutes, and several tests may be before this one.
const LIMIT: Duration = Duration::from_secs(3600);

/// A test's turn; the next one begins when this is dropped, or when its process ends.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until no other test has the turn of this name.
    pub fn take(name: &str) -> Self {
        Self::within(&std::env::temp_dir(), name, LIMIT)
    }

    fn within(folder: &Path, name: &str, limit: Duration) -> Self {
        // Nobody may write to another user's file in a folder for all, root included.
        let path = folder.join(format!("kthw-tests-{}-{name}.lock", rustix::process::geteuid()));
        // The lock is of this open file, not of the process, so that it holds between threads too.
        let lock = File::options().append(true).create(true).open(&path);
        let lock = lock.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Self { _lock: lock },
                Err(TryLockError::Error(error)) => panic!("cannot lock {}: {error}", path.display()),
                Err(TryLockError::WouldBlock) => {}
            }
            assert!(begun.elapsed() < limit, "waited {limit:?} for the turn `{name}`; who has it says `fuser {}`", path.display());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_has_it_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _turn = Turn::within(folder.path(), "one", LIMIT);
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(Duration::from_millis(30));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn the_wait_ends_and_says_for_what() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _turn = Turn::within(folder.path(), "one", LIMIT);
        let waiting = std::panic::catch_unwind(|| Turn::within(folder.path(), "one", Duration::from_millis(250)));
        let told = waiting.expect_err("another has it").downcast::<String>().expect("words");
        assert!(told.starts_with("waited 250ms for the turn `one`"), "{told}");
    }
}
