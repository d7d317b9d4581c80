//! Is this set right?
use super::{
    Set,
    nearest::nearest,
    rules::{Party, broken},
};

/// Two components that upstream does not name together, or one that no table knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The two. A version that no table knows stands alone, twice.
    pub between: (Party, Party),
    /// What upstream says, as a sentence without its full stop.
    pub rule: String,
    /// The page that says it.
    pub page: &'static str,
    /// The nearest set that breaks no rule; `None` when there is none.
    pub nearest: Option<Set>,
}

/// Every rule that a set breaks, in the order of its components; nothing for a set that upstream names.
pub fn check(set: &Set) -> Vec<Problem> {
    let broken = broken(set);
    let nearest = if broken.is_empty() { None } else { nearest(set) };
    broken
        .into_iter()
        .map(|broken| Problem { between: broken.between, rule: broken.rule, page: broken.page, nearest: nearest.clone() })
        .collect()
}
