//! Writing secrets files: new values into an encrypted file, and the file replaced whole or not at all.
use super::{
    SopsError,
    encrypt::encrypt,
    file::File,
    keys::KeyServices,
    text::Step,
};
use kthw_engine::Secret;
use serde_json::Value;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use zeroize::{Zeroize, Zeroizing};

/// `document` with `values` set by their dotted names, encrypted to the same recipients by the same rules. What does not change keeps its
/// encrypted text.
///
/// # Errors
/// When no key at hand opens it, it was tampered with, or a value cannot stand where its name says.
pub fn with_values(document: &File, services: &KeyServices, values: &[(String, Secret)]) -> Result<String, SopsError> {
    let name = document.name();
    let key = services.data_key(name, document.metadata())?;
    let opened = document.open(&key)?;
    let as_text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(str::to_owned).map(Zeroizing::new);
        text.map_err(|_| SopsError::Malformed { file: name.into(), reason: "it is not text".into() })
    };
    let mut plain = as_text(opened.plain())?;
    for (path, secret) in values {
        let mut value = Value::String(secret.expose().to_owned());
        let set = document.format().layout().set(name, &plain, &steps(path), &value);
        if let Value::String(text) = &mut value {
            text.zeroize();
        }
        plain = set?;
    }
    encrypt(name, document.format(), plain.as_bytes(), document.metadata(), &key, Some(&opened))
}

/// The steps of a dotted name; a number is a position in a list.
fn steps(name: &str) -> Vec<Step> {
    name.split('.').map(|step| step.parse().map_or_else(|_| Step::Key(step.into()), Step::Index)).collect()
}

/// Puts `text` in place of the file at `path`, or makes it: after a crash there is the old file or the new one, and never a part of one.
///
/// A file keeps its mode, and a new one is its owner's alone. A link stays, and what it points at is replaced.
///
/// # Errors
/// When the folder cannot be written; the old file is untouched then.
pub fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = fs::metadata(&path).map_or(0o600, |found| found.permissions().mode() & 0o7777);
    let mut file = tempfile::Builder::new().prefix(".kthw-").tempfile_in(folder)?;
    file.write_all(text)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The new name has to survive a power cut too.
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_its_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("secrets.yaml"), folder.path().join("link.yaml"));
        replace_file(&file, b"one").expect("a new file");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace_file(&link, b"two").expect("a replaced file");
        assert_eq!(fs::read(&file).expect("a file"), b"two");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left beside it");
    }

    #[test]
    fn names_are_paths() {
        assert_eq!(steps("ssh_keys.0"), [Step::Key("ssh_keys".into()), Step::Index(0)]);
    }
}
