//! `ssh.directory`: a directory with its parents.
use super::declare::{Mode, Owner, checked_path, declare, path_at};
use super::file::kind_field;
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Finding, PathKind, PathState, Probe},
};
use rhai::plugin::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default = "default_mode")]
    mode: Mode,
    owner: Option<Owner>,
}

fn default_mode() -> Mode {
    Mode(0o755)
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a directory, with mode 0755 and whatever owner it has.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::directory(node, "/etc/containerd/certs.d");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "directory")]
    pub fn directory(cx: NativeCallContext, node: Node, path: &str) -> Rhai<Id> {
        directory_with(cx, node, path, Map::new())
    }

    /// Keeps a directory. Parents that are missing are made with mode 0755.
    ///
    /// Options: `mode` (text in octal, `"0755"` by default) and `owner` (`user:group`; left as it is by default).
    ///
    /// ```rhai
    /// for node in cluster.control_planes {
    ///     ssh::directory(node, "/var/lib/etcd", #{ mode: "0700", owner: "root:root" });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "directory")]
    pub fn directory_with(cx: NativeCallContext, node: Node, path: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::directory", options, |spec: Spec| Directory::new(&node, path, spec))
    }
}

/// A directory on a node.
#[derive(Debug)]
pub struct Directory {
    node: String,
    path: String,
    mode: Mode,
    owner: Option<Owner>,
}

impl Directory {
    fn new(node: &Node, path: &str, spec: Spec) -> std::result::Result<Self, BadOption> {
        let path = checked_path("ssh::directory", path)?;
        Ok(Self { node: node.name().to_owned(), path, mode: spec.mode, owner: spec.owner })
    }
}

impl NodeResource for Directory {
    type Live = PathState;

    fn id(&self) -> Id {
        Id::new("ssh.directory", format!("{}{}", self.node, self.path))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::path(&self.path)]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<PathState>> {
        Ok(path_at(findings, 0).cloned())
    }

    fn diff(&self, live: Option<&PathState>) -> Change {
        let Some(live) = live else {
            let owner = self.owner.as_ref().map(|owner| Field::new("owner", &owner.0));
            return Change::create([Some(Field::new("mode", self.mode)), owner].into_iter().flatten());
        };
        if live.kind != PathKind::Directory {
            // Whatever stands there is somebody's; it is never removed to make room.
            let kind = kind_field(&live.kind, "directory").map(|field| field.at(kthw_engine::Cost::Replacement));
            return Change::between([kind]);
        }
        let owner = self.owner.as_ref().and_then(|owner| field("owner", Owner::of(live), owner.0.clone()));
        Change::between([field("mode", Mode(live.mode), self.mode), owner])
    }

    fn work(&self, _: Option<&PathState>, _: bool) -> Work {
        let owner = self.owner.as_ref().map(|owner| owner.0.clone());
        Work::Actions(vec![Action::Directory { path: self.path.clone(), mode: self.mode.0, owner }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, node};
    use expect_test::expect;

    #[test]
    fn mode_and_owner_are_kept() {
        let folder = PathState { kind: PathKind::Directory, mode: 0o755, sha256: None, ..a_file("", true) };
        let plain = Directory::new(&node(), "/var/lib/etcd", Spec { mode: Mode(0o755), owner: None }).unwrap();
        let owned = Directory::new(&node(), "/var/lib/etcd", Spec { mode: Mode(0o700), owner: Some(Owner("etcd:etcd".into())) }).unwrap();
        let found = |state: &PathState| [Finding::Path(Some(state.clone()))];
        check(&plain, &found(&folder), false, &expect!["= ssh.directory/cu1/var/lib/etcd\n"]);
        check(
            &plain,
            &[Finding::Path(None)],
            false,
            &expect!["+ ssh.directory/cu1/var/lib/etcd\n    mode: 0755\n  > directory /var/lib/etcd 0755\n"],
        );
        check(
            &owned,
            &found(&folder),
            false,
            &expect![
                "~ ssh.directory/cu1/var/lib/etcd\n    mode: 0755 -> 0700\n    owner: root:root -> etcd:etcd\n  > directory /var/lib/etcd 0700\n"
            ],
        );
        let change = plain.diff(Some(&a_file("", true)));
        assert_eq!(change.mark(), '!', "a file is never removed to make room");
    }
}
