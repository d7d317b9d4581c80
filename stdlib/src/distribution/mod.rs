//! What differs between distributions, in one table: a family's package manager ([`Family`]) and the facts of each release ([`Release`]).
//!
//! Everything here is pure: it says what to ask and what to do, and understands answers. Recipes see it as `cluster.os`; no recipe and no
//! resource asks for a distribution's name.

/// What a node says where an index is signed by a key that has expired. A script quotes it with `'`.
macro_rules! key_expired {
    () => {
        "the key that signs this repository has expired: its publisher has another one, or this one with a new end; add it to `keys` of the repository in \
         the workspace (for pkgs.k8s.io to `packages.kubernetes_keys`)"
    };
}
/// What it says where another key has signed it.
macro_rules! key_unknown {
    () => {
        "none of the keys that are pinned has signed this index: if its publisher has another one by now, add that to `keys` of the repository in the \
         workspace (for pkgs.k8s.io to `packages.kubernetes_keys`); a key stays there until the next one signs"
    };
}
use {key_expired, key_unknown};

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
mod displaced;
mod dnf;
mod nginx;
mod pending;
mod release;
mod rpm;
mod script;
mod template;
mod updates;
mod zypper;

pub use apt::{APT_CHECK_SOURCE, APT_INSTALL, APT_LOCK_HOLDERS, APT_UPDATE, DPKG_FORMAT};
pub use displaced::{APT_DISPLACED, DNF_DISPLACED, ZYPPER_DISPLACED};
pub use dnf::{DNF_FORGET_KEY, DNF_HOLD, DNF_INSTALL, DNF_LIST, DNF_LOCK_HOLDERS, DNF_REFRESH};
pub use nginx::Nginx;
pub use pending::{Pending, ZYPPER_FETCH};
pub use release::{Network, Release, Security, Support, Time};
pub use rpm::{FETCH_KEY, RPM_TRUST_KEY};
pub use script::facts;
pub use template::{BUILD_VERSION, CLEAN, ENABLE_AGENT, GUEST_AGENT};
pub use updates::AutomaticUpdates;
pub use zypper::{ZYPPER_FORGET_KEY, ZYPPER_HOLD, ZYPPER_INSTALL, ZYPPER_LIST, ZYPPER_LOCK_HOLDERS, ZYPPER_REFRESH};

use crate::{
    proxy::{File, Proxies},
    workspace::{UpdatePolicy, Updates, Workspace},
};
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
    /// The SHA-256 of each key that signs it.
    pub keys: &'a [String],
    /// Whether its index is signed, and not its packages alone.
    pub signed_index: bool,
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

    /// Asks what installing it would remove or lower, by a dry run: one name in a line.
    fn displaced(&self, name: &str, version: Option<&str>) -> Probe;

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

    /// The file of a key that signs a repository; `sha256` is its content's.
    fn key_file(&self, name: &str, sha256: &str) -> String;

    /// Fails, before anything is written, where a new repository would keep others from being read.
    fn check_source(&self, source: &Source<'_>) -> Option<Action>;

    /// Fetches a key to [`key_file`](Self::key_file), and fails unless this is its SHA-256.
    fn fetch_key(&self, name: &str, url: &str, sha256: &str) -> Vec<Action>;

    /// Makes a key that is in this file known to what verifies packages, and keeps in mind whether it was known before.
    fn trust_key(&self, file: &str) -> Vec<Action>;

    /// Takes a key that a repository does not name any more away, and its file. What verifies packages goes on knowing it if it did so before kthw
    /// came.
    fn forget_key(&self, source: &Source<'_>, file: &str) -> Vec<Action>;

    /// Fetches a repository's index, and fails unless it is signed by one of its keys. An expired key is named as such.
    fn refresh(&self, source: &Source<'_>) -> Vec<Action>;

    /// The files that tell it of proxies.
    fn proxy_files(&self, proxies: &Proxies<'_>) -> Vec<(String, File)>;

    /// Throws away what was fetched and is installed.
    fn drop_caches(&self) -> Action;

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

/// The start of a digest, long enough to tell the keys of a repository apart in the names of their files.
fn short(sha256: &str) -> &str {
    sha256.get(..16).unwrap_or(sha256)
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
