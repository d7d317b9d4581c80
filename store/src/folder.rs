//! Records as files of a local folder, which belongs to one person: folders `0700`, files `0600`.
use crate::{
    name::Name,
    records::{Condition, Record, Records, Version, list_below},
};
use kthw_engine::{BoxFuture, Result};
use std::{io, panic::resume_unwind, path::Path};

mod error;
mod files;
mod walk;

use error::failed;
use files::Files;
pub use walk::make_folder;

/// A folder of a workspace. Whoever writes locks it, so that a condition and what is written because of it are one.
///
/// A record's version is the SHA-256 of its bytes: whoever finds another record with the same one has found more than kthw's records.
#[derive(Clone, Debug)]
pub struct FolderRecords {
    files: Files,
}

impl FolderRecords {
    /// The records in `folder`, which is made when something is first written.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self { files: Files { folder: folder.as_ref().to_owned(), durable: true } }
    }

    /// The same for the lab: nothing is flushed to the disk, and everything is done at once, on the thread that asks. A thread of its own
    /// would come back whenever it likes, and the lab's time, which passes while everybody waits, would pass differently in every run.
    pub fn unsynced(folder: impl AsRef<Path>) -> Self {
        Self { files: Files { folder: folder.as_ref().to_owned(), durable: false } }
    }

    /// Does `work`, off the runtime's own threads if it waits for a disk.
    fn run<'a, T: Send + 'static>(
        &'a self,
        verb: &'static str,
        what: &'a str,
        work: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            let done = if self.files.durable {
                let files = self.files.clone();
                tokio::task::spawn_blocking(move || work(&files)).await.unwrap_or_else(|ended| resume_unwind(ended.into_panic()))
            } else {
                work(&self.files)
            };
            done.map_err(|source| failed(verb, what, &self.files.folder, source))
        })
    }
}

impl Records for FolderRecords {
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>> {
        let asked = name.clone();
        self.run("read", name.as_str(), move |files| Ok(files.read(&asked)?.map(Record::of)))
    }

    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>> {
        let (asked, bytes) = (name.clone(), bytes.to_vec());
        self.run("write", name.as_str(), move |files| files.put(&asked, &bytes, &condition))
    }

    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>> {
        if bytes.is_empty() {
            return Box::pin(async { Ok(Some(())) });
        }
        let (asked, bytes) = (name.clone(), bytes.to_vec());
        self.run("add to", name.as_str(), move |files| files.append(&asked, at, &bytes))
    }

    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        let asked = name.clone();
        self.run("read", name.as_str(), move |files| files.read_when_nobody_writes(&asked))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>> {
        match list_below(prefix) {
            Ok(below) => self.run("list", prefix, move |files| files.list(below.as_ref())),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>> {
        let asked = name.clone();
        self.run("remove", name.as_str(), move |files| files.remove(&asked))
    }

    fn place(&self) -> String {
        self.files.folder.display().to_string()
    }
}
