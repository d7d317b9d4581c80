//! What every command needs first: the workspace read and validated, the recipes evaluated, the peers at hand.
use crate::{
    library::{self, Recipes},
    options::WorkspaceOptions,
    store::Store,
    ui::{self, Ui},
};
use kthw_engine::{Error, Evaluated, Graph, Owned, Owner, Peers, Recipe, Result, Secret, Source, nearest};
use kthw_stdlib::{
    artifact::{self, Pins},
    proxmox::Orphans,
    sops::Secrets,
    ssh::{FirstUse, KnownHosts, SshSaid},
    workspace::{Cluster, NodeSpec, Workspace, WorkspaceFile},
};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

mod hold;
mod lab;
mod real;

pub use hold::{Change, Ended, ask, tell_open};
pub use lab::LAB_FILES;

/// A validated workspace and where it stands.
#[derive(Debug)]
pub struct Loaded {
    /// The data.
    pub workspace: Arc<Workspace>,
    /// Its folder, when it is on disk.
    pub folder: Option<PathBuf>,
    /// What of `ssh` it says itself.
    pub ssh_said: SshSaid,
}

impl Loaded {
    /// Every field, with those that have their default. No secret is among them: a workspace holds the names of secrets alone.
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::to_value(&*self.workspace).expect("every field of a workspace becomes JSON")
    }
}

impl Deref for Loaded {
    type Target = Workspace;
    fn deref(&self) -> &Workspace {
        &self.workspace
    }
}

/// A recipe ready to be planned.
#[derive(Debug)]
pub struct Prepared {
    /// The recipe and everything that it needs.
    pub graph: Graph,
    /// The workspace that it runs on.
    pub workspace: Loaded,
    /// What that workspace was asked for as: what was typed, or what the recipe names.
    pub asked: String,
    /// What the recipes declare.
    pub evaluated: Vec<Evaluated>,
}

/// Loads a recipe and its workspace and evaluates it; reaches nobody.
///
/// # Errors
/// Everything that is wrong with the recipes or the workspace.
pub fn prepare(recipe: &str, options: &WorkspaceOptions) -> Result<Prepared> {
    let mut engine = kthw_stdlib::script_engine();
    engine.on_print(ui::of_a_script).on_debug(|text, _, position| ui::of_a_script(&format!("{position:?}: {text}")));
    let (library, name) = Recipes::locate(recipe);
    let graph = Graph::load(&engine, &library, &name).map_err(|error| Error::recipe(*error))?;
    let asked = options.workspace.clone().or_else(|| graph.root().header.workspace.clone());
    let asked = asked.ok_or_else(|| Error::usage(WhichWorkspace { recipe: graph.root().source.path.clone() }))?;
    let workspace = load(&asked, library.home(), options)?;
    kthw_engine::limits_for(&mut engine, workspace.nodes.len());
    let optional = graph.recipes().iter().flat_map(|recipe| recipe.optional.iter().cloned()).collect();
    let cluster = Cluster::with_optional(workspace.workspace.clone(), &optional)
        .map_err(|error| Error::recipe(Unusable { why: error.to_string() }))?;
    let evaluated = graph
        .recipes()
        .iter()
        .map(|recipe| kthw_engine::evaluate(&engine, recipe, rhai_value(cluster.clone())).map_err(Error::recipe))
        .collect::<Result<_>>()?;
    Ok(Prepared { graph, workspace, asked, evaluated })
}

fn rhai_value(cluster: Cluster) -> kthw_stdlib::Dynamic {
    kthw_stdlib::Dynamic::from(cluster)
}

/// Reads the workspace that the options name, for commands without a recipe.
///
/// # Errors
/// When none is named, there is none, or it is wrong.
pub fn workspace_of(options: &WorkspaceOptions) -> Result<Loaded> {
    match &options.workspace {
        Some(asked) => load(asked, None, options),
        None => Err(Error::usage(NameOne)),
    }
}

/// The folder of a workspace on disk, for commands that do not read the workspace itself.
///
/// # Errors
/// When there is none of that name, or it is inside of kthw only.
pub fn folder_of_workspace(asked: &str) -> Result<PathBuf> {
    let found = library::workspace(asked, None).map_err(|why| Error::usage(Unreadable { asked: asked.into(), why }))?;
    let found = found.ok_or_else(|| Error::usage(no_workspace(asked)))?;
    found.folder.ok_or_else(|| Error::usage(OnlyAnExample { name: asked.into() }))
}

fn load(asked: &str, home: Option<&Path>, options: &WorkspaceOptions) -> Result<Loaded> {
    let found = library::workspace(asked, home).map_err(|why| Error::usage(Unreadable { asked: asked.into(), why }))?;
    let found = found.ok_or_else(|| Error::usage(no_workspace(asked)))?;
    let mut file = WorkspaceFile::parse(&found.label, &found.text).map_err(Error::recipe)?;
    for set in &options.set {
        file.set(set).map_err(Error::usage)?;
    }
    // A neighbour that is wrong itself is its own owner's business.
    let neighbours: Vec<WorkspaceFile> =
        library::neighbours(&found).iter().filter_map(|(label, text)| WorkspaceFile::parse(label, text).ok()).collect();
    let ssh_said = SshSaid { user: file.says("ssh.user"), port: file.says("ssh.port") };
    let mut workspace = file.into_checked(&neighbours.iter().collect::<Vec<_>>()).map_err(Error::recipe)?;
    if let Some(folder) = &found.folder {
        workspace.artifacts.pins = Pins::beside(folder).map_err(Error::usage)?;
        artifact::pins_agree(&workspace).map_err(Error::usage)?;
        artifact::pin_image(&mut workspace);
    }
    if options.lab {
        kthw_lab::pin(&mut workspace);
    }
    if options.lab && workspace.ssh.key_file.is_none() && workspace.ssh.authorized_keys.is_empty() {
        workspace.ssh.authorized_keys.push(kthw_lab::PUBLIC_KEY.into());
    }
    Ok(Loaded { workspace: Arc::new(workspace), folder: found.folder, ssh_said })
}

fn no_workspace(asked: &str) -> NoWorkspace {
    let names = library::workspace_names();
    let help = nearest(asked, names.iter().map(String::as_str)).map_or_else(
        || format!("there are: {}; or name a folder that holds a workspace.yaml", names.join(", ")),
        |name| format!("did you mean `{name}`?"),
    );
    NoWorkspace { asked: asked.into(), help }
}

/// The store of a workspace.
///
/// # Errors
/// When its folder cannot be made.
pub fn store_of(workspace: &Workspace, options: &WorkspaceOptions) -> Result<Store> {
    Store::open(options.store.as_deref(), &workspace.name, options.lab)
}

/// A moment in milliseconds since 1970, as `2026-11-28T21:00:05Z`.
pub fn moment(ms: u64) -> String {
    let second = i64::try_from(ms / 1000).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    second.map_or_else(|| format!("{ms} ms"), |second| second.to_string())
}

/// The secrets beside a workspace; nothing is decrypted yet. An embedded workspace has none.
///
/// # Errors
/// A secrets file that is there and is not an encrypted SOPS file.
pub fn secrets_of(workspace: &Loaded) -> Result<Secrets> {
    match &workspace.folder {
        Some(folder) => Secrets::open(folder.join("secrets.sops.yaml")),
        None => Ok(Secrets::from_values("the embedded workspace", std::iter::empty::<(String, Secret)>())),
    }
}

/// The peers of a run, real or simulated.
pub enum Target {
    /// Real machines.
    Real(Peers),
    /// The lab.
    Lab(lab::LabTarget),
}

impl Target {
    /// The peers.
    pub fn peers(&self) -> &Peers {
        match self {
            Self::Real(peers) => peers,
            Self::Lab(lab) => lab.peers(),
        }
    }

    /// The pinned host keys.
    fn known_hosts(&self) -> Result<&KnownHosts> {
        self.peers().get::<KnownHosts>()
    }

    /// Lets no host key be taken at first sight.
    ///
    /// # Errors
    /// When there are no known hosts.
    pub fn never_trust_at_first_sight(&self) -> Result<()> {
        self.known_hosts().map(|known| known.set_first_use(FirstUse::Never))
    }

    /// Lets host keys for which nobody can vouch be taken at first sight again, for a run.
    ///
    /// # Errors
    /// When there are no known hosts.
    pub fn trust_at_first_sight(&self) -> Result<()> {
        self.known_hosts().map(|known| known.set_first_use(FirstUse::default()))
    }

    /// Tells which host keys were or will be taken at first sight; each once.
    ///
    /// # Errors
    /// When there are no known hosts.
    pub fn tell_trust(&self, ui: &Ui) -> Result<()> {
        let warnings = self.known_hosts()?.take_warnings();
        warnings.iter().for_each(|warning| ui.note(&format!("warning: {warning}")));
        Ok(())
    }

    /// Keeps the lab's world for the next call; real peers keep themselves.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn save(&self) -> Result<()> {
        match self {
            Self::Real(_) => Ok(()),
            Self::Lab(lab) => lab.save(),
        }
    }

    /// Tells what the lab was asked for and does not play; each once.
    pub fn tell_unplayed(&self, ui: &Ui) {
        if let Self::Lab(lab) = self {
            lab.take_unplayed()
                .iter()
                .for_each(|what| ui.note(&format!("warning: the lab does not play `{what}`; what it does is unknown")));
        }
    }

    /// Where the lab's world is kept.
    pub fn place(&self) -> String {
        match self {
            Self::Real(_) => String::new(),
            Self::Lab(lab) => lab.place(),
        }
    }
}

/// The peers of a prepared recipe.
///
/// # Errors
/// Missing settings; nobody is reached yet.
pub fn connect(prepared: &Prepared, options: &WorkspaceOptions) -> Result<Target> {
    connect_workspace(&prepared.workspace, options)
}

/// What this workspace made and does not name any more. Looked for where a recipe is about machines.
///
/// # Errors
/// When Proxmox cannot be asked.
pub async fn orphans(prepared: &Prepared, target: &Target) -> Result<Vec<Owned>> {
    let about_machines = prepared.evaluated.iter().flat_map(|one| &one.declared).any(|declared| declared.id().kind() == "proxmox.vm");
    if !about_machines {
        return Ok(Vec::new());
    }
    let owned = Orphans(prepared.workspace.workspace.clone()).owned(target.peers()).await?;
    Ok(kthw_engine::orphans(owned, &prepared.evaluated))
}

/// The phase that removes orphans; none when there are none.
///
/// # Errors
/// Never with the text that it is made of.
pub fn without_orphans(orphans: Vec<Owned>) -> Result<Option<Evaluated>> {
    if orphans.is_empty() {
        return Ok(None);
    }
    let source = Source {
        name: "not named any more".into(),
        path: "--prune".into(),
        text: "const VERSION = \"1.0.0\";\nfn declare(cluster) {}\n".into(),
    };
    let recipe = Recipe::parse(&kthw_stdlib::script_engine(), source).map_err(Error::recipe)?;
    Ok(Some(kthw_engine::pruned(recipe, orphans)))
}

/// The peers of a workspace.
///
/// # Errors
/// Missing settings; nobody is reached yet.
pub fn connect_workspace(workspace: &Loaded, options: &WorkspaceOptions) -> Result<Target> {
    if !options.lab && workspace.folder.is_none() {
        return Err(Error::usage(OnlyAnExample { name: workspace.name.clone() }));
    }
    if !options.lab
        && let Some(example) = example_behind(workspace)
    {
        return Err(Error::usage(StillAnExample { name: workspace.name.clone(), domain: workspace.domain.clone(), example }));
    }
    let store = store_of(workspace, options)?;
    if options.lab { Ok(Target::Lab(lab::open(workspace, &store, options)?)) } else { Ok(Target::Real(real::open(workspace, &store)?)) }
}

/// The embedded workspace whose domain and addresses this one still has, wherever its file lies: they belong to somebody else.
fn example_behind(workspace: &Workspace) -> Option<String> {
    library::embedded_workspaces().find_map(|(label, text)| {
        let example = WorkspaceFile::parse(&label, text).ok()?.into_workspace();
        let same = |node: &NodeSpec| example.nodes.iter().any(|theirs| theirs.address == node.address);
        (example.domain == workspace.domain && workspace.nodes.iter().any(same)).then_some(label)
    })
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("workspace `{name}` still has the domain {domain} and addresses of the example {example}; they are not yours")]
#[diagnostic(
    code(kthw::workspace::still_an_example),
    help("write your own domain, addresses and VM ids into workspace.yaml, or look at the example with `--lab`")
)]
struct StillAnExample {
    name: String,
    domain: String,
    example: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("which workspace is {recipe} for?")]
#[diagnostic(code(kthw::workspace::which), help("name one with `--workspace`, or put `const WORKSPACE = \"…\";` into the recipe"))]
struct WhichWorkspace {
    recipe: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("which workspace?")]
#[diagnostic(code(kthw::workspace::which), help("name one with `--workspace`, such as `-w ubuntu`"))]
struct NameOne;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("workspace `{name}` is an example inside of kthw; its addresses are not yours")]
#[diagnostic(
    code(kthw::workspace::example),
    help("copy the project's `workspaces/{name}` and name the copy with `--workspace`, or look at the example with `--lab`")
)]
struct OnlyAnExample {
    name: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no workspace `{asked}`")]
#[diagnostic(code(kthw::workspace::missing), help("{help}"))]
struct NoWorkspace {
    asked: String,
    help: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read workspace `{asked}`: {why}")]
#[diagnostic(code(kthw::workspace::unreadable), help("check the file's permissions"))]
struct Unreadable {
    asked: String,
    why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the workspace cannot be handed to a script: {why}")]
#[diagnostic(code(kthw::workspace::unusable), help("look at `values`: only texts, numbers, lists and maps can be handed over"))]
struct Unusable {
    why: String,
}
