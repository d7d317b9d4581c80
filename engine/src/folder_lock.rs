//! A lock on a folder, so that processes which write files in it take turns.
use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long somebody else may take to write a file in the same folder.
const LIMIT: Duration = Duration::from_secs(10);

/// Locks `folder` until the answer is dropped. Where the file system knows no locks, everybody goes ahead.
///
/// # Errors
/// When the folder cannot be opened, or somebody keeps it locked.
pub fn lock_folder(folder: &Path) -> io::Result<File> {
    let lock = File::open(folder)?;
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < LIMIT => thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => {
                let reason = format!("another program has kept the folder locked for {} s", LIMIT.as_secs());
                return Err(io::Error::new(ErrorKind::TimedOut, reason));
            }
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(lock),
        }
    }
}
