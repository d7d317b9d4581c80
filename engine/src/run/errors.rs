//! What can go wrong while a plan is carried out.
use crate::{
    change::{Change, Refusal},
    id::Id,
    node::Output,
};
use miette::Diagnostic;

/// A command of a resource failed on its node.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{id}: {what} on {node} ended with status {}", output.status)]
#[diagnostic(code(kthw::run::action_failed), help("{}", said(output)))]
pub(crate) struct ActionFailed {
    pub id: Id,
    pub node: String,
    pub what: String,
    pub output: Output,
}

fn said(output: &Output) -> String {
    let text = if output.stderr.trim().is_empty() { output.stdout.trim() } else { output.stderr.trim() };
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(12)..].join("\n");
    if last.is_empty() { "it printed nothing".into() } else { format!("it said:\n{last}") }
}

/// After its change a resource is still not as wanted.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{id} did not settle: still to {}{fields}", left.word())]
#[diagnostic(
    code(kthw::run::did_not_settle),
    help("the change was made and read back; something else sets it, or it takes longer than expected; run again to see")
)]
pub(crate) struct DidNotSettle {
    pub id: Id,
    pub left: Change,
    pub fields: String,
}

impl DidNotSettle {
    pub fn new(id: Id, left: Change) -> Self {
        let fields = left.fields().iter().map(|field| format!("\n    {}", field.to_string().replace('\n', "\n    "))).collect();
        Self { id, left, fields }
    }
}

/// At its turn a resource needs more than the plan said.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{id} would now {more}, which the plan did not show")]
#[diagnostic(code(kthw::run::more_than_planned), help("the world changed since the plan; nothing was done to it; plan again and look"))]
pub(crate) struct MoreThanPlanned {
    pub id: Id,
    pub more: String,
}

/// At its turn a resource turns out to be one that is never done as declared.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{id}: {why}{fields}")]
#[diagnostic(code(kthw::run::refused), help("{next}"))]
pub(crate) struct NeverDone {
    id: Id,
    why: String,
    next: String,
    fields: String,
}

impl NeverDone {
    pub fn new(id: Id, refusal: &Refusal) -> Self {
        let fields = refusal.fields.iter().map(|field| format!("\n    {field}")).collect();
        Self { id, why: refusal.why.clone(), next: refusal.next.clone(), fields }
    }
}

/// The node kept changing under the run.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{id}: {node} changed between reading and writing, {attempts} times in a row")]
#[diagnostic(code(kthw::run::keeps_moving), help("something else changes the same files; stop it, then run again"))]
pub(crate) struct KeepsMoving {
    pub id: Id,
    pub node: String,
    pub attempts: u32,
}
