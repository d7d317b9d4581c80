//! What a run has while it changes a workspace: the lock, its own journal, and what earlier runs left for it to settle.
use crate::{
    journal::{About, End, Header, History, Journal},
    lease::{self, Lease, Waiting},
    records::Records,
};
use kthw_engine::{Clock, Events, Peers, Recovered, Recoverer, Report, Result, RunOptions, Stop, Unsettled, recover};
use std::sync::Arc;

/// The right to change a workspace, from taking its lock to giving it back.
#[derive(Debug)]
pub struct Hold {
    lease: Arc<Lease>,
    journal: Arc<Journal>,
    open: Vec<Unsettled>,
    /// How many effects it took to settle what was open.
    effects: u64,
}

impl Hold {
    /// Takes the lock and reads what is open.
    ///
    /// # Errors
    /// When another run has the lock; when the store cannot be asked or written; when the last journal is damaged, newer, or another
    /// workspace's. The lock is free again then.
    pub async fn take(records: Arc<dyn Records>, clock: Arc<dyn Clock>, about: About, waiting: Waiting<'_>) -> Result<Self> {
        let (workspace, what, owner) = (&about.workspace, about.what(), about.owner.clone());
        let lease = lease::take(records.clone(), clock.clone(), workspace, &what, owner, waiting).await?;
        match Self::read(records, clock, about, &lease).await {
            Ok((journal, open)) => Ok(Self { lease: Arc::new(lease), journal: Arc::new(journal), open, effects: 0 }),
            Err(error) => {
                // What went wrong first is what there is to tell.
                let _ = lease.give_back(End::Unknown).await;
                Err(error)
            }
        }
    }

    async fn read(records: Arc<dyn Records>, clock: Arc<dyn Clock>, about: About, lease: &Lease) -> Result<(Journal, Vec<Unsettled>)> {
        // Whoever gave the lock back said whether there is anything to read.
        let (previous, open) = match lease.last().await.filter(|last| last.settled) {
            Some(last) => (Some(last), Vec::new()),
            None => {
                let last = History::new(records.clone(), &about.workspace).last().await?;
                (last.as_ref().map(|log| log.tail()), last.map(|log| log.unsettled()).unwrap_or_default())
            }
        };
        let header = Header { previous, open: open.clone(), ..Header::of(lease.number(), about) };
        Ok((Journal::begin(records, clock, header)?, open))
    }

    /// The run's number.
    pub fn number(&self) -> u64 {
        self.lease.number()
    }

    /// What earlier runs left open and this one has not settled.
    pub fn open(&self) -> &[Unsettled] {
        &self.open
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// How a run is done under this lock.
    pub fn options(&self, stop: Stop) -> RunOptions {
        RunOptions {
            stop,
            fence: self.lease.clone(),
            ledger: self.journal.clone(),
            number: Some(self.number()),
            effects_before: self.effects,
            ..RunOptions::default()
        }
    }

    /// The lock.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Settles what earlier runs left open, and writes down how. What cannot be settled now stays open for the next run.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub async fn recover(&mut self, recoverer: &dyn Recoverer, peers: &Peers, events: &Events, options: &RunOptions) -> Result<Recovered> {
        let open = std::mem::take(&mut self.open);
        let recovered = recover(open, recoverer, peers, events, options).await;
        self.effects = recovered.effects;
        for (one, how) in &recovered.settled {
            match how {
                Ok(how) => self.journal.settled(one.entry.run, one.entry.number, how)?,
                Err(_) => self.open.push(one.clone()),
            }
        }
        if self.open.len() < recovered.settled.len() {
            self.journal.write_all().await?;
        }
        Ok(recovered)
    }

    /// The end: writes it down, if there was anything, and gives the lock back. Without a report the run ended before it changed anything.
    ///
    /// # Errors
    /// When the end cannot be written down, or the lock cannot be given back; what was to be done is done by then.
    pub async fn end(self, report: Option<&Report>) -> Result<()> {
        let written = match report {
            Some(report) => self.journal.finish(report).await,
            None => Ok(()),
        };
        let given = self.lease.give_back(self.journal.tail().await).await;
        written.and(given)
    }
}
