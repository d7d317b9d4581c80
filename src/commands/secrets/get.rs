//! `kthw secrets get`: one value, raw, for a pipe.
use super::{
    change::services,
    target::{Location, TargetFile, missing},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use std::path::PathBuf;

/// Print one secret
///
/// Nothing is added to the value, no line ending either (as `sops decrypt --extract` does); only on a terminal a line ending follows.
#[derive(Debug, Args)]
pub struct Get {
    /// The name, such as `proxmox.token`; an item of a list by its position from 0; `["a.b"]` where a key has a dot; `[1].` before it for the second document
    name: String,
    /// The file; the workspace's when absent
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
}

impl Get {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let unlocked = target.load()?.unlock(&services(ui))?;
        let found = unlocked.opened.get(&target.name, &self.name).map_err(Error::recipe)?;
        let value = found.ok_or_else(|| missing(&self.name, &unlocked.encrypted.file))?;
        if ui.is_json() {
            ui.line(&serde_json::json!({ "event": "secret", "name": self.name, "value": value.expose() }).to_string());
        } else {
            ui.value(value.expose());
        }
        Ok(0)
    }
}
