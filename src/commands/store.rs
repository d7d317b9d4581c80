//! `kthw store`: what kthw remembers of a workspace, made anew from the world.
use super::run::Run;
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::{Args, Subcommand};
use kthw_engine::Result;

/// Make what kthw remembers of a workspace anew
#[derive(Debug, Args)]
pub struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Keep the host keys of all nodes again, after the store was lost: as Proxmox vouches for them, or as they come where nobody does
    Rebuild(Rebuild),
}

#[derive(Debug, Args)]
struct Rebuild {
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// Only show what would be kept
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before keeping anything
    #[arg(short, long)]
    yes: bool,
}

/// The recipe in which nodes are opened, and machines vouch for their keys. VM ids are in the workspace, and the rest is in the world.
const MACHINES: &str = "phases/machines";
/// What of it is done.
const NODES: &str = "ssh.node/";

impl Store {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let What::Rebuild(Rebuild { workspace, dry_run, yes }) = self.what;
        let prepared = session::prepare(MACHINES, &workspace)?;
        Run::of_a_part(workspace, dry_run, yes, NODES).carry_out(prepared, "rebuild", ui).await
    }
}
