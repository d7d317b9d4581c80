//! `kthw import`: what another system knew, taken over into a workspace.
use crate::ui::Ui;
use clap::{Args, Subcommand};
use kthw_engine::Result;

mod assignments;
mod collisions;
mod cpc;
mod draft;
mod folder;
mod known;
mod network;
mod nodes;
mod report;
mod settings;
mod text;
mod tofu;
mod yaml;

/// Make workspaces from what another system knew
#[derive(Debug, Args)]
pub struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Make a workspace of each environment of CPC, the system before kthw
    Cpc(cpc::Cpc),
}

impl Import {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        match self.from {
            From::Cpc(cpc) => cpc.run(ui),
        }
    }
}
