//! What is wrong with a text: one diagnostic with its places in it and the next step.
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use std::{fmt, ops::Range, sync::Arc};

/// One thing that is wrong with a text.
#[derive(Clone, Debug)]
pub struct Problem {
    code: &'static str,
    message: String,
    help: String,
    source: Arc<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl Problem {
    /// A problem in `source`. `code` is like `kthw::workspace::duplicate_address`, `help` says what to do next.
    pub fn new(code: &'static str, message: impl Into<String>, source: Arc<NamedSource<String>>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into(), source, labels: Vec::new() }
    }

    /// Points at some bytes of the source.
    #[must_use]
    pub fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.labels.push(LabeledSpan::new(Some(label.into()), span.start, span.len()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
