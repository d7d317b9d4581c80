//! Which declared resource comes after which: named needs, the order within a phase on one node, phase after phase on one node, and gates.
use crate::{
    absent::Presence,
    diagnostics::{RecipeError, RecipeErrors},
    evaluate::{Declared, Evaluated},
    id::Id,
    readiness::Readiness,
    recipe::Recipe,
    resource::AnyStep,
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// A declared resource with its edges resolved to positions.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub id: Id,
    pub step: AnyStep,
    pub recipe: Arc<Recipe>,
    /// Its node, as a position in [`Order::nodes`].
    pub node: Option<usize>,
    pub opens_node: bool,
    pub presence: Presence,
    /// Must be there first; while one is to be created, this one counts as absent.
    pub needs: Vec<usize>,
    /// Make this one act when they change.
    pub refreshed_by: Vec<usize>,
    /// Everything that comes before it, the needs above included, each once. A position after the last item is a gate.
    pub edges: Vec<usize>,
}

/// A node, and what is declared on it.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub node: String,
    /// In the order of their declaration.
    pub items: Vec<usize>,
}

/// All that was declared, in the order of its declaration, with what comes before what.
#[derive(Debug)]
pub(crate) struct Order {
    pub items: Vec<Item>,
    pub nodes: Vec<Members>,
    /// What each gate waits for: everything in the recipes that a recipe with `GATE` needs.
    pub gates: Vec<Vec<usize>>,
}

impl Order {
    /// Counts over all edges; the positions after the last item are the gates.
    pub fn readiness(&self) -> Readiness {
        let edges: Vec<&Vec<usize>> = self.items.iter().map(|item| &item.edges).chain(&self.gates).collect();
        Readiness::new(edges.into_iter().map(|edges| edges.iter().copied()))
    }

    /// What comes directly before an item, with what its gate waits for in place of the gate.
    pub fn all_before<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = usize> + 'a {
        let own = item.edges.iter().copied().filter(|edge| *edge < self.items.len());
        let gated = item.edges.iter().filter_map(|edge| self.gates.get(edge.checked_sub(self.items.len())?));
        own.chain(gated.flatten().copied())
    }

    /// Carries the order on one node, and the order of removal, across resources that have nothing to do: what comes after such a resource
    /// also comes after whatever that resource comes after. Otherwise a failure would have no effect beyond the first settled resource.
    pub fn reach_through(&mut self, has_nothing_to_do: impl Fn(usize) -> bool) {
        let mut readiness = self.readiness();
        // For each resource that has nothing to do: what it stands for.
        let mut behind: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        while let Some(position) = readiness.take() {
            readiness.done(position);
            let Some(item) = self.items.get(position) else { continue };
            let passes = |edge: &usize| self.items.get(*edge).is_some_and(|other| item.is_in_line_with(other));
            let passed: Vec<usize> = item.edges.iter().copied().filter(passes).collect();
            let reached: BTreeSet<usize> = passed.iter().flat_map(|edge| behind.get(edge).into_iter().flatten().copied()).collect();
            if has_nothing_to_do(position) {
                let own = passed.into_iter().filter(|edge| !behind.contains_key(edge));
                let stands_for = own.chain(reached).collect();
                behind.insert(position, stands_for);
            } else if !reached.is_empty() {
                let edges: BTreeSet<usize> = item.edges.iter().copied().chain(reached).collect();
                self.items[position].edges = edges.into_iter().collect();
            }
        }
    }
}

impl Item {
    /// Whether an edge between the two is part of an order that is carried further: on one node, or among what is removed.
    fn is_in_line_with(&self, other: &Self) -> bool {
        let both_go = self.presence != Presence::Present && other.presence != Presence::Present;
        both_go || self.node.is_some() && self.node == other.node
    }
}

/// Resolves the edges of all declared resources.
pub(crate) fn order(evaluated: &[Evaluated]) -> Result<Order, RecipeErrors> {
    let all: Vec<Declaration> = evaluated
        .iter()
        .enumerate()
        .flat_map(|(phase, evaluated)| evaluated.declared.iter().map(move |declared| Declaration { phase, evaluated, declared }))
        .collect();
    let mut problems = Problems::default();
    let positions = positions(&all, &mut problems);
    let mut resolving = Resolving::new(evaluated, &all, positions);
    let mut items: Vec<Item> =
        all.iter().enumerate().map(|(position, declaration)| resolving.item(position, declaration, &mut problems)).collect();
    turn_round(&mut items);
    let order = Order { items, gates: resolving.gates(), nodes: resolving.nodes };
    if problems.list.is_empty() {
        problems.list.extend(circle(&order, &all));
    }
    if problems.list.is_empty() { Ok(order) } else { Err(RecipeErrors(problems.list)) }
}

/// One declaration and where it stands.
struct Declaration<'a> {
    phase: usize,
    evaluated: &'a Evaluated,
    declared: &'a Declared,
}

/// What is wrong with the recipes. A wrong line inside a loop over nodes is one problem, not one for every node.
#[derive(Default)]
struct Problems {
    list: Vec<RecipeError>,
    told: HashSet<(usize, Option<usize>, Option<usize>, &'static str)>,
}

impl Problems {
    fn tell(&mut self, declaration: &Declaration<'_>, about: &'static str, problem: impl FnOnce() -> RecipeError) {
        let position = declaration.declared.position;
        if self.told.insert((declaration.phase, position.line(), position.position(), about)) {
            self.list.push(problem());
        }
    }
}

fn positions(all: &[Declaration<'_>], problems: &mut Problems) -> HashMap<Id, usize> {
    let mut positions = HashMap::with_capacity(all.len());
    for (position, declaration) in all.iter().enumerate() {
        let first = *positions.entry(declaration.declared.id()).or_insert(position);
        if first != position {
            problems.tell(declaration, "twice", || twice(&all[first], declaration));
        }
    }
    positions
}

/// Turns identities into positions, one declaration after the other.
struct Resolving<'a> {
    evaluated: &'a [Evaluated],
    positions: HashMap<Id, usize>,
    /// For every phase, all phases that come before it, directly or not.
    before: Vec<BTreeSet<usize>>,
    /// For every phase with a gate, the position of the gate.
    gate_of: HashMap<usize, usize>,
    nodes: Vec<Members>,
    node_positions: HashMap<String, usize>,
    openers: HashMap<usize, usize>,
    presence: Vec<Presence>,
    /// The last item so far of a phase on a node, separately for items that are kept and items that are removed.
    last: HashMap<(usize, usize, bool), usize>,
}

impl<'a> Resolving<'a> {
    fn new(evaluated: &'a [Evaluated], all: &[Declaration<'_>], positions: HashMap<Id, usize>) -> Self {
        let gated = evaluated.iter().enumerate().filter(|(_, evaluated)| evaluated.recipe.header.gate).map(|(phase, _)| phase);
        let gate_of = gated.enumerate().map(|(gate, phase)| (phase, all.len() + gate)).collect();
        let (mut nodes, mut node_positions, mut openers) = (Vec::<Members>::new(), HashMap::new(), HashMap::new());
        for (position, step) in all.iter().map(|declaration| &declaration.declared.step).enumerate() {
            let Some(name) = step.node() else { continue };
            let node = *node_positions.entry(name.to_owned()).or_insert_with(|| {
                nodes.push(Members { node: name.to_owned(), items: Vec::new() });
                nodes.len() - 1
            });
            nodes[node].items.push(position);
            if step.opens_node() {
                openers.insert(node, position);
            }
        }
        Self {
            evaluated,
            positions,
            before: phases_before(evaluated),
            gate_of,
            nodes,
            node_positions,
            openers,
            presence: all.iter().map(|declaration| declaration.declared.presence).collect(),
            last: HashMap::new(),
        }
    }

    fn item(&mut self, position: usize, declaration: &Declaration<'_>, problems: &mut Problems) -> Item {
        let Declaration { phase, evaluated, declared } = *declaration;
        let step = &declared.step;
        let mut needs = Vec::new();
        for id in step.needs().into_iter().chain(declared.extra_needs.iter().cloned()) {
            match self.positions.get(&id) {
                Some(needed) if declared.presence == Presence::Present && self.presence[*needed] == Presence::Absent => {
                    problems.tell(declaration, "absent", || needs_absent(evaluated, declared, &id));
                }
                Some(needed) => needs.push(*needed),
                None => problems.tell(declaration, "missing", || missing(evaluated, declared, &id)),
            }
        }
        let node = step.node().and_then(|name| self.node_positions.get(name).copied());
        let mut after = self.known(step.after(), position);
        if let Some(node) = node {
            needs.extend(self.openers.get(&node).filter(|opener| **opener != position));
            // What is kept and what is removed are ordered separately.
            let present = declared.presence == Presence::Present;
            match self.last.insert((phase, node, present), position) {
                Some(previous) => after.push(previous),
                None => after.extend(self.before[phase].iter().filter_map(|earlier| self.last.get(&(*earlier, node, present)))),
            }
        }
        after.extend(self.gate_of.get(&phase));
        let refreshed_by = self.known(step.refreshed_by(), position);
        let edges: BTreeSet<usize> = needs.iter().chain(&after).chain(&refreshed_by).copied().collect();
        Item {
            id: declared.id(),
            step: step.clone(),
            recipe: evaluated.recipe.clone(),
            node,
            opens_node: step.opens_node(),
            presence: declared.presence,
            needs,
            refreshed_by,
            edges: edges.into_iter().collect(),
        }
    }

    /// The positions of those identities that are declared.
    fn known(&self, ids: Vec<Id>, but: usize) -> Vec<usize> {
        ids.iter().filter_map(|id| self.positions.get(id)).copied().filter(|other| *other != but).collect()
    }

    fn gates(&self) -> Vec<Vec<usize>> {
        let mut phases: Vec<(&usize, &usize)> = self.gate_of.iter().collect();
        phases.sort_by_key(|(_, gate)| **gate);
        let present = |declared: &&Declared| declared.presence == Presence::Present;
        let declared = |phase: &usize| {
            self.evaluated[*phase].declared.iter().filter(present).filter_map(|declared| self.positions.get(&declared.id()))
        };
        phases.iter().map(|(phase, _)| self.before[**phase].iter().flat_map(declared).copied().collect()).collect()
    }
}

/// Removal runs in the opposite order: what comes after something is removed before it.
fn turn_round(items: &mut [Item]) {
    let goes: Vec<bool> = items.iter().map(|item| item.presence != Presence::Present).collect();
    let mut turned: Vec<(usize, usize)> = Vec::new();
    for (position, item) in items.iter_mut().enumerate().filter(|(position, _)| goes[*position]) {
        item.edges.retain(|edge| {
            let both = goes.get(*edge).copied().unwrap_or(false);
            if both {
                turned.push((*edge, position));
            }
            !both
        });
    }
    for (first, then) in turned {
        items[first].edges.push(then);
    }
}

fn phases_before(evaluated: &[Evaluated]) -> Vec<BTreeSet<usize>> {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut before: Vec<BTreeSet<usize>> = Vec::with_capacity(evaluated.len());
    for (phase, evaluated) in evaluated.iter().enumerate() {
        let direct = evaluated.recipe.header.needs.iter().filter_map(|need| names.get(need.name.as_str()).copied());
        before.push(direct.flat_map(|need| before[need].iter().copied().chain([need])).collect());
        names.insert(&evaluated.recipe.source.name, phase);
    }
    before
}

/// Finds resources that wait for each other.
fn circle(order: &Order, all: &[Declaration<'_>]) -> Option<RecipeError> {
    let mut readiness = order.readiness();
    while let Some(free) = readiness.take() {
        readiness.done(free);
    }
    let waiting: Vec<usize> = (0..order.items.len()).filter(|position| readiness.open(*position) > 0).collect();
    let first = &all[*waiting.first()?];
    let names: Vec<String> = waiting.iter().map(|position| order.items[*position].id.to_string()).collect();
    let message = format!("resources wait for each other: {}", names.join(", "));
    Some(
        error_in(first.evaluated, "kthw::recipe::circle", message)
            .at(first.declared.position, "one of them")
            .help("take away one of their `needs`; on one node a phase's resources are changed in the order of their declaration"),
    )
}

fn error_in(evaluated: &Evaluated, code: &'static str, message: String) -> RecipeError {
    RecipeError::new(code, message, &evaluated.recipe.source.path, &evaluated.recipe.source.text)
}

fn twice(first: &Declaration<'_>, second: &Declaration<'_>) -> RecipeError {
    error_in(second.evaluated, "kthw::recipe::declared_twice", format!("`{}` is declared twice", second.declared.id()))
        .at(second.declared.position, "the second time")
        .help("give one of them another name, or declare it once and name it under `needs`")
        .related(error_in(first.evaluated, "kthw::recipe::declared_twice", "the first time".into()).at(first.declared.position, "here"))
}

fn needs_absent(evaluated: &Evaluated, declared: &Declared, id: &Id) -> RecipeError {
    error_in(evaluated, "kthw::recipe::needs_absent", format!("`{}` needs `{id}`, which is declared with `present: false`", declared.id()))
        .at(declared.position, "declared here")
        .help("give it `present: false` too, or leave it out")
}

fn missing(evaluated: &Evaluated, declared: &Declared, id: &Id) -> RecipeError {
    error_in(evaluated, "kthw::recipe::missing_need", format!("`{}` needs `{id}`, which no recipe of this run declares", declared.id()))
        .at(declared.position, "declared here")
        .help(format!("name the recipe that declares `{id}` in `NEEDS`"))
}
