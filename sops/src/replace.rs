//! Writing a file so that it is the old one or the new one, whatever happens, and only if it still is the one that was read.
use super::SopsError;
use kthw_engine::lock_folder;
use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    time::Duration,
};

/// What a temporary file beside the real one ends with.
const SUFFIX: &str = ".kthw-new";
/// A temporary file that is older than this was left behind by a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Who may read the file afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The mode of the file that is replaced; a new file is its owner's alone.
    Keep,
    /// Its owner alone: it holds plain text from now on.
    Private,
}

/// Writes `text` to `path`, which people know as `name`, where `before` stood: nothing, if that is `None`.
///
/// The text goes to a temporary file beside the real one, which is renamed over it when everything is on disk. Links stay links; owner
/// and mode stay.
///
/// # Errors
/// When something else stands there than `before`, or it cannot be written. The file is as it was then.
pub fn replace(path: &Path, name: &str, before: Option<&[u8]>, text: &[u8], mode: Mode) -> Result<(), SopsError> {
    let failed = |error: io::Error| SopsError::Write { file: name.into(), reason: error.to_string() };
    let real = if path.symlink_metadata().is_ok() { fs::canonicalize(path).map_err(failed)? } else { path.to_owned() };
    let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stem = format!(".{}.", real.file_name().unwrap_or_default().to_string_lossy());
    sweep(folder, &stem);
    let mut temporary = tempfile::Builder::new().prefix(&stem).suffix(SUFFIX).tempfile_in(folder).map_err(failed)?;
    if let (Ok(old), Mode::Keep) = (fs::metadata(&real), mode) {
        // The mode comes last, since a change of the owner takes bits from it. Only root can change the owner, and only root needs to.
        let _ = fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()));
        temporary.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o7777)).map_err(failed)?;
    }
    temporary.write_all(text).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    let changed = || SopsError::Changed { file: name.into() };
    // Two that replace it at the same time take turns, so that the second one sees what the first one did.
    let turn = lock_folder(folder).map_err(failed)?;
    match before {
        Some(before) => {
            if fs::read(&real).map_err(failed)? != before {
                return Err(changed());
            }
            temporary.persist(&real).map_err(|error| failed(error.error))?;
        }
        None => {
            let made = temporary.persist_noclobber(&real);
            made.map_err(|error| if error.error.kind() == ErrorKind::AlreadyExists { changed() } else { failed(error.error) })?;
        }
    }
    turn.sync_all().map_err(failed)
}

/// Removes what killed processes left beside the file. It is as private as the file itself; only a younger one may still be in use.
fn sweep(folder: &Path, stem: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(stem) && name.ends_with(SUFFIX))
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(ours) {
        let age = path.symlink_metadata().and_then(|found| found.modified()).ok().and_then(|changed| changed.elapsed().ok());
        if age.is_some_and(|age| age > LEFT_BEHIND) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_through_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        replace(&link, "link", Some(b"old"), b"new", Mode::Keep).unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap().mode() & 0o777), ("new".into(), 0o640));
        assert!(link.is_symlink());
        replace(&link, "link", Some(b"new"), b"plain", Mode::Private).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_somebody_else_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "theirs").unwrap();
        for before in [Some(&b"old"[..]), None] {
            let error = replace(&file, "file", before, b"ours", Mode::Keep).unwrap_err();
            assert_eq!(error.to_string(), "file was changed by somebody else meanwhile");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_old_leftovers_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (young, old) = (folder.path().join(".file.a.kthw-new"), folder.path().join(".file.b.kthw-new"));
        fs::write(&young, "").unwrap();
        fs::File::create(&old).unwrap().set_modified(std::time::SystemTime::now() - 2 * LEFT_BEHIND).unwrap();
        replace(&folder.path().join("file"), "file", None, b"new", Mode::Keep).unwrap();
        assert_eq!((young.exists(), old.exists()), (true, false));
    }
}
