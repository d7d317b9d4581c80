//! Runs the user's editor on the sheltered file.
use super::shelter::Shelter;
use kthw_engine::{Error, Result};
use std::{
    ffi::{OsStr, OsString},
    io,
    process::ExitStatus,
    time::Duration,
};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// An editor whose terminal went away gets this long to end.
const GRACE: Duration = Duration::from_secs(5);

/// Waits until the editor has ended. Ctrl-C is the editor's own affair meanwhile.
///
/// # Errors
/// When it cannot be started, ends with an error, or kthw is asked to end.
pub fn run(shelter: &Shelter) -> Result<()> {
    let (variable, editor) = editor();
    let name = editor.to_string_lossy().into_owned();
    let failed = |error: io::Error| Error::usage(EditorFailed { name: name.clone(), reason: error.to_string(), variable });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    shelter.share_lock(true)?;
    let ended = runtime.block_on(wait(&editor, shelter));
    shelter.share_lock(false)?;
    match ended.map_err(failed)? {
        Some(status) if status.success() => Ok(()),
        Some(status) if status.code() == Some(127) => {
            Err(Error::usage(EditorFailed { name, reason: "there is no such program".into(), variable }))
        }
        Some(status) => Err(Error::usage(EditorFailed { name, reason: format!("it ended with {status}"), variable })),
        None => Err(Error::usage(Ended)),
    }
}

/// The editor's exit status; `None` when kthw was asked to end.
async fn wait(editor: &OsStr, shelter: &Shelter) -> io::Result<Option<ExitStatus>> {
    // As git and sops do, the variable may hold arguments and quotes.
    let mut script = editor.to_owned();
    script.push(" \"$@\"");
    // Signals that the terminal sends to everybody must not end kthw before its editor.
    let (_interrupt, _quit) = (signal(SignalKind::interrupt())?, signal(SignalKind::quit())?);
    let (mut hangup, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg("sh")
        .args(discretion(editor))
        .arg(shelter.file())
        .env("TMPDIR", shelter.folder())
        .spawn()?;
    tokio::select! {
        status = child.wait() => return status.map(Some),
        _ = hangup.recv() => {}
        _ = terminate.recv() => {}
    }
    let _ = timeout(GRACE, child.wait()).await;
    Ok(None)
}

/// What an editor must be told so that it writes no plain text elsewhere: Vim keeps deleted lines in `~/.viminfo`, and swap, backup and
/// undo files where the user's settings say. Other editors keep to the folder of the file and TMPDIR, as far as nobody told them otherwise.
fn discretion(editor: &OsStr) -> &'static [&'static str] {
    let word = editor.to_str().and_then(|editor| editor.split_whitespace().next()).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(word)).find(|program| program.is_file());
    // `vi` is Vim on most systems, by a link or two.
    let program = found.and_then(|program| program.canonicalize().ok()).unwrap_or_else(|| word.into());
    let name = program.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_vim =
        ["vim", "nvim", "gvim"].into_iter().any(|vim| name == vim || name.strip_prefix(vim).is_some_and(|rest| rest.starts_with('.')));
    if is_vim { &["-n", "-i", "NONE", "-c", "silent! set noswapfile noundofile nobackup nowritebackup viminfo="] } else { &[] }
}

/// The editor and the variable that names it.
fn editor() -> (&'static str, OsString) {
    let named = |name: &'static str| std::env::var_os(name).filter(|editor| !editor.is_empty()).map(|editor| (name, editor));
    named("SOPS_EDITOR").or_else(|| named("EDITOR")).unwrap_or(("EDITOR", "vi".into()))
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the editor `{name}` failed: {reason}")]
#[diagnostic(code(kthw::secrets::editor), help("name another one in {variable}, such as `nano` or `code --wait`"))]
struct EditorFailed {
    name: String,
    reason: String,
    variable: &'static str,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("kthw was asked to end while the editor was open")]
#[diagnostic(code(kthw::secrets::ended), help("the file is as it was"))]
struct Ended;
