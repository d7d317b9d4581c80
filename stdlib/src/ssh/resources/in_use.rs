//! A package that is in use: what belongs to one version of it is not changed under another.
use super::declare::{checked_name, checked_path, path_at, run_at};
use crate::distribution::{Family, installed};
use kthw_engine::{
    BadOption, Field, Refusal, Result,
    node::{Finding, Probe},
};
use serde::Deserialize;

/// The package that something belongs to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InUse {
    /// Its name.
    pub package: String,
    /// The version that what is declared belongs to.
    pub version: String,
    /// The package is in use once this file is there.
    pub once: String,
}

impl InUse {
    /// The same, when all of it can be asked.
    ///
    /// # Errors
    /// A package or a path that cannot be one.
    pub(super) fn checked(self, function: &str) -> std::result::Result<Self, BadOption> {
        checked_name(function, "package", &self.package, "+-.")?;
        checked_path(function, &self.once)?;
        Ok(self)
    }

    /// What to look at. The list of packages is what `ssh::package` asks for, so it is read once.
    pub fn query(&self, family: &dyn Family) -> [Probe; 2] {
        [family.list(), Probe::path(&self.once)]
    }

    /// The version in use, when it is another one than what is declared belongs to. The findings answer [`query`](Self::query).
    ///
    /// # Errors
    /// Findings that are no answers.
    pub fn other_version(&self, family: &dyn Family, findings: &[Finding]) -> Result<Option<String>> {
        let version = installed(&run_at(findings, 0)?.stdout, &self.package).map(|found| found.version);
        Ok(version.filter(|version| !family.is_version(&self.version, version) && path_at(findings, 1).is_some()))
    }

    /// Refuses to change `what` while `version` is in use.
    pub fn refusal(&self, node: &str, version: &str, what: &str, fields: Vec<Field>) -> Refusal {
        Refusal {
            why: format!("{} is in use on {node} in version {version}, and {what} is not changed under it", self.package),
            next: back_to(version),
            fields,
        }
    }
}

/// The way out when another version than the one in use is declared.
pub(super) fn back_to(version: &str) -> String {
    format!("set the version back to {version}; what uses it has to be upgraded by a recipe that knows how")
}
