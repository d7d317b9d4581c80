//! What the functions of this module share: parsed options, checked paths, modes and owners, and the node's package manager.
use crate::{distribution::Family, workspace::Node};
use kthw_engine::{
    BadOption, Id, NodeResource, Options, Rhai, declare_on_node,
    node::{Finding, Output, PathState},
    throw,
};
use miette::Diagnostic;
use rhai::{Map, NativeCallContext};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::fmt;

/// Parses the options of `function`, builds the resource from them and records it.
pub(super) fn declare<S: DeserializeOwned, R: NodeResource>(
    cx: &NativeCallContext,
    function: &'static str,
    options: Map,
    build: impl FnOnce(S) -> Result<R, BadOption>,
) -> Rhai<Id> {
    let options = Options::<S>::parse(cx, function, options)?;
    match build(options.spec) {
        Ok(resource) => declare_on_node(cx, resource, options.common),
        Err(error) => throw(cx, error),
    }
}

/// Options of a function that takes `needs` only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NeedsOnly {}

/// An absolute path without anything that would have to be escaped in the answers of `find`, `sha256sum` and `grep`.
pub(super) fn checked_path(function: &str, path: &str) -> Result<String, BadOption> {
    let wrong = if !path.starts_with('/') {
        "is not absolute"
    } else if path.chars().any(|c| c.is_control() || c == '\\') {
        "holds a control character or a backslash"
    } else if path.len() > 1 && (path.ends_with('/') || path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."))) {
        "is not in its plain form (no `//`, no `.` or `..`, no `/` at its end)"
    } else if path.len() > 4000 {
        "is too long"
    } else {
        return Ok(path.to_owned());
    };
    Err(BadOption::new(function, format!("the path {path:?} {wrong}")))
}

/// A word of letters, digits and a few signs, as names of packages, services and modules are.
pub(super) fn checked_name(function: &str, what: &str, name: &str, signs: &str) -> Result<String, BadOption> {
    let fine = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    if !name.is_empty() && name.len() <= 200 && name.chars().all(fine) && !name.starts_with('-') {
        return Ok(name.to_owned());
    }
    Err(BadOption::new(function, format!("{name:?} is not the name of a {what}: letters, digits and `{signs}` only")))
}

/// A command as a list of words.
pub(super) fn checked_argv(function: &str, option: &str, argv: &[String]) -> Result<(), BadOption> {
    match argv {
        [] => Err(BadOption::new(function, format!("`{option}` is empty; it takes a program and its arguments"))),
        [program, ..] if program.is_empty() => Err(BadOption::new(function, format!("`{option}` names no program"))),
        words if words.iter().any(|word| word.contains('\0')) => Err(BadOption::new(function, format!("`{option}` holds a zero byte"))),
        _ => Ok(()),
    }
}

/// Permission bits, written as text in octal: `"0644"`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| serde::de::Error::custom("`mode` is text in octal, such as \"0644\""))?;
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = u32::from_str_radix(&text, 8).ok().filter(|_| octal);
        bits.map(Self).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a mode; it is text in octal, such as \"0644\"")))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `user:group`; the group is the user's name when it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner(pub String);

impl Owner {
    pub fn of(state: &PathState) -> String {
        format!("{}:{}", state.owner, state.group)
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self("root:root".into())
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (user, group) = text.split_once(':').unwrap_or((&text, &text));
        let fine = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        if fine(user) && fine(group) {
            return Ok(Self(format!("{user}:{group}")));
        }
        Err(serde::de::Error::custom(format!("`{text}` is not an owner; write `user` or `user:group`")))
    }
}

/// The package manager of a node.
pub(super) fn family(node: &Node) -> &'static dyn Family {
    node.workspace().distribution.family()
}

/// The answer to the path probe at a position of the query.
pub(super) fn path_at(findings: &[Finding], position: usize) -> Option<&PathState> {
    match findings.get(position) {
        Some(Finding::Path(state)) => state.as_ref(),
        _ => None,
    }
}

/// The answer to the run probe at a position of the query.
pub(super) fn run_at(findings: &[Finding], position: usize) -> Result<&Output, kthw_engine::Error> {
    match findings.get(position) {
        Some(Finding::Run(output)) => Ok(output),
        other => Err(kthw_engine::Error::peer(NotAnswered { position, other: format!("{other:?}") })),
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("query {position} has the wrong kind of answer: {other}")]
#[diagnostic(code(kthw::ssh::not_answered), help("this is a mistake in kthw; please report it"))]
struct NotAnswered {
    position: usize,
    other: String,
}
