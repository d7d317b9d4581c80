//! Whether a store can be believed: it says whose host keys are right, so nobody else may have written in it.
use kthw_engine::{Error, Result};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The bits of a mode that let the group and all others write, and those that let them into a folder.
const WRITE: [u32; 2] = [0o020, 0o002];
const ENTER: [u32; 2] = [0o010, 0o001];
/// In a folder with this bit, what somebody made is only its owner's to rename.
const STICKY: u32 = 0o1000;
/// A store is not nested deeper than this.
const MAX_DEPTH: usize = 8;

/// What is known of a file or folder, without following a link.
#[derive(Clone, Copy, Debug)]
struct Entry {
    owner: u32,
    mode: u32,
    is_link: bool,
}

/// Why an entry cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Link,
    Owner { owner: u32, me: u32 },
    Writable { mode: u32 },
}

/// Checks the folder `root`, which holds the stores of all workspaces, and all that is in the store `folder` below it.
///
/// # Errors
/// When somebody else owns one of them or may write in it, or something in the store is a link.
pub fn check(root: &Path, folder: &Path) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    // Whoever names a root may name a link; what counts is where it leads.
    let root_entry = fs::metadata(root).map(|found| Entry::of(&found)).map_err(|source| unreadable(root, source))?;
    if let Some(trouble) = trouble_with_root(root_entry, me) {
        return Err(refused(root, root, trouble));
    }
    within(folder, folder, me, [true, true], 0)
}

/// `reach` says whether the group and all others get as far as the folder that `path` is in.
fn within(store: &Path, path: &Path, me: u32, reach: [bool; 2], depth: usize) -> Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        // Another run is done with it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return Ok(()),
        Err(source) => return Err(unreadable(path, source)),
    };
    let entry = Entry::of(&found);
    if let Some(trouble) = trouble_with(entry, me, reach) {
        return Err(refused(store, path, trouble));
    }
    if !found.is_dir() || depth == MAX_DEPTH {
        return Ok(());
    }
    let below = [0, 1].map(|who| reach[who] && entry.mode & ENTER[who] != 0);
    let entries = fs::read_dir(path).map_err(|source| unreadable(path, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| unreadable(path, source))?;
        within(store, &entry.path(), me, below, depth + 1)?;
    }
    Ok(())
}

impl Entry {
    fn of(found: &fs::Metadata) -> Self {
        Self { owner: found.uid(), mode: found.mode(), is_link: found.is_symlink() }
    }
}

fn trouble_with(entry: Entry, me: u32, reach: [bool; 2]) -> Option<Trouble> {
    let Entry { owner, mode, is_link } = entry;
    let written = (0..2).any(|who| reach[who] && mode & WRITE[who] != 0);
    match () {
        () if is_link => Some(Trouble::Link),
        () if owner != me => Some(Trouble::Owner { owner, me }),
        () if written => Some(Trouble::Writable { mode }),
        () => None,
    }
}

/// The root may be the system's, and shared in the way that /tmp is.
fn trouble_with_root(entry: Entry, me: u32) -> Option<Trouble> {
    let Entry { owner, mode, .. } = entry;
    let shared = mode & (WRITE[0] | WRITE[1]) != 0;
    match () {
        () if owner != me && owner != 0 => Some(Trouble::Owner { owner, me }),
        () if shared && mode & STICKY == 0 => Some(Trouble::Writable { mode }),
        () => None,
    }
}

fn refused(store: &Path, path: &Path, trouble: Trouble) -> Error {
    let name = path.display();
    let (why, next) = match trouble {
        Trouble::Link => (format!("{name} is a symbolic link"), "remove the link, or put what it leads to in its place".to_owned()),
        Trouble::Owner { owner, me } => (
            format!("{name} belongs to user {owner}, and kthw runs as user {me}"),
            format!("run kthw as its owner; or look at what is in it, and if all of it is right: `chown -R {me} {}`", store.display()),
        ),
        Trouble::Writable { mode } => (
            format!("others may write in {name} (mode {:04o})", mode & 0o7777),
            format!("look at what is in it, and if all of it is right: `chmod -R go-w {}`", store.display()),
        ),
    };
    Error::usage(Unsafe { store: store.to_owned(), why, next })
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::usage(Unreadable { path: path.to_owned(), source })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the store {} cannot be believed: {why}", store.display())]
#[diagnostic(code(kthw::store::not_safe), help("{next}. Or name another folder with `--store` or KTHW_STORE"))]
struct Unsafe {
    store: PathBuf,
    why: String,
    next: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot look at {} in the store", path.display())]
#[diagnostic(code(kthw::store::read), help("name a folder that is yours with `--store` or KTHW_STORE"))]
struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 1000;

    #[test]
    fn what_is_in_a_store_is_mine_and_nobody_else_can_write_it() {
        let (shut, open) = ([false, false], [true, true]);
        let other = Some(Trouble::Owner { owner: 1001, me: ME });
        let root = Some(Trouble::Owner { owner: 0, me: ME });
        for (owner, mode, is_link, reach, expected) in [
            (ME, 0o700, false, open, None),
            (ME, 0o755, false, open, None),
            (ME, 0o775, false, open, Some(Trouble::Writable { mode: 0o775 })),
            (ME, 0o757, false, open, Some(Trouble::Writable { mode: 0o757 })),
            // A umask of 002 makes such files; nobody gets to them.
            (ME, 0o664, false, shut, None),
            (ME, 0o664, false, [true, false], Some(Trouble::Writable { mode: 0o664 })),
            (ME, 0o664, false, [false, true], None),
            (ME, 0o777, true, shut, Some(Trouble::Link)),
            (1001, 0o600, false, shut, other),
            (0, 0o600, false, shut, root),
        ] {
            assert_eq!(trouble_with(Entry { owner, mode, is_link }, ME, reach), expected, "{owner} {mode:o} {is_link} {reach:?}");
        }
    }

    #[test]
    fn the_root_may_be_shared_as_tmp_is() {
        for (owner, mode, expected) in [
            (ME, 0o700, None),
            (0, 0o1777, None),
            (0, 0o755, None),
            (ME, 0o777, Some(Trouble::Writable { mode: 0o777 })),
            (0, 0o775, Some(Trouble::Writable { mode: 0o775 })),
            (1001, 0o755, Some(Trouble::Owner { owner: 1001, me: ME })),
            (1001, 0o1777, Some(Trouble::Owner { owner: 1001, me: ME })),
        ] {
            assert_eq!(trouble_with_root(Entry { owner, mode, is_link: false }, ME), expected, "{owner} {mode:o}");
        }
    }
}
