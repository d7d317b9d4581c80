//! containerd's configuration as Kubernetes needs it, in each of containerd's formats. Pure.
use super::packages::pause_image;
use crate::workspace::{CgroupDriver, Workspace};
use kthw_engine::node::Action;

/// The file.
pub const PATH: &str = "/etc/containerd/config.toml";

/// Writes the file in the newest format that the installed containerd reads.
///
/// `$1` is the file; then three words for each format, oldest first: the major and the minor version that have it, and the text. Only
/// the node knows the version, because the package may have come in the same batch just before.
pub const WRITE_CONFIG: &str = r#"path=$1; shift; text=
said=$(containerd --version) || exit
version=${said#* * }; version=${version#v}
major=${version%%.*}; minor=${version#*.}; minor=${minor%%[!0-9]*}
case $major:$minor in :*|*:|*[!0-9:]*) echo "this is no version of containerd: $said" >&2; exit 1;; esac
while [ $# -ge 3 ]; do
  if [ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }; then text=$3; fi
  shift 3
done
[ -n "$text" ] || { echo "containerd $major.$minor is older than every format of its configuration that kthw writes" >&2; exit 1; }
new=$(mktemp "$path.XXXXXX") || exit
printf '%s' "$text" > "$new" && chmod 644 "$new" && mv -fT "$new" "$path" || { rm -f "$new"; exit 1; }"#;

/// The formats of containerd's configuration that kthw writes, oldest first.
///
/// Each containerd reads the older ones too, but says at every start that it had to migrate them. Which version has which is in
/// <https://github.com/containerd/containerd/blob/main/RELEASES.md> under "Daemon Configuration". From 2 to 3 the CRI plugin became
/// two; from 3 to 4 the servers (`grpc`, `ttrpc`, `debug`, `metrics`) became plugins, and kthw leaves those at their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of containerd 1.
    Two,
    /// Of containerd 2.0 to 2.2.
    Three,
    /// From containerd 2.3 on.
    Four,
}

impl Format {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::Two, Self::Three, Self::Four];

    /// What stands behind `version =`.
    pub fn number(self) -> u8 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// The first containerd that has it. Format 2 is older than 1.6, but that is the oldest one that Kubernetes still works with.
    fn since(self) -> Version {
        match self {
            Self::Two => Version { major: 1, minor: 6 },
            Self::Three => Version { major: 2, minor: 0 },
            Self::Four => Version { major: 2, minor: 3 },
        }
    }

    /// The newest format that this containerd reads; `None` for one that is too old for all of them.
    pub fn of(installed: Version) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|format| format.since() <= installed)
    }

    /// The whole file. Nothing of a file that was there before stays: some packages ship one that turns the CRI plugin off.
    pub fn text(self, workspace: &Workspace, kubernetes: &semver::Version) -> String {
        let (number, pause) = (self.number(), pause_image(workspace, kubernetes));
        let systemd = workspace.kubeadm.cgroup_driver == CgroupDriver::Systemd;
        let (images, runtime) = match self {
            Self::Two => (format!("[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{pause}\"\n"), "io.containerd.grpc.v1.cri"),
            Self::Three | Self::Four => (
                format!("[plugins.\"io.containerd.cri.v1.images\".pinned_images]\n  sandbox = \"{pause}\"\n"),
                "io.containerd.cri.v1.runtime",
            ),
        };
        let registry = if self == Self::Two { runtime } else { "io.containerd.cri.v1.images" };
        format!(
            r#"# Kept by kthw: changes here are undone by the next run.
version = {number}
disabled_plugins = []

{images}
[plugins."{registry}".registry]
  config_path = "/etc/containerd/certs.d"

[plugins."{runtime}".containerd]
  default_runtime_name = "runc"

[plugins."{runtime}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."{runtime}".containerd.runtimes.runc.options]
  SystemdCgroup = {systemd}
"#
        )
    }
}

/// A version of containerd, as far as its configuration depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u64,
    minor: u64,
}

impl Version {
    /// Reads what `containerd --version` prints: the program, its source, its version and more.
    pub fn parse(said: &str) -> Option<Self> {
        let word = said.split_whitespace().nth(2)?;
        let (major, rest) = word.strip_prefix('v').unwrap_or(word).split_once('.')?;
        let minor = rest.split(|sign: char| !sign.is_ascii_digit()).next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Writes the file on a node, in the format of the containerd that is installed there by then.
pub fn write(workspace: &Workspace, kubernetes: &semver::Version) -> Action {
    let mut argv: Vec<String> = ["sh", "-c", WRITE_CONFIG, "kthw-containerd-config", PATH].map(String::from).into();
    for format in Format::ALL {
        let since = format.since();
        argv.extend([since.major.to_string(), since.minor.to_string(), format.text(workspace, kubernetes)]);
    }
    Action::run_for(60, argv)
}

#[cfg(test)]
#[path = "containerd_tests.rs"]
mod tests;
