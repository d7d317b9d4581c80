//! Where effects are written down: before each, when the peer names it, and after it.
use crate::{door::Intent, error::Result, id::Id, peers::BoxFuture};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// One effect as it is written down before it happens.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Its number in the run, from 1.
    pub number: u64,
    /// The run's number.
    pub run: u64,
    /// The resources that it is for.
    pub resources: Vec<Id>,
    /// What is about to happen.
    #[serde(flatten)]
    pub intent: Intent,
}

/// Is told of every effect. An effect for which [`begin`](Self::begin) fails does not begin.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// An effect is about to happen.
    ///
    /// # Errors
    /// When it cannot be written down; then the effect does not happen.
    fn begin<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>>;

    /// The peer's own name for an effect under way is known.
    ///
    /// # Errors
    /// When it cannot be written down.
    fn note<'a>(&'a self, number: u64, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// An effect is over; `failure` says how it failed, if it did.
    ///
    /// # Errors
    /// When it cannot be written down. The effect has happened by then.
    fn end<'a>(&'a self, number: u64, failure: Option<&'a str>) -> BoxFuture<'a, Result<()>>;
}

/// An effect as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// What was about to happen.
    pub entry: Entry,
    /// What the peer called it.
    pub names: Vec<String>,
    /// How it ended; `None` while it is under way.
    pub ended: Option<std::result::Result<(), String>>,
}

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Vec<Remembered>>);

impl MemoryLedger {
    /// All effects so far, in the order in which they began.
    pub fn effects(&self) -> Vec<Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn on(&self, number: u64, change: impl FnOnce(&mut Remembered)) {
        let mut effects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(effect) = effects.iter_mut().rev().find(|effect| effect.entry.number == number) {
            change(effect);
        }
    }
}

impl Ledger for MemoryLedger {
    fn begin<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        let effect = Remembered { entry: entry.clone(), names: Vec::new(), ended: None };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
        Box::pin(async { Ok(()) })
    }

    fn note<'a>(&'a self, number: u64, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.on(number, |effect| effect.names.push(name.to_owned()));
        Box::pin(async { Ok(()) })
    }

    fn end<'a>(&'a self, number: u64, failure: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        self.on(number, |effect| effect.ended = Some(failure.map_or(Ok(()), |why| Err(why.to_owned()))));
        Box::pin(async { Ok(()) })
    }
}

/// A ledger that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLedger;

impl Ledger for NoLedger {
    fn begin<'a>(&'a self, _: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn note<'a>(&'a self, _: u64, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn end<'a>(&'a self, _: u64, _: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
