//! The old system's folder, as far as it is read: its variables, the literals of its OpenTofu files, and the outputs beside them.
use super::{
    assignments::{Values, read},
    settings::Source,
    text::{Problem, Text},
    tofu::{Literals, Machines, outputs},
};
use crate::text_file;
use std::path::{Path, PathBuf};

/// One environment.
#[derive(Debug)]
pub struct Environment {
    /// Its name: that of its file.
    pub name: String,
    /// `envs/NAME.env`.
    pub source: Source,
    /// The file with its outputs, and the machines in it.
    pub machines: Option<(String, Machines)>,
}

/// Everything that was read.
#[derive(Debug)]
pub struct Folder {
    /// `cpc.env`, if it is there.
    pub global: Option<Source>,
    /// The environments, by name.
    pub environments: Vec<Environment>,
    /// What the OpenTofu files say.
    pub literals: Literals,
    /// The old secrets file, if it is there.
    pub secrets: Option<PathBuf>,
}

/// Reads the folder at `path`: of the environments those that `only` names, or all. Outputs are looked for in `outputs`.
///
/// # Errors
/// Everything that cannot be read.
pub fn open(path: &Path, only: &[String], outputs_at: &Path) -> Result<Folder, Vec<Problem>> {
    let mut problems = Vec::new();
    let names = names(path).map_err(|problem| vec![problem])?;
    let unknown: Vec<&String> = only.iter().filter(|name| !names.contains(name)).collect();
    if let Some(name) = unknown.first() {
        return Err(vec![Problem::of(format!("there is no environment `{name}`"), format!("there are: {}", names.join(", ")))]);
    }
    let mut known = Values::new();
    let global = match path.join("cpc.env").is_file() {
        true => source(path, "cpc.env", &mut known).map_err(|problem| problems.push(problem)).ok(),
        false => None,
    };
    let mut environments = Vec::new();
    for name in names.into_iter().filter(|name| only.is_empty() || only.contains(name)) {
        let environment = source(path, &format!("envs/{name}.env"), &mut known.clone());
        match environment.and_then(|source| Ok((source, machines(outputs_at, &name)?))) {
            Ok((source, machines)) => environments.push(Environment { name, source, machines }),
            Err(problem) => problems.push(problem),
        }
    }
    let mut literals = Literals::of_the_old_system();
    for file in ["variables.tf", "locals.tf"].map(|file| path.join("terraform").join(file)).iter().filter(|file| file.is_file()) {
        match text_file::read(file) {
            Ok(text) => literals.add(&text),
            Err(why) => problems.push(unreadable(&file.display().to_string(), &why)),
        }
    }
    let secrets = Some(path.join("terraform/secrets.sops.yaml")).filter(|file| file.is_file());
    if problems.is_empty() { Ok(Folder { global, environments, literals, secrets }) } else { Err(problems) }
}

/// The names of the environments.
fn names(path: &Path) -> Result<Vec<String>, Problem> {
    let folder = path.join("envs");
    let entries = std::fs::read_dir(&folder).map_err(|error| {
        Problem::of(format!("{} cannot be read: {error}", folder.display()), "name the folder that holds `cpc.env` and `envs`")
    })?;
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "env"));
    let mut names: Vec<String> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    match names.is_empty() {
        true => Err(Problem::of(format!("there is no environment in {}", folder.display()), "each environment is a file `envs/NAME.env`")),
        false => Ok(names),
    }
}

fn source(path: &Path, name: &str, known: &mut Values) -> Result<Source, Problem> {
    let text = text_file::read(&path.join(name)).map_err(|why| unreadable(name, &why))?;
    let file = Text { name: name.to_owned(), text };
    let read = read(&file, known)?;
    Ok(Source { file, read })
}

fn machines(outputs_at: &Path, name: &str) -> Result<Option<(String, Machines)>, Problem> {
    let file = outputs_at.join(format!("{name}.json"));
    if !file.is_file() {
        return Ok(None);
    }
    let shown = format!("outputs/{name}.json");
    let text = text_file::read(&file).map_err(|why| unreadable(&shown, &why))?;
    outputs(&shown, &text).map(|machines| Some((shown, machines)))
}

fn unreadable(name: &str, why: &str) -> Problem {
    Problem::of(format!("{name} cannot be read: {why}"), "correct a copy of it")
}
