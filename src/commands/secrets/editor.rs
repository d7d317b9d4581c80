//! Runs the user's editor on the sheltered file, and asks what to do next; meanwhile no signal ends kthw with the text lost.
use super::shelter::Shelter;
use crate::ui::Ui;
use kthw_engine::{Error, Result};
use std::{
    ffi::{OsStr, OsString},
    io,
    process::ExitStatus,
    time::Duration,
};
use tokio::{
    process::Command,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// An editor whose terminal went away gets this long to end.
const GRACE: Duration = Duration::from_secs(5);

/// The editor that the environment names, and the signals that kthw gets while it is open.
#[derive(Debug)]
pub struct Editor {
    variable: &'static str,
    command: OsString,
    runtime: Runtime,
}

/// How the editor ended.
#[derive(Debug)]
pub enum EditorEnd {
    /// As it should.
    Well,
    /// With an error, or not at all.
    Failed(Error),
    /// It still runs, and kthw was asked to end.
    StillOpen(Error),
}

impl Editor {
    /// # Errors
    /// When the system has no room for it.
    pub fn new() -> Result<Self> {
        let (variable, command) = editor();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::usage(EditorFailed { name: command.to_string_lossy().into_owned(), reason: error.to_string(), variable })
        })?;
        Ok(Self { variable, command, runtime })
    }

    /// Waits until the editor has ended. Ctrl-C is the editor's own affair meanwhile.
    pub fn run(&self, shelter: &Shelter) -> EditorEnd {
        let failed = |reason: String| {
            EditorEnd::Failed(Error::usage(EditorFailed {
                name: self.command.to_string_lossy().into_owned(),
                reason,
                variable: self.variable,
            }))
        };
        if let Err(error) = shelter.share_lock(true) {
            return EditorEnd::Failed(error);
        }
        let ended = self.runtime.block_on(wait(&self.command, shelter));
        if let Err(error) = shelter.share_lock(false) {
            return EditorEnd::Failed(error);
        }
        match ended {
            Err(error) => failed(error.to_string()),
            Ok(Waited::EditorEnd(status)) if status.success() => EditorEnd::Well,
            Ok(Waited::EditorEnd(status)) if status.code() == Some(127) => failed("there is no such program".into()),
            Ok(Waited::EditorEnd(status)) => failed(format!("it ended with {status}")),
            Ok(Waited::Asked) => EditorEnd::Failed(Error::usage(Asked)),
            Ok(Waited::StillOpen) => EditorEnd::StillOpen(Error::usage(Asked)),
        }
    }

    /// Asks a question. `None` when there is nobody to ask, or kthw is asked to end.
    pub fn ask(&self, ui: &Ui, question: &'static str) -> Option<String> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let ui = ui.clone();
        // Left behind when a signal comes first: nothing ends a read from a terminal.
        std::thread::spawn(move || answer.send(ui.ask(question)));
        let told = async {
            let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()].map(signal);
            let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup), Ok(mut quit)] = signals else { return std::future::pending().await };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = quit.recv() => {}
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                answer = answered => answer.ok().flatten(),
                () = told => None,
            }
        })
    }
}

/// How a wait for the editor ended.
enum Waited {
    EditorEnd(ExitStatus),
    /// kthw was asked to end, and the editor ended too.
    Asked,
    /// kthw was asked to end, and the editor runs on.
    StillOpen,
}

async fn wait(editor: &OsStr, shelter: &Shelter) -> io::Result<Waited> {
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
        status = child.wait() => return status.map(Waited::EditorEnd),
        _ = hangup.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(if timeout(GRACE, child.wait()).await.is_ok() { Waited::Asked } else { Waited::StillOpen })
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
struct Asked;
