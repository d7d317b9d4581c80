//! A store whose answers get lost: what was written counts once, and nobody takes his own record for another's.
use super::tests::{entry, header};
use super::{History, Journal};
use crate::{
    MemoryRecords, Name,
    lease::{self, Owner},
    records::{Condition, Record, Records, Version},
};
use kthw_engine::{BoxFuture, Error, Fence, Ledger, Recovery, Result, SystemClock};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Does what it is asked, and loses the answers to the writes of these numbers, counted from 1; a bit for each.
#[derive(Debug, Default)]
struct Lossy {
    kept: MemoryRecords,
    lost: AtomicU64,
    writes: AtomicU64,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the answer was lost")]
#[diagnostic(code(test::lost), help("try again"))]
struct Lost;

impl Lossy {
    fn answer<T>(&self, done: Result<T>) -> Result<T> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        if self.lost.load(Ordering::Relaxed) >> number & 1 == 1 { Err(Error::peer(Lost)) } else { done }
    }
}

impl Records for Lossy {
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>> {
        self.kept.get(name)
    }
    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>> {
        Box::pin(async move { self.answer(self.kept.put(name, bytes, condition).await) })
    }
    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>> {
        Box::pin(async move { self.answer(self.kept.append(name, at, bytes).await) })
    }
    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        self.kept.read_log(name)
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>> {
        self.kept.list(prefix)
    }
    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>> {
        self.kept.remove(name)
    }
    fn place(&self) -> String {
        "memory".into()
    }
}

#[tokio::test]
async fn a_line_whose_answer_was_lost_is_there_once() {
    for lost in 0..16 {
        let store = Arc::new(Lossy { lost: AtomicU64::new(lost), ..Lossy::default() });
        let records: Arc<dyn Records> = store.clone();
        let log = Journal::begin(records.clone(), Arc::new(SystemClock::default()), header(1, None)).unwrap();
        let mut told = 0;
        for number in 1..=4 {
            told += u32::from(log.begin(&entry(number, "a", Recovery::Look)).await.is_err());
        }
        log.write_all().await.unwrap();
        assert_eq!(told, lost.count_ones(), "{lost:b}: each is told, before the effect");
        let read = History::new(records, "ubuntu").log(1).await.unwrap().unwrap();
        assert_eq!((read.lines.len(), read.fault), (5, None), "{lost:b}");
    }
}

#[tokio::test]
async fn a_lease_whose_renewal_got_no_answer_is_still_ours() {
    let store = Arc::new(Lossy { lost: AtomicU64::new(0b10), ..Lossy::default() });
    let records: Arc<dyn Records> = store.clone();
    let clock = Arc::new(SystemClock::default());
    let lease = lease::take(records, clock, "ubuntu", "run x", Owner::me(), &|_| ()).await.unwrap();
    lease.renew_now().await.unwrap_err();
    lease.renew_now().await.unwrap();
    lease.check().await.unwrap();
}
