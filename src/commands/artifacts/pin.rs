//! `kthw artifacts pin`: fetches files, shows what they are, and records their digests once somebody agreed.
use super::from_in_words;
use crate::{
    options::WorkspaceOptions,
    session::{self, Loaded},
    ui::Ui,
};
use clap::Args;
use kthw_engine::{Error, Result, nearest};
use kthw_stdlib::{
    artifact::{self, DigestFrom, Holds, Needed, OtherDigest, PINS_FILE, Pin, Pins, Seen, Vouched},
    http::{HttpClient, Trust},
};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PinFiles {
    /// Files: a path such as `calico/v3.32.1/operator-crds.yaml`, its last part or its first; all that have no digest when absent. One that has a
    /// digest is fetched and compared with it
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    workspace: WorkspaceOptions,
    /// Take this file as it is now although another digest was pinned; may be repeated
    #[arg(long, value_name = "NAME")]
    repin: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl PinFiles {
    pub async fn run(self, ui: &Ui) -> Result<u8> {
        let workspace = session::workspace_of(&self.workspace)?;
        if self.workspace.lab {
            return Err(Error::usage(NothingInTheLab));
        }
        let Some(folder) = &workspace.folder else { return Err(Error::usage(NoFolder { name: workspace.name.clone() })) };
        let chosen = self.chosen(&workspace)?;
        if chosen.is_empty() {
            ui.line("Nothing to pin: every file has a digest.");
            return Ok(0);
        }
        let before = workspace.artifacts.pins.clone();
        let pins = self.looked_at(&workspace, chosen, ui).await?;
        if pins == before {
            ui.line("Nothing to pin: the files are as they were.");
            return Ok(0);
        }
        if !self.yes {
            match ui.confirm("\nPin what is above? From then on nothing else is taken in its place.") {
                Some(true) => {}
                Some(false) => {
                    ui.note("Nothing was pinned.");
                    return Ok(0);
                }
                None => return Err(Error::usage(NotAsked)),
            }
        }
        let file = folder.join(PINS_FILE);
        if Pins::beside(folder).map_err(Error::usage)? != before {
            return Err(Error::usage(ChangedMeanwhile { file }));
        }
        pins.write(folder).map_err(|source| Error::usage(CannotWrite { file: file.clone(), source }))?;
        ui.line(&format!("Recorded in {}. Keep it with the workspace.", file.display()));
        Ok(0)
    }

    /// The files to look at.
    fn chosen(&self, workspace: &Loaded) -> Result<Vec<Needed>> {
        let mut needed = artifact::needed(workspace);
        if !self.names.is_empty() || !self.repin.is_empty() {
            needed.extend(artifact::on_request(workspace));
        }
        let names: Vec<&String> = self.names.iter().chain(&self.repin).collect();
        for name in &names {
            if !needed.iter().any(|one| is_called(one, name)) {
                return Err(Error::usage(NoSuchFile::new(name, &needed)));
            }
        }
        let is_chosen = |one: &Needed| match names.is_empty() {
            true => one.from == DigestFrom::Missing,
            false => names.iter().any(|name| is_called(one, name)),
        };
        Ok(needed.into_iter().filter(is_chosen).collect())
    }

    /// Fetches the files, shows them, and returns the pins with theirs.
    async fn looked_at(&self, workspace: &Loaded, chosen: Vec<Needed>, ui: &Ui) -> Result<Pins> {
        let http = HttpClient::new(&Trust::System).map_err(Error::usage)?;
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
        let mut pins = workspace.artifacts.pins.clone();
        for one in chosen {
            ui.note(&format!("Fetching {} …", one.upstream.path()));
            let seen = artifact::look(&http, workspace.artifacts.mirror.as_deref(), one.kind, &one.upstream).await?;
            ui.line(&in_words(&one, &seen));
            let repin = self.repin.iter().any(|name| is_called(&one, name));
            match &one.from {
                // Not the pins' to say.
                DigestFrom::Known(_) | DigestFrom::Workspace => {
                    let wanted = one.sha256.unwrap_or_default();
                    if wanted != seen.sha256 {
                        let known = if one.from == DigestFrom::Workspace { "written down in workspace.yaml" } else { "known" };
                        return Err(Error::refused(OtherDigest::new(&one.upstream, known, &wanted, &seen.sha256)));
                    }
                }
                DigestFrom::Pinned(_) | DigestFrom::Missing => {
                    let pin = Pin::of(one.upstream, seen.sha256, seen.size, today.clone());
                    pins.add(pin, repin).map_err(Error::refused)?;
                }
            }
        }
        Ok(pins)
    }
}

/// Whether a person means this file by `name`.
fn is_called(one: &Needed, name: &str) -> bool {
    let upstream = &one.upstream;
    name == upstream.path() || name == upstream.file || name == upstream.project
}

/// What a person decides by.
fn in_words(one: &Needed, seen: &Seen) -> String {
    let holds = match &seen.holds {
        Holds::Objects(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            format!("holds {}", kthw_engine::presentable(&kinds.join(", ")))
        }
        Holds::Program => "a program for x86-64 that needs no library of the machine".into(),
        Holds::Image(Vouched::By(list)) => format!("{list} says the same; the signature of that list was not looked at"),
        Holds::Image(Vouched::Nobody) => "no list of checksums beside it names it: only the server vouches for it".into(),
    };
    let plain = if seen.place.starts_with("http://") { "\n    came over plain HTTP: anybody on the way could have changed it" } else { "" };
    let before = match one.from {
        DigestFrom::Missing => String::new(),
        _ => format!(" ({})", from_in_words(&one.from)),
    };
    format!("{}{before}\n    {}\n    {} bytes, sha256 {}\n    {holds}{plain}", one.upstream.path(), seen.place, seen.size, seen.sha256)
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is something to pin and nobody to ask")]
#[diagnostic(code(kthw::artifacts::not_asked), help("standard input is not a terminal; look at what is above and call again with `--yes`"))]
struct NotAsked;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("in the lab nothing is downloaded, so there is nothing to pin")]
#[diagnostic(code(kthw::artifacts::lab), help("the lab takes stand-ins for upstream's files; call it without `--lab`"))]
struct NothingInTheLab;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("workspace `{name}` is inside of kthw, where nothing can be recorded")]
#[diagnostic(code(kthw::artifacts::no_folder), help("copy the project's `workspaces/{name}` and name the copy with `--workspace`"))]
struct NoFolder {
    name: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the workspace needs no file that is called `{name}`")]
#[diagnostic(code(kthw::artifacts::no_such_file), help("{help}"))]
struct NoSuchFile {
    name: String,
    help: String,
}

impl NoSuchFile {
    fn new(name: &str, needed: &[Needed]) -> Self {
        let paths: Vec<String> = needed.iter().map(|one| one.upstream.path()).collect();
        let near = nearest(name, paths.iter().map(String::as_str).chain(needed.iter().map(|one| one.upstream.file.as_str())));
        let help = near.map_or_else(|| format!("it needs {}", paths.join(", ")), |near| format!("did you mean `{near}`?"));
        Self { name: name.into(), help }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} was changed while this command ran; nothing was pinned", file.display())]
#[diagnostic(code(kthw::artifacts::changed_meanwhile), help("call again: what was recorded meanwhile stays"))]
struct ChangedMeanwhile {
    file: PathBuf,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write {}", file.display())]
#[diagnostic(code(kthw::artifacts::write), help("see that the folder can be written and the disk is not full"))]
struct CannotWrite {
    file: PathBuf,
    source: std::io::Error,
}
