//! What can be wrong with a lock, in words.
use super::{Holder, Owner, SCHEMA};
use kthw_engine::{Error, Result};
use miette::Diagnostic;
use serde::Deserialize;

#[derive(Deserialize)]
struct OfSchema {
    schema: u32,
}

/// Reads the record.
pub fn understand(bytes: &[u8], workspace: &str, place: &str) -> Result<Holder> {
    let damaged = |why: String| Error::usage(Damaged { place: place.to_owned(), why });
    let OfSchema { schema } = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if schema > SCHEMA {
        return Err(Error::usage(Newer { place: place.to_owned(), schema }));
    }
    let holder: Holder = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if holder.workspace != workspace {
        return Err(Error::usage(OtherWorkspace { place: place.to_owned(), theirs: holder.workspace, ours: workspace.to_owned() }));
    }
    Ok(holder)
}

/// Another run has it.
pub fn locked(holder: &Holder, owner: &Owner) -> Error {
    Error::overtaken(Locked { workspace: holder.workspace.clone(), owner: owner.to_string(), what: holder.what.clone() })
}

/// Another run has taken over from the run `number`.
pub fn overtaken(number: u64) -> Error {
    Error::overtaken(Overtaken { number })
}

pub fn free(workspace: &str) -> Error {
    Error::usage(Free { workspace: workspace.to_owned() })
}

pub fn moved(workspace: &str) -> Error {
    Error::overtaken(Moved { workspace: workspace.to_owned() })
}

pub fn not_json(source: serde_json::Error) -> Error {
    Error::usage(NotJson { source })
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("workspace {workspace} is locked: {owner} is at `{what}` and renews the lock")]
#[diagnostic(
    code(kthw::lock::held),
    help(
        "wait until it is done; `kthw lock show` tells more, and `kthw lock break` takes the lock from it: what it writes next is refused"
    )
)]
struct Locked {
    workspace: String,
    owner: String,
    what: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("another run has this workspace now, so run {number} changes nothing more")]
#[diagnostic(
    code(kthw::lock::overtaken),
    help("`kthw lock show` says who has it; when that run is done, run this one again: it goes on from what is there")
)]
struct Overtaken {
    number: u64,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("nobody has the lock of workspace {workspace}")]
#[diagnostic(code(kthw::lock::free), help("there is nothing to break"))]
struct Free {
    workspace: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the lock of workspace {workspace} changed while it was being broken: whoever has it is alive")]
#[diagnostic(code(kthw::lock::moved), help("look at `kthw lock show`, and if it still has to go, break it again"))]
struct Moved {
    workspace: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the lock in {place} cannot be read: {why}")]
#[diagnostic(code(kthw::lock::damaged), help("see that no run goes on; then remove the record `lock` there, and run again"))]
struct Damaged {
    place: String,
    why: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the lock in {place} was written by a newer kthw (version {schema})")]
#[diagnostic(code(kthw::lock::newer), help("use that kthw, or one that is not older"))]
struct Newer {
    place: String,
    schema: u32,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the lock in {place} is that of workspace {theirs}, not of {ours}")]
#[diagnostic(code(kthw::lock::other_workspace), help("name another `--store`, or give this workspace the name that it had"))]
struct OtherWorkspace {
    place: String,
    theirs: String,
    ours: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the lock cannot be written as JSON")]
#[diagnostic(code(kthw::lock::not_json), help("this is a mistake in kthw; please report it with the command that you ran"))]
struct NotJson {
    source: serde_json::Error,
}
