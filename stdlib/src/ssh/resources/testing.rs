//! What the tests of this module's resources share.
use crate::{
    distribution::{APT_CHECK_SOURCE, APT_INSTALL, APT_UPDATE},
    workspace::{Cluster, Node, Workspace},
};
use expect_test::Expect;
use kthw_engine::{
    NodeResource, Work,
    node::{Action, Content, Finding, Output, PathKind, PathState},
};
use std::sync::Arc;

/// The workspace of the shipped example.
pub fn workspace() -> Workspace {
    serde_saphyr::from_str(include_str!("../../../../workspaces/ubuntu/workspace.yaml")).unwrap()
}

/// Its first node, `cu1`.
pub fn node() -> Node {
    node_of(workspace())
}

/// The first node of a workspace.
pub fn node_of(workspace: Workspace) -> Node {
    let cluster = Cluster::new(Arc::new(workspace)).unwrap();
    let mut engine = rhai::Engine::new();
    crate::workspace::register(&mut engine);
    let mut scope = rhai::Scope::new();
    scope.push("cluster", cluster);
    engine.eval_with_scope::<Node>(&mut scope, "cluster.nodes[0]").unwrap()
}

/// A file of root's with mode 0644; `known` when its content is what was expected.
pub fn a_file(content: &str, known: bool) -> PathState {
    PathState {
        kind: PathKind::File,
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
        modified_s: 1_000,
        sha256: Some(Content::plain(content).sha256()),
        content: (!known).then(|| content.as_bytes().to_vec()),
    }
}

/// A program's output with status 0.
pub fn printed(stdout: &str) -> Finding {
    Finding::Run(Output { status: 0, stdout: stdout.into(), stderr: String::new() })
}

/// A program that failed.
pub fn failed(status: i32) -> Finding {
    Finding::Run(Output { status, ..Output::default() })
}

/// The plan's lines for a resource and what was found.
pub fn check_diff<R: NodeResource>(resource: &R, live: Option<R::Live>, expected: &Expect) {
    let change = resource.diff(live.as_ref());
    let mut shown = format!("{} {}\n", change.mark(), resource.id());
    for field in change.fields() {
        shown.push_str(&format!("    {field}\n"));
    }
    expected.assert_eq(&shown);
}

/// The same from findings, followed by the actions when there is something to do.
pub fn check<R: NodeResource>(resource: &R, findings: &[Finding], refresh: bool, expected: &Expect) {
    let live = resource.live(findings).unwrap();
    let change = resource.diff(live.as_ref());
    let mut shown = format!("{} {}\n", change.mark(), resource.id());
    for field in change.fields() {
        shown.push_str(&format!("    {field}\n"));
    }
    if !change.is_none() || refresh {
        match resource.work(live.as_ref(), refresh) {
            Work::Actions(actions) => actions.iter().for_each(|action| shown.push_str(&format!("  > {}\n", told(action)))),
            Work::Alone => shown.push_str("  > just in time\n"),
        }
    }
    expected.assert_eq(&shown);
}

fn told(action: &Action) -> String {
    match action {
        Action::Write { path, content, mode, .. } => format!("write {path} {mode:04o} {:?}", String::from_utf8_lossy(content.bytes())),
        Action::Directory { path, mode, .. } => format!("directory {path} {mode:04o}"),
        Action::Symlink { path, target } => format!("symlink {path} -> {target}"),
        Action::AppendLine { path, line } => format!("append {path}: {line}"),
        Action::Remove { path } => format!("remove {path}"),
        Action::Run { argv, timeout_s, .. } => {
            // The scripts have tests of their own.
            let scripts = [("APT_UPDATE", APT_UPDATE), ("APT_INSTALL", APT_INSTALL), ("APT_CHECK_SOURCE", APT_CHECK_SOURCE)];
            let shown = scripts.iter().fold(argv.join(" "), |shown, (name, script)| shown.replace(script, name));
            format!("run ({timeout_s} s) {shown}")
        }
    }
}
