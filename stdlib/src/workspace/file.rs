//! A workspace together with the text that it was read from, so that every problem has a place.
use super::{
    Workspace, load, numbers, overrides,
    problem::{Problem, WorkspaceError, wrong},
    validate,
};
use crate::yaml::{self, Node, Value};
use miette::NamedSource;
use std::{ops::Range, sync::Arc};

/// A workspace, its text, and what the command line changed in it.
#[derive(Clone, Debug)]
pub struct WorkspaceFile {
    label: String,
    source: Arc<NamedSource<String>>,
    tree: Node,
    workspace: Workspace,
    overrides: Vec<Override>,
}

/// One `--set` that was applied.
#[derive(Clone, Debug)]
struct Override {
    /// The field that it set, spelled as in [`WorkspaceFile::place`].
    path: String,
    source: Arc<NamedSource<String>>,
    value: Range<usize>,
}

impl WorkspaceFile {
    /// Reads the types of a workspace. The text is known to people as `label`, such as `workspaces/ubuntu/workspace.yaml`.
    ///
    /// # Errors
    /// [`WorkspaceError`] with the one place where the text is not YAML, has an unknown, missing or repeated key, or a wrong type.
    pub fn parse(label: &str, text: &str) -> Result<Self, WorkspaceError> {
        let source = Arc::new(NamedSource::new(label, text.to_owned()));
        let tree = yaml::parse(text).map_err(|error| {
            let problem = Problem::new("kthw::workspace::yaml", error.reason, source.clone(), "see `kthw help workspace` for an example");
            wrong(label, vec![problem.at(clip(text, error.offset), "here")])
        })?;
        let numbers = numbers::problems(&source, &tree);
        if !numbers.is_empty() {
            return Err(wrong(label, numbers));
        }
        let workspace = load::typed(&source, &tree).map_err(|problem| wrong(label, vec![problem]))?;
        Ok(Self { label: label.into(), source, tree, workspace, overrides: Vec::new() })
    }

    /// Applies one `--set`, such as `machine.cores=4` or `nodes.wu1.memory_mib=8192`; the schema decides the value's type.
    ///
    /// # Errors
    /// [`WorkspaceError`] that points into the argument, with the nearest known field.
    pub fn set(&mut self, argument: &str) -> Result<(), WorkspaceError> {
        let applied = overrides::apply(&self.workspace, argument).map_err(|problem| wrong("--set", vec![problem]))?;
        self.workspace = applied.workspace;
        self.overrides.push(Override { path: applied.path, source: applied.source, value: applied.value });
        Ok(())
    }

    /// Checks the workspace as a whole, and against the `others` that share its Proxmox and network.
    ///
    /// # Errors
    /// [`WorkspaceError`] with every problem that was found.
    pub fn validate(&self, others: &[&Self]) -> Result<(), WorkspaceError> {
        let problems = validate::problems(self, others);
        if problems.is_empty() { Ok(()) } else { Err(wrong(&self.label, problems)) }
    }

    /// The data.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The data, checked as by [`validate`](Self::validate), together with what it takes from the `others`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn into_checked(self, others: &[&Self]) -> Result<Workspace, WorkspaceError> {
        self.validate(others)?;
        let mut workspace = self.workspace;
        workspace.take_from(others);
        Ok(workspace)
    }

    /// The data alone.
    pub fn into_workspace(self) -> Workspace {
        self.workspace
    }

    /// Whether the field at `path`, such as `ssh.user`, is written down, in the text or on the command line: the others have defaults.
    pub fn says(&self, path: &str) -> bool {
        let is_set = |set: &Override| set.path == path || path.starts_with(&format!("{}.", set.path));
        self.overrides.iter().any(is_set) || place_of_key(&self.tree, path).is_some()
    }

    /// What people know the text as.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A problem whose first place is the field at `path`, such as `nodes[2].address`. A field that is not written down is
    /// shown where its parent is.
    pub(crate) fn problem(
        &self,
        code: &'static str,
        message: impl Into<String>,
        path: &str,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        let set = self.overrides.iter().rev().find(|set| path == set.path || path.starts_with(&format!("{}.", set.path)));
        match set {
            Some(set) => Problem::new(code, message, set.source.clone(), help).at(set.value.clone(), label),
            None => Problem::new(code, message, self.source.clone(), help).at(self.place(path), label),
        }
    }

    /// The bytes to point at for the field at `path`.
    pub(crate) fn place(&self, path: &str) -> Range<usize> {
        place(&self.tree, path)
    }

    /// `label:line` of the field at `path`, to name a place in another file.
    pub(crate) fn line(&self, path: &str) -> String {
        let offset = self.place(path).start;
        let line = self.source.inner()[..offset].matches('\n').count() + 1;
        format!("{}:{line}", self.label)
    }

    /// Whether the field at `path` is shown in the file itself, so that a second label on it can stand beside the first.
    pub(crate) fn is_from_file(&self, path: &str) -> bool {
        !self.overrides.iter().any(|set| path == set.path || path.starts_with(&format!("{}.", set.path)))
    }
}

/// Follows `path` as far as the tree goes, and points at a value, at the key of a block, or at a list item's first value.
pub(super) fn place(root: &Node, path: &str) -> Range<usize> {
    let (mut node, mut key, mut rest) = (root, None, path);
    while let Some((next_key, next, after)) = step(node, rest) {
        (key, node, rest) = (next_key, next, after);
    }
    match (&node.value, key) {
        (Value::Scalar { .. }, _) => node.span.clone(),
        (_, Some(key)) => key,
        (_, None) => first_scalar(node),
    }
}

/// The key at the end of `path`, where it stands first.
pub(super) fn place_of_key(root: &Node, path: &str) -> Option<Range<usize>> {
    let (mut node, mut key, mut rest) = (root, None, path);
    while let Some((next_key, next, after)) = step(node, rest) {
        (key, node, rest) = (next_key, next, after);
    }
    key.filter(|_| rest.is_empty())
}

/// One step down `path`: the key's place, the node below, and the path that is left. A key may hold dots.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(Option<Range<usize>>, &'a Node, &'p str)> {
    let path = path.trim_start_matches('.');
    if let Some((index, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) {
        return Some((None, node.items().get(index.parse::<usize>().ok()?)?, rest));
    }
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find_map(|entry| {
        let rest = path.strip_prefix(entry.key.as_str())?;
        let ends = rest.is_empty() || rest.starts_with(['.', '[']);
        ends.then(|| (Some(entry.key_span.clone()), &entry.node, rest))
    })
}

fn first_scalar(node: &Node) -> Range<usize> {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span.start..node.span.start, |entry| match &entry.node.value {
            Value::Scalar { .. } => entry.node.span.clone(),
            _ => entry.key_span.clone(),
        }),
        Value::List(items) => items.first().map_or(node.span.start..node.span.start, first_scalar),
        Value::Scalar { .. } => node.span.clone(),
    }
}

/// One character at `offset`, or the end of the text.
pub(super) fn clip(text: &str, offset: usize) -> Range<usize> {
    let offset = (0..=offset.min(text.len())).rev().find(|offset| text.is_char_boundary(*offset)).unwrap_or(0);
    let length = text[offset..].chars().next().map_or(0, char::len_utf8);
    offset..offset + length
}
