//! `ssh.repository`: a package repository with its signing keys and an index that was fetched.
use super::{
    declare::{checked_name, declare, family, path_at},
    in_use::InUse,
};
use crate::{
    distribution::{Family, Source},
    workspace::{Node, SigningKey},
};
use kthw_engine::{
    BadOption, Change, Field, Id, NodeResource, Result, Rhai, Work, field,
    node::{Action, Content, Finding, Probe},
};
use rhai::plugin::*;
use serde::Deserialize;

/// Where kthw notes which index was fetched.
pub const NOTES: &str = "/var/lib/kthw/repositories";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    url: String,
    key: Option<String>,
    key_url: Option<String>,
    key_sha256: Option<String>,
    #[serde(default)]
    keys: Vec<SigningKey>,
    #[serde(default = "yes")]
    signed_index: bool,
    suite: Option<String>,
    #[serde(default)]
    components: Vec<String>,
    fixed_by: Option<InUse>,
}

fn yes() -> bool {
    true
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a package repository with its signing key, and fetches its index.
    ///
    /// Options: `url`; the key that signs it, either as text (`key`, ASCII-armored) or by address and digest (`key_url`, `key_sha256`), or
    /// several of them in `keys`, each a map with `key`, or with `url` and `sha256`; `suite` and `components` for a repository that has them.
    /// Without a `suite` the repository is flat and its `url` ends in `/`. With `signed_index: false` only its packages are verified, where the
    /// package manager can do that.
    /// A further key is there before one that is named no more goes, and the index is verified in between.
    /// `fixed_by` (`package`, `version`, `once`): once that file is there, a repository that belongs to another version of the package than
    /// the installed one is refused, because what uses the package has to be upgraded by other means.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::repository(node, "kubernetes", kubeadm::repository(cluster));
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn repository(cx: NativeCallContext, node: Node, name: &str, options: Map) -> Rhai<Id> {
        declare(&cx, "ssh::repository", options, |spec: Spec| Repository::new(&node, name, spec))
    }
}

/// A repository on a node.
#[derive(Debug)]
pub struct Repository {
    node: String,
    family: &'static dyn Family,
    name: String,
    spec: Spec,
    keys: Vec<Key>,
    /// Their digests.
    digests: Vec<String>,
}

/// A key that signs a repository.
#[derive(Debug)]
enum Key {
    Text(String),
    /// The node fetches it.
    Url {
        url: String,
        sha256: String,
    },
}

impl Key {
    fn new(given: &SigningKey) -> std::result::Result<Self, &'static str> {
        match (&given.key, &given.url, &given.sha256) {
            (Some(text), None, None) => Ok(Self::Text(format!("{}\n", text.trim()))),
            (None, Some(url), _) if !is_word(url) || !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) => {
                Err("a key is fetched from an http or https URL, which is one word")
            }
            (None, Some(url), Some(sha256)) if sha256.len() == 64 && sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) => {
                Ok(Self::Url { url: url.clone(), sha256: sha256.clone() })
            }
            (None, Some(_), Some(_)) => Err("the digest of a key is 64 lower-case hex digits"),
            (None, Some(_), None) => Err("a key that is fetched needs its SHA-256: one that anybody could swap protects nothing"),
            _ => Err("give a signing key either as text or as URL and SHA-256"),
        }
    }

    fn sha256(&self) -> String {
        match self {
            Self::Text(text) => Content::plain(text).sha256(),
            Self::Url { sha256, .. } => sha256.clone(),
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// What is there of it.
#[derive(Debug)]
pub struct Live {
    sources: Option<String>,
    sources_match: bool,
    /// The wanted keys that are there, by their digests.
    keys: Vec<String>,
    /// Keys that kthw put there and that are wanted no more.
    left: Vec<String>,
    fetched: bool,
    /// The version of the package that it belongs to, when another one is in use.
    in_use: Option<String>,
}

impl Repository {
    fn new(node: &Node, name: &str, mut spec: Spec) -> std::result::Result<Self, BadOption> {
        const FUNCTION: &str = "ssh::repository";
        let wrong = |message: String| Err(BadOption::new(FUNCTION, message));
        let name = checked_name(FUNCTION, "repository", name, "._-")?;
        if !is_word(&spec.url) || !["http://", "https://", "file:/"].iter().any(|scheme| spec.url.starts_with(scheme)) {
            return wrong(format!("`{}` is not an http, https or file URL", spec.url));
        }
        if !spec.suite.iter().chain(&spec.components).all(|word| is_word(word)) {
            return wrong("`suite` and each of `components` is a plain word".into());
        }
        let single = SigningKey { key: spec.key.take(), url: spec.key_url.take(), sha256: spec.key_sha256.take() };
        let given = match (single == SigningKey::default(), spec.keys.is_empty()) {
            (false, false) => return wrong("give the signing keys either in `keys` or, if it is one, beside the others".into()),
            (_, true) => vec![single],
            (true, false) => std::mem::take(&mut spec.keys),
        };
        let keys = given.iter().map(Key::new).collect::<std::result::Result<Vec<_>, _>>();
        let keys = keys.map_err(|message| BadOption::new(FUNCTION, message.to_owned()))?;
        let digests: Vec<String> = keys.iter().map(Key::sha256).collect();
        if let Some(twice) = digests.iter().enumerate().find_map(|(at, digest)| digests[..at].contains(digest).then_some(digest)) {
            return wrong(format!("the key with SHA-256 {twice} is given twice"));
        }
        spec.fixed_by = spec.fixed_by.map(|fixed| fixed.checked(FUNCTION)).transpose()?;
        let repository = Self { node: node.name().to_owned(), family: family(node), name, spec, keys, digests };
        match repository.family.source_fault(&repository.source()) {
            Some(fault) => wrong(fault),
            None => Ok(repository),
        }
    }

    fn source(&self) -> Source<'_> {
        Source {
            name: &self.name,
            url: &self.spec.url,
            suite: self.spec.suite.as_deref(),
            components: &self.spec.components,
            keys: &self.digests,
            signed_index: self.spec.signed_index,
        }
    }

    fn sources_file(&self) -> String {
        self.family.source_file(&self.name)
    }

    fn key_file(&self, sha256: &str) -> String {
        self.family.key_file(&self.name, sha256)
    }

    fn sources(&self) -> String {
        self.family.source_text(&self.source())
    }

    fn note_file(&self) -> String {
        format!("{NOTES}/{}", self.name)
    }

    /// What the note says when the index was fetched for this very repository and its keys: the digests of both.
    fn note(&self) -> String {
        let sources = Content::plain(self.sources()).sha256();
        format!("{sources}\n{}\n", self.digests.join("\n"))
    }

    /// Of the keys that a note names, those that are wanted no more.
    fn left(&self, note: &str) -> Vec<String> {
        let keys = note.lines().skip(1).filter(|line| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit()));
        keys.filter(|key| !self.digests.iter().any(|wanted| wanted == key)).map(str::to_owned).collect()
    }

    /// Puts the keys there that are missing, and makes them known.
    fn put_keys(&self, there: &[String]) -> Vec<Action> {
        let mut actions = Vec::new();
        for (key, sha256) in self.keys.iter().zip(&self.digests) {
            let path = self.key_file(sha256);
            if !there.contains(sha256) {
                let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder).to_owned();
                actions.push(Action::Directory { path: folder, mode: 0o755, owner: None });
                match key {
                    Key::Text(text) => {
                        actions.push(Action::Write { path: path.clone(), content: Content::plain(text), mode: 0o644, owner: None });
                    }
                    Key::Url { url, sha256 } => actions.extend(self.family.fetch_key(&self.name, url, sha256)),
                }
            }
            actions.extend(self.family.trust_key(&path));
        }
        actions
    }
}

/// Keys as a plan names them.
fn named(digests: &[String]) -> String {
    digests.iter().map(|digest| format!("sha256 {digest}")).collect::<Vec<_>>().join(", ")
}

impl NodeResource for Repository {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.repository", format!("{}/{}", self.node, self.name))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn query(&self) -> Vec<Probe> {
        let expecting = |path: String, sha256: String| Probe::Path { path, expect: Some(sha256) };
        let mut probes = vec![
            expecting(self.sources_file(), Content::plain(self.sources()).sha256()),
            expecting(self.note_file(), Content::plain(self.note()).sha256()),
        ];
        probes.extend(self.digests.iter().map(|sha256| expecting(self.key_file(sha256), sha256.clone())));
        probes.extend(self.spec.fixed_by.iter().flat_map(|fixed| fixed.query(self.family)));
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let matches =
            |position: usize, sha256: &str| path_at(findings, position).is_some_and(|file| file.sha256.as_deref() == Some(sha256));
        let text = |position: usize| {
            let content = path_at(findings, position)?.content.as_deref()?;
            Some(String::from_utf8_lossy(content).into_owned())
        };
        let keys_from = 2;
        let keys = self.digests.iter().enumerate().filter(|(at, sha256)| matches(keys_from + at, sha256));
        let keys: Vec<String> = keys.map(|(_, sha256)| sha256.clone()).collect();
        if path_at(findings, 0).is_none() && keys.is_empty() {
            return Ok(None);
        }
        let in_use = match &self.spec.fixed_by {
            Some(fixed) => fixed.other_version(self.family, findings.get(keys_from + self.digests.len()..).unwrap_or_default())?,
            None => None,
        };
        Ok(Some(Live {
            sources: text(0),
            sources_match: matches(0, &Content::plain(self.sources()).sha256()),
            keys,
            left: text(1).map(|note| self.left(&note)).unwrap_or_default(),
            fetched: matches(1, &Content::plain(self.note()).sha256()),
            in_use,
        }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else {
            return Change::create([Field::new("url", &self.spec.url), Field::new("key", named(&self.digests))]);
        };
        let sources = (!live.sources_match).then(|| Field { live: live.sources.clone(), ..Field::new("sources", self.sources()) });
        let keys = [&live.left[..], &live.keys].concat();
        let key = (keys != self.digests)
            .then(|| Field { live: (!keys.is_empty()).then(|| named(&keys)), ..Field::new("key", named(&self.digests)) });
        let index = field("index", if live.fetched { "fetched" } else { "not fetched" }, "fetched");
        let fields = [sources, key, index];
        match (&self.spec.fixed_by, &live.in_use, &fields) {
            (Some(fixed), Some(version), [Some(_), ..]) => {
                Change::Refused(fixed.refusal(&self.node, version, "its repository", fields.into_iter().flatten().collect()))
            }
            _ => Change::between(fields),
        }
    }

    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        let mut actions = Vec::new();
        let sources_match = live.is_some_and(|live| live.sources_match);
        if !sources_match {
            // First of all: what it refuses leaves everything as it was.
            actions.extend(self.family.check_source(&self.source()));
        }
        actions.extend(self.put_keys(live.map(|live| &live.keys[..]).unwrap_or_default()));
        if !sources_match {
            actions.push(Action::Write { path: self.sources_file(), content: Content::plain(self.sources()), mode: 0o644, owner: None });
        }
        actions.extend(self.family.refresh(&self.source()));
        let left = live.map(|live| &live.left[..]).unwrap_or_default();
        actions.extend(left.iter().flat_map(|sha256| self.family.forget_key(&self.source(), &self.key_file(sha256))));
        // The note comes last: without it, an update that failed is done again by the next run.
        actions.push(Action::Directory { path: NOTES.into(), mode: 0o755, owner: None });
        actions.push(Action::Write { path: self.note_file(), content: Content::plain(self.note()), mode: 0o644, owner: None });
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests;
