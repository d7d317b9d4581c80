//! `kthw secrets show`: the names of all secrets; their values only on request.
use super::{
    change::services,
    target::{Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::Result;
use kthw_sops::File;
use serde_json::json;
use std::path::PathBuf;

/// Show the names of all secrets and who can open the file
#[derive(Debug, Args)]
pub struct Show {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    /// Also decrypt, and print every value on standard output
    #[arg(long)]
    values: bool,
}

impl Show {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let encrypted = target.load()?;
        if !ui.is_json() {
            about(&encrypted.file, ui);
        }
        if self.values {
            let unlocked = encrypted.unlock(&services(ui))?;
            for (name, value) in unlocked.opened.values() {
                if ui.is_json() {
                    ui.line(&json!({ "event": "secret", "name": name, "value": value.expose() }).to_string());
                } else {
                    ui.line(&format!("{name}: {}", on_one_line(value.expose())));
                }
            }
            return Ok(0);
        }
        for name in encrypted.file.names() {
            let line = if ui.is_json() { json!({ "event": "secret", "name": name }).to_string() } else { format!("{name}: <secret>") };
            ui.line(&line);
        }
        Ok(0)
    }
}

/// Who can open the file, and since when it is as it is.
fn about(file: &File, ui: &Ui) {
    let metadata = file.metadata();
    ui.note(&format!("{}, encrypted {}, can be opened by", file.name(), metadata.last_modified));
    let several = metadata.groups.len() > 1;
    for (at, group) in metadata.groups.iter().enumerate() {
        if several {
            ui.note(&format!("  group {}:", at + 1));
        }
        for key in group {
            ui.note(&format!("  {}{}", if several { "  " } else { "" }, key.recipient));
        }
    }
    if several {
        let threshold = metadata.shamir_threshold.unwrap_or(metadata.groups.len());
        ui.note(&format!("  {threshold} of {} groups are needed", metadata.groups.len()));
    }
}

/// A value as it is, or in the spelling of JSON when it would not stay on its line.
fn on_one_line(value: &str) -> String {
    if value.chars().any(char::is_control) { json!(value).to_string() } else { value.to_owned() }
}
