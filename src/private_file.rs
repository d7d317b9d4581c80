//! Writing a file that only its owner may read: whole or not at all.
use std::{io, io::Write, path::Path};

/// Puts `text` in the file's place.
///
/// # Errors
/// When its folder is not there or may not be written; the file is as it was then.
pub fn write(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map(|_| ()).map_err(|error| error.error)
}
