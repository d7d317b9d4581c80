//! `kthw versions`: which versions go together, and which way leads from one set of them to another.
use crate::{
    options::WorkspaceOptions,
    session::{self, Loaded},
    ui::Ui,
};
use clap::Args;
use kthw_engine::{Error, Result};
use kthw_stdlib::versions::{Component, Minor, Set, Version, check, kubernetes, systems, target, way};

mod list;
mod show;

pub use show::in_words;

/// Show which versions go together, and the steps from one set of them to another
///
/// Without `--to`: the table that kthw knows, with the page that each row comes from. With `--to`: the steps to that Kubernetes version, one
/// component and one allowed hop at a time, with what upstream asks for in between. No step leaves what upstream names; a start that is outside
/// comes inside first. Nothing is reached and nothing is changed.
#[derive(Debug, Args)]
pub struct Versions {
    /// Kubernetes version to start from, such as `1.31.9`, or `1.31` for its newest known patch; the workspace's when absent
    #[arg(long, value_name = "VERSION", requires = "to")]
    from: Option<String>,
    /// Kubernetes version to go to
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Another component at the start, such as `containerd=1.7.27`; may be repeated
    #[arg(long, value_name = "COMPONENT=VERSION", requires = "to")]
    with: Vec<String>,
    /// A component's version at the end, such as `calico=3.32.1`; may be repeated
    #[arg(long, value_name = "COMPONENT=VERSION", requires = "to")]
    want: Vec<String>,
    /// Release of the nodes' distribution, such as `debian-12`
    #[arg(long, value_name = "RELEASE", requires = "to")]
    system: Option<String>,
    /// Workspace whose versions are the start; without `--to` they are checked
    #[arg(short, long, value_name = "NAME|PATH")]
    workspace: Option<String>,
    /// Set a field of the workspace for this call, such as `versions.calico=3.29.7`; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", requires = "workspace")]
    set: Vec<String>,
}

impl Versions {
    pub fn run(self, ui: &Ui) -> Result<u8> {
        let Some(to) = &self.to else {
            self.list(ui)?;
            return Ok(0);
        };
        let from = self.start()?;
        let goal = kubernetes_version(to)?;
        let to = added(target(&from, &goal), &self.want)?;
        let steps = way(&from, &to).map_err(|no_way| Error::refused(show::refusal(no_way)))?;
        show::way(ui, &from, &to, &steps);
        Ok(0)
    }

    /// The workspace that was named, if one was.
    fn workspace(&self) -> Result<Option<Loaded>> {
        let options = WorkspaceOptions { workspace: self.workspace.clone(), set: self.set.clone(), ..WorkspaceOptions::default() };
        self.workspace.as_ref().map(|_| session::workspace_of(&options)).transpose()
    }

    /// The table, and with a workspace whether its set is right.
    fn list(&self, ui: &Ui) -> Result<()> {
        match self.workspace()? {
            Some(workspace) => {
                let set = workspace.version_set().map_err(Error::usage)?;
                show::problems(ui, &workspace.name, &set, &check(&set));
            }
            None => list::list(ui),
        }
        Ok(())
    }

    /// The set to start from: the workspace's, or of the Kubernetes version alone with the newest Calico and containerd that upstream names for it.
    fn start(&self) -> Result<Set> {
        let asked = self.from.as_deref().map(kubernetes_version).transpose()?;
        let set = match (asked, self.workspace()?) {
            (None, None) => return Err(Error::usage(NoStart)),
            (None, Some(workspace)) => workspace.version_set().map_err(Error::usage)?,
            (Some(kubernetes), Some(workspace)) => workspace.version_set().map_err(Error::usage)?.with(Component::Kubernetes, kubernetes),
            (Some(kubernetes), None) => with_defaults(kubernetes),
        };
        let system = self.system.as_deref().map(|id| systems::by_id(id).ok_or_else(|| Error::usage(no_system(id)))).transpose()?;
        Ok(added(set, &self.with)?.on(system))
    }
}

/// What a cluster of this Kubernetes version has from kthw when nothing else is said: the newest right line of each.
fn with_defaults(kubernetes: Version) -> Set {
    [Component::Containerd, Component::Calico].into_iter().fold(Set::new(kubernetes), |set, component| {
        let newest_first = kthw_stdlib::versions::add_ons::lines(component).iter().rev();
        let right = newest_first.map(|line| set.clone().with(component, line.newest())).find(|set| check(set).is_empty());
        right.unwrap_or(set)
    })
}

/// The set with every `COMPONENT=VERSION`.
fn added(set: Set, said: &[String]) -> Result<Set> {
    said.iter().try_fold(set, |set, said| {
        let wrong = || Error::usage(NotAComponent { said: said.clone(), known: Component::ALL.map(Component::key).join(", ") });
        let (key, version) = said.split_once('=').ok_or_else(wrong)?;
        let component = Component::by_key(key.trim()).ok_or_else(wrong)?;
        Ok(set.with(component, full(version)?))
    })
}

fn full(said: &str) -> Result<Version> {
    let said = said.trim();
    let bare = said.strip_prefix('v').unwrap_or(said);
    Version::parse(bare).map_err(|_| Error::usage(NotAVersion { said: said.into() }))
}

/// A full version, or the newest known patch of a minor one.
fn kubernetes_version(said: &str) -> Result<Version> {
    let bare = said.strip_prefix('v').unwrap_or(said);
    let minor = bare.split_once('.').and_then(|(major, minor)| Some(Minor(major.parse().ok()?, minor.parse().ok()?)));
    match minor.and_then(kubernetes::known) {
        Some(release) => Ok(release.newest()),
        None => full(said),
    }
}

fn no_system(id: &str) -> NoSystem {
    let known: Vec<&str> = systems::SYSTEMS.iter().map(|system| system.id).collect();
    NoSystem { id: id.into(), known: known.join(", ") }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no version to start from")]
#[diagnostic(code(kthw::versions::no_start), help("name one with `--from`, or a workspace with `-w`"))]
struct NoStart;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{said}` is not a full version")]
#[diagnostic(code(kthw::versions::not_a_version), help("write it as upstream calls its releases, such as `1.31.9`"))]
struct NotAVersion {
    said: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{said}` names no component with a version")]
#[diagnostic(code(kthw::versions::not_a_component), help("write it as `calico=3.29.7`; the components are {known}"))]
struct NotAComponent {
    said: String,
    known: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("kthw does not know the release `{id}` of a distribution")]
#[diagnostic(code(kthw::versions::no_system), help("it knows {known}"))]
struct NoSystem {
    id: String,
    known: String,
}
