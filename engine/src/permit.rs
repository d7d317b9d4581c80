//! The permit to write: a value that only the executor can make, and that every mutating method asks for.

/// Allows changing the world. A dry run never holds one, so it cannot write, whatever a module does.
///
/// There is no public constructor on purpose; `tests/tidy.rs` checks that only `run.rs` makes one.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    pub(crate) fn for_this_run() -> Self {
        Self(())
    }
}
