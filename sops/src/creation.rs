//! Creation rules: `.sops.yaml` says who can open a new file and which of its values are encrypted.
//!
//! The file and its rules are those of <https://github.com/getsops/sops/blob/v3.11.0/config/config.go>; a mistake in it is shown where it
//! stands. sops ignores fields that it does not know; inside a rule kthw does not, since a mistyped `path_regex` would match everything.
mod given;
mod recipient;
mod rule;

pub use given::Given;

use super::{Metadata, Pattern, Rules, SopsError};
use kthw_engine::nearest;
use kthw_yaml::{Node, Problem};
use miette::NamedSource;
use rule::Fields;
use std::{
    fs,
    ops::Range,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// What the file is called.
const NAME: &str = ".sops.yaml";
/// What people call it by mistake; sops does not read it either.
const WRONG_NAME: &str = ".sops.yml";
/// sops looks no further up than this.
const MAX_DEPTH: usize = 100;

/// The rules of one `.sops.yaml`.
#[derive(Debug)]
pub struct CreationRules {
    source: Arc<NamedSource<String>>,
    /// The folder that it stands in, absolute: paths are matched relative to it.
    folder: PathBuf,
    tree: Option<Node>,
}

impl CreationRules {
    /// Finds the rules for `file`: in its folder or the nearest one above it, or else from the working folder upwards, where sops begins.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is wrong.
    pub fn find(file: &Path) -> Result<Option<Self>, SopsError> {
        let beside = absolute(file);
        let here = absolute(Path::new("."));
        let above = |start: &Path| start.ancestors().take(MAX_DEPTH).map(|folder| folder.join(NAME)).find(|rules| rules.is_file());
        let found = beside.parent().and_then(above).or_else(|| above(&here));
        found.map(|rules| Self::read(&rules)).transpose()
    }

    /// Reads the rules in the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is wrong.
    pub fn read(path: &Path) -> Result<Self, SopsError> {
        let path = absolute(path);
        let label = shown(&path);
        let text = fs::read_to_string(&path).map_err(|error| SopsError::Read { file: label.clone(), reason: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Self::parse(&label, &folder, &text)
    }

    /// Reads the rules in `text`, which people know as `label`, for the files below `folder`.
    ///
    /// # Errors
    /// When it is not YAML, or a rule has a field that there is not, or one of the wrong type.
    pub fn parse(label: &str, folder: &Path, text: &str) -> Result<Self, SopsError> {
        let source = Arc::new(NamedSource::new(label, text.to_owned()));
        let empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let tree = if empty { None } else { Some(kthw_yaml::parse(text).map_err(|error| not_yaml(&source, &error))?) };
        if let Some(repeated) = tree.as_ref().and_then(kthw_yaml::Node::repeated_key) {
            let reason = format!("the key `{}` stands in this block twice, and one of the two would not count", repeated.key);
            return Err(not_yaml(&source, &kthw_yaml::NotYaml { reason, offset: repeated.key_span.start }));
        }
        let rules = Self { source, folder: absolute(folder), tree };
        rules.check()?;
        Ok(rules)
    }

    /// The file, as people know it.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// What the first rule that matches `file` says: its groups (not sealed yet), its threshold, and which values are encrypted.
    ///
    /// # Errors
    /// When no rule matches, or the one that does names nobody or somebody who cannot be.
    pub fn metadata_for(&self, file: &Path) -> Result<Metadata, SopsError> {
        if let Some(rule) = self.matching(file)? {
            return rule.metadata();
        }
        let path = self.relative(file);
        let span = self.list().map(|list| start_of(list, self.source.inner())).unwrap_or_default();
        let message = format!("no creation rule matches `{path}`");
        let help = format!("add a rule with `path_regex: {}$`, or one without `path_regex` at the end", regex::escape(&path));
        Err(self.problem("kthw::sops::no_matching_rule", message, help).at(span, "none of these").into())
    }

    /// The first rule that matches `file`.
    fn matching(&self, file: &Path) -> Result<Option<Fields<'_>>, SopsError> {
        let path = self.relative(file);
        for rule in self.rules() {
            let rule = Fields::of_rule(self, rule)?;
            if self.matches(&rule, &path)? {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    fn relative(&self, file: &Path) -> String {
        let file = absolute(file);
        // Not below the folder: sops matches the whole path then.
        file.strip_prefix(&self.folder).unwrap_or(&file).to_string_lossy().into_owned()
    }

    fn matches(&self, rule: &Fields<'_>, path: &str) -> Result<bool, SopsError> {
        let Some((text, node)) = rule.text("path_regex")? else { return Ok(true) };
        let regex = Pattern::new(&text).map_err(|error| {
            let message = format!("`path_regex` is not a regular expression: {}", last_line(&error));
            self.problem("kthw::sops::bad_regex", message, "escape what is meant literally with `\\`, such as `\\.yaml$`")
                .at(node.span.clone(), "this one")
        })?;
        Ok(regex.is_match(path))
    }

    fn list(&self) -> Option<&Node> {
        self.tree.as_ref()?.get("creation_rules")
    }

    fn rules(&self) -> &[Node] {
        self.list().map(Node::items).unwrap_or_default()
    }

    /// Checks what can be checked without a file to match: names of fields, and types.
    fn check(&self) -> Result<(), SopsError> {
        let Some(tree) = &self.tree else { return Ok(()) };
        let kthw_yaml::Value::Map(entries) = &tree.value else {
            let problem = self.problem("kthw::sops::wrong_type", "expected a block of fields", "begin it with `creation_rules:`");
            return Err(problem.at(start_of(tree, self.source.inner()), "this").into());
        };
        let Some(list) = self.list() else {
            // Other fields are none of our business: people keep anchors there. But a typing mistake turns all rules off.
            let near = entries.iter().find(|entry| nearest(&entry.key, ["creation_rules"]).is_some() && entry.key != "destination_rules");
            let Some(entry) = near else { return Ok(()) };
            let message = format!("unknown field `{}`", entry.key);
            let problem = self.problem("kthw::sops::unknown_field", message, "did you mean `creation_rules`?");
            return Err(problem.at(entry.key_span.clone(), "not a field").into());
        };
        if !matches!(list.value, kthw_yaml::Value::List(_)) && !rule::is_null(list) {
            let problem = self.problem("kthw::sops::wrong_type", "`creation_rules` is not a list", "begin every rule with `- `");
            return Err(problem.at(start_of(list, self.source.inner()), "this").into());
        }
        self.rules().iter().try_for_each(|rule| Fields::of_rule(self, rule)?.check())
    }

    fn problem(&self, code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem::new(code, message, self.source.clone(), help)
    }
}

/// What the creation rules for `file` say: those in `config`, or else the nearest `.sops.yaml`. Recipients that are `given` count in place
/// of a rule's, and then no rule has to match.
///
/// # Errors
/// When there are none, or as [`CreationRules::metadata_for`].
pub fn creation_metadata(file: &Path, config: Option<&Path>, given: &Given) -> Result<Metadata, SopsError> {
    let rules = match config {
        Some(config) => Some(CreationRules::read(config)?),
        None => CreationRules::find(file)?,
    };
    // As for sops, a file without rules is as good as none.
    let rules = rules.filter(|rules| rules.list().is_some());
    if !given.group.is_empty() {
        let rule = rules.as_ref().map(|rules| rules.matching(file)).transpose()?.flatten();
        return rule.map_or_else(
            || Ok(Metadata::new(vec![given.group.clone()], None, Rules::default(), false)),
            |rule| rule.metadata_of(&given.group),
        );
    }
    match rules {
        Some(rules) => given.threshold_of(file, rules.metadata_for(file)?),
        None => Err(SopsError::NoCreationRules { file: file.display().to_string(), help: advice(file) }),
    }
}

/// How to write a first `.sops.yaml`, for whoever has none.
fn advice(file: &Path) -> String {
    let path = absolute(file);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let beside = folder.ancestors().find(|folder| folder.join(WRONG_NAME).is_file());
    match beside {
        Some(folder) => format!("rename {} to `{NAME}`: under its present name nobody reads it", shown(&folder.join(WRONG_NAME))),
        None => format!(
            "make a file `{NAME}` beside it or in a folder above, such as:\n\
             creation_rules:\n  - path_regex: secrets\\.sops\\.yaml$\n    age: age1…   # the public key that `age-keygen` prints\n\
             or name who can open it with `--age` and so on: `kthw secrets encrypt` takes them as sops does"
        ),
    }
}

fn not_yaml(source: &Arc<NamedSource<String>>, error: &kthw_yaml::NotYaml) -> SopsError {
    let text = source.inner();
    let mut at = error.offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let end = text[at..].chars().next().map_or(at, |first| at + first.len_utf8());
    let problem = Problem::new("kthw::sops::not_yaml", error.reason.clone(), source.clone(), "mend the YAML here");
    problem.at(at..end, "here").into()
}

/// The first line of a node: what to point at when it may be long.
fn start_of(node: &Node, text: &str) -> Range<usize> {
    let start = node.span.start.min(text.len());
    let end = node.span.end.min(text.len()).max(start);
    let line = text[start..end].lines().next().unwrap_or_default().trim_end();
    start..start + line.len().max(usize::from(start < text.len()))
}

/// What a regular expression is not, in the last line of its explanation.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// An absolute path without `.` and `..`, with its links left alone, as Go's `filepath.Abs` makes it.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

/// Relative to the working folder where it is below that.
fn shown(path: &Path) -> String {
    let here = absolute(Path::new("."));
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
