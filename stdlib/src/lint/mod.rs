//! What manifests of workloads lack that a cluster in production asks of them, each with its place in the file.
//!
//! Only what stands in the files is looked at: a quota or a policy that is in the cluster already is not known here.

mod object;
mod rules;

pub use object::Object;
pub use rules::{RULES, Rule};

use crate::yaml::Problems;

/// A file with manifests.
#[derive(Clone, Debug)]
pub struct File {
    /// As people know it, such as its path.
    pub label: String,
    /// Its text: YAML documents, with lines of `---` between them.
    pub text: String,
}

/// Looks at all objects of `files` together, by the rules whose names are not in `without`. Returns how many objects there are.
///
/// # Errors
/// A file that is not YAML, or all that the objects lack.
pub fn lint(files: &[File], without: &[String]) -> Result<usize, Problems> {
    let label = if let [file] = files { file.label.clone() } else { format!("{} files", files.len()) };
    let mut objects = Vec::new();
    for file in files {
        objects.extend(Object::all_of(file).map_err(|problem| Problems::new("kthw::lint", &file.label, vec![problem]))?);
    }
    let rules = || RULES.iter().filter(|rule| !without.iter().any(|name| name == rule.name));
    let problems: Vec<_> = objects.iter().flat_map(|object| rules().flat_map(|rule| (rule.check)(object, &objects))).collect();
    if problems.is_empty() { Ok(objects.len()) } else { Err(Problems::new("kthw::lint", &label, problems)) }
}

#[cfg(test)]
mod tests;
