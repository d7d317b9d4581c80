//! Everything that is wrong with a text, in one diagnostic.
use crate::Problem;
use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};
use std::fmt;

/// Everything that is wrong with a text, found in one go.
#[derive(Debug)]
pub struct Problems {
    code: &'static str,
    label: String,
    problems: Vec<Problem>,
}

impl Problems {
    /// The problems of the file known as `label`; there is at least one. `code` is for several of them together, such as `kthw::workspace`.
    pub fn new(code: &'static str, label: &str, problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error has a problem");
        Self { code, label: label.into(), problems }
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

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only() {
            Some(problem) => problem.fmt(f),
            None => write!(f, "{} problems in {}", self.problems.len(), self.label),
        }
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only().map_or_else(|| Some(Box::new(self.code) as Box<dyn fmt::Display>), Diagnostic::code)
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
