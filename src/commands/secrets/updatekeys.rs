//! `kthw secrets updatekeys`: the file gets the recipients that `.sops.yaml` names now.
use super::{
    change::services,
    target::{Config, Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_sops::{Group, MasterKey, Metadata, Mode};
use std::path::PathBuf;

/// Give the file the recipients of `.sops.yaml`
///
/// The data key stays, so a removed recipient could still open later versions: run `kthw secrets rotate` after removing one.
#[derive(Debug, Args)]
pub struct UpdateKeys {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    #[command(flatten)]
    config: Config,
    /// Change the recipients without asking
    #[arg(short, long)]
    yes: bool,
}

impl UpdateKeys {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let encrypted = target.load()?;
        let (now, wanted) = (encrypted.file.metadata(), target.creation(&self.config)?);
        let changes = changes(now, &wanted);
        if changes.is_empty() {
            ui.note(&format!("Nothing to change: {} has the recipients of its creation rule.", target.name));
            return Ok(0);
        }
        ui.line(&format!("Recipients of {}:", target.name));
        changes.iter().for_each(|line| ui.line(line));
        let consent = if self.yes { Some(true) } else { ui.confirm("\nMake these changes?") };
        match consent {
            Some(true) => {}
            Some(false) => {
                ui.note("Nothing was changed.");
                return Ok(0);
            }
            None => return Err(Error::usage(NotAsked)),
        }
        let services = services(ui);
        // The MAC is checked before anybody new is trusted with the file.
        let unlocked = encrypted.unlock(&services)?;
        let now = unlocked.encrypted.file.metadata();
        let mut metadata = Metadata { groups: spelled_as(now, wanted.groups), shamir_threshold: wanted.shamir_threshold, ..now.clone() };
        let sealed = services.seal_missing(&target.name, &mut metadata.groups, metadata.shamir_threshold, &unlocked.key, &now.groups);
        sealed.map_err(Error::recipe)?;
        let text = unlocked.encrypted.file.with_metadata(&metadata).map_err(Error::recipe)?;
        unlocked.encrypted.replace(&target, text.as_bytes(), Mode::Keep)?;
        ui.note(&format!("{} has new recipients.", target.name));
        if changes.iter().any(|line| line.trim_start().starts_with('-')) {
            ui.note(&format!("Who was removed may know its data key still: `kthw secrets rotate {}` makes a new one.", target.name));
        }
        Ok(0)
    }
}

/// The wanted groups; who is in the file already is written as there.
fn spelled_as(now: &Metadata, mut wanted: Vec<Group>) -> Vec<Group> {
    for key in wanted.iter_mut().flatten() {
        if let Some(known) = now.recipients().find(|known| known.same_as(&key.recipient)) {
            key.recipient = known.clone();
        }
    }
    wanted
}

/// What is different, a line for each; nothing when nothing is.
fn changes(now: &Metadata, wanted: &Metadata) -> Vec<String> {
    let mut lines = Vec::new();
    let several = now.groups.len().max(wanted.groups.len()) > 1;
    for at in 0..now.groups.len().max(wanted.groups.len()) {
        let [old, new] = [now, wanted].map(|metadata| metadata.groups.get(at).map(Vec::as_slice).unwrap_or_default());
        let without = |group: &[MasterKey], key: &MasterKey| !group.iter().any(|other| other.recipient.same_as(&key.recipient));
        let removed = old.iter().filter(|key| without(new, key)).map(|key| format!("- {}", key.recipient));
        let added = new.iter().filter(|key| without(old, key)).map(|key| format!("+ {}", key.recipient));
        let different: Vec<String> = removed.chain(added).collect();
        if several && !different.is_empty() {
            lines.push(format!("  group {}:", at + 1));
        }
        lines.extend(different.into_iter().map(|line| format!("{}{line}", if several { "    " } else { "  " })));
    }
    let needed = |metadata: &Metadata| metadata.shamir_threshold.unwrap_or(metadata.groups.len());
    if several && needed(now) != needed(wanted) {
        lines.push(format!("  ~ groups needed: {} -> {}", needed(now), needed(wanted)));
    }
    lines
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there are recipients to change and nobody to ask")]
#[diagnostic(
    code(kthw::secrets::not_asked),
    help("standard input is not a terminal; look at the changes above and call again with `--yes`")
)]
struct NotAsked;
