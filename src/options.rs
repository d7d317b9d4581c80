//! Options that several commands share.
use clap::Args;
use kthw_engine::Asked;
use std::path::PathBuf;

/// Which workspace, with which changes, in which world.
#[derive(Debug, Clone, Default, Args)]
pub struct WorkspaceOptions {
    /// Workspace: a name below `workspaces/`, or a folder, or a file; the recipe's own when absent
    #[arg(short, long, value_name = "NAME|PATH")]
    pub workspace: Option<String>,
    /// Set a field of the workspace for this call, such as `machine.cores=4`; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// Use the simulated world instead of real machines
    #[arg(long)]
    pub lab: bool,
    /// With `--lab`: let time pass, so many times as fast as real time, and ask as for real machines
    #[arg(long, requires = "lab", value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub speed: Option<u32>,
    /// With `--lab`: what everything random in an empty world comes from, such as keys and addresses of network cards
    #[arg(long, requires = "lab", value_name = "SEED")]
    pub lab_seed: Option<u64>,
    /// Where kthw keeps what it remembers: a folder, in which each workspace has one; or S3 for the records that a team shares
    #[arg(long, env = "KTHW_STORE", value_name = "FOLDER|s3://BUCKET/PREFIX")]
    pub store: Option<PathBuf>,
}

impl WorkspaceOptions {
    /// Asks for the workspace that was asked for when a plan was kept. The store is this computer's own affair.
    pub fn ask_as(&mut self, asked: &Asked) {
        self.workspace = Some(asked.workspace.clone());
        (self.set, self.lab) = (asked.set.clone(), asked.lab);
    }
}
