//! The one error type that crosses the engine: a diagnostic and the kind that decides the exit code.
use miette::Diagnostic;
use std::fmt;

/// A result whose error is a diagnostic with a kind.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it is; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line asks for something that cannot be: exit code 2.
    Usage,
    /// A recipe or a workspace is wrong: exit code 2.
    Recipe,
    /// A peer failed or refused: exit code 3.
    Peer,
    /// Something was changed and did not become what was wanted: exit code 4.
    Settle,
}

/// A failure with its kind. The diagnostic inside says what, where, why and what next.
pub struct Error {
    kind: Kind,
    diagnostic: Box<dyn Diagnostic + Send + Sync>,
}

impl Error {
    /// A wrong command line.
    pub fn usage(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Usage, diagnostic: Box::new(diagnostic) }
    }

    /// A wrong recipe or workspace.
    pub fn recipe(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Recipe, diagnostic: Box::new(diagnostic) }
    }

    /// A peer that failed or refused.
    pub fn peer(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Peer, diagnostic: Box::new(diagnostic) }
    }

    /// A change that did not take.
    pub fn settle(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Settle, diagnostic: Box::new(diagnostic) }
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The diagnostic to show.
    pub fn diagnostic(&self) -> &(dyn Diagnostic + Send + Sync + 'static) {
        &*self.diagnostic
    }

    /// The process exit code for this failure.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage | Kind::Recipe => 2,
            Kind::Peer => 3,
            Kind::Settle => 4,
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
        let mut source = self.diagnostic.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
