//! What differs between distributions, in one table: a family's package manager ([`Family`]) and the facts of each release ([`Release`]).
//!
//! Everything here is pure: it says what to ask and what to do, and understands answers. Recipes see it as `cluster.os`; no recipe and no
//! resource asks for a distribution's name.

/// Declares the distributions, each a file with its package manager (`FAMILY`) and its releases (`RELEASES`). A new one is one line.
macro_rules! distributions {
    ($($name:ident = $variant:ident,)*) => {
        $(mod $name;)*

        /// The operating systems that recipes exist for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)]
        pub enum Distribution {
            $($variant,)*
        }

        impl Distribution {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As a workspace spells it.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// Its releases. Where a workspace names none, the first is meant: it stays the first.
            pub fn releases(self) -> &'static [Release] {
                match self {
                    $(Self::$variant => $name::RELEASES,)*
                }
            }

            /// Its package manager.
            pub fn family(self) -> &'static dyn Family {
                match self {
                    $(Self::$variant => $name::FAMILY,)*
                }
            }
        }
    };
}

distributions! {
    ubuntu = Ubuntu,
    debian = Debian,
    rocky = Rocky,
    suse = Suse,
}

mod apt;
mod apt_scripts;
mod dnf;
mod pending;
mod release;
mod rpm;
mod script;
mod updates;
mod zypper;

pub use apt::{APT_CHECK_SOURCE, APT_INSTALL, APT_LOCK_HOLDERS, APT_UPDATE, DPKG_FORMAT};
pub use dnf::{DNF_HOLD, DNF_INSTALL, DNF_LIST, DNF_LOCK_HOLDERS};
pub use pending::{Pending, ZYPPER_FETCH};
pub use release::{Network, Release, Security, Support, Time};
pub use rpm::FETCH_KEY;
pub use script::facts;
pub use updates::AutomaticUpdates;
pub use zypper::{ZYPPER_HOLD, ZYPPER_INSTALL, ZYPPER_LIST, ZYPPER_LOCK_HOLDERS};

use crate::workspace::{UpdatePolicy, Updates, Workspace};
use kthw_engine::node::{Action, Probe};
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// How long kthw waits for an installation: for locks, downloads and what packages do when they are configured, in seconds.
const INSTALL_LIMIT_S: u32 = 3600;
/// How long a repository's index may take, in seconds.
const INDEX_LIMIT_S: u32 = 900;

/// A repository as a family writes it down.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, a plain word.
    pub name: &'a str,
    /// Its URL.
    pub url: &'a str,
    /// The suite of one that is not flat (apt only).
    pub suite: Option<&'a str>,
    /// The suite's components.
    pub components: &'a [String],
}

/// A package as it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Whether upgrades keep away from it.
    pub held: bool,
    /// Its version, as the package manager spells it.
    pub version: String,
}

/// A package manager: what it is asked, what it is told to do, and where it keeps what.
pub trait Family: Debug + Send + Sync {
    /// The program's name: `apt`, `dnf`, `zypper`.
    fn name(&self) -> &'static str;

    /// Lists what is installed, one line each: name, state, version, as [`installed`] reads them. All packages of a node share it.
    fn list(&self) -> Probe;

    /// Whether an installed version is the wanted one; a family may let a wanted version leave out the package's own revision.
    fn is_version(&self, wanted: &str, installed: &str) -> bool;

    /// Installs a package, in this version if one is given. It waits for the package manager's locks, finishes what was interrupted, and removes
    /// and downgrades nothing.
    fn install(&self, name: &str, version: Option<&str>) -> Action;

    /// Keeps upgrades away from a package, or lets them at it again.
    fn hold(&self, name: &str, held: bool) -> Action;

    /// A script that prints `PID NAME FILE` for each process that holds a lock of the package manager.
    fn lock_holders(&self) -> &'static str;

    /// What a person looks at when such a lock stays.
    fn lock_help(&self) -> &'static str;

    /// What is wrong with a repository's form here, if anything.
    fn source_fault(&self, source: &Source<'_>) -> Option<String>;

    /// The file that names a repository.
    fn source_file(&self, name: &str) -> String;

    /// That file's content.
    fn source_text(&self, source: &Source<'_>) -> String;

    /// The file of a repository's signing key.
    fn key_file(&self, name: &str) -> String;

    /// Fails, before anything is written, where a new repository would keep others from being read.
    fn check_source(&self, source: &Source<'_>) -> Option<Action>;

    /// Fetches a key to [`key_file`](Self::key_file), and fails unless this is its SHA-256.
    fn fetch_key(&self, name: &str, url: &str, sha256: &str) -> Vec<Action>;

    /// Fetches a repository's index, and fails unless it is signed by its key.
    fn refresh(&self, name: &str) -> Vec<Action>;

    /// The version of a Kubernetes package of `pkgs.k8s.io`; `revision` is the package's own.
    fn kubernetes_version(&self, version: &Version, revision: Option<&str>) -> String;

    /// The folder of this family's packages in `pkgs.k8s.io`.
    fn kubernetes_folder(&self) -> &'static str;

    /// Asks for the updates that a policy allows, by a dry run that changes nothing. With what it prints goes the answer to [`list`](Self::list).
    fn pending(&self, policy: UpdatePolicy) -> Probe;

    /// What the answer to [`pending`](Self::pending) says.
    fn pending_of(&self, policy: UpdatePolicy, said: &str, listed: &str) -> Vec<Pending>;

    /// Brings the package lists of all repositories up to date.
    fn fetch_lists(&self) -> Action;

    /// What has to be so for a node to install updates by itself as a policy says, or to install none.
    fn automatic_updates(&self, updates: Updates) -> AutomaticUpdates;
}

/// Every release of every distribution.
pub fn releases() -> impl Iterator<Item = &'static Release> {
    Distribution::ALL.iter().flat_map(|distribution| distribution.releases())
}

/// The release that a workspace's nodes run: the one that it names, else the first of its distribution.
pub fn release(workspace: &Workspace) -> &'static Release {
    let of_it = workspace.distribution.releases();
    let named = workspace.release.as_deref().and_then(|name| of_it.iter().find(|release| release.version == name));
    named.unwrap_or(&of_it[0])
}

/// How a package is installed, from the answer to [`Family::list`]; `None` for one that is not, or not wholly.
pub fn installed(listed: &str, name: &str) -> Option<Installed> {
    listed.lines().find_map(|line| {
        // The state is two letters and a third or a space: wanted, is, error (dpkg-query(1)).
        let (state, version) = line.strip_prefix(name)?.strip_prefix(' ')?.split_at_checked(3)?;
        let is_installed = state.as_bytes().get(1) == Some(&b'i');
        is_installed.then(|| Installed { held: state.starts_with('h'), version: version.trim().to_owned() })
    })
}
