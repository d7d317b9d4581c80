//! A private folder in memory for a plain text that is being edited: it is gone with its owner, and what a killed process left in
//! memory the next edit removes. It is never on a disk (unless that was asked for).
use kthw_engine::{Error, Result};
use rustix::{
    fs::{FlockOperation, flock},
    io::{FdFlags, fcntl_setfd},
};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// A folder of an edit that is going on, or whose process was killed.
const EDITING: &str = "kthw-edit-";
/// A folder with an edit that could not be saved; it stays until it is taken up again or removed by hand.
const KEPT: &str = "kthw-kept-";

/// How often a folder is made anew that other edits, which begin at the same moment, took away.
const ATTEMPTS: usize = 100;

/// Beside the text: a digest of the encrypted file that it was made from.
const BASE: &str = ".kthw-base";

/// The folder, `0700`, with the one file that is edited.
#[derive(Debug)]
pub struct Shelter {
    folder: TempDir,
    file: PathBuf,
    /// Locked while the edit goes on. The editor inherits it, so the folder outlives a killed kthw as long as its editor runs.
    lock: File,
}

impl Shelter {
    /// Makes the folder and removes those of dead processes. The file in it will be called `name`, so that the editor knows its language.
    ///
    /// # Errors
    /// When there is no file system in memory, and `allow_disk` does not say that a disk will do.
    pub fn make(name: &Path, allow_disk: bool) -> Result<Self> {
        let place = places().into_iter().find(|place| in_memory(place)).or_else(|| allow_disk.then(std::env::temp_dir));
        let place = place.ok_or_else(|| Error::usage(NoMemory))?;
        let failed = |error: io::Error| Error::usage(NoShelter { place: place.display().to_string(), reason: error.to_string() });
        remove_dead(&place);
        for _ in 0..ATTEMPTS {
            let folder =
                tempfile::Builder::new().prefix(EDITING).permissions(Permissions::from_mode(0o700)).tempdir_in(&place).map_err(failed)?;
            // Until it is locked, another edit that begins may take the folder for a dead one's and remove it.
            let lock = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed)?,
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && folder.path().is_dir() {
                let file = folder.path().join(name.file_name().unwrap_or("secrets".as_ref()));
                return Ok(Self { folder, file, lock });
            }
        }
        Err(failed(io::Error::other("its folders disappear")))
    }

    /// The file that is edited.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder, for what the editor writes besides.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the text to be edited.
    pub fn write(&self, text: &[u8]) -> Result<()> {
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.file);
        options.and_then(|mut file| file.write_all(text)).map_err(|error| self.failed(&error))
    }

    /// The text as it is now.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>> {
        fs::read(&self.file).map(Zeroizing::new).map_err(|error| self.failed(&error))
    }

    /// Lets the next program that is started hold the lock too, or not any longer.
    pub fn share_lock(&self, shared: bool) -> Result<()> {
        let flags = if shared { FdFlags::empty() } else { FdFlags::CLOEXEC };
        fcntl_setfd(&self.lock, flags).map_err(|error| self.failed(&error.into()))
    }

    /// Notes which file the text was made from.
    pub fn note_base(&self, base: &str) -> Result<()> {
        fs::write(self.folder.path().join(BASE), base).map_err(|error| self.failed(&error))
    }

    /// As [`Shelter::keep`], for an editor that is still open: what it writes goes to the kept text.
    pub fn keep_open(self) -> Result<PathBuf> {
        let before = self.folder.path().to_owned();
        let file = self.keep()?;
        if let Some(kept) = file.parent() {
            let _ = std::os::unix::fs::symlink(kept, before);
        }
        Ok(file)
    }

    /// Leaves the text in memory, beyond this process, and says where.
    pub fn keep(self) -> Result<PathBuf> {
        let name = self.folder.path().file_name().unwrap_or_default().to_string_lossy().replacen(EDITING, KEPT, 1);
        let kept = self.folder.path().with_file_name(name);
        fs::rename(self.folder.path(), &kept).map_err(|error| self.failed(&error))?;
        let file = kept.join(self.file.file_name().unwrap_or_default());
        let _ = self.folder.keep();
        Ok(file)
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::usage(NoShelter { place: self.file.display().to_string(), reason: error.to_string() })
    }
}

/// What [`Shelter::note_base`] noted beside a kept edit.
pub fn base_of_kept(file: &Path) -> Option<String> {
    fs::read_to_string(file.with_file_name(BASE)).ok()
}

/// Removes the folder of a kept edit that was taken up again.
pub fn forget_kept(file: &Path) {
    if let Some(folder) = file.parent().filter(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(KEPT))) {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Folders that are in memory on most systems; the one of the user's session first, which ends with it.
fn places() -> Vec<PathBuf> {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|place| place.is_absolute());
    session.into_iter().chain([PathBuf::from("/dev/shm")]).collect()
}

#[cfg(target_os = "linux")]
fn in_memory(place: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    // The type of the field differs between architectures; the numbers fit all of them.
    let kind = rustix::fs::statfs(place).map(|found| found.f_type as u64 & 0xffff_ffff);
    let writable = rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_ok();
    writable && matches!(kind, Ok(TMPFS | RAMFS))
}

/// No other system has such folders by default.
#[cfg(not(target_os = "linux"))]
fn in_memory(_: &Path) -> bool {
    false
}

/// Removes this user's folders that nobody has locked: their process was killed.
fn remove_dead(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    let me = rustix::process::geteuid().as_raw();
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(EDITING)) {
        let path = entry.path();
        let ours = path.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
        if let (true, Ok(folder)) = (ours, File::open(&path))
            && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no folder in memory where a plain text could be edited safely")]
#[diagnostic(
    code(kthw::secrets::no_memory),
    help(
        "neither XDG_RUNTIME_DIR nor /dev/shm is a writable tmpfs. With `--allow-disk` a private folder below TMPDIR is used instead: a crash may leave the plain text on that disk. `kthw secrets set` needs no such folder"
    )
)]
struct NoMemory;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot use {place} for the plain text: {reason}")]
#[diagnostic(code(kthw::secrets::shelter), help("look at its mode and free space (`df -h {place}`)"))]
struct NoShelter {
    place: String,
    reason: String,
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_shelter_is_private_and_gone_with_its_owner() {
        let shelter = Shelter::make(Path::new("a/secrets.sops.yaml"), false).unwrap();
        let (folder, file) = (shelter.folder().to_owned(), shelter.file().to_owned());
        shelter.write(b"plain").unwrap();
        assert!(in_memory(&folder));
        assert_eq!((fs::metadata(&folder).unwrap().mode() & 0o777, fs::metadata(&file).unwrap().mode() & 0o777), (0o700, 0o600));
        assert!(file.ends_with("secrets.sops.yaml"));
        // Another edit lets a living one alone.
        drop(Shelter::make(Path::new("b"), false).unwrap());
        assert_eq!(shelter.read().unwrap().as_slice(), b"plain");
        drop(shelter);
        assert!(!folder.exists());
    }

    #[test]
    fn edits_that_begin_at_the_same_moment_do_not_hinder_each_other() {
        let make = || (0..200).for_each(|_| drop(Shelter::make(Path::new("x"), false).unwrap()));
        std::thread::scope(|threads| (0..4).for_each(|_| drop(threads.spawn(make))));
    }

    #[test]
    fn the_shelter_of_a_dead_process_is_removed_and_a_kept_one_is_not() {
        let dead = Shelter::make(Path::new("x"), false).unwrap();
        drop(dead.lock);
        let dead = dead.folder.keep();
        let kept = Shelter::make(Path::new("x"), false).unwrap();
        kept.write(b"plain").unwrap();
        let kept = kept.keep().unwrap();
        drop(Shelter::make(Path::new("x"), false).unwrap());
        assert!(!dead.exists());
        assert_eq!(fs::read(&kept).unwrap(), b"plain");
        forget_kept(&kept);
        assert!(!kept.exists() && !kept.parent().unwrap().exists());
    }
}
