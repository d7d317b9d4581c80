//! Records in memory, for tests of what stands on them.
use crate::{
    name::Name,
    records::{Condition, Record, Records, Version, list_below},
};
use kthw_engine::{BoxFuture, Result};
use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Records that end with the value. Everything is done at once.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    kept: Mutex<BTreeMap<Name, Vec<u8>>>,
}

impl MemoryRecords {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<Name, Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for MemoryRecords {
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>> {
        let found = self.kept().get(name).map(|bytes| Record { bytes: bytes.clone(), version: Version::of(bytes) });
        Box::pin(ready(Ok(found)))
    }

    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>> {
        let mut kept = self.kept();
        let found = kept.get(name).map(|bytes| Version::of(bytes));
        let written = condition.holds(found.as_ref()).then(|| {
            kept.insert(name.clone(), bytes.to_vec());
            Version::of(bytes)
        });
        Box::pin(ready(Ok(written)))
    }

    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>> {
        let mut kept = self.kept();
        let length = kept.get(name).map_or(0, Vec::len) as u64;
        let added = (bytes.is_empty() || length == at).then(|| {
            if !bytes.is_empty() {
                kept.entry(name.clone()).or_default().extend_from_slice(bytes);
            }
        });
        Box::pin(ready(Ok(added)))
    }

    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        let found = self.kept().get(name).cloned();
        Box::pin(ready(Ok(found)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>> {
        let found = list_below(prefix).map(|below| {
            let is_below = |name: &&Name| below.as_ref().is_none_or(|below| name.is_below(below));
            self.kept().keys().filter(is_below).cloned().collect()
        });
        Box::pin(ready(found))
    }

    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>> {
        self.kept().remove(name);
        Box::pin(ready(Ok(())))
    }

    fn place(&self) -> String {
        "memory".into()
    }
}
