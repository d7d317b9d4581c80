//! `kthw artifacts`: which of upstream's files a workspace needs, and pinning those that have no digest.
use crate::{
    options::WorkspaceOptions,
    session::{self, Loaded},
    ui::Ui,
};
use clap::{Args, Subcommand};
use kthw_engine::Result;
use kthw_stdlib::artifact::{self, DigestFrom, Kind, Needed};

mod pin;

/// Show which of upstream's files a workspace needs, and pin those that nobody knows
///
/// kthw uses no file of upstream's whose SHA-256 it cannot check. It knows the digests of files that this project has held; the others a person
/// looks at once and pins.
#[derive(Debug, Args)]
pub struct Artifacts {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the files that a workspace needs, and where the digest of each comes from
    List(List),
    /// Fetch files that have no digest, show what they are, and record their digests beside the workspace
    Pin(pin::PinFiles),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    workspace: WorkspaceOptions,
}

impl Artifacts {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        match self.what {
            What::List(list) => list.run(ui),
            What::Pin(pin) => pin.run(ui).await,
        }
    }
}

impl List {
    fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        let needed = artifact::needed(&workspace);
        for one in &needed {
            ui.line(&if ui.is_json() { in_json(&workspace, one) } else { in_words(one) });
        }
        let missing = missing(&workspace);
        if !missing.is_empty() && !ui.is_json() {
            let (are, them) = if missing.len() == 1 { ("is", "it") } else { ("are", "them") };
            let asked = self.workspace.workspace.as_deref().unwrap_or_default();
            ui.line(&format!(
                "\n{} of {} {are} refused for want of a digest; `kthw artifacts pin -w {asked}` shows and records {them}.",
                missing.len(),
                needed.len(),
            ));
        }
        Ok(0)
    }
}

/// The files of a workspace that have no digest. In the lab each has one.
pub fn missing(workspace: &Loaded) -> Vec<String> {
    let missing = artifact::needed(workspace).into_iter().filter(|one| one.from == DigestFrom::Missing);
    missing.map(|one| one.upstream.path()).collect()
}

/// A file, its digest, and where that comes from.
fn in_words(one: &Needed) -> String {
    let sha256 = one.sha256.as_ref().map(|sha256| format!("sha256 {sha256}, ")).unwrap_or_default();
    // What we build ourselves has no address of upstream's.
    let url = if one.upstream.url.is_empty() { "from the mirror of artifacts alone" } else { &one.upstream.url };
    format!("{}\n    {url}\n    {sha256}{}", one.upstream.path(), from_in_words(&one.from))
}

fn from_in_words(from: &DigestFrom) -> String {
    match from {
        DigestFrom::Known(bytes) => format!("known: {bytes}"),
        DigestFrom::Workspace => "from workspace.yaml".into(),
        DigestFrom::Pinned(date) => format!("pinned {date}"),
        DigestFrom::Missing => "no digest".into(),
    }
}

fn in_json(workspace: &Loaded, one: &Needed) -> String {
    let from = match one.from {
        DigestFrom::Known(_) => "known",
        DigestFrom::Workspace => "workspace",
        DigestFrom::Pinned(_) => "pinned",
        DigestFrom::Missing => "missing",
    };
    let kind = match one.kind {
        Kind::Image => "image",
        Kind::Manifest => "manifest",
        Kind::Program => "program",
    };
    let (path, url, sha256) = (one.upstream.path(), &one.upstream.url, &one.sha256);
    let line = serde_json::json!({ "event": "artifact", "workspace": workspace.name, "path": path, "kind": kind, "url": url, "sha256": sha256, "from": from });
    line.to_string()
}
