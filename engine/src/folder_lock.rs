//! A lock on a folder, so that processes which write files in it take turns.
use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long another program may keep the folder locked.
const LIMIT: Duration = Duration::from_secs(10);

/// Locks `folder` until the returned file is dropped. On a file system without locks, nobody waits.
///
/// # Errors
/// When the folder cannot be opened, or stays locked by another program.
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
