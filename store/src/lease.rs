//! The lock of a workspace: a lease that its owner renews, with a number that rises from run to run. See docs/adr/0011-journal-and-lock.md.
//!
//! Whoever takes the lock over from a run that did not give it back ends that run's log first, so that its next intent, and with it its next
//! effect, is refused. The number is the run's, which nodes compare too.
use crate::{
    journal::{End, History, Tail},
    name::{BadName, Name},
    records::{Condition, Record, Records, Version},
};
use kthw_engine::{BoxFuture, Clock, Fence, Result};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

mod errors;
mod owner;
mod take;
#[cfg(test)]
mod tests;

pub(crate) use errors::overtaken;
pub use owner::Owner;
pub use take::{Waiting, take};

/// The version of the record. An older kthw refuses a newer one.
pub const SCHEMA: u32 = 1;
/// How often a lease is renewed.
const BEAT: Duration = Duration::from_secs(10);
/// How long after its last renewal its owner goes on without asking. Less than [`EXPIRES`], so that clocks of unlike pace do no harm.
const TRUSTED: Duration = Duration::from_secs(20);
/// How long a lease that nobody renews is watched before it is taken over.
pub const EXPIRES: Duration = Duration::from_secs(30);
/// How many times a lock is broken that its owner renews in between.
const TRIES: u32 = 5;

/// The lock as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The version of this record.
    pub schema: u32,
    /// The workspace.
    pub workspace: String,
    /// The number of the run that has it, or had it last. It only rises.
    pub number: u64,
    /// Who has it; `None` when it is free.
    pub owner: Option<Owner>,
    /// What that run is, such as `run ubuntu/full`.
    pub what: String,
    /// How many times it was renewed.
    pub beat: u64,
    /// When it was last renewed, in milliseconds since 1970 by its owner's clock.
    pub renewed_ms: u64,
    /// Where the journal ended when it was last given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Tail>,
}

/// The name of the record.
fn record() -> Name {
    "lock".parse().unwrap_or_else(|_: BadName| unreachable!("it is a name"))
}

/// Reads the lock of a workspace; `None` when there was never one.
///
/// # Errors
/// When the store cannot be asked, or the record is damaged, newer or another workspace's.
pub async fn holder(records: &dyn Records, workspace: &str) -> Result<Option<Holder>> {
    Ok(read(records, workspace).await?.map(|(holder, _)| holder))
}

async fn read(records: &dyn Records, workspace: &str) -> Result<Option<(Holder, Version)>> {
    let Some(Record { bytes, version }) = records.get(&record()).await? else { return Ok(None) };
    let holder = errors::understand(&bytes, workspace, &records.place())?;
    Ok(Some((holder, version)))
}

async fn write(records: &dyn Records, holder: &Holder, condition: Condition) -> Result<Option<Version>> {
    let bytes = serde_json::to_vec(holder).map_err(errors::not_json)?;
    records.put(&record(), &bytes, condition).await
}

/// The lock, as long as this run has it.
pub struct Lease {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    number: u64,
    held: tokio::sync::Mutex<Held>,
}

struct Held {
    holder: Holder,
    version: Version,
    /// By the clock that only goes on, and by the date: a machine that slept shows in one of them.
    renewed: (Duration, u64),
    lost: bool,
}

impl Lease {
    fn new(records: Arc<dyn Records>, clock: Arc<dyn Clock>, holder: Holder, version: Version) -> Self {
        let renewed = (clock.now(), clock.unix_ms());
        let number = holder.number;
        Self { records, clock, number, held: tokio::sync::Mutex::new(Held { holder, version, renewed, lost: false }) }
    }

    /// The number of this run.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Does `work`, and renews the lease beside it.
    pub async fn renewing<T>(&self, work: impl Future<Output = T>) -> T {
        let beats = async {
            loop {
                self.clock.sleep(BEAT).await;
                // Whether it is still ours is asked before the next effect, and told there.
                let _ = self.renew_now().await;
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = beats => unreachable!("they never end"),
        }
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// When another run has it, or the store cannot be asked or written.
    pub async fn renew_now(&self) -> Result<()> {
        self.renew(&mut *self.held.lock().await).await
    }

    async fn renew(&self, held: &mut Held) -> Result<()> {
        if held.lost {
            return Err(overtaken(self.number));
        }
        let asked = (self.clock.now(), self.clock.unix_ms());
        let holder = Holder { beat: held.holder.beat + 1, renewed_ms: asked.1, ..held.holder.clone() };
        match write(&*self.records, &holder, Condition::Is(held.version.clone())).await? {
            Some(version) => {
                (held.holder, held.version, held.renewed) = (holder, version, asked);
                Ok(())
            }
            None => self.look(held, asked).await,
        }
    }

    /// It is not as we left it: somebody took it, or an earlier answer to us was lost.
    async fn look(&self, held: &mut Held, asked: (Duration, u64)) -> Result<()> {
        let found = read(&*self.records, &held.holder.workspace).await?;
        match found.filter(|(holder, _)| holder.number == self.number && holder.owner == held.holder.owner) {
            Some((holder, version)) => {
                (held.holder, held.version, held.renewed) = (holder, version, asked);
                Ok(())
            }
            None => {
                held.lost = true;
                Err(overtaken(self.number))
            }
        }
    }

    /// Gives the lock back, and says where the journal ends now. A lease that was lost is not given back.
    ///
    /// # Errors
    /// When the store cannot be written. The lease ends by itself then.
    pub async fn give_back(&self, end: End) -> Result<()> {
        let held = self.held.lock().await;
        if held.lost {
            return Ok(());
        }
        let last = match end {
            End::Same => held.holder.last.clone(),
            End::At(tail) => Some(tail),
            End::Unknown => None,
        };
        let free = Holder { owner: None, renewed_ms: self.clock.unix_ms(), last, ..held.holder.clone() };
        write(&*self.records, &free, Condition::Is(held.version.clone())).await.map(drop)
    }

    /// Where the journal ended when the lock was last given back.
    pub async fn last(&self) -> Option<Tail> {
        self.held.lock().await.holder.last.clone()
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({} in {})", self.number, self.records.place())
    }
}

impl Fence for Lease {
    /// A lease that was renewed a moment ago is believed: that another run ended this one's log shows when the intent is written.
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let mut held = self.held.lock().await;
            let (now, date) = (self.clock.now(), self.clock.unix_ms());
            let (renewed, renewed_ms) = held.renewed;
            let fresh = now.saturating_sub(renewed) < TRUSTED && u128::from(date.abs_diff(renewed_ms)) < TRUSTED.as_millis();
            if fresh && !held.lost { Ok(()) } else { self.renew(&mut held).await }
        })
    }
}

/// Takes the lock from whoever has it; what that run writes next is refused. Returns who had it.
///
/// # Errors
/// When nobody has it, or the store cannot be asked or written.
pub async fn break_lock(records: &Arc<dyn Records>, workspace: &str, clock: &dyn Clock) -> Result<Holder> {
    for _ in 0..TRIES {
        let found = read(&**records, workspace).await?.filter(|(holder, _)| holder.owner.is_some());
        let Some((holder, version)) = found else { return Err(errors::free(workspace)) };
        // First, so that its run changes nothing more even if the rest fails.
        History::new(records.clone(), workspace).end(holder.number, 0, clock).await?;
        // The next run reads what it left.
        let free = Holder { owner: None, beat: holder.beat + 1, last: None, ..holder.clone() };
        if write(&**records, &free, Condition::Is(version)).await?.is_some() {
            return Ok(holder);
        }
    }
    Err(errors::moved(workspace))
}
