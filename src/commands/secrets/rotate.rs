//! `kthw secrets rotate`: a new data key, and everything encrypted with it.
use super::{
    change::{new_key, seal, services},
    target::{Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::Result;
use kthw_sops::Mode;
use std::path::PathBuf;

/// Encrypt everything with a new data key, for the same recipients
///
/// Do this after a recipient was removed: whoever knows the old data key could open later versions of the file otherwise. What they
/// have read already they know; only changing the secrets themselves helps against that.
#[derive(Debug, Args)]
pub struct Rotate {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
}

impl Rotate {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let services = services(ui);
        let unlocked = target.load()?.unlock(&services)?;
        let mut metadata = unlocked.encrypted.file.metadata().clone();
        let key = new_key(&target, &mut metadata, &services)?;
        let text = seal(&target, unlocked.opened.plain(), &metadata, &key, None)?;
        unlocked.encrypted.replace(&target, text.as_bytes(), Mode::Keep)?;
        let recipients = metadata.recipients().count();
        let s = if recipients == 1 { "" } else { "s" };
        ui.note(&format!("{} has a new data key, sealed to the same {recipients} recipient{s}.", target.name));
        Ok(0)
    }
}
