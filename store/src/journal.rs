//! The journal: what every run did, one log per run, written before and after each effect. See docs/adr/0011-journal-and-lock.md.
//!
//! A log is lines of JSON. Each ends with the digest of itself and the line before it, and the first names the end of the run before, so that
//! a line that was changed, lost or put in later shows. A line without its end was being written when its run died; it counts as not written.

mod chain;
mod history;
mod line;
mod log;
mod open;
mod write;

#[cfg(test)]
mod lossy_tests;
#[cfg(test)]
mod tests;

pub use history::{Damage, History};
pub use line::{About, End, Finish, Header, Line, Resource, SCHEMA, Tail, What};
pub use log::{Fault, RunLog};
pub use write::Journal;
