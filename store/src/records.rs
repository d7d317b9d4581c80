//! The seam: what a store of records can do, wherever it keeps them.
use crate::name::Name;
use kthw_engine::{BoxFuture, Error, Result};
use sha2::{Digest, Sha256};
use std::fmt;

/// Records, which are replaced whole, and logs, which grow at their end.
///
/// What [`put`](Self::put) and [`append`](Self::append) answered with `Some` is durable: it survives the death of the process and of the
/// machine. Any number of processes may use one store at a time; of those that want to change one thing at once, one does and the others
/// are told. An answer may get lost on its way, and what happened is then told by what is there: so what two of them write must differ,
/// say by its owner's name.
///
/// A name is a record's or a log's, never both.
pub trait Records: fmt::Debug + Send + Sync {
    /// Reads a record; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>>;

    /// Writes a record whole, if what is there is as `condition` says. `None` when it is not, because somebody else was faster.
    ///
    /// # Errors
    /// When the store cannot be written; the record then has its old bytes or its new ones.
    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>>;

    /// Adds `bytes` at the end of a log, which is `at` bytes long according to [`read_log`](Self::read_log) and what was added since.
    /// `None` when it is not that long any more, because somebody else wrote. Adding nothing is done without looking.
    ///
    /// # Errors
    /// When the store cannot be written; the log then has all of `bytes` at its end or none of it. Only where a process or a machine dies
    /// in the middle, a log in a folder may end with a part of them.
    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>>;

    /// Reads all bytes of a log, in order; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be asked, or a piece of the log is missing.
    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// The names of records and logs that begin with `prefix` and a `/`, or of all when it is empty; sorted, each once. What is there and
    /// can have no such name is somebody else's and left out.
    ///
    /// # Errors
    /// When the store cannot be asked, or `prefix` is neither empty nor a [`Name`].
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>>;

    /// Removes a record or a log; it may be gone already.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>>;

    /// Where it is, for messages: a folder, or `s3://bucket/prefix`.
    fn place(&self) -> String;
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Which version of it that is.
    pub version: Version,
}

impl Record {
    /// One whose version is the digest of its bytes.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { version: Version::of(&bytes), bytes }
    }
}

/// Which of a record's versions is meant. Equal versions have equal bytes.
///
/// They need no more than that: of a record nothing is known but its bytes, so one that became another and then what it was before is one
/// that was read just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The version that a store gave it.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The digest of what a record holds.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What has to be there for a record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No record.
    Absent,
    /// This version.
    Is(Version),
}

impl Condition {
    /// Whether it holds where `found` is there.
    pub(crate) fn holds(&self, found: Option<&Version>) -> bool {
        match (self, found) {
            (Self::Absent, None) => true,
            (Self::Is(wanted), Some(found)) => wanted == found,
            (Self::Absent, Some(_)) | (Self::Is(_), None) => false,
        }
    }
}

/// The name that all names of a list lie below; `None` for a list of all.
pub(crate) fn list_below(prefix: &str) -> Result<Option<Name>> {
    if prefix.is_empty() { Ok(None) } else { prefix.parse().map(Some).map_err(Error::usage) }
}
