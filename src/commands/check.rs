//! `kthw check`: everything that can be known without reaching a peer.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use kthw_engine::Result;

/// Check a recipe and its workspace without reaching anything
#[derive(Debug, Args)]
pub struct Check {
    /// Recipe: a path such as `recipes/ubuntu/full.rhai`, or a name such as `ubuntu/full`
    recipe: String,
    #[command(flatten)]
    workspace: WorkspaceOptions,
}

impl Check {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let prepared = session::prepare(&self.recipe, &self.workspace)?;
        let declared = kthw_engine::check(&prepared.evaluated)?;
        ui.line(&format!(
            "{} is in order: {} recipes, {} resources for workspace {}.",
            prepared.graph.root().source.path,
            prepared.graph.recipes().len(),
            declared.len(),
            prepared.workspace.name,
        ));
        Ok(0)
    }
}
