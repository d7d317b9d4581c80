//! `kthw secrets encrypt`: a plain file becomes one that only the recipients of `.sops.yaml` can read.
use super::{
    change::{new_key, seal, services},
    target::{Config, Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_sops::Mode;
use std::path::PathBuf;

/// Encrypt a plain file
#[derive(Debug, Args)]
pub struct Encrypt {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    #[command(flatten)]
    config: Config,
    /// Replace the file instead of printing the encrypted text
    #[arg(short, long)]
    in_place: bool,
}

impl Encrypt {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let plain = target.read()?;
        let mut metadata = target.creation(&self.config)?;
        let key = new_key(&target, &mut metadata, &services(ui))?;
        let text = seal(&target, &plain, &metadata, &key, None)?;
        if !self.in_place {
            ui.raw(text.as_bytes());
            return Ok(0);
        }
        kthw_sops::replace(&target.path, &target.name, Some(&plain), text.as_bytes(), Mode::Keep).map_err(Error::usage)?;
        ui.note(&format!("Encrypted {}. If its plain text was ever committed or copied, change the secrets in it.", target.name));
        Ok(0)
    }
}
