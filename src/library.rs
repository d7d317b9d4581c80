//! Where recipes and workspaces are found: on disk first, then inside the binary.
use crate::text_file;
use include_dir::{Dir, include_dir};
use kthw_engine::{Library, Source};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

static RECIPES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/recipes");
static WORKSPACES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/workspaces");

/// The recipes below one folder on disk, and behind them the embedded ones.
#[derive(Debug)]
pub struct Recipes {
    root: Option<PathBuf>,
}

impl Recipes {
    /// Understands what a person typed: a path such as `recipes/ubuntu/full.rhai`, or a name such as `ubuntu/full`.
    ///
    /// Returns the library that serves its needs, and the recipe's name in it.
    pub fn locate(typed: &str) -> (Self, String) {
        let path = Path::new(typed);
        if path.extension().is_some_and(|extension| extension == "rhai") && path.is_file() {
            let recipes_above = |path: &Path| {
                let mut above = path.ancestors().skip(1);
                above.find(|folder| folder.file_name().is_some_and(|name| name == "recipes")).map(Path::to_owned)
            };
            // As typed if the folder shows in it, else from where it really is.
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let (path, root) = match (recipes_above(path), recipes_above(&real)) {
                (Some(root), _) => (path, Some(root)),
                (None, Some(root)) => (real.as_path(), Some(root)),
                (None, None) => (path, path.parent().map(Path::to_owned)),
            };
            let name = root.as_ref().and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path);
            return (Self { root }, name.with_extension("").to_string_lossy().into_owned());
        }
        let name = typed.strip_prefix("recipes/").unwrap_or(typed);
        let root = Path::new("recipes").is_dir().then(|| PathBuf::from("recipes"));
        (Self { root }, name.strip_suffix(".rhai").unwrap_or(name).to_owned())
    }

    /// The folder that holds `recipes`, where `workspaces` is looked for too.
    pub fn home(&self) -> Option<&Path> {
        self.root.as_deref().map(|root| root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }
}

impl Library for Recipes {
    fn find(&self, name: &str) -> Result<Option<Source>, String> {
        if name.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Ok(None);
        }
        let file = format!("{name}.rhai");
        if let Some(path) = self.root.as_ref().map(|root| root.join(&file)).filter(|path| path.is_file()) {
            let text = text_file::read(&path)?;
            return Ok(Some(Source { name: name.into(), path: path.to_string_lossy().into_owned(), text }));
        }
        let embedded = RECIPES.get_file(&file).and_then(|file| file.contents_utf8());
        Ok(embedded.map(|text| Source { name: name.into(), path: format!("recipes/{file}"), text: text.into() }))
    }

    fn names(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        embedded_names(&RECIPES, &mut names);
        if let Some(root) = &self.root {
            names_on_disk(root, root, &mut names, 4);
        }
        names.into_iter().collect()
    }
}

fn embedded_names(folder: &Dir<'_>, names: &mut BTreeSet<String>) {
    for file in folder.files() {
        if let Some(name) = file.path().to_string_lossy().strip_suffix(".rhai") {
            names.insert(name.to_owned());
        }
    }
    for folder in folder.dirs() {
        embedded_names(folder, names);
    }
}

fn names_on_disk(root: &Path, folder: &Path, names: &mut BTreeSet<String>, depth: u32) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && depth > 0 {
            names_on_disk(root, &path, names, depth - 1);
        } else if path.extension().is_some_and(|extension| extension == "rhai")
            && let Ok(name) = path.strip_prefix(root)
        {
            names.insert(name.with_extension("").to_string_lossy().into_owned());
        }
    }
}

/// A workspace's text and where it stands.
#[derive(Debug)]
pub struct WorkspaceText {
    /// What people see.
    pub label: String,
    /// Its YAML.
    pub text: String,
    /// The folder that holds it, when it is on disk; `secrets.sops.yaml` is looked for there.
    pub folder: Option<PathBuf>,
}

/// Finds a workspace by name, folder or file; on disk first, then embedded.
///
/// # Errors
/// Why it cannot be read, in words.
pub fn workspace(asked: &str, home: Option<&Path>) -> Result<Option<WorkspaceText>, String> {
    let typed = PathBuf::from(asked);
    let named = format!("workspaces/{asked}/workspace.yaml");
    let beside = home.map(|home| home.join(&named));
    let candidates = [Some(typed.join("workspace.yaml")), Some(typed.clone()), beside, Some(PathBuf::from(&named))];
    if let Some(path) = candidates.into_iter().flatten().find(|path| path.is_file()) {
        let text = text_file::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        let folder = path.parent().map(Path::to_owned);
        return Ok(Some(WorkspaceText { label: path.to_string_lossy().into_owned(), text, folder }));
    }
    let embedded = WORKSPACES.get_file(format!("{asked}/workspace.yaml")).and_then(|file| file.contents_utf8());
    Ok(embedded.map(|text| WorkspaceText { label: named, text: text.into(), folder: None }))
}

/// The other workspaces that stand beside one, on disk or inside of kthw as it does: their labels and texts.
pub fn neighbours(workspace: &WorkspaceText) -> Vec<(String, String)> {
    let Some(folder) = &workspace.folder else {
        return embedded_workspaces().filter(|(label, _)| *label != workspace.label).map(|(label, text)| (label, text.into())).collect();
    };
    let Some(above) = folder.parent() else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(above) else { return Vec::new() };
    let mut found: Vec<(String, String)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|beside| beside != folder)
        .map(|folder| folder.join("workspace.yaml"))
        .filter_map(|path| Some((path.to_string_lossy().into_owned(), text_file::read(&path).ok()?)))
        .collect();
    found.sort();
    found
}

/// The embedded workspaces: their labels and texts.
pub fn embedded_workspaces() -> impl Iterator<Item = (String, &'static str)> {
    WORKSPACES.dirs().filter_map(|folder| {
        let path = folder.path().join("workspace.yaml");
        Some((format!("workspaces/{}", path.display()), WORKSPACES.get_file(&path)?.contents_utf8()?))
    })
}

/// The names of the embedded workspaces.
pub fn workspace_names() -> Vec<String> {
    WORKSPACES.dirs().map(|folder| folder.path().to_string_lossy().into_owned()).collect()
}
