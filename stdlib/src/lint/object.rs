//! One object of a manifest: the tree of its document, and where that stands in its file.
use super::File;
use crate::yaml::{self, Node, Problem};
use miette::NamedSource;
use std::{ops::Range, sync::Arc};

/// Kinds whose pods are to run for as long as nobody ends them, all with a template of pods.
const LONG_RUNNING: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

/// An object of Kubernetes, as it is written.
#[derive(Clone, Debug)]
pub struct Object {
    root: Node,
    source: Arc<NamedSource<String>>,
    /// Where its document begins in the file.
    begins: usize,
}

impl Object {
    /// The objects of a file, in their order.
    pub(super) fn all_of(file: &File) -> Result<Vec<Self>, Problem> {
        let source = Arc::new(NamedSource::new(&file.label, file.text.clone()));
        let mut objects = Vec::new();
        for range in documents(&file.text) {
            let text = &file.text[range.clone()];
            if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
                continue;
            }
            let not_yaml = |error: yaml::NotYaml| {
                let at = (range.start + error.offset).min(file.text.len().saturating_sub(1));
                Problem::new("kthw::lint::not_yaml", error.reason, source.clone(), "mend it; a template has to be rendered first")
                    .at(at..at, "here")
            };
            objects.push(Self { root: yaml::parse(text).map_err(not_yaml)?, source: source.clone(), begins: range.start });
        }
        Ok(objects)
    }

    /// What stands at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, key| node.get(key))
    }

    /// The text at a path; empty where there is none.
    pub fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Node::text).unwrap_or_default()
    }

    /// Such as `Deployment`.
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// The namespace that it is in; `default` where it names none.
    pub fn namespace(&self) -> &str {
        let said = self.text(&["metadata", "namespace"]);
        if said.is_empty() { "default" } else { said }
    }

    /// Whether its pods are to run for as long as nobody ends them.
    pub fn is_long_running(&self) -> bool {
        LONG_RUNNING.contains(&self.kind())
    }

    /// A field of its template of pods.
    pub fn of_pods(&self, path: &[&str]) -> Option<&Node> {
        self.at(&[&["spec", "template"], path].concat()).filter(|_| self.is_long_running())
    }

    /// The containers of its pods.
    pub fn containers(&self) -> &[Node] {
        self.of_pods(&["spec", "containers"]).map_or(&[], Node::items)
    }

    /// How many pods it asks for; one where it does not say, as Kubernetes has it.
    pub fn replicas(&self) -> u32 {
        self.text(&["spec", "replicas"]).parse().unwrap_or(1)
    }

    /// `Deployment web`.
    pub fn told(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// A problem with what stands at `node`, or with the object as a whole, which is shown by its name.
    pub fn problem(&self, code: &'static str, node: Option<&Node>, label: &str, message: String, help: &str) -> Problem {
        let node = node.or_else(|| self.at(&["metadata", "name"])).or_else(|| self.at(&["kind"])).unwrap_or(&self.root);
        Problem::new(code, message, self.source.clone(), help).at(self.place(&node.span), label)
    }

    fn place(&self, span: &Range<usize>) -> Range<usize> {
        self.begins + span.start..self.begins + span.end
    }
}

/// The documents of a text: what stands between lines that begin with `---` (YAML 1.2, section 9.1.2).
fn documents(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut begins, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            found.push(begins..at);
            begins = at + line.len();
        }
        at += line.len();
    }
    found.push(begins..text.len());
    found
}
