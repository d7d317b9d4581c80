//! The logs of all runs of a workspace: which there are, what the last one left open, whether each is as it was written.
use super::{
    chain,
    line::{Line, Tail, What},
    log::{Fault, RunLog},
};
use crate::{
    name::{BadName, Name},
    records::Records,
};
use kthw_engine::{Clock, Error, Result, Unsettled};
use std::sync::Arc;

/// Where the logs are.
const FOLDER: &str = "runs";
/// Where those are that a person put aside.
const ASIDE: &str = "aside";
/// How many times a log is read again because its run goes on writing while it is ended.
const TRIES: u32 = 20;

/// The name of a run's log.
pub(super) fn log_name(run: u64) -> Name {
    name(FOLDER, run)
}

fn name(folder: &str, run: u64) -> Name {
    // Not a number alone: one of 20 digits is no name.
    let text = format!("{folder}/run-{run}");
    text.parse().unwrap_or_else(|_: BadName| unreachable!("a folder and a number are a name"))
}

/// All runs of a workspace that wrote something.
#[derive(Clone, Debug)]
pub struct History {
    records: Arc<dyn Records>,
    workspace: String,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// In a log.
    Line {
        /// The run.
        run: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A log does not end as the run after it says, or is gone.
    Link {
        /// The run that says so.
        run: u64,
        /// The run whose end it names.
        previous: u64,
        /// What is wrong, in words.
        why: String,
    },
    /// It belongs to another workspace.
    Workspace {
        /// The run.
        run: u64,
        /// That workspace.
        workspace: String,
    },
}

impl History {
    /// The runs of `workspace`.
    pub fn new(records: Arc<dyn Records>, workspace: impl Into<String>) -> Self {
        Self { records, workspace: workspace.into() }
    }

    /// The numbers of all runs that left a log, the earliest first.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn runs(&self) -> Result<Vec<u64>> {
        let number = |name: &Name| name.as_str().strip_prefix(FOLDER)?.strip_prefix("/run-")?.parse().ok();
        let mut runs: Vec<u64> = self.records.list(FOLDER).await?.iter().filter_map(number).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    /// The log of a run; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn log(&self, run: u64) -> Result<Option<RunLog>> {
        Ok(self.records.read_log(&log_name(run)).await?.map(|bytes| RunLog::read(run, &bytes)))
    }

    /// The log of a run that a person named.
    ///
    /// # Errors
    /// When there is none, or the store cannot be asked.
    pub async fn find(&self, run: u64) -> Result<RunLog> {
        self.log(run).await?.ok_or_else(|| self.no_run(run))
    }

    fn no_run(&self, run: u64) -> Error {
        Error::usage(NoRun { run, place: self.records.place() })
    }

    /// The log of the last run that wrote down how it began, and what is open after it. Later logs hold nothing but their end.
    ///
    /// # Errors
    /// When the store cannot be asked, or that log is damaged, newer or another workspace's.
    pub async fn last(&self) -> Result<Option<RunLog>> {
        for run in self.runs().await?.into_iter().rev() {
            let Some(log) = self.log(run).await? else { continue };
            self.check(&log)?;
            if log.header().is_some() {
                return Ok(Some(log));
            }
        }
        Ok(None)
    }

    /// What is open after the last run.
    ///
    /// # Errors
    /// As [`last`](Self::last).
    pub async fn unsettled(&self) -> Result<Vec<Unsettled>> {
        Ok(self.last().await?.map(|log| log.unsettled()).unwrap_or_default())
    }

    fn check(&self, log: &RunLog) -> Result<()> {
        let run = log.run;
        match &log.fault {
            Some(Fault::Newer { schema }) => return Err(Error::usage(Newer { run, schema: *schema, place: self.records.place() })),
            Some(Fault::Changed { line, why }) => {
                return Err(Error::usage(Damaged { run, line: *line, why: why.clone(), place: self.records.place() }));
            }
            Some(Fault::Torn { .. }) | None => {}
        }
        match log.header() {
            Some(header) if header.about.workspace != self.workspace => Err(Error::usage(OtherWorkspace {
                run,
                theirs: header.about.workspace.clone(),
                ours: self.workspace.clone(),
                place: self.records.place(),
            })),
            _ => Ok(()),
        }
    }

    /// Ends the log of a run that was overtaken: whatever it still writes is refused from then on.
    ///
    /// # Errors
    /// When the store cannot be asked or written, or the run goes on writing.
    pub async fn end(&self, run: u64, by: u64, clock: &dyn Clock) -> Result<()> {
        for _ in 0..TRIES {
            let bytes = self.records.read_log(&log_name(run)).await?.unwrap_or_default();
            let log = RunLog::read(run, &bytes);
            if log.taken_over_by().is_some() || log.finish().is_some() {
                return Ok(());
            }
            // What is damaged is found, and told, by whoever reads it for what it says.
            let line = Line { n: log.lines.len() as u64 + 1, ms: clock.unix_ms(), what: What::TakenOver { by } };
            let json = serde_json::to_string(&line).map_err(|source| Error::usage(super::write::NotJson { source }))?;
            let (sealed, _) = chain::seal(&json, &log.chain);
            let end = if bytes.last().is_some_and(|last| *last != b'\n') { format!("\n{sealed}\n") } else { format!("{sealed}\n") };
            if self.records.append(&log_name(run), bytes.len() as u64, end.as_bytes()).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::overtaken(StillWrites { run }))
    }

    /// Looks at every line of every log, and whether each ends as the run after it says; `last` is the end that the lock names.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn verify(&self, last: Option<&Tail>) -> Result<Vec<Damage>> {
        let mut found = Vec::new();
        let mut before: Option<Tail> = None;
        for run in self.runs().await? {
            let Some(log) = self.log(run).await? else { continue };
            if let Some(fault) = log.fault.clone().filter(|_| !log.is_torn()) {
                found.push(Damage::Line { run, fault });
            }
            let Some(header) = log.header() else { continue };
            if header.about.workspace != self.workspace {
                found.push(Damage::Workspace { run, workspace: header.about.workspace.clone() });
            }
            // The earliest runs may be removed.
            if before.is_some() {
                found.extend(link(run, header.previous.as_ref(), before.as_ref()));
            }
            before = Some(log.tail());
        }
        found.extend(last.and_then(|last| link(0, Some(last), before.as_ref())));
        Ok(found)
    }

    /// Removes the logs of all runs but the last `keep`. Returns how many those were.
    ///
    /// # Errors
    /// When the store cannot be asked or written.
    pub async fn prune(&self, keep: usize) -> Result<usize> {
        // The last one may have left something open, and its end is what the next one names.
        let mut runs = self.runs().await?;
        runs.truncate(runs.len().saturating_sub(keep.max(1)));
        for run in &runs {
            self.records.remove(&log_name(*run)).await?;
        }
        Ok(runs.len())
    }

    /// Puts the log of a run aside, so that the next run does not read it.
    ///
    /// # Errors
    /// When there is none, or the store cannot be asked or written.
    pub async fn set_aside(&self, run: u64) -> Result<String> {
        let Some(bytes) = self.records.read_log(&log_name(run)).await? else {
            return Err(self.no_run(run));
        };
        let aside = name(ASIDE, run);
        let there = self.records.read_log(&aside).await?;
        if there.as_ref() != Some(&bytes) {
            let at = there.map_or(0, |there| there.len() as u64);
            self.records.append(&aside, at, &bytes).await?;
        }
        self.records.remove(&log_name(run)).await?;
        Ok(format!("{} in {}", aside, self.records.place()))
    }
}

/// What is wrong with the end of the run before, if anything is.
fn link(run: u64, named: Option<&Tail>, found: Option<&Tail>) -> Option<Damage> {
    let named = named?;
    let why = match found {
        Some(found) if found == named => return None,
        Some(found) if found.run == named.run => "its last lines are missing or were changed",
        _ => "its log is not there",
    };
    Some(Damage::Link { run, previous: named.run, why: why.into() })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the journal of run {run} in {place} was written by a newer kthw (version {schema} of its lines)")]
#[diagnostic(code(kthw::journal::newer), help("use that kthw, or one that is not older"))]
struct Newer {
    run: u64,
    schema: u32,
    place: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the journal of run {run} in {place} is damaged at line {line}: {why}")]
#[diagnostic(
    code(kthw::journal::damaged),
    help(
        "`kthw runs verify` looks at all of it; `kthw runs set-aside {run}` goes on without it: then only what no look at the world finds may stay behind, such as a token for joining, which ends by itself"
    )
)]
struct Damaged {
    run: u64,
    line: u64,
    why: String,
    place: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("run {run} in {place} was one of workspace {theirs}, not of {ours}")]
#[diagnostic(
    code(kthw::journal::other_workspace),
    help("name another `--store`, or give this workspace the name that it had; `kthw runs set-aside {run}` goes on without that log")
)]
struct OtherWorkspace {
    run: u64,
    theirs: String,
    ours: String,
    place: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("run {run} goes on writing its journal although its lock was taken")]
#[diagnostic(code(kthw::journal::still_writes), help("end that process, then try again; `kthw lock show` says where it runs"))]
struct StillWrites {
    run: u64,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no run {run} in {place}")]
#[diagnostic(code(kthw::journal::no_run), help("`kthw runs list` shows those that there are"))]
struct NoRun {
    run: u64,
    place: String,
}
