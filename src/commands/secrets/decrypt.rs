//! `kthw secrets decrypt`: the plain text, on standard output.
use super::{
    change::services,
    target::{Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::Result;
use kthw_sops::Mode;
use std::path::PathBuf;

/// Print the plain text
#[derive(Debug, Args)]
pub struct Decrypt {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    /// Replace the file by its plain text instead; only its owner may read it then
    #[arg(short, long)]
    in_place: bool,
}

impl Decrypt {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let unlocked = target.load()?.unlock(&services(ui))?;
        if !self.in_place {
            ui.raw(unlocked.opened.plain());
            return Ok(0);
        }
        unlocked.encrypted.replace(&target, unlocked.opened.plain(), Mode::Private)?;
        ui.note(&format!("{0} holds plain text now. `kthw secrets encrypt --in-place {0}` encrypts it again.", target.name));
        Ok(0)
    }
}
