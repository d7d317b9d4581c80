//! `ssh.file` with a secret as its content, or in it: the value is fetched where it is compared and written, and never shown.
use super::declare::{Mode, Owner};
use crate::{secret_text::SecretText, sops::Secrets};
use kthw_engine::{
    Change, Error, Field, Id, Peers, Permit, Removable, Resource, Result, field,
    node::{Action, Content, Finding, PathKind, PathState, Probe},
    secret_field,
};
use miette::Diagnostic;

/// A file whose content is a secret or holds some.
#[derive(Debug)]
pub struct SecretFile {
    pub(super) node: String,
    pub(super) path: String,
    pub(super) content: SecretText,
    pub(super) mode: Mode,
    pub(super) owner: Owner,
}

/// What stands at the path, and whether its content is the secret.
pub struct Live {
    state: PathState,
    matches: bool,
}

impl SecretFile {
    fn content(&self, peers: &Peers) -> Result<Content> {
        Ok(Content::Secret(self.content.resolve(peers.get::<Secrets>()?)?))
    }
}

impl Resource for SecretFile {
    type Live = Live;
    const REMOVABLE: Removable = Removable::Declared;

    fn id(&self) -> Id {
        Id::new("ssh.file", format!("{}{}", self.node, self.path))
    }

    fn needs(&self) -> Vec<Id> {
        vec![Id::new("ssh.node", &self.node)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        let sha256 = self.content(peers)?.sha256();
        // The wanted digest stays here: a script that names it would let everybody on the node who can list processes guess at a weak
        // secret. No content has the digest of zeros, so the node sends its own, and the content, over the encrypted connection.
        let probe = Probe::Path { path: self.path.clone(), expect: Some("0".repeat(64)) };
        let found = peers.nodes().read(&self.node, &[probe]).await?.into_iter().next();
        let Some(Finding::Path(Some(state))) = found else { return Ok(None) };
        let matches = state.sha256.as_ref() == Some(&sha256);
        Ok(Some(Live { state: PathState { content: None, sha256: None, ..state }, matches }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(Live { state, matches }) = live else {
            return Change::create([
                Field::new("content", &self.content),
                Field::new("mode", self.mode),
                Field::new("owner", &self.owner.0),
            ]);
        };
        if state.kind != PathKind::File {
            return Change::between([super::file::kind_field(&state.kind, "file")]);
        }
        Change::between([
            secret_field("content", !matches),
            field("mode", Mode(state.mode), self.mode),
            field("owner", Owner::of(state), self.owner.0.clone()),
        ])
    }

    async fn apply(&self, _: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        let content = self.content(peers)?;
        let (path, owner) = (self.path.clone(), Some(self.owner.0.clone()));
        let output = permit.act(peers, &self.node, &Action::Write { path, content, mode: self.mode.0, owner }).await?;
        if output.status == 0 {
            return Ok(());
        }
        Err(Error::peer(NotWritten { node: self.node.clone(), path: self.path.clone(), said: output.stderr.trim().to_owned() }))
    }

    async fn remove(&self, _: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        let output = permit.act(peers, &self.node, &Action::Remove { path: self.path.clone() }).await?;
        if output.status == 0 {
            return Ok(());
        }
        Err(Error::peer(NotRemoved { node: self.node.clone(), path: self.path.clone(), said: output.stderr.trim().to_owned() }))
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot remove {path} on {node}: {said}")]
#[diagnostic(code(kthw::ssh::remove_secret), help("see what keeps it there: `lsattr` and `stat` on the node"))]
struct NotRemoved {
    node: String,
    path: String,
    said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write {path} on {node}: {said}")]
#[diagnostic(code(kthw::ssh::write_secret), help("its folder must be there; see `ssh::directory`"))]
struct NotWritten {
    node: String,
    path: String,
    said: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::a_file;
    use kthw_engine::SecretRef;

    #[test]
    fn the_secret_is_never_shown() {
        let file = SecretFile {
            node: "cu1".into(),
            path: "/etc/key".into(),
            content: SecretRef { name: "app.key".into() }.into(),
            mode: Mode(0o600),
            owner: Owner::default(),
        };
        assert_eq!(file.diff(None).fields()[0].to_string(), "content: <secret app.key>");
        let live = |matches, mode| Live { state: PathState { mode, ..a_file("", true) }, matches };
        assert!(file.diff(Some(&live(true, 0o600))).is_none());
        let shown: Vec<String> = file.diff(Some(&live(false, 0o644))).fields().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["content: <secret> -> <secret>", "mode: 0644 -> 0600"]);
    }
}
