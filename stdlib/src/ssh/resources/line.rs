//! `ssh.line`: one line in a file that others keep too.
use super::declare::{NeedsOnly, checked_path, declare};
use crate::workspace::Node;
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work,
    node::{Action, Finding, Probe},
};
use rhai::plugin::*;

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a line in a file; it is added at the end when it is not there. Other lines stay.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::line(node, "/etc/environment", "KUBECONFIG=/etc/kubernetes/admin.conf");
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "line")]
    pub fn line(cx: NativeCallContext, node: Node, path: &str, line: &str) -> Rhai<Id> {
        line_with(cx, node, path, line, Map::new())
    }

    /// Keeps a line in a file; it is added at the end when it is not there. Options: `needs` only.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     let folder = ssh::directory(node, "/etc/example");
    ///     ssh::line(node, "/etc/example/hosts", "10.0.0.1", #{ needs: [folder] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "line")]
    pub fn line_with(cx: NativeCallContext, node: Node, path: &str, line: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::line", options, |_: NeedsOnly| Line::new(&node, path, line))
    }
}

/// A line in a file on a node.
#[derive(Debug)]
pub struct Line {
    node: String,
    path: String,
    line: String,
}

impl Line {
    fn new(node: &Node, path: &str, line: &str) -> std::result::Result<Self, BadOption> {
        let path = checked_path("ssh::line", path)?;
        if path.contains(':') {
            return Err(BadOption::new("ssh::line", format!("the path {path:?} holds a colon, which a file with kept lines may not")));
        }
        if line.is_empty() || line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(BadOption::new("ssh::line", format!("{line:?} is not one line of text")));
        }
        Ok(Self { node: node.name().to_owned(), path, line: line.to_owned() })
    }
}

impl NodeResource for Line {
    type Live = ();

    fn id(&self) -> Id {
        Id::new("ssh.line", format!("{}{} {}", self.node, self.path, self.line))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::Line { path: self.path.clone(), line: self.line.clone() }]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<()>> {
        Ok(matches!(findings, [Finding::Line(true)]).then_some(()))
    }

    fn diff(&self, live: Option<&()>) -> Change {
        if live.is_some() { Change::None } else { Change::create([Field::new("line", &self.line)]) }
    }

    fn work(&self, _: Option<&()>, _: bool) -> Work {
        Work::Actions(vec![Action::AppendLine { path: self.path.clone(), line: self.line.clone() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{check, node};
    use expect_test::expect;

    #[test]
    fn a_missing_line_is_added() {
        let line = Line::new(&node(), "/etc/hosts", "10.0.0.1 api").unwrap();
        check(&line, &[Finding::Line(true)], false, &expect!["= ssh.line/cu1/etc/hosts 10.0.0.1 api\n"]);
        check(
            &line,
            &[Finding::Line(false)],
            false,
            &expect!["+ ssh.line/cu1/etc/hosts 10.0.0.1 api\n    line: 10.0.0.1 api\n  > append /etc/hosts: 10.0.0.1 api\n"],
        );
        assert!(Line::new(&node(), "/etc/hosts", "a\nb").is_err());
    }
}
