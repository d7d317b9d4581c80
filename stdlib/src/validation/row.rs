//! What one check found.
use kthw_engine::{Error, Field};
use std::time::Duration;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was tried, such as `DNS from wu2`.
    pub what: String,
    /// What should have come.
    pub want: String,
    /// What came.
    pub found: Found,
    /// How long it took.
    pub took: Duration,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// What should have come.
    Well(String),
    /// Something else.
    Wrong {
        /// What came instead.
        seen: String,
        /// What a person can do about it.
        next: Option<String>,
    },
    /// It was not tried, for this reason: another row is wrong, or there is nothing to try it with.
    NotTried(String),
}

impl Found {
    /// Something else came.
    pub fn wrong(seen: impl Into<String>, next: &str) -> Self {
        Self::Wrong { seen: seen.into(), next: Some(next.to_owned()).filter(|next| !next.is_empty()) }
    }

    /// It failed so.
    pub fn failed(error: &Error) -> Self {
        Self::Wrong { seen: error.to_string(), next: error.diagnostic().help().map(|help| help.to_string()) }
    }
}

impl Row {
    /// What was found without a question of its own.
    pub fn of(what: impl Into<String>, want: impl Into<String>, found: Found) -> Self {
        Self { what: what.into(), want: want.into(), found, took: Duration::ZERO }
    }

    /// Whether something else came than should have.
    pub fn is_wrong(&self) -> bool {
        matches!(self.found, Found::Wrong { .. })
    }

    /// The row as a part of a change: what would have to be otherwise. None if nothing has to.
    pub fn field(&self) -> Option<Field> {
        let Found::Wrong { seen, .. } = &self.found else { return None };
        Some(Field { live: Some("not so".into()), ..Field::new(self.what.clone(), &self.want) }.because(seen))
    }
}
