//! `kthw schema`: the JSON Schema of `workspace.yaml`, for editors.
use crate::ui::Ui;
use clap::Args;
use kthw_engine::Result;

/// Print the JSON Schema of workspace.yaml, for editors
///
/// A first line `# yaml-language-server: $schema=FILE` in workspace.yaml names it to editors that use the YAML language server.
#[derive(Debug, Args)]
pub struct Schema {}

impl Schema {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        ui.line(&format!("{:#}", kthw_stdlib::workspace::json_schema()));
        Ok(0)
    }
}
