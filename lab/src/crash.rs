//! A run that ends at one effect, as if its process had been killed there.
use kthw_engine::{BoxFuture, Entry, Ledger, NoLedger, Report, Result};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

/// Where in an effect a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nobody was told of it.
    Unwritten,
    /// It was written down, and nothing was done.
    Before,
    /// The peer has begun it and said what it calls it. An effect that the peer gives no name ends after it instead.
    Underway,
    /// It was done, and that was not written down.
    After,
}

impl Moment {
    /// In words, before the effect's number.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unwritten => "before the journal has",
            Self::Before => "before",
            Self::Underway => "in the middle of",
            Self::After => "after",
        }
    }
}

/// A ledger that ends the run at the effect with this number.
#[derive(Debug)]
pub struct EndsAt {
    number: u64,
    moment: Moment,
    /// Where effects are written down until then.
    ledger: Arc<dyn Ledger>,
    told: Notify,
    over: AtomicBool,
}

impl EndsAt {
    /// Ends the run at the effect `number`, counted from 1.
    pub fn new(number: u64, moment: Moment) -> Arc<Self> {
        Self::around(Arc::new(NoLedger), number, moment)
    }

    /// The same for a run that writes its effects down in `ledger`.
    pub fn around(ledger: Arc<dyn Ledger>, number: u64, moment: Moment) -> Arc<Self> {
        Arc::new(Self { number, moment, ledger, told: Notify::new(), over: AtomicBool::new(false) })
    }

    /// Lets a run go on until it ends by itself, or here. What was under way is dropped, wherever it was; `None` then.
    pub async fn cut(&self, run: impl Future<Output = Report>) -> Option<Report> {
        tokio::select! {
            biased;
            () = self.told.notified() => None,
            report = run => Some(report),
        }
    }

    /// Ends the run: nobody gets an answer any more.
    async fn end_here(&self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.told.notify_one();
        std::future::pending().await
    }

    async fn at(&self, number: u64, moment: Moment) -> Result<()> {
        let is_over = self.over.load(Ordering::Relaxed);
        if is_over || number == self.number && moment == self.moment { self.end_here().await } else { Ok(()) }
    }
}

impl Ledger for EndsAt {
    fn begin<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.at(entry.number, Moment::Unwritten).await?;
            self.ledger.begin(entry).await?;
            self.at(entry.number, Moment::Before).await
        })
    }

    fn note<'a>(&'a self, number: u64, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.ledger.note(number, name).await?;
            self.at(number, Moment::Underway).await
        })
    }

    fn end<'a>(&'a self, number: u64, failure: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.at(number, Moment::After).await?;
            self.at(number, Moment::Underway).await?;
            self.ledger.end(number, failure).await
        })
    }
}
