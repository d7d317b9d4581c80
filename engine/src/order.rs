//! Which declared resource comes after which: named needs, the order within a phase on one node, and phase after phase on one node.
use crate::{
    diagnostics::{RecipeError, RecipeErrors},
    evaluate::{Declared, Evaluated},
    id::Id,
    recipe::Recipe,
    resource::AnyStep,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// A declared resource with its edges resolved to positions.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub id: Id,
    pub step: AnyStep,
    pub recipe: Arc<Recipe>,
    pub node: Option<String>,
    pub opens_node: bool,
    /// Must be there first; while one is to be created, this one counts as absent.
    pub needs: Vec<usize>,
    /// Come first, nothing more.
    pub after: Vec<usize>,
    /// Make this one act when they change.
    pub refreshed_by: Vec<usize>,
}

impl Item {
    /// Everything that comes before it.
    pub fn edges(&self) -> impl Iterator<Item = usize> + '_ {
        self.needs.iter().chain(&self.after).chain(&self.refreshed_by).copied()
    }
}

/// Resolves the edges of all declared resources, in the order of their declaration.
pub(crate) fn order(evaluated: &[Evaluated]) -> Result<Vec<Item>, RecipeErrors> {
    let all: Vec<(&Evaluated, &Declared)> =
        evaluated.iter().flat_map(|one| one.declared.iter().map(move |declared| (one, declared))).collect();
    let mut problems = Vec::new();
    let mut positions: HashMap<Id, usize> = HashMap::new();
    // A wrong line inside a loop over nodes is one problem, not one for every node.
    let mut told = HashSet::new();
    let mut is_new = |one: &Evaluated, declared: &Declared, about: &'static str| {
        told.insert((one.recipe.source.path.clone(), declared.position.line(), declared.position.position(), about))
    };
    for (position, (one, declared)) in all.iter().enumerate() {
        if let Some(first) = positions.get(&declared.id()) {
            if is_new(one, declared, "twice") {
                problems.push(twice(&all[*first], &(*one, *declared)));
            }
        } else {
            positions.insert(declared.id(), position);
        }
    }
    let openers: HashMap<String, usize> = all
        .iter()
        .enumerate()
        .filter(|(_, (_, declared))| declared.step.opens_node())
        .filter_map(|(position, (_, declared))| Some((declared.step.node()?.to_owned(), position)))
        .collect();
    let before = phases_before(evaluated);
    let mut last_on_node: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut items = Vec::with_capacity(all.len());
    for (position, (one, declared)) in all.iter().enumerate() {
        let step = &declared.step;
        let mut needs = Vec::new();
        for id in step.needs().into_iter().chain(declared.extra_needs.iter().cloned()) {
            match positions.get(&id) {
                Some(needed) => needs.push(*needed),
                None if is_new(one, declared, "missing") => problems.push(missing(one, declared, &id)),
                None => {}
            }
        }
        let known = |ids: Vec<Id>| -> Vec<usize> {
            ids.iter().filter_map(|id| positions.get(id)).copied().filter(|other| *other != position).collect()
        };
        let mut after = known(step.after());
        if let Some(node) = step.node() {
            needs.extend(openers.get(node).filter(|opener| **opener != position));
            let phase = one.recipe.source.name.clone();
            match last_on_node.get(&(phase.clone(), node.to_owned())) {
                Some(previous) => after.push(*previous),
                None => after.extend(before[&phase].iter().filter_map(|earlier| last_on_node.get(&(earlier.clone(), node.to_owned())))),
            }
            last_on_node.insert((phase, node.to_owned()), position);
        }
        items.push(Item {
            id: declared.id(),
            step: step.clone(),
            recipe: one.recipe.clone(),
            node: step.node().map(str::to_owned),
            opens_node: step.opens_node(),
            needs,
            after,
            refreshed_by: known(step.refreshed_by()),
        });
    }
    if problems.is_empty() {
        problems.extend(circle(&items, &all));
    }
    if problems.is_empty() { Ok(items) } else { Err(RecipeErrors(problems)) }
}

/// For every phase, all phases that come before it, directly or not.
fn phases_before(evaluated: &[Evaluated]) -> BTreeMap<String, BTreeSet<String>> {
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in evaluated {
        let mut mine = BTreeSet::new();
        for need in &one.recipe.header.needs {
            mine.insert(need.name.clone());
            mine.extend(before.get(&need.name).into_iter().flatten().cloned());
        }
        before.insert(one.recipe.source.name.clone(), mine);
    }
    before
}

/// Finds resources that wait for each other.
fn circle(items: &[Item], all: &[(&Evaluated, &Declared)]) -> Option<RecipeError> {
    let mut waiting: BTreeSet<usize> = (0..items.len()).collect();
    loop {
        let free: Vec<usize> = waiting.iter().copied().filter(|one| items[*one].edges().all(|edge| !waiting.contains(&edge))).collect();
        if free.is_empty() {
            break;
        }
        for one in free {
            waiting.remove(&one);
        }
    }
    let first = *waiting.first()?;
    let names: Vec<String> = waiting.iter().map(|one| items[*one].id.to_string()).collect();
    let (one, declared) = all[first];
    let message = format!("resources wait for each other: {}", names.join(", "));
    Some(
        place(one, "kthw::recipe::circle", message)
            .at(declared.position, "one of them")
            .help("take away one of their `needs`; on one node a phase's resources are changed in the order of their declaration"),
    )
}

fn place(one: &Evaluated, code: &'static str, message: String) -> RecipeError {
    RecipeError::new(code, message, &one.recipe.source.path, &one.recipe.source.text)
}

fn twice(first: &(&Evaluated, &Declared), second: &(&Evaluated, &Declared)) -> RecipeError {
    place(second.0, "kthw::recipe::declared_twice", format!("`{}` is declared twice", second.1.id()))
        .at(second.1.position, "the second time")
        .help("give one of them another name, or declare it once and name it under `needs`")
        .related(place(first.0, "kthw::recipe::declared_twice", "the first time".into()).at(first.1.position, "here"))
}

fn missing(one: &Evaluated, declared: &Declared, id: &Id) -> RecipeError {
    place(one, "kthw::recipe::missing_need", format!("`{}` needs `{id}`, which no recipe of this run declares", declared.id()))
        .at(declared.position, "declared here")
        .help(format!("name the recipe that declares `{id}` in `NEEDS`"))
}
