//! Checking a workspace as a whole. Every rule runs, so that all problems are shown at once.
use super::{WorkspaceFile, problem::Problem};

/// Everything wrong with `file`, by itself and beside `others`.
pub(super) fn problems(_file: &WorkspaceFile, _others: &[&WorkspaceFile]) -> Vec<Problem> {
    Vec::new()
}
