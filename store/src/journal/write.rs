//! Writing one run's log: lines are gathered, and whoever needs one on disk writes all that wait, in one go.
use super::{
    chain,
    history::log_name,
    line::{End, Finish, Header, Line, Resource, Tail, What},
    open::Open,
};
use crate::{lease::overtaken, name::Name, records::Records};
use kthw_engine::{BoxFuture, Clock, Entry, Error, Event, Events, Ledger, Outcome, Report, Result, presentable};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The log of the run that goes on.
///
/// The intent of an effect and a peer's name for it are on disk before the effect goes on. That it ended is on disk with the next of these, or at
/// the end of the run: if it is lost, the next run finds the effect open and settles it, which is what it would do anyway. A run without an effect
/// leaves no log.
pub struct Journal {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    name: Name,
    run: u64,
    gathered: Mutex<Gathered>,
    written: tokio::sync::Mutex<Written>,
}

/// Lines that are not on disk.
struct Gathered {
    /// How many lines there are, with those on disk.
    lines: u64,
    /// The digest of the last of them.
    chain: String,
    bytes: Vec<u8>,
    open: Open,
}

struct Written {
    /// The length of the log in bytes.
    length: u64,
    /// How many of its lines that is.
    lines: u64,
    /// How many times something was written.
    times: u64,
    /// Whether a write ever failed.
    failed: bool,
}

/// What a journal cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Its length.
    pub bytes: u64,
    /// How many times something was made durable.
    pub syncs: u64,
}

impl Journal {
    /// The log of a run that begins like this. Nothing is written before its first effect.
    ///
    /// # Errors
    /// When the header cannot be written as JSON, which would be a mistake in kthw.
    pub fn begin(records: Arc<dyn Records>, clock: Arc<dyn Clock>, header: Header) -> Result<Self> {
        let run = header.run;
        let journal = Self {
            records,
            clock,
            name: log_name(run),
            run,
            gathered: Mutex::new(Gathered { lines: 0, chain: String::new(), bytes: Vec::new(), open: Open::default() }),
            written: tokio::sync::Mutex::new(Written { length: 0, lines: 0, times: 0, failed: false }),
        };
        journal.add(What::Run(Box::new(header)))?;
        Ok(journal)
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers a line; returns its number.
    fn add(&self, what: What) -> Result<u64> {
        let mut gathered = self.gathered();
        gathered.open.follow(self.run, &what);
        let line = Line { n: gathered.lines + 1, ms: self.clock.unix_ms(), what };
        let json = serde_json::to_string(&line).map_err(|source| Error::usage(NotJson { source }))?;
        let (text, chain) = chain::seal(&presentable(&json), &gathered.chain);
        gathered.bytes.extend_from_slice(text.as_bytes());
        gathered.bytes.push(b'\n');
        gathered.lines = line.n;
        gathered.chain = chain;
        Ok(line.n)
    }

    /// Returns when the line with this number is on disk.
    async fn write(&self, number: u64) -> Result<()> {
        let mut written = self.written.lock().await;
        if written.lines >= number {
            return Ok(());
        }
        let (bytes, lines) = {
            let mut gathered = self.gathered();
            (std::mem::take(&mut gathered.bytes), gathered.lines)
        };
        match self.append(&mut written, &bytes).await {
            Ok(()) => {
                written.lines = lines;
                written.times += 1;
                Ok(())
            }
            Err(error) => {
                written.failed = true;
                // The next who needs one of these lines tries again.
                let mut gathered = self.gathered();
                let later = std::mem::replace(&mut gathered.bytes, bytes);
                gathered.bytes.extend(later);
                Err(error)
            }
        }
    }

    async fn append(&self, written: &mut Written, bytes: &[u8]) -> Result<()> {
        if self.records.append(&self.name, written.length, bytes).await?.is_none() {
            // Only a run that took over writes here, or an earlier try of ours whose answer was lost.
            let start = usize::try_from(written.length).unwrap_or(usize::MAX);
            let log = self.records.read_log(&self.name).await?.unwrap_or_default();
            let there =
                log.get(start..).filter(|there| !there.is_empty() && bytes.starts_with(there)).ok_or_else(|| overtaken(self.run))?;
            let (at, rest) = (log.len() as u64, &bytes[there.len()..]);
            if !rest.is_empty() && self.records.append(&self.name, at, rest).await?.is_none() {
                return Err(overtaken(self.run));
            }
        }
        written.length += bytes.len() as u64;
        Ok(())
    }

    async fn add_and_write(&self, what: What) -> Result<()> {
        let number = self.add(what)?;
        self.write(number).await
    }

    /// An effect of an earlier run was settled.
    ///
    /// # Errors
    /// When the line cannot be made, which would be a mistake in kthw.
    pub fn settled(&self, run: u64, effect: u64, how: &str) -> Result<()> {
        self.add(What::Settled { run, effect, how: how.to_owned() }).map(drop)
    }

    /// Returns when everything so far is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn write_all(&self) -> Result<()> {
        let lines = self.gathered().lines;
        self.write(lines).await
    }

    /// The plan that is about to be carried out.
    ///
    /// # Errors
    /// When the line cannot be made, which would be a mistake in kthw.
    pub fn planned(&self, sha256: String, changes: usize) -> Result<()> {
        self.add(What::Planned { sha256, changes: changes as u64 }).map(drop)
    }

    /// `events`, and a line for each resource that was not as declared and has ended.
    pub fn with_resources(self: &Arc<Self>, events: Events) -> Events {
        let journal = self.clone();
        Arc::new(move |event| {
            if let Event::Ended { id, outcome, seconds } = &event
                && *outcome != Outcome::Unchanged
            {
                // A line that cannot be made is missed in the story, and nowhere else.
                let _ = journal.add(What::Resource(Resource { id: id.clone(), outcome: outcome.clone(), seconds: *seconds }));
            }
            events(event);
        })
    }

    /// The run came to its end. Nothing is written of a run that had no effect and settled nothing.
    ///
    /// # Errors
    /// When that cannot be written down; everything that was to be done is done by then.
    pub async fn finish(&self, report: &Report) -> Result<()> {
        if self.written.lock().await.lines == 0 {
            return Ok(());
        }
        let (changed, failed, skipped) = (report.changed(), report.failures.len(), report.skipped());
        let finish = Finish { changed, failed, skipped, seconds: report.took.as_secs_f64(), stopped: report.stopped };
        self.add_and_write(What::Finish(finish)).await
    }

    /// Where it ends.
    pub async fn tail(&self) -> End {
        let written = self.written.lock().await;
        let gathered = self.gathered();
        match written.lines {
            0 if !written.failed => End::Same,
            lines if lines == gathered.lines => {
                End::At(Tail { run: self.run, chain: gathered.chain.clone(), settled: gathered.open.is_empty() })
            }
            _ => End::Unknown,
        }
    }

    /// What it cost so far.
    pub async fn cost(&self) -> Cost {
        let written = self.written.lock().await;
        Cost { bytes: written.length, syncs: written.times }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal({} in {})", self.name, self.records.place())
    }
}

impl Ledger for Journal {
    fn begin<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        let Entry { number, resources, intent, .. } = entry.clone();
        Box::pin(self.add_and_write(What::Begin { effect: number, resources, intent }))
    }

    fn note<'a>(&'a self, number: u64, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.add_and_write(What::Note { effect: number, name: name.to_owned() }))
    }

    fn end<'a>(&'a self, number: u64, failure: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        let added = self.add(What::End { effect: number, failure: failure.map(str::to_owned) });
        Box::pin(async { added.map(drop) })
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("a line of the journal cannot be written as JSON")]
#[diagnostic(code(kthw::journal::not_json), help("this is a mistake in kthw; please report it with the command that you ran"))]
pub(super) struct NotJson {
    pub source: serde_json::Error,
}
