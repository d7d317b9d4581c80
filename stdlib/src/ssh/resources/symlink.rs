//! `ssh.symlink`: a symbolic link.
use super::declare::{NeedsOnly, checked_path, declare, path_at};
use super::file::kind_field;
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Cost, Field, Id, NodeResource, Removable, Result, Rhai, Work, count_text, field,
    node::{Action, Finding, PathKind, Probe},
};
use rhai::plugin::*;

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a symbolic link at `path` that points at `target`.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::symlink(node, "/usr/local/bin/kubectl", "/opt/kubernetes/kubectl");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "symlink")]
    pub fn symlink(cx: NativeCallContext, node: Node, path: &str, target: &str) -> Rhai<Id> {
        symlink_with(cx, node, path, target, Map::new())
    }

    /// Keeps a symbolic link at `path` that points at `target`. Options: `needs`, and `present: false` to have it removed.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     let folder = ssh::directory(node, "/opt/kubernetes");
    ///     ssh::symlink(node, "/srv/kubernetes", "/opt/kubernetes", #{ needs: [folder] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "symlink")]
    pub fn symlink_with(cx: NativeCallContext, node: Node, path: &str, target: &str, options: Map) -> Rhai<Id> {
        count_text(&cx, target.len())?;
        declare(&cx, "ssh::symlink", options, |_: NeedsOnly| Symlink::new(&node, path, target))
    }
}

/// A symbolic link on a node.
#[derive(Debug)]
pub struct Symlink {
    node: String,
    path: String,
    target: String,
}

impl Symlink {
    fn new(node: &Node, path: &str, target: &str) -> std::result::Result<Self, BadOption> {
        let path = checked_path("ssh::symlink", path)?;
        if target.is_empty() || target.len() > 4000 || target.chars().any(char::is_control) {
            return Err(BadOption::new("ssh::symlink", format!("a link cannot point at {target:?}")));
        }
        Ok(Self { node: node.name().to_owned(), path, target: target.to_owned() })
    }
}

impl NodeResource for Symlink {
    type Live = PathKind;
    const REMOVABLE: Removable = Removable::Declared;

    fn id(&self) -> Id {
        Id::new("ssh.symlink", format!("{}{}", self.node, self.path))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::path(&self.path)]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<PathKind>> {
        Ok(path_at(findings, 0).map(|state| state.kind.clone()))
    }

    fn diff(&self, live: Option<&PathKind>) -> Change {
        match live {
            None => Change::create([Field::new("target", &self.target)]),
            Some(PathKind::Symlink { target }) => Change::between([field("target", target.clone(), self.target.clone())]),
            // Whatever stands there is somebody's; it is never removed to make room.
            Some(other) => Change::between([kind_field(other, "symlink").map(|field| field.at(Cost::Replacement))]),
        }
    }

    fn keeps(&self, live: &PathKind) -> Option<String> {
        (!matches!(live, PathKind::Symlink { .. })).then(|| format!("{} is no symbolic link", self.path))
    }

    fn removal(&self, _: &PathKind) -> Work {
        Work::Actions(vec![Action::Remove { path: self.path.clone() }])
    }

    fn work(&self, _: Option<&PathKind>, _: bool) -> Work {
        Work::Actions(vec![Action::Symlink { path: self.path.clone(), target: self.target.clone() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{check_diff, node};
    use expect_test::expect;

    #[test]
    fn the_target_counts() {
        let link = Symlink::new(&node(), "/srv/k", "/opt/k").unwrap();
        let to = |target: &str| Some(PathKind::Symlink { target: target.into() });
        check_diff(&link, None, &expect!["+ ssh.symlink/cu1/srv/k\n    target: /opt/k\n"]);
        check_diff(&link, to("/opt/k"), &expect!["= ssh.symlink/cu1/srv/k\n"]);
        check_diff(&link, to("/opt/old"), &expect!["~ ssh.symlink/cu1/srv/k\n    target: /opt/old -> /opt/k\n"]);
        check_diff(
            &link,
            Some(PathKind::File),
            &expect![[r#"
            ! ssh.symlink/cu1/srv/k
                kind: file -> symlink  (needs replacement)
        "#]],
        );
    }
}
