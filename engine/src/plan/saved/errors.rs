//! Why a file cannot be read as a saved plan.
use super::{FORM, SavedPlan};

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{label} is not JSON")]
#[diagnostic(code(kthw::plan::not_json), help("a plan is made with `kthw run RECIPE --dry-run -o FILE`; is the file whole?"))]
pub(super) struct NotJson {
    pub label: String,
    pub source: serde_json::Error,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{label} is no plan of kthw")]
#[diagnostic(code(kthw::plan::not_a_plan), help("a plan is made with `kthw run RECIPE --dry-run -o FILE`"))]
pub(super) struct NotAPlan {
    pub label: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{label} is a plan of form {form}, and kthw {} reads form {FORM}", env!("CARGO_PKG_VERSION"))]
#[diagnostic(code(kthw::plan::other_form), help("{}", carry_out_with(kthw.as_deref())))]
pub(super) struct OtherForm {
    pub label: String,
    pub form: u32,
    /// The version of kthw that made it, as far as it says so.
    pub kthw: Option<String>,
}

fn carry_out_with(kthw: Option<&str>) -> String {
    match kthw {
        Some(kthw) => format!("carry it out with kthw {kthw}, which made it, or make it anew with this kthw"),
        None => "make it anew with this kthw".into(),
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{label} was changed after it was made: {why}")]
#[diagnostic(
    code(kthw::plan::changed_by_hand),
    help("a plan is carried out as it was made; what is to be done otherwise belongs into the workspace or a recipe, and into a new plan")
)]
pub(super) struct ChangedByHand {
    pub label: String,
    pub why: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{what} is larger than {} MiB", SavedPlan::LARGEST_BYTES >> 20)]
#[diagnostic(code(kthw::plan::too_large), help("{next}"))]
pub(super) struct TooLarge {
    what: String,
    next: &'static str,
}

impl TooLarge {
    pub fn read(label: String) -> Self {
        Self { what: label, next: "no plan of kthw is that large; is it another file?" }
    }

    pub fn written() -> Self {
        Self { what: "the plan as a file".into(), next: "plan a part of it at a time, with `--only` or `--node`" }
    }
}
