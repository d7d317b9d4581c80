//! What became of each variable, in words. Values are told only where they were taken; a secret's never is.
use super::{
    assignments::Assignment,
    known::{Fate, fate, fate_of_old_spelling, sounds_secret},
    settings::Source,
    tofu::Literals,
};
use serde_json::json;

/// What became of a variable, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is in the workspace.
    Taken,
    /// Nothing read it.
    NoEffect,
    /// The workspace does not say such a thing.
    LeftOut,
    /// It belongs into the secrets file.
    Secret,
    /// It takes bash to know it, or to know what it does.
    NotRead,
    /// kthw never heard of it.
    Unknown,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Taken, Self::NoEffect, Self::LeftOut, Self::Secret, Self::NotRead, Self::Unknown];

    fn title(self) -> &'static str {
        match self {
            Self::Taken => "Taken",
            Self::NoEffect => "Had no effect there",
            Self::LeftOut => "Left out",
            Self::Secret => "Secrets, which no workspace.yaml holds",
            Self::NotRead => "Not read, since only bash could",
            Self::Unknown => "Not known",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::NoEffect => "no_effect",
            Self::LeftOut => "left_out",
            Self::Secret => "secret",
            Self::NotRead => "not_read",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of a report.
#[derive(Clone, Debug)]
pub struct Told {
    kind: Kind,
    name: String,
    place: String,
    text: String,
}

/// Whose file it is that is told about.
pub enum Whose<'a> {
    /// `cpc.env`, and the environments that are taken with it.
    All(&'a [(&'a str, &'a Source)]),
    /// That of one environment.
    Of,
}

/// What became of everything in a file. `workspaces` are what `-w` calls those that are made with it.
pub fn told(source: &Source, whose: &Whose<'_>, literals: &Literals, workspaces: &[String]) -> Vec<Told> {
    let mut all: Vec<Told> = source
        .read
        .assignments
        .iter()
        .map(|assignment| {
            let (kind, text) = became(source, assignment, whose, literals, workspaces);
            Told { kind, name: assignment.name.clone(), place: source.place(assignment), text }
        })
        .collect();
    all.extend(source.read.commands.iter().map(|(line, what)| Told {
        kind: Kind::NotRead,
        name: what.clone(),
        place: format!("{}:{line}", source.file.name),
        text: "it is not run, and what it would set is not known".into(),
    }));
    all
}

fn became(source: &Source, assignment: &Assignment, whose: &Whose<'_>, literals: &Literals, workspaces: &[String]) -> (Kind, String) {
    let name = assignment.name.as_str();
    let last = source.last(name).filter(|last| last.span != assignment.span);
    if let Some(last) = last {
        return (Kind::LeftOut, format!("{} sets it again, which counts", source.place(last)));
    }
    let fate = fate(name).or_else(|| fate_of_old_spelling(name));
    let secret = |secret: &str| {
        let commands: Vec<String> = workspaces.iter().map(|workspace| format!("`kthw secrets set {secret} -w {workspace}`")).collect();
        (Kind::Secret, commands.join(", "))
    };
    let (field, why) = match fate {
        Some(Fate::Secret(name)) => return secret(name),
        Some(Fate::LeftOut { instead }) => return (Kind::LeftOut, instead.into()),
        Some(Fate::Unread { why, instead }) => return (Kind::NoEffect, format!("{why}; {instead}")),
        Some(Fate::OfTofu { default, field }) => (field, Some(in_force(default, assignment, literals))),
        Some(Fate::FieldOfEnvironment(field)) if matches!(whose, Whose::All(_)) => {
            (field, Some(in_force(&name.to_ascii_lowercase(), assignment, literals)))
        }
        Some(Fate::Field(field) | Fate::FieldOfEnvironment(field)) => (field, None),
        None if sounds_secret(name) => {
            let (kind, text) = secret(&name.to_ascii_lowercase());
            return (kind, format!("kthw does not know it; if a recipe of yours needs it: {text}"));
        }
        None => {
            let values = "if a recipe of yours needs it, write it under `values`";
            return match &assignment.value {
                Ok(_) => (Kind::Unknown, format!("nothing of it is taken; {values}")),
                Err(why) => (Kind::NotRead, format!("{why}; kthw does not know it: {values}")),
            };
        }
    };
    match (&assignment.value, why) {
        (_, Some(why)) => (Kind::NoEffect, format!("it did not reach OpenTofu{why}; see `{field}`")),
        (Err(why), None) => (Kind::NotRead, format!("{why}; write `{field}` by yourself")),
        (Ok(value), None) if value.is_empty() => (Kind::LeftOut, "it is empty".into()),
        (Ok(value), None) => (Kind::Taken, format!("-> {field}: {value}{}", elsewhere(name, whose))),
    }
}

/// What OpenTofu had in place of a variable.
fn in_force(default: &str, assignment: &Assignment, literals: &Literals) -> String {
    match literals.defaults.get(default) {
        Some(default) if assignment.value.as_ref() == Ok(default) => ", whose own default is the same".into(),
        Some(default) => format!(", and `{default}` was in force"),
        None => String::new(),
    }
}

/// The environments in which a variable of `cpc.env` does not count.
fn elsewhere(name: &str, whose: &Whose<'_>) -> String {
    let Whose::All(environments) = whose else { return String::new() };
    let own: Vec<&str> =
        environments.iter().filter(|(_, source)| source.last(name).is_some()).map(|(_, source)| source.file.name.as_str()).collect();
    if own.is_empty() { String::new() } else { format!(" (not in {}, which has its own)", own.join(", ")) }
}

/// The lines of a report, below a title for each kind.
pub fn in_words(told: &[Told]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let of_kind: Vec<&Told> = told.iter().filter(|one| one.kind == kind).collect();
        if !of_kind.is_empty() {
            text += &format!("  {}:\n", kind.title());
        }
        for one in of_kind {
            let arrow = if one.text.starts_with("->") { "" } else { ":" };
            text += &format!("    {} ({}){arrow} {}\n", one.name, one.place, one.text);
        }
    }
    text
}

/// The same as an event for each variable.
pub fn events(told: &[Told]) -> impl Iterator<Item = String> + '_ {
    told.iter().map(|one| {
        json!({ "event": "variable", "name": one.name, "place": one.place, "fate": one.kind.key(), "says": one.text }).to_string()
    })
}
