//! `kthw secrets edit`: the plain text in the user's editor, in memory only; an edit is saved or kept, never lost.
use super::{
    change::{new_key, seal, services},
    editor::{Editor, EditorEnd},
    shelter::{self, Shelter},
    target::{Config, Location, TargetFile, Unlocked},
};
use crate::ui::Ui;
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_sops::{DataKey, Format, Metadata, Mode};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};
use zeroize::Zeroizing;

/// What a new YAML file begins with in the editor.
const NEW_YAML: &str = "# Every value below is encrypted; comments are too. For example:\n# proxmox:\n#   token: the token\n";

/// Edit the plain text, or make a new file
///
/// Opens $SOPS_EDITOR, $EDITOR or vi on a file in memory (XDG_RUNTIME_DIR or /dev/shm). A text that is not valid is never saved, and
/// never lost either: edit it again, or find it where the message says.
#[derive(Debug, Args)]
pub struct Edit {
    /// The file; the workspace's when absent
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Location,
    #[command(flatten)]
    config: Config,
    /// Begin with the text in this file: an edit that was kept
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Where no folder is in memory (macOS), use a private one on disk: a crash may leave plain text there
    #[arg(long)]
    allow_disk: bool,
}

impl Edit {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let target = TargetFile::of(self.file, &self.place)?;
        let services = services(ui);
        let draft = match target.load_opt()? {
            Some(encrypted) => Draft::of(encrypted.unlock(&services)?),
            None => {
                let mut metadata = target.creation(&self.config)?;
                let key = new_key(&target, &mut metadata, &services)?;
                Draft { metadata, key, start: Zeroizing::new(template(target.format).into()), unlocked: None }
            }
        };
        let base = draft.unlocked.as_ref().map(|unlocked| unlocked.encrypted.digest()).unwrap_or_default();
        let from = self.from.as_ref().map(read_kept).transpose()?;
        if let Some(kept) = self.from.as_ref().filter(|kept| shelter::base_of_kept(kept).is_some_and(|of_kept| of_kept != base)) {
            return Err(Error::usage(Outdated { file: target.name, kept: kept.display().to_string() }));
        }
        let shelter = Shelter::make(&target.path, self.allow_disk)?;
        shelter.write(from.as_ref().unwrap_or(&draft.start))?;
        shelter.note_base(&base)?;
        let code = draft.edit(&target, shelter, ui)?;
        if let (0, Some(from)) = (code, &self.from) {
            shelter::forget_kept(from);
        }
        Ok(code)
    }
}

/// What is needed to seal the edited text.
struct Draft {
    metadata: Metadata,
    key: DataKey,
    /// The text before the edit.
    start: Zeroizing<Vec<u8>>,
    /// The file that is there, if one is.
    unlocked: Option<Unlocked>,
}

impl Draft {
    fn of(unlocked: Unlocked) -> Self {
        let start = Zeroizing::new(unlocked.opened.plain().to_vec());
        Self { metadata: unlocked.encrypted.file.metadata().clone(), key: unlocked.key.clone(), start, unlocked: Some(unlocked) }
    }

    /// Edits until the text is saved, unchanged or given up.
    fn edit(&self, target: &TargetFile, shelter: Shelter, ui: &Ui) -> Result<u8> {
        let editor = Editor::new()?;
        loop {
            let ended = editor.run(&shelter);
            let edited = shelter.read()?;
            let unchanged = *edited == *self.start;
            match ended {
                EditorEnd::Failed(error) if unchanged => return Err(error),
                EditorEnd::Failed(error) => {
                    ui.error(&error);
                    return Err(kept(shelter.keep(), target, ui));
                }
                // What the editor writes later must have a place.
                EditorEnd::StillOpen(error) => {
                    ui.error(&error);
                    return Err(kept(shelter.keep_open(), target, ui));
                }
                EditorEnd::Well if unchanged => {
                    ui.note(&format!("Nothing changed in {}.", target.name));
                    return Ok(0);
                }
                EditorEnd::Well => {}
            }
            // A mistake in kthw must not cost the edit either; it was told already.
            let Ok(saved) = catch_unwind(AssertUnwindSafe(|| self.save(target, &edited))) else {
                return Err(kept(shelter.keep(), target, ui));
            };
            let Err(error) = saved else {
                ui.note(&format!("Saved {}.", target.name));
                return Ok(0);
            };
            ui.error(&error);
            if error.diagnostic().code().is_some_and(|code| code.to_string() == "kthw::sops::changed") {
                return Err(kept_aside(shelter.keep(), target, ui));
            }
            match editor.ask(ui, "Press Enter to edit it again, or type `drop` to throw the edit away: ") {
                None => return Err(kept(shelter.keep(), target, ui)),
                Some(answer) if answer == "drop" => {
                    ui.note(&format!("{} is as it was.", target.name));
                    return Ok(1);
                }
                Some(_) => {}
            }
        }
    }

    fn save(&self, target: &TargetFile, edited: &[u8]) -> Result<()> {
        let before = self.unlocked.as_ref();
        let text = seal(target, edited, &self.metadata, &self.key, before.map(|unlocked| &unlocked.opened))?;
        match before {
            Some(unlocked) => unlocked.encrypted.replace(target, text.as_bytes(), Mode::Keep),
            None => target.create(&text),
        }
    }
}

fn template(format: Format) -> &'static str {
    match format {
        Format::Yaml => NEW_YAML,
        Format::Json => "{\n}\n",
        Format::Dotenv | Format::Ini | Format::Binary => "",
    }
}

fn read_kept(from: &PathBuf) -> Result<Zeroizing<Vec<u8>>> {
    fs::read(from).map(Zeroizing::new).map_err(|error| Error::usage(NoKept { file: from.display().to_string(), reason: error.to_string() }))
}

/// The edit stays in memory. Where, is said on a line of its own, so that it can be copied.
fn kept(place: Result<PathBuf>, target: &TargetFile, ui: &Ui) -> Error {
    match place {
        Ok(place) => {
            ui.note(&format!("Take the edit up again with:\n  kthw secrets edit {} --from {}\n", target.name, place.display()));
            Error::usage(NotSaved { file: target.name.clone() })
        }
        Err(lost) => lost,
    }
}

/// The edit stays in memory, to be compared with what somebody else did: saving it as it is would undo that.
fn kept_aside(place: Result<PathBuf>, target: &TargetFile, ui: &Ui) -> Error {
    match place {
        Ok(place) => {
            let (file, place) = (&target.name, place.display());
            ui.note(&format!("Compare the two, then edit {file} again:\n  kthw secrets decrypt {file} | diff - {place}\n"));
            Error::usage(NotSaved { file: file.clone() })
        }
        Err(lost) => lost,
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the edit of {file} is not saved, and {file} is as it was")]
#[diagnostic(
    code(kthw::secrets::not_saved),
    help("the edit is kept in memory until the next restart: go on as said above, or remove the folder named there")
)]
struct NotSaved {
    file: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{file} was changed after the kept edit was begun")]
#[diagnostic(
    code(kthw::secrets::outdated),
    help(
        "saving the kept edit would undo that change. Compare them: `kthw secrets decrypt {file} | diff - {kept}`; then take over what is yours with `kthw secrets edit {file}`, and remove the folder of the kept edit"
    )
)]
struct Outdated {
    file: String,
    kept: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read the kept edit {file}: {reason}")]
#[diagnostic(code(kthw::secrets::no_kept), help("it is gone after a restart; edit the file without `--from`"))]
struct NoKept {
    file: String,
    reason: String,
}
