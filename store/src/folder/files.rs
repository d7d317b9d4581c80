//! What is done to the files of a folder, with the folder locked while something is written.
use super::walk::{Place, collect, create, enter, find, in_place_of, make, make_place, open_folder, unlink};
use crate::{
    name::Name,
    records::{Condition, Version},
};
use kthw_engine::lock_folder;
use rustix::{
    fs::{CWD, OFlags, renameat},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

/// Where a record is written before it takes its place. One is enough: one at a time writes. What somebody who died left there is removed
/// by the next who writes, and no list shows it.
const NEW: &str = ".new";

#[derive(Clone, Debug)]
pub(super) struct Files {
    pub folder: PathBuf,
    /// Whether what is written has to survive the machine.
    pub durable: bool,
}

impl Files {
    pub fn read(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        match self.root()? {
            Some(root) => find(&root, name)?.map_or(Ok(None), |place| place.read()),
            None => Ok(None),
        }
    }

    /// Reads a log, and no half of what somebody is adding to it.
    pub fn read_when_nobody_writes(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        if self.root()?.is_none() {
            return Ok(None);
        }
        let _turn = lock_folder(&self.folder)?;
        self.read(name)
    }

    pub fn put(&self, name: &Name, bytes: &[u8], condition: &Condition) -> io::Result<Option<Version>> {
        let root = self.root_for_writing()?;
        let _turn = lock_folder(&self.folder)?;
        let place = make_place(&root, name, self.durable)?;
        let found = place.read()?.map(|bytes| Version::of(&bytes));
        if !condition.holds(found.as_ref()) {
            return Ok(None);
        }
        self.write_new(&root, bytes)?;
        renameat(&root, NEW, &place.folder, place.file)?;
        self.sync(&place.folder)?;
        Ok(Some(Version::of(bytes)))
    }

    fn write_new(&self, root: &File, bytes: &[u8]) -> io::Result<()> {
        unlink(root, NEW)?;
        let mut file = create(root, NEW)?;
        let written = file.write_all(bytes).and_then(|()| self.sync(&file));
        if written.is_err() {
            // It may be what fills the disk. If it cannot be removed either, the next who writes tries again.
            let _ = unlink(root, NEW);
        }
        written
    }

    pub fn append(&self, name: &Name, at: u64, bytes: &[u8]) -> io::Result<Option<()>> {
        let root = self.root_for_writing()?;
        let _turn = lock_folder(&self.folder)?;
        let place = make_place(&root, name, self.durable)?;
        // For reading too: a pipe in its place then opens, and is seen to be none of our files.
        let found = place.open(OFlags::RDWR)?;
        let is_new = found.is_none();
        let file = match found {
            Some(file) => file,
            None if at == 0 => create(&place.folder, place.file)?,
            None => return Ok(None),
        };
        if file.metadata()?.len() != at {
            return Ok(None);
        }
        let written = file.write_all_at(bytes, at).and_then(|()| if self.durable { file.sync_data() } else { Ok(()) });
        if let Err(why) = written {
            // Nobody is to take a part of it for the whole.
            let undone = if is_new { unlink(&place.folder, place.file) } else { file.set_len(at).and_then(|()| self.sync(&file)) };
            return Err(match undone {
                Ok(()) => why,
                Err(and) => torn(&why, &and),
            });
        }
        if at == 0 {
            self.sync(&place.folder)?;
        }
        Ok(Some(()))
    }

    pub fn list(&self, below: Option<&Name>) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        let Some(root) = self.root()? else { return Ok(names) };
        let folder = match below {
            None => Some(root),
            Some(below) => match find(&root, below)? {
                // Nothing is below a record.
                Some(Place { folder, file }) => enter(&folder, file).or_else(|error| in_place_of(Errno::NOTDIR, None, error))?,
                None => None,
            },
        };
        if let Some(folder) = folder {
            collect(&folder, below.map_or("", Name::as_str), &mut names)?;
        }
        names.sort();
        Ok(names)
    }

    pub fn remove(&self, name: &Name) -> io::Result<()> {
        let Some(root) = self.root()? else { return Ok(()) };
        let _turn = lock_folder(&self.folder)?;
        let Some(place) = find(&root, name)? else { return Ok(()) };
        unlink(&place.folder, place.file)?;
        self.sync(&place.folder)
    }

    /// The store's folder, if it is there. On the way to it links are followed: whoever names it may name one.
    fn root(&self) -> io::Result<Option<File>> {
        open_folder(CWD, &self.folder)
    }

    fn root_for_writing(&self) -> io::Result<File> {
        make(&self.folder, self.durable)?;
        self.root()?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.durable { file.sync_all() } else { Ok(()) }
    }
}

fn torn(why: &io::Error, and: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{why}; what was written of it cannot be taken back ({and}): the log ends with a part"))
}
