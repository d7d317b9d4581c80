//! What moved between a saved plan and the world as it is now, one fact in a line.
use super::resource::{SavedField, SavedResource, Word};
use crate::{id::Id, plan::Plan};
use std::{collections::HashMap, fmt};

/// How many facts are told at most.
const TOLD: usize = 20;

/// What moved.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Each in a line.
    pub told: Vec<String>,
    /// How many resources only moved because something that they need did: all that is on a machine that is gone.
    pub following: usize,
}

/// Where `now` is not what was `saved`, in the order of `now`.
pub(super) fn between(saved: &[SavedResource], now: &Plan) -> Facts {
    let resources = now.resources();
    let mut known: HashMap<&Id, &SavedResource> = saved.iter().map(|one| (&one.id, one)).collect();
    let before: Vec<Option<&SavedResource>> = resources.iter().map(|one| known.remove(&one.id)).collect();
    let differs: Vec<bool> = resources.iter().zip(&before).map(|(one, was)| was.is_none_or(|was| was.facts() != one.facts())).collect();
    // What hid what needs it when the plan was made, or hides it now.
    let hides = |one: usize| now.planned[one].hides || before[one].is_some_and(|was| was.change.may_hide());
    let mut facts = Facts::default();
    for (number, one) in resources.iter().enumerate().filter(|(number, _)| differs[*number]) {
        match before[number] {
            _ if now.order.items[number].needs.iter().any(|need| differs[*need] && hides(*need)) => facts.following += 1,
            Some(was) => facts.told.extend(moved(was, one)),
            None => facts.told.push(format!("{}: was not in the plan, {}", one.id, is(None, one))),
        }
    }
    let gone = saved.iter().filter(|one| known.contains_key(&one.id));
    facts.told.extend(gone.map(|one| format!("{}: {}, is not in the plan now", one.id, was(one.change))));
    facts
}

/// How one resource moved.
fn moved(saved: &SavedResource, now: &SavedResource) -> Vec<String> {
    let id = &now.id;
    if saved.change != now.change {
        return vec![format!("{id}: {}, {}", was(saved.change), is(Some(saved.change), now))];
    }
    let fields = fields(&saved.fields, &now.fields);
    if fields.is_empty() {
        // The recipes are the same, so this takes a kthw that understands them in another way.
        return vec![format!("{id}: was a part of {}, is a part of {} now, or stands in another order", saved.phase, now.phase)];
    }
    fields.into_iter().map(|field| format!("{id}: {field}")).collect()
}

/// How the fields of a resource moved that is still to be changed in the same way.
fn fields(saved: &[SavedField], now: &[SavedField]) -> Vec<String> {
    let holds = |fields: &[SavedField], field: &SavedField| fields.iter().any(|one| one.facts() == field.facts());
    let mut left: Vec<&SavedField> = now.iter().filter(|field| !holds(saved, field)).collect();
    let mut facts = Vec::new();
    for was in saved.iter().filter(|field| !holds(now, field)) {
        match left.iter().position(|field| field.name == was.name) {
            Some(position) => facts.push(format!("{}: was {was}, is now {}", was.name, left.remove(position))),
            None => facts.push(format!("{}: was {was}, is now as wanted", was.name)),
        }
    }
    facts.extend(left.iter().map(|field| format!("{}: was as wanted, is now {field}", field.name)));
    facts
}

/// What the plan said.
fn was(word: Word) -> &'static str {
    match word {
        Word::None => "was as wanted",
        Word::Create => "was to be created",
        Word::Update => "was to be changed",
        Word::Delete => "was to be removed",
        Word::Unknown => "could not be looked at",
        Word::Refused => "was refused",
    }
}

/// What is to be said now, of something that the plan had this word for.
fn is(was: Option<Word>, now: &SavedResource) -> String {
    let why = || now.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
    let there = if was == Some(Word::Create) { "is there now and" } else { "is now" };
    match now.change {
        Word::None if was == Some(Word::Create) => "is there now and as wanted".into(),
        Word::None if was == Some(Word::Delete) => "is gone now".into(),
        Word::None => "is now as wanted".into(),
        Word::Create if matches!(was, Some(Word::None | Word::Update)) => "is not there now".into(),
        Word::Create => "is now to be created".into(),
        Word::Update => {
            let fields: Vec<String> = now.fields.iter().map(|field| format!("{}: {field}", field.name)).collect();
            format!("{there} to be changed: {}", fields.join("; "))
        }
        Word::Delete => format!("{there} to be removed"),
        Word::Unknown => format!("cannot be looked at now: {}", why()),
        Word::Refused => format!("is refused now: {}", why()),
    }
}

/// A saved plan is not carried out, because of these facts.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{label} is not carried out: what it was made of moved\n{facts}")]
#[diagnostic(code(kthw::plan::moved), help("nothing was changed; make the plan anew with `--dry-run -o`, and look at it{version}"))]
pub(super) struct Moved {
    label: String,
    facts: Facts,
    version: String,
}

impl Moved {
    /// `kthw` is the version that made the plan.
    pub fn new(label: &str, facts: Facts, kthw: &str) -> Self {
        let this = env!("CARGO_PKG_VERSION");
        let version = if kthw == this { String::new() } else { format!("; kthw {kthw} made this one, and this is kthw {this}") };
        Self { label: label.into(), facts, version }
    }
}

/// Each in a line, and no more than a person reads.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.told.iter().take(TOLD).map(|fact| format!("  {fact}")).collect();
        f.write_str(&told.join("\n"))?;
        match self.told.len().saturating_sub(TOLD) {
            0 => {}
            more => write!(f, "\n  and {more} more")?,
        }
        match self.following {
            0 => Ok(()),
            1 => f.write_str("\n  and 1 resource that needs one of these"),
            many => write!(f, "\n  and {many} resources that need one of these"),
        }
    }
}
