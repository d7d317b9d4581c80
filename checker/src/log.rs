//! What the checker says: lines on standard error, which journald keeps.
use std::io::Write;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is not done.
    Error,
    /// Something is worse than it was.
    Warning,
    /// Something is as it should be again.
    Notice,
}

/// Says it. journald takes the level from the number in front
/// (<https://www.freedesktop.org/software/systemd/man/latest/sd-daemon.html>); a person at a terminal gets none.
pub fn log(level: Level, text: &str) {
    let number = match level {
        Level::Error => "<3>",
        Level::Warning => "<4>",
        Level::Notice => "<5>",
    };
    let number = if std::env::var_os("JOURNAL_STREAM").is_some() { number } else { "" };
    // Nobody is left to be told if this fails.
    let _ = writeln!(std::io::stderr(), "{number}{text}");
}
