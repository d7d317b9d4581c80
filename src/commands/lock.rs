//! `kthw lock`: who has the lock of a workspace, and taking it from a run that will not give it back.
use crate::{
    options::WorkspaceOptions,
    session::{self, Loaded},
    ui::Ui,
};
use clap::{Args, Subcommand};
use kthw_engine::{Error, Result, SystemClock};
use kthw_store::lease::{self, Holder};

/// Show or break the lock of a workspace
#[derive(Debug, Args)]
pub struct Lock {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show who has the lock
    Show(Show),
    /// Take the lock from whoever has it: what that run writes next is refused
    Break(Break),
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    workspace: WorkspaceOptions,
}

#[derive(Debug, Args)]
struct Break {
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Lock {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        match self.what {
            What::Show(show) => show.run(ui).await,
            What::Break(it) => it.run(ui).await,
        }
    }
}

impl Show {
    async fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        let records = session::store_of(&workspace, &self.workspace)?.records()?;
        let holder = lease::holder(&*records, &workspace.name).await?;
        if ui.is_json() {
            ui.line(&serde_json::json!({ "event": "lock", "workspace": workspace.name, "lock": holder }).to_string());
        } else {
            ui.line(&in_words(&workspace, holder.as_ref()));
        }
        Ok(0)
    }
}

impl Break {
    async fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        let records = session::store_of(&workspace, &self.workspace)?.records()?;
        let holder = lease::holder(&*records, &workspace.name).await?;
        let is_held = holder.as_ref().is_some_and(|holder| holder.owner.is_some());
        if is_held && !self.yes && !self.workspace.lab {
            ui.note(&in_words(&workspace, holder.as_ref()));
            match ui.confirm("\nWhat is under way there goes on to its end, and nothing after it. Take the lock?") {
                Some(true) => {}
                Some(false) => {
                    ui.note("Nothing was changed.");
                    return Ok(0);
                }
                None => return Err(Error::usage(NotAsked)),
            }
        }
        let broken = lease::break_lock(&records, &workspace.name, &SystemClock::default()).await?;
        let owner = broken.owner.map(|owner| owner.to_string()).unwrap_or_default();
        ui.note(&format!(
            "The lock of workspace {} was taken from {owner}. The next run settles what that one leaves open.",
            workspace.name
        ));
        Ok(0)
    }
}

fn in_words(workspace: &Loaded, holder: Option<&Holder>) -> String {
    let name = &workspace.name;
    match holder.and_then(|holder| holder.owner.as_ref().map(|owner| (holder, owner))) {
        None => format!("Nobody has the lock of workspace {name}."),
        Some((holder, owner)) => {
            let alive = if owner.is_gone() { "; that process has ended, so the next run takes over at once" } else { "" };
            let renewed = session::moment(holder.renewed_ms);
            format!("Workspace {name} is locked by {owner}: `{}`, run {}, renewed {renewed}{alive}.", holder.what, holder.number)
        }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is a lock to take and nobody to ask")]
#[diagnostic(code(kthw::lock::not_asked), help("standard input is not a terminal; look at `kthw lock show` and call again with `--yes`"))]
struct NotAsked;
