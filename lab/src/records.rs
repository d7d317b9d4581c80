//! The store of runs in the lab: records in memory, struck by faults as every other seam is.
use crate::{
    fault::{Harm, Trigger},
    world::World,
};
use kthw_engine::{BoxFuture, Error, Result};
use kthw_store::{Condition, MemoryRecords, Name, Record, Records, Version};
use std::sync::Arc;

/// Records of runs in a world. They are not part of it: what is in them outlives it, as a store does.
#[derive(Debug)]
pub struct LabRecords {
    world: World,
    kept: Arc<MemoryRecords>,
}

impl LabRecords {
    /// Records in memory, for runs in `world`.
    pub fn new(world: &World, kept: Arc<MemoryRecords>) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), kept })
    }

    /// Does `work`, unless a fault strikes before or after it.
    async fn ask<T>(&self, writes: bool, work: BoxFuture<'_, Result<T>>) -> Result<T> {
        // A store that hangs is given up by whoever talks to it; what is left of that is an answer that is lost.
        let struck = self.world.with_state(|state| {
            state.strike_as(
                |on| *on == Trigger::Store { writes },
                |outcome| match outcome {
                    Harm::Refused { text, .. } => Some((text.clone(), false)),
                    Harm::BrokenBefore => Some(("connection refused".into(), false)),
                    Harm::BrokenAfter => Some(("connection reset by peer".into(), true)),
                    Harm::Hangs { carried_out } => Some(("no answer within 20 s".into(), *carried_out)),
                    _ => None,
                },
            )
        });
        match struck {
            None => work.await,
            Some((text, false)) => Err(Error::peer(NoStore { text })),
            Some((text, true)) => work.await.and(Err(Error::peer(NoStore { text }))),
        }
    }
}

impl Records for LabRecords {
    fn get<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Record>>> {
        Box::pin(self.ask(false, self.kept.get(name)))
    }
    fn put<'a>(&'a self, name: &'a Name, bytes: &'a [u8], condition: Condition) -> BoxFuture<'a, Result<Option<Version>>> {
        let put = Box::pin(async move { self.kept.put(name, bytes, condition).await });
        Box::pin(self.ask(true, put))
    }
    fn append<'a>(&'a self, name: &'a Name, at: u64, bytes: &'a [u8]) -> BoxFuture<'a, Result<Option<()>>> {
        let append = Box::pin(async move { self.kept.append(name, at, bytes).await });
        Box::pin(self.ask(true, append))
    }
    fn read_log<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(self.ask(false, self.kept.read_log(name)))
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Name>>> {
        Box::pin(self.ask(false, self.kept.list(prefix)))
    }
    fn remove<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<()>> {
        let remove = Box::pin(async move { self.kept.remove(name).await });
        Box::pin(self.ask(true, remove))
    }
    fn place(&self) -> String {
        self.kept.place()
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the store cannot be used: {text}")]
#[diagnostic(code(kthw::lab::store), help("this is one of the lab's faults; run again"))]
struct NoStore {
    text: String,
}
