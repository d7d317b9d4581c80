//! `kthw lab`: look after the simulated world of a workspace.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::{Args, Subcommand};
use kthw_engine::{Error, Result};

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
}

impl Lab {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let Verb::Reset(options) = self.verb;
        let workspace = session::workspace_of(&options)?;
        let store = session::store_of(&workspace, &options)?;
        for name in session::LAB_FILES {
            match std::fs::remove_file(store.file(name)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::usage(Reset { file: store.file(name).display().to_string(), source })),
            }
        }
        ui.line(&format!("The lab of workspace {} is empty.", workspace.name));
        Ok(0)
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot remove {file}")]
#[diagnostic(code(kthw::lab::reset), help("remove the file yourself, or name another folder with `--store`"))]
struct Reset {
    file: String,
    source: std::io::Error,
}
