//! `kthw lab`: look after the simulated world of a workspace, and play again what went wrong in one.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::{Args, Subcommand};
use kthw_engine::{Error, Result};

mod replay;

/// Manage the simulated world
#[derive(Debug, Args)]
pub struct Lab {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start over with an empty world
    Reset(WorkspaceOptions),
    /// Show what is in the world: virtual machines, what runs on them, the cluster
    Show(WorkspaceOptions),
    /// Play the faults that a seed gives, in a world of its own
    Replay(replay::Replay),
}

impl Lab {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        match self.verb {
            Verb::Reset(options) => reset(WorkspaceOptions { lab: true, ..options }, ui).await,
            Verb::Show(options) => show(&options, ui),
            Verb::Replay(replay) => replay.run(ui).await,
        }
    }
}

async fn reset(options: WorkspaceOptions, ui: &Ui) -> Result<u8> {
    let workspace = session::workspace_of(&options)?;
    let store = session::store_of(&workspace, &options)?;
    for name in session::LAB_FILES {
        match std::fs::remove_file(store.file(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::usage(Reset { file: store.file(name).display().to_string(), source })),
        }
    }
    let records = store.records()?;
    for name in records.list("").await? {
        records.remove(&name).await?;
    }
    ui.line(&format!("The lab of workspace {} is empty.", workspace.name));
    Ok(0)
}

fn show(options: &WorkspaceOptions, ui: &Ui) -> Result<u8> {
    let workspace = session::workspace_of(options)?;
    let file = session::store_of(&workspace, options)?.file(session::LAB_FILES[0]);
    let world = kthw_lab::World::open(&file)?;
    ui.line(&format!("The lab of workspace {}, kept in {}", workspace.name, file.display()));
    ui.line(kthw_engine::presentable(world.show().trim_end()).as_ref());
    Ok(0)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot remove {file}")]
#[diagnostic(code(kthw::lab::reset), help("remove the file yourself, or name another folder with `--store`"))]
struct Reset {
    file: String,
    source: std::io::Error,
}
