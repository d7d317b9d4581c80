//! `ssh.file`: a file with exactly this content, mode and owner.
use super::declare::{Mode, Owner, checked_path, declare, path_at};
use super::secret_file::SecretFile;
use crate::{secret_text::SecretText, workspace::Node};
use kthw_engine::{
    BadOption, Change, Cost, Field, Id, NodeResource, Options, Removable, Result, Rhai, SecretRef, Work, declare as declare_general, field,
    node::{Action, Content, Finding, PathKind, PathState, Probe},
    throw,
};
use rhai::plugin::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    content: Wanted,
    #[serde(default = "default_mode")]
    mode: Mode,
    #[serde(default)]
    owner: Owner,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`content` is text or a secret")]
enum Wanted {
    Plain(String),
    Secret(SecretRef),
    Text(SecretText),
}

fn default_mode() -> Mode {
    Mode(0o644)
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a file with exactly this content, put in place atomically.
    ///
    /// Options: `content` (text, or a secret, which is never shown), `mode` (text in octal, `"0644"` by default) and `owner`
    /// (`user:group`, `root:root` by default). The folder must be there; see `ssh::directory`. A file with a secret is read for itself
    /// and needs its node to be declared with `ssh::node`. With `present: false` the file is removed, whatever it holds.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     ssh::file(node, "/etc/motd", #{ content: "hello\n", mode: "0644" });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn file(cx: NativeCallContext, node: Node, path: &str, options: Map) -> Rhai<Id> {
        let parsed = Options::<Spec>::parse(&cx, "ssh::file", options.clone())?;
        let content = match parsed.spec.content {
            Wanted::Plain(_) => return declare(&cx, "ssh::file", options, |spec: Spec| File::new(&node, path, spec)),
            Wanted::Secret(secret) => secret.into(),
            Wanted::Text(text) => text,
        };
        match checked_path("ssh::file", path) {
            Ok(path) => {
                let node = node.name().to_owned();
                let file = SecretFile { node, path, content, mode: parsed.spec.mode, owner: parsed.spec.owner };
                declare_general(&cx, file, parsed.common)
            }
            Err(error) => throw(&cx, error),
        }
    }
}

/// A file on a node.
#[derive(Debug)]
pub struct File {
    node: String,
    path: String,
    content: String,
    mode: Mode,
    owner: Owner,
}

impl File {
    fn new(node: &Node, path: &str, spec: Spec) -> std::result::Result<Self, BadOption> {
        let path = checked_path("ssh::file", path)?;
        let content = match spec.content {
            Wanted::Plain(content) => content,
            Wanted::Secret(secret) => return Err(BadOption::new("ssh::file", format!("{secret} is not plain text"))),
            Wanted::Text(_) => return Err(BadOption::new("ssh::file", "a text with secrets is not plain".into())),
        };
        Ok(Self { node: node.name().to_owned(), path, content, mode: spec.mode, owner: spec.owner })
    }

    fn sha256(&self) -> String {
        Content::plain(&self.content).sha256()
    }
}

impl NodeResource for File {
    type Live = PathState;
    const REMOVABLE: Removable = Removable::Declared;

    fn id(&self) -> Id {
        Id::new("ssh.file", format!("{}{}", self.node, self.path))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        vec![Probe::Path { path: self.path.clone(), expect: Some(self.sha256()) }]
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<PathState>> {
        Ok(path_at(findings, 0).cloned())
    }

    fn diff(&self, live: Option<&PathState>) -> Change {
        let Some(live) = live else {
            return Change::create([
                Field::new("content", &self.content),
                Field::new("mode", self.mode),
                Field::new("owner", &self.owner.0),
            ]);
        };
        if live.kind != PathKind::File {
            return Change::between([kind_field(&live.kind, "file")]);
        }
        let differs = live.sha256.as_deref() != Some(&self.sha256());
        let content = differs.then(|| Field { live: Some(shown(live)), ..Field::new("content", &self.content) });
        Change::between([content, field("mode", Mode(live.mode), self.mode), field("owner", Owner::of(live), self.owner.0.clone())])
    }

    fn keeps(&self, live: &PathState) -> Option<String> {
        (live.kind == PathKind::Directory).then(|| format!("{} is a directory", self.path))
    }

    fn removal(&self, _: &PathState) -> Work {
        Work::Actions(vec![Action::Remove { path: self.path.clone() }])
    }

    fn work(&self, _: Option<&PathState>, _: bool) -> Work {
        Work::Actions(vec![Action::Write {
            path: self.path.clone(),
            content: Content::plain(&self.content),
            mode: self.mode.0,
            owner: Some(self.owner.0.clone()),
        }])
    }
}

/// The content as text, or what can be said of it.
fn shown(state: &PathState) -> String {
    match &state.content {
        Some(bytes) => String::from_utf8(bytes.clone()).unwrap_or_else(|_| format!("{} bytes that are not text", bytes.len())),
        None => format!("a big file, sha256 {}", state.sha256.as_deref().unwrap_or("unknown")),
    }
}

/// Something of another kind stands there. A link is replaced by what is wanted; a directory or a device is never removed implicitly.
pub(crate) fn kind_field(live: &PathKind, want: &str) -> Option<Field> {
    let (word, cost) = match live {
        PathKind::File => ("file".into(), Cost::Nothing),
        PathKind::Symlink { target } => (format!("symlink to {target}"), Cost::Nothing),
        PathKind::Directory => ("directory".into(), Cost::Replacement),
        PathKind::Other => ("device, socket or pipe".into(), Cost::Replacement),
    };
    field("kind", word, want.to_owned()).map(|field| field.at(cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check_diff, node};
    use expect_test::expect;

    fn wanted() -> File {
        File::new(
            &node(),
            "/etc/motd",
            Spec { content: Wanted::Plain("hello\nworld\n".into()), mode: Mode(0o644), owner: Owner::default() },
        )
        .unwrap()
    }

    #[test]
    fn what_differs_is_shown() {
        check_diff(&wanted(), None, &expect!["+ ssh.file/cu1/etc/motd\n    content: 2 lines\n    mode: 0644\n    owner: root:root\n"]);
        check_diff(&wanted(), Some(a_file("hello\nworld\n", true)), &expect!["= ssh.file/cu1/etc/motd\n"]);
        check_diff(
            &wanted(),
            Some(a_file("hello\nyou\n", false)),
            &expect!["~ ssh.file/cu1/etc/motd\n    content:\n    -you\n    +world\n"],
        );
        let other = PathState { mode: 0o600, owner: "kube".into(), ..a_file("hello\nworld\n", true) };
        check_diff(
            &wanted(),
            Some(other),
            &expect!["~ ssh.file/cu1/etc/motd\n    mode: 0600 -> 0644\n    owner: kube:root -> root:root\n"],
        );
        let link = PathState { kind: PathKind::Symlink { target: "/run/motd".into() }, sha256: None, ..a_file("", false) };
        check_diff(&wanted(), Some(link), &expect!["~ ssh.file/cu1/etc/motd\n    kind: symlink to /run/motd -> file\n"]);
        let folder = PathState { kind: PathKind::Directory, sha256: None, ..a_file("", false) };
        check_diff(
            &wanted(),
            Some(folder),
            &expect![[r#"
            ! ssh.file/cu1/etc/motd
                kind: directory -> file  (needs replacement)
        "#]],
        );
    }

    #[test]
    fn paths_are_plain() {
        for (path, fine) in [
            ("/etc/a b", true),
            ("/", true),
            ("etc/a", false),
            ("/etc/", false),
            ("/etc//a", false),
            ("/etc/../a", false),
            ("/etc/a\nb", false),
            ("/etc/a\\b", false),
            ("", false),
        ] {
            assert_eq!(checked_path("ssh::file", path).is_ok(), fine, "{path:?}");
        }
    }
}
