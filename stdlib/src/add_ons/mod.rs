//! What kthw knows of upstream's manifests: which files a release of an add-on has, where they are, and the digests of those that were in hand.
//!
//! An add-on is one file here and one line in its table ([guide](../../../docs/guides/add-an-add-on.md)). A release is one row.

/// Declares the files and the table of them. A new add-on is one line here.
macro_rules! add_ons {
    ($($file:ident: $facts:ident,)*) => {
        $(mod $file; pub use $file::$facts;)*

        /// All of them, in the order in which clusters get them.
        pub const ALL: &[&Facts] = &[$(&$facts),*];
    };
}

add_ons! {
    calico: CALICO,
    metallb: METALLB,
    traefik: TRAEFIK,
    cert_manager: CERT_MANAGER,
    metrics_server: METRICS_SERVER,
    local_path: LOCAL_PATH,
}

use crate::{
    artifact::{Pins, Upstream},
    kubernetes::{AddOn, Place},
    versions::Minor,
    workspace::Workspace,
};
use kthw_engine::{Id, nearest};
use miette::Diagnostic;
use semver::Version;
use std::fmt;

/// What is known of one add-on.
pub struct Facts {
    /// The project's name, as in the paths of a mirror.
    pub project: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The lines of releases that kthw knows, oldest first.
    pub lines: fn() -> Vec<Minor>,
    /// A release of the newest line.
    pub newest: &'static str,
    /// Where the workspace says which version is wanted.
    pub named: Named,
    /// The files of a release, in the order of their use.
    pub files: fn(Minor) -> &'static [&'static str],
    /// Where upstream serves these files: what comes before `v<version>`, and what comes after it.
    pub served: (&'static str, &'static str),
    /// The files whose bytes somebody of this project has held.
    pub rows: &'static [Row],
}

/// Where a workspace says which version of an add-on it wants.
#[derive(Clone, Copy)]
pub enum Named {
    /// In a block or a field of its own: its path, and the version that stands there.
    Own(&'static str, fn(&Workspace) -> Option<&Version>),
    /// Under `add_ons`, by the project's name: it has no settings.
    InAddOns,
}

/// A file with its digest. It stands in a table only if that was made of bytes in hand; whatever has no row is refused until it is pinned.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The release, without a leading `v`.
    pub version: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: &'static str,
    /// Where the bytes came from.
    pub from: &'static str,
}

/// Where many rows come from. A test compares them with the files (`KTHW_TEST_DATA`).
const TEST_DATA: &str = "from a copy of upstream's file in the project's test data";

impl Facts {
    /// The field of the workspace that says which version is wanted.
    pub fn field(&self) -> String {
        match self.named {
            Named::Own(field, _) => field.into(),
            Named::InAddOns => format!("add_ons.{}", self.project),
        }
    }

    /// The version that a workspace wants; `None` where it does not name the add-on.
    pub fn wanted<'w>(&self, workspace: &'w Workspace) -> Option<&'w Version> {
        match self.named {
            Named::Own(_, version) => version(workspace),
            Named::InAddOns => workspace.add_ons.get(self.project),
        }
    }

    /// The add-on that `add_ons` of a workspace may name so.
    ///
    /// # Errors
    /// A name that no add-on without settings has.
    pub fn named(project: &str) -> Result<&'static Self, UnknownAddOn> {
        let found = Self::without_settings().find(|facts| facts.project == project);
        found.ok_or_else(|| UnknownAddOn { name: project.into(), help: UnknownAddOn::next(project) })
    }

    /// Those that have no settings beside their version.
    pub fn without_settings() -> impl Iterator<Item = &'static Self> {
        ALL.iter().copied().filter(|facts| matches!(facts.named, Named::InAddOns))
    }

    /// The files that install `version`. `None` for a version of which kthw does not know what files it has.
    pub fn files(&self, version: &Version) -> Option<Vec<Upstream>> {
        let line = Minor::of(version);
        let (before, after) = self.served;
        let after = if after.is_empty() { String::new() } else { format!("{after}/") };
        let upstream = |file: &&str| Upstream {
            project: self.project.into(),
            version: format!("v{version}"),
            file: (*file).into(),
            url: format!("{before}/v{version}/{after}{file}"),
        };
        (self.lines)().contains(&line).then(|| (self.files)(line).iter().map(upstream).collect())
    }

    /// The add-on in the cluster at `place`, of this `version` (with or without a leading `v`). Digests that kthw does not know are taken from `pins`.
    ///
    /// # Errors
    /// A version of which kthw does not know what files it has.
    pub fn install(&self, id: Id, place: Place, version: &str, pins: &Pins) -> Result<AddOn, UnknownVersion> {
        let number = Version::parse(version.trim_start_matches('v')).ok();
        let known = number.and_then(|number| Some((self.files(&number)?, number)));
        let (files, number) = known.ok_or_else(|| UnknownVersion::new(self, version))?;
        Ok(AddOn::of_files(id, place, &format!("v{number}"), files, pins))
    }

    /// The row of a file.
    fn row(&self, upstream: &Upstream) -> Option<&'static Row> {
        let version = upstream.version.trim_start_matches('v');
        self.rows.iter().find(|row| row.version == version && row.file == upstream.file)
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.project)
    }
}

/// The files that `workspace` wants of every add-on that it names.
pub fn files_of(workspace: &Workspace) -> Vec<Upstream> {
    let wanted = ALL.iter().filter_map(|facts| facts.files(facts.wanted(workspace)?));
    wanted.flatten().collect()
}

/// The digest of a file, and where it comes from, if kthw knows it.
pub fn known(upstream: &Upstream) -> Option<(&'static str, &'static str)> {
    let facts = ALL.iter().find(|facts| facts.project == upstream.project)?;
    facts.row(upstream).map(|row| (row.sha256, row.from))
}

/// A name that no add-on has.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("kthw knows no add-on `{name}`")]
#[diagnostic(code(kthw::kubernetes::unknown_add_on), help("{help}"))]
pub struct UnknownAddOn {
    name: String,
    help: String,
}

impl UnknownAddOn {
    /// What to write in place of `name`.
    pub(crate) fn next(name: &str) -> String {
        let known: Vec<&str> = Facts::without_settings().map(|facts| facts.project).collect();
        let near = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        format!("{near}kthw knows {}; MetalLB and Traefik have blocks of their own", known.join(", "))
    }
}

/// A script names no version, and does not say either that the add-on is to go.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("`{function}` needs `version`")]
#[diagnostic(
    code(kthw::kubernetes::no_version),
    help("say which, such as `version: \"{newest}\"`; only with `present: false` there is none")
)]
pub struct NoVersion {
    function: &'static str,
    newest: &'static str,
}

impl NoVersion {
    /// Of a call of `function` for this add-on.
    pub fn of(function: &'static str, facts: &Facts) -> Self {
        Self { function, newest: facts.newest }
    }
}

/// A version of a minor that kthw does not know.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("kthw does not know {title} {version}; it knows the releases of {known}")]
#[diagnostic(code(kthw::kubernetes::unknown_version), help("write a full version, such as `{newest}`, or set `{field}` in the workspace"))]
pub struct UnknownVersion {
    title: &'static str,
    version: String,
    known: String,
    newest: &'static str,
    field: String,
}

impl UnknownVersion {
    fn new(facts: &Facts, version: &str) -> Self {
        let known = Minor::list(&(facts.lines)());
        Self { title: facts.title, version: version.into(), known, newest: facts.newest, field: facts.field() }
    }
}

#[cfg(test)]
mod tests;
