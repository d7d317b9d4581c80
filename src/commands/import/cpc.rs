//! `kthw import cpc`: workspaces from the folder of the system before kthw.
use super::{
    collisions::collisions,
    draft::{Around, Draft, draft},
    folder::{self, Environment, Folder},
    report::{Told, Whose, events, in_words, told},
    settings::Settings,
    text::Problem,
    yaml,
};
use crate::{
    library::{self, WorkspaceText},
    ui::Ui,
};
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_stdlib::workspace::WorkspaceFile;
use serde_json::json;
use std::{
    fs::{File, create_dir_all},
    io::Write,
    path::{Path, PathBuf},
};

/// Make a workspace of each environment of CPC, the system before kthw
///
/// Reads `cpc.env`, `envs/*.env`, the literals in `terraform/*.tf` and what `tofu output -json` printed, runs nothing and reaches nobody. It says what
/// became of each variable, names those that had no effect there, and takes no secrets. Nothing is ever overwritten, and nothing is written
/// unless every environment is in order.
#[derive(Debug, Args)]
pub struct Cpc {
    /// The folder that holds `cpc.env` and `envs`
    path: PathBuf,
    /// Take this environment; may be repeated; all when absent
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Folder with what `tofu output -json` printed, as NAME.json for each environment; `outputs` below PATH when absent
    #[arg(long, value_name = "FOLDER")]
    outputs: Option<PathBuf>,
    /// Folder to make the workspaces in
    #[arg(long, value_name = "FOLDER", default_value = "workspaces")]
    into: PathBuf,
    /// Only show what would be made
    #[arg(long)]
    dry_run: bool,
}

/// A workspace that is ready to be written.
struct Made {
    name: String,
    file: PathBuf,
    text: String,
    recipe: String,
    notes: Vec<String>,
    told: Vec<Told>,
}

impl Cpc {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let outputs = self.outputs.clone().unwrap_or_else(|| self.path.join("outputs"));
        let folder = folder::open(&self.path, &self.only, &outputs).map_err(|problems| self.refused(problems))?;
        let drafts = self.drafts(&folder)?;
        let made: Vec<Made> = drafts.iter().zip(&folder.environments).map(|(draft, from)| self.make(draft, from, &folder)).collect();
        if let Some(there) = made.iter().find(|made| made.file.symlink_metadata().is_ok()) {
            return Err(Error::usage(Exists { file: there.file.display().to_string(), name: there.name.clone() }));
        }
        self.check(&made)?;
        self.show(ui, &folder, &made);
        if self.dry_run {
            ui.note("Nothing was written.");
            return Ok(0);
        }
        for one in &made {
            write(&one.file, &one.text)?;
            ui.note(&format!("Made {}.", one.file.display()));
        }
        Ok(0)
    }

    fn refused(&self, problems: Vec<Problem>) -> Error {
        Error::recipe(NotImported { folder: self.path.display().to_string(), problems })
    }

    /// The environments as workspaces that do not get in each other's way.
    fn drafts<'a>(&self, folder: &'a Folder) -> Result<Vec<Draft<'a>>> {
        let (mut drafts, mut problems) = (Vec::new(), Vec::new());
        for Environment { name, source, machines } in &folder.environments {
            let settings = Settings { own: source, global: folder.global.as_ref() };
            let machines = machines.as_ref().map(|(file, machines)| (file.as_str(), machines));
            match draft(name, &settings, &Around { literals: &folder.literals, machines }) {
                Ok(draft) => drafts.push(draft),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(collisions(&drafts));
        if problems.is_empty() { Ok(drafts) } else { Err(self.refused(problems)) }
    }

    fn make(&self, draft: &Draft<'_>, from: &Environment, folder: &Folder) -> Made {
        let text = yaml::text(draft, &from.source.file.name);
        let workspaces = [self.called(&draft.name)];
        let mut notes = draft.notes.clone();
        if from.machines.is_none() {
            notes.push(format!(
                "machines, addresses and VM ids are computed: there is no outputs/{}.json, which would say what was made",
                draft.name
            ));
        }
        Made {
            name: draft.name.clone(),
            file: self.into.join(&draft.name).join("workspace.yaml"),
            text,
            recipe: format!("{}/full", draft.system.distribution.word()),
            notes,
            told: told(&from.source, &Whose::Of, &folder.literals, &workspaces),
        }
    }

    /// What `-w` calls a workspace that is made.
    fn called(&self, name: &str) -> String {
        if self.into == Path::new("workspaces") { name.to_owned() } else { self.into.join(name).display().to_string() }
    }

    /// Looks at each workspace as every command would: by itself, beside the others, and beside those that are there.
    fn check(&self, made: &[Made]) -> Result<()> {
        let parse = |label: &str, text: &str| WorkspaceFile::parse(label, text).map_err(Error::recipe);
        let label = |made: &Made| format!("{} (not written)", made.file.display());
        let files = made.iter().map(|one| parse(&label(one), &one.text)).collect::<Result<Vec<_>>>()?;
        for (one, file) in made.iter().zip(&files) {
            let place = WorkspaceText { label: label(one), text: one.text.clone(), folder: one.file.parent().map(Path::to_owned) };
            let there: Vec<WorkspaceFile> =
                library::neighbours(&place).iter().filter_map(|(label, text)| WorkspaceFile::parse(label, text).ok()).collect();
            file.validate(&files.iter().chain(&there).collect::<Vec<_>>()).map_err(Error::recipe)?;
        }
        Ok(())
    }

    fn show(&self, ui: &Ui, folder: &Folder, made: &[Made]) {
        let environments: Vec<_> = folder.environments.iter().map(|one| (one.name.as_str(), &one.source)).collect();
        let workspaces: Vec<String> = made.iter().map(|made| self.called(&made.name)).collect();
        let global = folder.global.as_ref().map(|global| told(global, &Whose::All(&environments), &folder.literals, &workspaces));
        if ui.is_json() {
            global.iter().flat_map(|told| events(told)).for_each(|event| ui.line(&event));
            for one in made {
                events(&one.told).for_each(|event| ui.line(&event));
                let file = one.file.display().to_string();
                ui.line(
                    &json!({ "event": "workspace", "name": one.name, "file": file, "recipe": one.recipe, "notes": one.notes }).to_string(),
                );
            }
            return;
        }
        match &global {
            Some(told) => ui.line(&format!("cpc.env, for all environments\n{}", in_words(told))),
            None => ui.line("There is no cpc.env.\n"),
        }
        for one in made {
            let notes: String = one.notes.iter().map(|note| format!("    {note}\n")).collect();
            ui.line(&format!("{} -> {}\n{}  Notes:\n{notes}", one.name, one.file.display(), in_words(&one.told)));
        }
        ui.line(
            "Mind: machines and templates that the old system made carry no mark of kthw, and it never changes them. To build anew, remove them first, or \
             write free ids. To keep machines, take `proxmox` and `template` out: then they are taken as they are, over SSH.\n",
        );
        ui.line("Next, for each of them:");
        let old = folder.secrets.as_ref().map(|old| format!("kthw secrets import {}", old.display()));
        let secrets = old.unwrap_or_else(|| "kthw secrets edit".into());
        for (one, workspace) in made.iter().zip(&workspaces) {
            ui.line(&format!(
                "  `{secrets} -w {workspace}` makes its secrets file; `kthw check {} -w {workspace}` says what is to be done yet",
                one.recipe
            ));
        }
    }
}

/// Writes a file that is not there.
fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = create_dir_all(folder).and_then(|()| File::create_new(path)).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Error::usage(NotWritten { file: path.display().to_string(), source }))
}

/// Everything that is wrong with the old folder.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{folder} cannot be imported as it is; nothing was written")]
#[diagnostic(code(kthw::import), help("`--only NAME` takes single environments; the folder itself is never changed"))]
struct NotImported {
    folder: String,
    #[related]
    problems: Vec<Problem>,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{file} is there already")]
#[diagnostic(
    code(kthw::import::exists),
    help("nothing was written; move it away, make the workspaces elsewhere (`--into FOLDER`), or leave `{name}` out (`--only NAME`)")
)]
struct Exists {
    file: String,
    name: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{file} cannot be written")]
#[diagnostic(code(kthw::import::not_written), help("workspaces that were made before it stay; `--only` takes the others"))]
struct NotWritten {
    file: String,
    source: std::io::Error,
}
