//! `kthw check`: everything that can be known without reaching a peer.
use crate::{options::WorkspaceOptions, session, ui::Ui};
use clap::Args;
use kthw_engine::{Result, Unopened};

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
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        for warning in prepared.workspace.warnings(today) {
            ui.note(&format!("warning: {warning}"));
        }
        let missing = super::artifacts::missing(&prepared.workspace);
        if !missing.is_empty() {
            ui.note(&format!(
                "warning: without a digest, taken in the lab and refused for real machines: {}. `kthw artifacts pin -w {}` fetches, shows and \
                 records what is missing.",
                missing.join(", "),
                prepared.asked
            ));
        }
        for one in kthw_engine::unopened(&prepared.evaluated) {
            let Unopened { place, id, node } = one;
            ui.note(&format!(
                "warning: {place}: {id} is on {node}, and nothing in these recipes makes or opens {node}: a machine that is new or not up yet is not \
                 waited for, and its host key is not known. Add `\"phases/machines@1\"` to NEEDS, or declare `ssh::node(node)` before it."
            ));
        }
        // Only a workspace that says `unsupported` gets here with versions that upstream does not name together.
        for problem in prepared.workspace.version_set().iter().flat_map(kthw_stdlib::versions::check) {
            ui.note(&format!("warning: {}", super::versions::in_words(&prepared.workspace.name, &problem)));
        }
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
