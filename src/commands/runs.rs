//! `kthw runs`: what every run of a workspace did, by its journal.
use crate::{
    options::WorkspaceOptions,
    session::{self, Loaded, moment},
    ui::Ui,
};
use clap::{Args, Subcommand};
use kthw_engine::{Error, Result, presentable};
use kthw_store::{
    Records,
    journal::{Damage, Fault, History, RunLog},
    lease,
};
use std::sync::Arc;

mod diff;
mod show;

/// Show what earlier runs did
#[derive(Debug, Args)]
pub struct Runs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the runs that changed something or tried to, the latest last
    List {
        #[command(flatten)]
        workspace: WorkspaceOptions,
    },
    /// Show one run: who, what, and every effect with its end
    Show {
        /// The run's number; the last one when absent
        run: Option<u64>,
        #[command(flatten)]
        workspace: WorkspaceOptions,
    },
    /// Show where two runs differ: recipes, workspace, and what became of each resource
    Diff {
        /// The earlier run's number
        one: u64,
        /// The later run's number
        other: u64,
        #[command(flatten)]
        workspace: WorkspaceOptions,
    },
    /// Check that every line of every journal is as it was written
    Verify {
        #[command(flatten)]
        workspace: WorkspaceOptions,
    },
    /// Put a damaged journal aside, so that the next run goes on without it
    SetAside {
        /// The run's number
        run: u64,
        #[command(flatten)]
        workspace: WorkspaceOptions,
    },
    /// Remove the journals of all runs but the latest
    Prune {
        /// How many stay
        #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
        #[command(flatten)]
        workspace: WorkspaceOptions,
    },
}

/// The runs of one workspace.
struct Of {
    workspace: Loaded,
    records: Arc<dyn Records>,
    history: History,
}

impl Of {
    fn open(options: &WorkspaceOptions) -> Result<Self> {
        let workspace = session::workspace_of(options)?;
        let records = session::store_of(&workspace, options)?.records()?;
        let history = History::new(records.clone(), &workspace.name);
        Ok(Self { workspace, records, history })
    }
}

impl Runs {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        match self.what {
            What::List { workspace } => list(&Of::open(&workspace)?, ui).await,
            What::Show { run, workspace } => {
                let of = Of::open(&workspace)?;
                match run.or(of.history.runs().await?.last().copied()) {
                    Some(run) => show::show(&of.history.find(run).await?, ui),
                    None => Err(Error::usage(NoRuns { workspace: of.workspace.name.clone() })),
                }
            }
            What::Diff { one, other, workspace } => {
                let of = Of::open(&workspace)?;
                diff::diff(&of.history.find(one).await?, &of.history.find(other).await?, ui)
            }
            What::Verify { workspace } => verify(&Of::open(&workspace)?, ui).await,
            What::SetAside { run, workspace } => {
                let place = Of::open(&workspace)?.history.set_aside(run).await?;
                ui.note(&format!("The journal of run {run} is now {place}. Look at the world with `--dry-run` before the next run."));
                Ok(0)
            }
            What::Prune { keep, workspace } => {
                let removed = Of::open(&workspace)?.history.prune(usize::try_from(keep).unwrap_or(usize::MAX)).await?;
                ui.note(&format!("Removed the journals of {removed} runs."));
                Ok(0)
            }
        }
    }
}

async fn list(of: &Of, ui: &Ui) -> Result<u8> {
    for run in of.history.runs().await? {
        let Some(log) = of.history.log(run).await? else { continue };
        ui.line(&presentable(&if ui.is_json() { show::as_json(&log) } else { show::in_one_line(&log) }));
    }
    Ok(0)
}

async fn verify(of: &Of, ui: &Ui) -> Result<u8> {
    let last = lease::holder(&*of.records, &of.workspace.name).await?.and_then(|holder| holder.last);
    let found = of.history.verify(last.as_ref()).await?;
    for damage in &found {
        let text = damage_in_words(damage);
        ui.line(&presentable(&if ui.is_json() { serde_json::json!({ "event": "damage", "text": text }).to_string() } else { text }));
    }
    if found.is_empty() && !ui.is_json() {
        let runs = of.history.runs().await?.len();
        ui.line(&format!("The journals of {runs} runs are as they were written."));
    }
    Ok(u8::from(!found.is_empty()))
}

fn damage_in_words(damage: &Damage) -> String {
    match damage {
        Damage::Line { run, fault } => format!("run {run}, {}", fault_in_words(fault)),
        Damage::Link { run: 0, previous, why } => format!("run {previous}: the lock says how its journal ends, and {why}"),
        Damage::Link { run, previous, why } => format!("run {previous}: run {run} says how its journal ends, and {why}"),
        Damage::Workspace { run, workspace } => format!("run {run}: it was one of workspace {workspace}"),
    }
}

fn fault_in_words(fault: &Fault) -> String {
    match fault {
        Fault::Torn { line } => format!("line {line}: it was being written when the run died"),
        Fault::Changed { line, why } => format!("line {line}: {why}"),
        Fault::Newer { schema } => format!("it was written by a newer kthw (version {schema} of its lines)"),
    }
}

/// When a log was begun.
fn began(log: &RunLog) -> String {
    log.lines.first().map(|line| moment(line.ms)).unwrap_or_default()
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no run changed anything in workspace {workspace} yet")]
#[diagnostic(
    code(kthw::runs::none),
    help("runs that find nothing to change leave no journal; is it the store and the world (`--lab`) that you mean?")
)]
struct NoRuns {
    workspace: String,
}
