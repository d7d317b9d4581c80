//! What is wrong with a workspace: one diagnostic per problem, each with its place in the file and the next step.
use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};
use std::fmt;

pub use kthw_yaml::Problem;

/// Everything that is wrong with a workspace, found in one go.
#[derive(Debug)]
pub struct WorkspaceError {
    label: String,
    problems: Vec<Problem>,
}

impl WorkspaceError {
    /// The problems of the file known as `label`; there is at least one.
    pub(crate) fn new(label: &str, problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error has a problem");
        Self { label: label.into(), problems }
    }

    /// Each problem, in the order in which the rules found them.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problem, when there is only one; it is then shown by itself.
    fn only(&self) -> Option<&Problem> {
        match self.problems.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for WorkspaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only() {
            Some(problem) => problem.fmt(f),
            None => write!(f, "{} problems in {}", self.problems.len(), self.label),
        }
    }
}

impl std::error::Error for WorkspaceError {}

impl Diagnostic for WorkspaceError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only().map_or_else(|| Some(Box::new("kthw::workspace") as Box<dyn fmt::Display>), Diagnostic::code)
    }
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only().and_then(Diagnostic::help)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.only().and_then(Diagnostic::source_code)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only().and_then(Diagnostic::labels)
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.only().is_some() {
            return None;
        }
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
