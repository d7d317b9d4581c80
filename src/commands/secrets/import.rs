//! `kthw secrets import`: the secrets file of the system before kthw, taken over into a new file under kthw's names.
use super::{
    change::{new_key, seal, services},
    target::{Config, Location, TargetFile},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_sops::{Format, Import as Found, old_values};
use std::path::PathBuf;

/// Make a secrets file from that of the system before kthw
///
/// Takes every secret that kthw knows, whatever it was called, and says what is unused and what is missing. The old file stays as it is.
#[derive(Debug, Args)]
pub struct Import {
    /// The old file, encrypted or plain YAML
    old: PathBuf,
    /// The new file; the workspace's when absent
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    #[command(flatten)]
    config: Config,
    /// Old name that counts where several names of one secret hold different values; may be repeated
    #[arg(long, value_name = "OLD NAME")]
    prefer: Vec<String>,
    /// Only show what would be taken
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let old = TargetFile::of(Some(self.old), &Location::default())?;
        let target = TargetFile::new_file(self.file, &self.place)?;
        if target.format != Format::Yaml {
            return Err(Error::usage(NotYaml { file: target.name }));
        }
        let services = services(ui);
        let text = String::from_utf8(old.read()?.to_vec()).map_err(|_| Error::usage(NotText { file: old.name.clone() }))?;
        let values = old_values(&old.name, &zeroize::Zeroizing::new(text), &services).map_err(Error::recipe)?;
        if let Some(unknown) =
            self.prefer.iter().find(|wanted| !values.iter().any(|(name, _)| name == *wanted || name.starts_with(&format!("{wanted}."))))
        {
            return Err(Error::usage(NoSuchName { name: unknown.clone(), file: old.name }));
        }
        let import = Found::of(&values, &self.prefer);
        show(ui, &import);
        if let Some((name, names)) = import.conflicting.first() {
            let names = names.join(", ");
            return Err(Error::usage(Conflict {
                name: (*name).into(),
                names: names.clone(),
                first: names.split(',').next().unwrap_or_default().into(),
            }));
        }
        if import.taken.is_empty() {
            return Err(Error::usage(NothingKnown { file: old.name }));
        }
        if self.dry_run {
            ui.note(&format!("Nothing was written. Without `--dry-run`, {} is made of this.", target.name));
            return Ok(0);
        }
        let plain = import.plain(&target.name).map_err(Error::recipe)?;
        let mut metadata = target.creation(&self.config)?;
        let key = new_key(&target, &mut metadata, &services)?;
        target.create(&seal(&target, &plain, &metadata, &key, None)?)?;
        ui.note(&format!("Made {}. {} is as it was; remove it when nothing uses it any more.", target.name, old.name));
        Ok(0)
    }
}

fn show(ui: &Ui, import: &Found) {
    if !ui.is_json() {
        import.report().lines().for_each(|line| ui.line(line));
        return;
    }
    let taken: Vec<_> = import.taken.iter().map(|(old, new)| serde_json::json!({ "old": old, "name": new })).collect();
    let conflicting: Vec<_> = import.conflicting.iter().map(|(name, old)| serde_json::json!({ "name": name, "old": old })).collect();
    let event = serde_json::json!({
        "event": "secrets_imported", "taken": taken, "unused": import.unused, "missing": import.missing, "conflicting": conflicting,
        "notes": import.notes,
    });
    ui.line(&event.to_string());
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{name}` has different values in {names}")]
#[diagnostic(code(kthw::secrets::conflict), help("nothing was written; say which one counts, such as `--prefer {first}`"))]
struct Conflict {
    name: String,
    names: String,
    first: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no `{name}` in {file}")]
#[diagnostic(code(kthw::secrets::no_such_name), help("`--prefer` takes a name of the old file, such as `default.proxmox.password`"))]
struct NoSuchName {
    name: String,
    file: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("nothing in {file} is known to kthw")]
#[diagnostic(
    code(kthw::secrets::nothing_known),
    help("nothing was written; a file with names of your own is used as it is, by `sops::secret`")
)]
struct NothingKnown {
    file: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the secrets of a workspace are YAML, and {file} would not be")]
#[diagnostic(code(kthw::secrets::not_yaml), help("name a file that ends in `.yaml`"))]
struct NotYaml {
    file: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{file} is not UTF-8")]
#[diagnostic(code(kthw::secrets::old_not_text), help("name the YAML file of the old system, encrypted or not"))]
struct NotText {
    file: String,
}
