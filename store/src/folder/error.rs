//! What a person reads when a folder does not do what it should.
use kthw_engine::Error;
use rustix::io::Errno;
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// `verb` was to be done to `what` in `folder`.
pub(super) fn failed(verb: &str, what: &str, folder: &Path, source: io::Error) -> Error {
    let what = if what.is_empty() { "records".to_owned() } else { format!("`{what}`") };
    Error::peer(Failed { deed: format!("{verb} {what}"), help: help(&source), folder: folder.to_owned(), source })
}

fn help(source: &io::Error) -> String {
    let elsewhere = "name another folder with `--store`";
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("make room where it is, or {elsewhere}"),
        ErrorKind::ReadOnlyFilesystem => format!("it is on a file system that is read-only: mount it for writing, or {elsewhere}"),
        ErrorKind::PermissionDenied => format!("make it yours with `chown` and `chmod -R u+rwX`, or {elsewhere}"),
        ErrorKind::TimedOut => "wait until the other kthw is done, or end it; `fuser` says which it is".into(),
        _ if Errno::from_io_error(source) == Some(Errno::LOOP) => {
            "a symbolic link is in the way, and none is followed: put what it leads to in its place".into()
        }
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidInput => {
            format!("something else is in the way: look at what is in the folder and move it away, or {elsewhere}")
        }
        _ => format!("look at the disk and its file system, or {elsewhere}"),
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot {deed} in the folder {}", folder.display())]
#[diagnostic(code(kthw::store::folder), help("{help}"))]
struct Failed {
    deed: String,
    folder: PathBuf,
    help: String,
    source: io::Error,
}
