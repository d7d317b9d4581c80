//! Records in memory, for tests of what stands on them.
use crate::{
    name::Name,
    records::{Condition, Record, Records, Version, list_below},
};
use kthw_engine::{BoxFuture, Result};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Records that end with the value. They never fail.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    kept: Mutex<BTreeMap<Name, Vec<u8>>>,
}

impl MemoryRecords {
    /// The same records, which go on without these.
    pub fn fork(&self) -> Self {
        Self { kept: Mutex::new(self.kept().clone()) }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Name, Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for MemoryRecords {
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>> {
        Box::pin(async move { Ok(self.kept().get(name).cloned().map(Record::of)) })
    }

    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>> {
        Box::pin(async move {
            let mut kept = self.kept();
            let found = kept.get(name).map(|bytes| Version::of(bytes));
            if !condition.holds(found.as_ref()) {
                return Ok(None);
            }
            kept.insert(name.clone(), bytes.to_vec());
            Ok(Some(Version::of(bytes)))
        })
    }

    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>> {
        Box::pin(async move {
            if bytes.is_empty() {
                return Ok(Some(()));
            }
            let mut kept = self.kept();
            if kept.get(name).map_or(0, Vec::len) as u64 != at {
                return Ok(None);
            }
            kept.entry(name.clone()).or_default().extend_from_slice(bytes);
            Ok(Some(()))
        })
    }

    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move { Ok(self.kept().get(name).cloned()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>> {
        Box::pin(async move {
            let below = list_below(prefix)?;
            let is_below = |name: &&Name| below.as_ref().is_none_or(|below| name.is_below(below));
            Ok(self.kept().keys().filter(is_below).cloned().collect())
        })
    }

    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.kept().remove(name);
            Ok(())
        })
    }

    fn place(&self) -> String {
        "memory".into()
    }
}
