//! `ssh.repository`: a package repository with its signing key and an index that was fetched.
use super::{
    declare::{checked_name, declare, family, path_at},
    in_use::InUse,
};
use crate::{
    distribution::{Family, Source},
    workspace::Node,
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
    suite: Option<String>,
    #[serde(default)]
    components: Vec<String>,
    fixed_by: Option<InUse>,
}

#[export_module]
pub mod api {
    use rhai::Map;

    /// Keeps a package repository with its signing key, and fetches its index.
    ///
    /// Options: `url`; the key that signs it, either as text (`key`, ASCII-armored) or by address and digest (`key_url`, `key_sha256`);
    /// `suite` and `components` for a repository that has them. Without a `suite` the repository is flat and its `url` ends in `/`.
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
    key: Key,
}

/// The key that signs a repository.
#[derive(Debug)]
enum Key {
    Text(String),
    /// The node fetches it.
    Url {
        url: String,
        sha256: String,
    },
}

/// What is there of it.
#[derive(Debug)]
pub struct Live {
    sources: Option<String>,
    sources_match: bool,
    key_matches: bool,
    fetched: bool,
    /// The version of the package that it belongs to, when another one is in use.
    in_use: Option<String>,
}

impl Repository {
    fn new(node: &Node, name: &str, mut spec: Spec) -> std::result::Result<Self, BadOption> {
        const FUNCTION: &str = "ssh::repository";
        let wrong = |message: String| Err(BadOption::new(FUNCTION, message));
        let name = checked_name(FUNCTION, "repository", name, "._-")?;
        let one_word = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !one_word(&spec.url) || !["http://", "https://", "file:/"].iter().any(|scheme| spec.url.starts_with(scheme)) {
            return wrong(format!("`{}` is not an http, https or file URL", spec.url));
        }
        if !spec.suite.iter().chain(&spec.components).all(|word| one_word(word)) {
            return wrong("`suite` and each of `components` is a plain word".into());
        }
        let key = match (&spec.key, &spec.key_url, &spec.key_sha256) {
            (Some(text), None, None) => Key::Text(format!("{}\n", text.trim())),
            (None, Some(url), Some(sha256)) => {
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    return wrong(format!("`key_url` is not an http or https URL: `{url}`"));
                }
                if sha256.len() != 64 || !sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) || !one_word(url) {
                    return wrong("`key_sha256` is 64 lower-case hex digits, and `key_url` one word".into());
                }
                Key::Url { url: url.clone(), sha256: sha256.clone() }
            }
            (None, Some(_), None) => return wrong("`key_url` needs `key_sha256`: a key that anybody could swap protects nothing".into()),
            _ => return wrong("give the signing key either as `key` or as `key_url` and `key_sha256`".into()),
        };
        spec.fixed_by = spec.fixed_by.map(|fixed| fixed.checked(FUNCTION)).transpose()?;
        let repository = Self { node: node.name().to_owned(), family: family(node), name, spec, key };
        match repository.family.source_fault(&repository.source()) {
            Some(fault) => wrong(fault),
            None => Ok(repository),
        }
    }

    fn source(&self) -> Source<'_> {
        Source { name: &self.name, url: &self.spec.url, suite: self.spec.suite.as_deref(), components: &self.spec.components }
    }

    fn sources_file(&self) -> String {
        self.family.source_file(&self.name)
    }

    fn key_file(&self) -> String {
        self.family.key_file(&self.name)
    }

    fn sources(&self) -> String {
        self.family.source_text(&self.source())
    }

    fn note_file(&self) -> String {
        format!("{NOTES}/{}", self.name)
    }

    fn key_sha256(&self) -> String {
        match &self.key {
            Key::Text(text) => Content::plain(text).sha256(),
            Key::Url { sha256, .. } => sha256.clone(),
        }
    }

    /// What the note says when the index was fetched for this very repository and key.
    fn note(&self) -> String {
        format!("{} {}\n", Content::plain(self.sources()).sha256(), self.key_sha256())
    }
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
            expecting(self.key_file(), self.key_sha256()),
            expecting(self.note_file(), Content::plain(self.note()).sha256()),
        ];
        probes.extend(self.spec.fixed_by.iter().flat_map(|fixed| fixed.query(self.family)));
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<Live>> {
        let wanted = [Content::plain(self.sources()).sha256(), self.key_sha256(), Content::plain(self.note()).sha256()];
        let matches = |position: usize| path_at(findings, position).is_some_and(|file| file.sha256.as_ref() == Some(&wanted[position]));
        let sources = path_at(findings, 0);
        if sources.is_none() && path_at(findings, 1).is_none() {
            return Ok(None);
        }
        let text = sources.and_then(|file| file.content.as_deref()).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let in_use = match &self.spec.fixed_by {
            Some(fixed) => fixed.other_version(self.family, findings.get(3..).unwrap_or_default())?,
            None => None,
        };
        Ok(Some(Live { sources: text, sources_match: matches(0), key_matches: matches(1), fetched: matches(2), in_use }))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else {
            return Change::create([Field::new("url", &self.spec.url), Field::new("key", format!("sha256 {}", self.key_sha256()))]);
        };
        let sources = (!live.sources_match).then(|| Field { live: live.sources.clone(), ..Field::new("sources", self.sources()) });
        let key = (!live.key_matches).then(|| Field::new("key", format!("sha256 {}", self.key_sha256())));
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
        if live.is_none_or(|live| !live.key_matches) {
            let key_file = self.key_file();
            let folder = key_file.rsplit_once('/').map_or("/", |(folder, _)| folder).to_owned();
            actions.push(Action::Directory { path: folder, mode: 0o755, owner: None });
            match &self.key {
                Key::Text(text) => {
                    actions.push(Action::Write { path: key_file, content: Content::plain(text), mode: 0o644, owner: None });
                }
                Key::Url { url, sha256 } => actions.extend(self.family.fetch_key(&self.name, url, sha256)),
            }
        }
        if live.is_none_or(|live| !live.sources_match) {
            // First of all: what it refuses leaves everything as it was.
            self.family.check_source(&self.source()).into_iter().for_each(|check| actions.insert(0, check));
            actions.push(Action::Write { path: self.sources_file(), content: Content::plain(self.sources()), mode: 0o644, owner: None });
        }
        actions.extend(self.family.refresh(&self.name));
        // The note comes last: without it, an update that failed is done again by the next run.
        actions.push(Action::Directory { path: NOTES.into(), mode: 0o755, owner: None });
        actions.push(Action::Write { path: self.note_file(), content: Content::plain(self.note()), mode: 0o644, owner: None });
        Work::Actions(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::{a_file, check, check_diff, node, printed};
    use expect_test::expect;

    fn spec() -> Spec {
        Spec {
            url: "https://repo.example/deb/".into(),
            key: Some("KEY".into()),
            key_url: None,
            key_sha256: None,
            suite: None,
            components: vec![],
            fixed_by: None,
        }
    }

    fn there(repository: &Repository) -> [Finding; 3] {
        let file = |text: &str| Finding::Path(Some(a_file(text, true)));
        [file(&repository.sources()), file("KEY\n"), file(&repository.note())]
    }

    #[test]
    fn a_new_repository_is_fetched_before_it_counts() {
        let repository = Repository::new(&node(), "k8s", spec()).unwrap();
        check(&repository, &there(&repository), false, &expect!["= ssh.repository/cu1/k8s\n"]);
        check(
            &repository,
            &[Finding::Path(None), Finding::Path(None), Finding::Path(None)],
            false,
            &expect![[r#"
                + ssh.repository/cu1/k8s
                    url: https://repo.example/deb/
                    key: sha256 4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e
                  > run (300 s) sh -c APT_CHECK_SOURCE kthw-source k8s.sources Types: deb
                URIs: https://repo.example/deb/
                Suites: ./
                Signed-By: /etc/apt/keyrings/k8s.asc

                  > directory /etc/apt/keyrings 0755
                  > write /etc/apt/keyrings/k8s.asc 0644 "KEY\n"
                  > write /etc/apt/sources.list.d/k8s.sources 0644 "Types: deb\nURIs: https://repo.example/deb/\nSuites: ./\nSigned-By: /etc/apt/keyrings/k8s.asc\n"
                  > run (900 s) sh -c APT_UPDATE kthw-update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/k8s.sources -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any
                  > directory /var/lib/kthw/repositories 0755
                  > write /var/lib/kthw/repositories/k8s 0644 "cbe454de3a3230cb2573766005f39d4a7d42690c098bf1ec5a375f67e7c45f7a 4a3ec3730504983f960fb2df35a1d68d640ff55d151fa3128ca0fc707f86882e\n"
            "#]],
        );
        let mut unfetched = there(&repository);
        unfetched[2] = Finding::Path(None);
        check_diff(
            &repository,
            repository.live(&unfetched).unwrap(),
            &expect!["~ ssh.repository/cu1/k8s\n    index: not fetched -> fetched\n"],
        );
    }

    #[test]
    fn under_another_version_in_use_it_stays() {
        let fixed_by = InUse { package: "kubelet".into(), version: "1.32.3-1.1".into(), once: "/etc/kubernetes/kubelet.conf".into() };
        let repository = Repository::new(&node(), "k8s", Spec { fixed_by: Some(fixed_by), ..spec() }).unwrap();
        let change = |sources: &str, version: &str, used: bool| {
            let mut findings = there(&repository).to_vec();
            findings[0] = Finding::Path(Some(a_file(sources, sources == repository.sources())));
            findings.extend([printed(&format!("kubelet hi  {version}\n")), Finding::Path(used.then(|| a_file("", true)))]);
            repository.diff(repository.live(&findings).unwrap().as_ref())
        };
        let old = repository.sources().replace("deb/", "old/");
        let Change::Refused(refusal) = change(&old, "1.31.9-1.1", true) else { panic!("refused") };
        assert_eq!(refusal.why, "kubelet is in use on cu1 in version 1.31.9-1.1, and its repository is not changed under it");
        assert_eq!(refusal.next, "set the version back to 1.31.9-1.1; what uses it has to be upgraded by a recipe that knows how");
        // Of the version in use, or before anything uses it, it may move.
        assert_eq!(change(&old, "1.32.3-1.1", true).word(), "update");
        assert_eq!(change(&old, "1.31.9-1.1", false).word(), "update");
        assert_eq!(change(&repository.sources(), "1.31.9-1.1", true), Change::None);
    }

    #[test]
    fn what_cannot_be_a_repository_is_refused() {
        type Spoil = fn(&mut Spec);
        let cases: [(&str, Spoil); 7] = [
            ("is not an http", |spec| spec.url = "repo.example/".into()),
            ("is not an http", |spec| spec.url = "http://a b/".into()),
            ("needs a `/` at its end", |spec| spec.url = "http://a/b".into()),
            ("go together", |spec| spec.suite = Some("stable".into())),
            ("give the signing key", |spec| spec.key = None),
            ("needs `key_sha256`", |spec| (spec.key, spec.key_url) = (None, Some("http://k".into()))),
            ("64 lower-case", |spec| (spec.key, spec.key_url, spec.key_sha256) = (None, Some("http://k".into()), Some("AB".into()))),
        ];
        for (told, change) in cases {
            let mut spec = spec();
            change(&mut spec);
            let error = Repository::new(&node(), "k8s", spec).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
