//! Plans in files: `--dry-run -o FILE` keeps one, `--plan FILE` carries it out.
use crate::{private_file, session::Prepared, ui::Ui};
use kthw_engine::{Asked, Error, Plan, Result, SavedPlan, Verb};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The options that a plan holds itself; given beside it, they could only contradict it.
pub const GIVEN_WITH_A_PLAN: [&str; 11] =
    ["recipe", "workspace", "set", "lab", "speed", "lab_seed", "max_destroy", "output", "only", "node", "prune"];
/// As [`GIVEN_WITH_A_PLAN`], of a plan to destroy.
pub const GIVEN_WITH_A_PLAN_TO_DESTROY: [&str; 8] = ["recipe", "workspace", "set", "lab", "speed", "lab_seed", "max_destroy", "output"];

/// Reads a plan that is about to be carried out by `verb`.
///
/// # Errors
/// A file that cannot be read, is no plan, or is one for the other command.
pub fn read(path: &Path, verb: Verb) -> Result<SavedPlan> {
    let mut text = Vec::new();
    // One byte more than it may have is enough to see that it is too large.
    let at_most = SavedPlan::LARGEST_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(at_most).read_to_end(&mut text));
    read.map_err(|source| Error::usage(CannotRead { path: path.into(), source }))?;
    let saved = SavedPlan::parse(&path.display().to_string(), &text)?;
    match saved.asked().verb {
        made_for if made_for == verb => Ok(saved),
        made_for => Err(Error::usage(OtherCommand { path: path.into(), command: command(made_for) })),
    }
}

/// Keeps a plan in a file and says how it is carried out.
///
/// # Errors
/// When the file cannot be written, or something else than a file stands in its place.
pub fn write(path: &Path, plan: &Plan, asked: Asked, prepared: &Prepared, ui: &Ui) -> Result<()> {
    let command = command(asked.verb);
    let text = plan.save(asked, prepared.graph.recipes(), prepared.workspace.as_json()).to_text()?;
    let other = || io::Error::other("something else than a file stands there");
    // A device or a link in its place would be gone.
    let is_other = path.symlink_metadata().is_ok_and(|there| !there.is_file());
    let written = if is_other { Err(other()) } else { private_file::write(path, &text) };
    written.map_err(|source| Error::usage(CannotWrite { path: path.into(), source }))?;
    if !ui.is_json() {
        ui.note(&format!("The plan is kept in {0}; `{command} --plan {0}` carries it out.", path.display()));
    }
    Ok(())
}

/// Checks, before anybody is asked, that recipes and workspace are those that the plan was made of, if one was kept.
///
/// # Errors
/// When they are not, with each difference.
pub fn check_inputs(saved: Option<&SavedPlan>, prepared: &Prepared) -> Result<()> {
    saved.map_or(Ok(()), |saved| saved.check_inputs(prepared.graph.recipes(), &prepared.workspace.as_json()))
}

fn command(verb: Verb) -> &'static str {
    match verb {
        Verb::Run => "kthw run",
        Verb::Destroy => "kthw destroy",
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read the plan {}", path.display())]
#[diagnostic(code(kthw::plan::read), help("a plan is made with `kthw run RECIPE --dry-run -o FILE`"))]
struct CannotRead {
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write the plan to {}", path.display())]
#[diagnostic(code(kthw::plan::write), help("name a file in a folder that is there and that you may write"))]
struct CannotWrite {
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} is a plan of `{command}`", path.display())]
#[diagnostic(code(kthw::plan::other_command), help("look at what it does; `{command} --plan {}` carries it out", path.display()))]
struct OtherCommand {
    path: PathBuf,
    command: &'static str,
}
