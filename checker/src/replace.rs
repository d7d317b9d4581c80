//! Replaces a file as a whole: a reader, or a machine that loses its power, finds the old text or the new one.
use std::{
    ffi::OsString,
    fs::{File, rename},
    io::{Result, Write},
    path::{Path, PathBuf},
};

/// Writes beside the file and renames. With `durable` the text is on the disk before it takes the old one's place; the status file lives in
/// memory and needs no such wait.
pub fn replace(path: &Path, text: &str, durable: bool) -> Result<()> {
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    if durable {
        file.sync_all()?;
    }
    rename(beside, path)
}

/// The name is always the same, so that what a killed checker left is written over by the next one.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("https.servers");
        std::fs::write(folder.path().join(".https.servers.new"), "left by one that was killed, and longer").unwrap();
        for text in ["one", "another"] {
            replace(&path, text, true).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(Path::new("/nowhere/at/all"), "", false).is_err());
    }
}
