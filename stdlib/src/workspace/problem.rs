//! What is wrong with a workspace: one diagnostic per problem, each with its place in the file and the next step.
pub use kthw_yaml::Problem;

/// Everything that is wrong with a workspace, found in one go.
pub type WorkspaceError = kthw_yaml::Problems;

/// The problems of the file known as `label`; there is at least one.
pub(super) fn wrong(label: &str, problems: Vec<Problem>) -> WorkspaceError {
    WorkspaceError::new("kthw::workspace", label, problems)
}
