//! The variables of one environment: its own file over `cpc.env`.
use super::{
    assignments::{Assignment, Read},
    text::{Problem, Text},
};

/// A file and what was read in it.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub file: Text,
    /// What it holds.
    pub read: Read,
}

impl Source {
    /// The assignment of a variable that counts: the last one.
    pub fn last(&self, name: &str) -> Option<&Assignment> {
        self.read.assignments.iter().rev().find(|assignment| assignment.name == name)
    }

    /// `envs/ubuntu.env:12`.
    pub fn place(&self, assignment: &Assignment) -> String {
        format!("{}:{}", self.file.name, self.file.line(assignment.span.start))
    }
}

/// The files of one environment.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// `envs/NAME.env`.
    pub own: &'a Source,
    /// `cpc.env`.
    pub global: Option<&'a Source>,
}

/// A variable with a value.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The value, which is not empty.
    pub value: &'a str,
    source: &'a Source,
    assignment: &'a Assignment,
}

impl<'a> Settings<'a> {
    /// The variable as the environment's own file has it, or else `cpc.env`; `None` where it is not there, or empty.
    ///
    /// # Errors
    /// [`Problem`] where its value is not known.
    pub fn find(&self, name: &str) -> Result<Option<Setting<'a>>, Problem> {
        let own = self.own.last(name).map(|found| (self.own, found));
        let found = own.or_else(|| self.global.and_then(|global| Some((global, global.last(name)?))));
        found.map_or(Ok(None), |(source, assignment)| setting(source, assignment))
    }

    /// The variable as the environment's own file has it.
    ///
    /// # Errors
    /// [`Problem`] where its value is not known.
    pub fn find_own(&self, name: &str) -> Result<Option<Setting<'a>>, Problem> {
        self.own.last(name).map_or(Ok(None), |assignment| setting(self.own, assignment))
    }

    /// A variable that has to be there; `meaning` says what it is, with an example.
    ///
    /// # Errors
    /// [`Problem`] where it is not there or not known.
    pub fn need(&self, name: &str, meaning: &str) -> Result<Setting<'a>, Problem> {
        let file = &self.own.file.name;
        self.find(name)?.ok_or_else(|| {
            Problem::of(
                format!("{file}: {name} is missing"),
                format!("add `{name}=…` to it: {meaning}; or leave it out: `--only` names the environments to take"),
            )
        })
    }
}

fn setting<'a>(source: &'a Source, assignment: &'a Assignment) -> Result<Option<Setting<'a>>, Problem> {
    match &assignment.value {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(Setting { value, source, assignment })),
        Err(why) => {
            let name = assignment.span.start..assignment.span.start + assignment.name.len();
            let message = format!("the value of {} is not known: {why}", assignment.name);
            let help = "kthw does not run bash: write the value itself into a copy of the file";
            Err(source.file.problem(name.clone(), (name, "set here"), message, help))
        }
    }
}

impl Setting<'_> {
    /// The variable's name.
    pub fn name(&self) -> &str {
        &self.assignment.name
    }

    /// `envs/ubuntu.env:12`.
    pub fn place(&self) -> String {
        self.source.place(self.assignment)
    }

    /// Its value is wrong: what it is not, and what it should look like. It is shown, so it must not be a secret.
    pub fn wrong(&self, label: &str, message: impl Into<String>, help: impl Into<String>) -> Problem {
        self.source.file.problem(self.assignment.span.clone(), (self.assignment.value_span(), label), message, help)
    }
}
