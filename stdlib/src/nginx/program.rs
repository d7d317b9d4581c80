//! The checker's program on a node: a pinned file, as everything that kthw brings from elsewhere.
use crate::{
    artifact::{Artifact, Artifacts, Upstream, checker_file, digest_of},
    ssh::kind_field,
    workspace::Node,
};
use kthw_engine::{
    Change, Error, Field, Id, Peers, Permit, Refusal, Resource, Result, field,
    node::{Action, Content, Finding, PathKind, PathState, Probe},
};
use miette::Diagnostic;

/// Where it is on a node.
pub const PROGRAM: &str = "/usr/local/bin/kthw-checker";

const MODE: u32 = 0o755;

/// The program on one node.
#[derive(Debug)]
pub struct Program {
    node: String,
    file: Upstream,
    /// One without a digest is never fetched.
    sha256: Option<String>,
}

impl Program {
    /// The program in this kthw's version, with the digest that the node's workspace has pinned.
    pub fn new(node: &Node) -> Self {
        let file = checker_file();
        Self { node: node.name().to_owned(), sha256: digest_of(&file, &node.workspace().artifacts.pins), file }
    }

    fn artifact(&self) -> Option<Artifact> {
        Some(self.file.clone().with_digest(self.sha256.as_ref()?))
    }
}

impl Resource for Program {
    type Live = PathState;

    fn id(&self) -> Id {
        Id::new("nginx.checker", &self.node)
    }

    fn needs(&self) -> Vec<Id> {
        vec![Id::new("ssh.node", &self.node)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<PathState>> {
        if self.sha256.is_none() {
            return Ok(None);
        }
        let found = peers.nodes().read(&self.node, &[Probe::Path { path: PROGRAM.into(), expect: self.sha256.clone() }]).await?;
        Ok(found.into_iter().find_map(|finding| if let Finding::Path(state) = finding { state } else { None }))
    }

    fn diff(&self, live: Option<&PathState>) -> Change {
        let Some(sha256) = &self.sha256 else {
            return Change::Refused(Refusal {
                why: format!("{} has no digest, so nobody would notice another program in its place", self.file.path()),
                next: format!(
                    "build it as docs/guides/load-balancer.md says, put it into `artifacts.mirror` under that name, and call `kthw artifacts pin {}`",
                    self.file.file
                ),
                fields: Vec::new(),
            });
        };
        let mode = |mode: u32| format!("{mode:04o}");
        match live {
            None => Change::create([Field::new("program", format!("sha256 {sha256}")), Field::new("mode", mode(MODE))]),
            Some(live) if live.kind != PathKind::File => Change::between([kind_field(&live.kind, "file")]),
            Some(live) => {
                let found = live.sha256.clone().unwrap_or_else(|| "unknown".into());
                Change::between([
                    field("program", format!("sha256 {found}"), format!("sha256 {sha256}")),
                    field("mode", mode(live.mode), mode(MODE)),
                ])
            }
        }
    }

    async fn apply(&self, _: Option<PathState>, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(artifact) = self.artifact() else { return Err(Error::refused(NoDigest { path: self.file.path() })) };
        let content = Content::plain(peers.get::<Artifacts>()?.fetch(&artifact).await?);
        let write = Action::Write { path: PROGRAM.into(), content, mode: MODE, owner: Some("root:root".into()) };
        let output = permit.act(peers, &self.node, &write).await?;
        if output.status == 0 {
            return Ok(());
        }
        Err(Error::peer(NotWritten { node: self.node.clone(), said: output.stderr.trim().to_owned() }))
    }
}

/// The program has no digest. A plan refuses it before anybody could ask for it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} has no digest")]
#[diagnostic(code(kthw::nginx::no_digest), help("`kthw artifacts pin` records one"))]
struct NoDigest {
    path: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write {PROGRAM} on {node}: {said}")]
#[diagnostic(code(kthw::nginx::write_program), help("see whether the node's disk is full or mounted read-only"))]
struct NotWritten {
    node: String,
    said: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact::Pin, ssh::testing};

    #[test]
    fn without_a_digest_it_is_refused_with_the_next_step() {
        let Change::Refused(refusal) = Program::new(&testing::node()).diff(None) else { panic!("it is not pinned") };
        assert!(refusal.why.starts_with("kthw/v") && refusal.next.contains("kthw artifacts pin kthw-checker-x86_64-linux"), "{refusal:?}");
    }

    #[test]
    fn a_pinned_one_is_compared_by_its_digest() {
        let mut workspace = testing::workspace();
        let pin = Pin::of(checker_file(), Content::plain("a program").sha256(), 9, "2026-11-29".into());
        workspace.artifacts.pins.add(pin, false).unwrap();
        let program = Program::new(&testing::node_of(workspace));
        assert_eq!(program.diff(None).fields().len(), 2);
        let live = |content: &str, mode: u32| PathState { mode, ..testing::a_file(content, true) };
        assert!(program.diff(Some(&live("a program", 0o755))).is_none());
        let shown: Vec<String> = program.diff(Some(&live("another", 0o644))).fields().iter().map(|field| field.name.to_string()).collect();
        assert_eq!(shown, ["program", "mode"]);
    }
}
