//! The one error type that crosses the engine: a diagnostic and the kind that decides the exit code.
use crate::redact::presentable;
use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};
use std::fmt;

/// A result whose error is a diagnostic with a kind.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it is; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line is wrong: exit code 2.
    Usage,
    /// A recipe or a workspace is wrong: exit code 2.
    Recipe,
    /// A peer failed or refused: exit code 3.
    Peer,
    /// Something was changed and did not become what was wanted: exit code 4.
    Settle,
    /// What is declared is never done as asked: exit code 1.
    Refused,
    /// Another run has the workspace: exit code 5.
    Overtaken,
    /// It was not begun, because the run was told to stop. In a run it counts as skipped; by itself: exit code 130.
    Stopped,
}

/// A failure with its kind. The diagnostic inside says what, where, why and what next; values of secrets that were used are taken out of
/// it, whatever peer it quotes.
pub struct Error {
    kind: Kind,
    diagnostic: Redacted,
}

impl Error {
    /// A wrong command line.
    pub fn usage(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Usage, diagnostic: Redacted::new(diagnostic) }
    }

    /// A wrong recipe or workspace.
    pub fn recipe(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Recipe, diagnostic: Redacted::new(diagnostic) }
    }

    /// A peer that failed or refused.
    pub fn peer(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Peer, diagnostic: Redacted::new(diagnostic) }
    }

    /// A change that did not take.
    pub fn settle(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Settle, diagnostic: Redacted::new(diagnostic) }
    }

    /// Something that is never done as asked; the diagnostic's help says what to do instead.
    pub fn refused(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Refused, diagnostic: Redacted::new(diagnostic) }
    }

    /// Something that was not done because another run has the workspace.
    pub fn overtaken(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Overtaken, diagnostic: Redacted::new(diagnostic) }
    }

    /// Something that was not begun because the run was told to stop.
    pub fn stopped(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Stopped, diagnostic: Redacted::new(diagnostic) }
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The diagnostic to show.
    pub fn diagnostic(&self) -> &(dyn Diagnostic + Send + Sync + 'static) {
        &self.diagnostic
    }

    /// The process exit code for this failure.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage | Kind::Recipe => 2,
            Kind::Peer => 3,
            Kind::Settle => 4,
            Kind::Refused => 1,
            Kind::Overtaken => 5,
            Kind::Stopped => 130,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

/// The message and its causes on one line; use [`Error::diagnostic`] for the full report.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.diagnostic)?;
        let mut source = std::error::Error::source(&self.diagnostic);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Any diagnostic and its causes, without the values of secrets.
struct Redacted {
    diagnostic: Box<dyn Diagnostic + Send + Sync>,
    cause: Option<Cause>,
}

/// The causes of a failure, in words.
#[derive(Debug)]
struct Cause {
    text: String,
    cause: Option<Box<Cause>>,
}

impl Cause {
    fn of(error: &dyn std::error::Error) -> Option<Self> {
        let source = error.source()?;
        Some(Self { text: presentable(&source.to_string()).into_owned(), cause: Self::of(source).map(Box::new) })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Redacted {
    fn new(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { cause: Cause::of(&diagnostic), diagnostic: Box::new(diagnostic) }
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&presentable(&self.diagnostic.to_string()))
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As text, not as fields: `Debug` would escape what a peer has escaped already, and redaction would not find it.
        write!(f, "{self}")
    }
}

impl std::error::Error for Redacted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Labels, source code and related diagnostics are places in files that people wrote, so they pass as they are.
impl Diagnostic for Redacted {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.code()
    }
    fn severity(&self) -> Option<Severity> {
        self.diagnostic.severity()
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help().map(|help| Box::new(presentable(&help.to_string()).into_owned()) as Box<dyn fmt::Display>)
    }
    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.url()
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.diagnostic.source_code()
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.diagnostic.labels()
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        self.diagnostic.related()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[derive(Debug, thiserror::Error, Diagnostic)]
    #[error("the peer said: {said}")]
    #[diagnostic(code(kthw::test), help("it said {said}"))]
    struct Echo {
        said: String,
        source: std::io::Error,
    }

    #[test]
    fn a_secret_that_a_peer_echoes_is_in_no_part_of_an_error() {
        let secret = Secret::new("correct horse battery staple");
        let said = format!("wrong password: {}", secret.expose());
        let error = Error::peer(Echo { source: std::io::Error::other(said.clone()), said });
        assert_eq!(error.to_string(), "the peer said: wrong password: <secret>: wrong password: <secret>");
        let mut report = String::new();
        miette::GraphicalReportHandler::new().render_report(&mut report, error.diagnostic()).unwrap();
        assert!(report.contains("it said wrong password: <secret>"), "{report}");
        for shown in [report, format!("{error:?}"), format!("{:?}", error.diagnostic())] {
            assert!(!shown.contains("horse"), "{shown}");
        }
    }

    #[test]
    fn what_a_peer_says_controls_no_terminal() {
        let (said, shown) = ("\u{1b}[2J".to_owned(), r"\u{1b}[2J");
        let error = Error::peer(Echo { source: std::io::Error::other(said.clone()), said });
        assert_eq!(error.to_string(), format!("the peer said: {shown}: {shown}"));
        assert_eq!(error.diagnostic().help().unwrap().to_string(), format!("it said {shown}"));
    }
}
