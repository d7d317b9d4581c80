//! Planning: read the world once, compare, and say what would change. Nothing here can write.
use crate::{
    change::{Change, Field},
    error::{Error, Result},
    evaluate::Evaluated,
    event::{Event, Events, reporting},
    id::Id,
    node::Finding,
    order::{Item, order},
    peers::Peers,
    resource::Live,
};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
};

/// What a run would do, resource by resource, in the order of the recipes.
#[derive(Debug)]
pub struct Plan {
    pub(crate) items: Vec<Item>,
    pub(crate) planned: Vec<Planned>,
    pub(crate) seen: Vec<Seen>,
}

/// One resource of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// Its identity.
    pub id: Id,
    /// The recipe that declares it.
    pub phase: String,
    /// The node that it is on, if it is on one.
    pub node: Option<String>,
    /// What would change.
    #[serde(flatten)]
    pub change: Change,
    /// Whether the run may change it; false for what [`Plan::only`] left out.
    pub chosen: bool,
}

/// What planning found out about one resource.
#[derive(Debug, Default)]
pub(crate) enum Seen {
    /// Counted as absent, without looking, because something that it needs is not there yet.
    #[default]
    Absent,
    /// Looked at through its own client.
    Read,
    /// Looked at together with the rest of its node.
    OnNode(Vec<Finding>),
}

impl Plan {
    /// The resources, in the order of their declaration.
    pub fn planned(&self) -> &[Planned] {
        &self.planned
    }

    /// Tells every chosen resource and what would change.
    pub fn announce(&self, events: &Events) {
        for one in self.planned.iter().filter(|one| one.chosen) {
            events(Event::Planned { id: one.id.clone(), phase: one.phase.clone(), change: one.change.clone() });
        }
    }

    /// How many resources would change.
    pub fn changes(&self) -> usize {
        self.planned.iter().filter(|one| !one.change.is_none()).count()
    }
}

/// Compares everything that was declared with the world.
///
/// What needs something that is still to be created counts as absent, without any I/O of its own; so the plan of a cluster that does
/// not exist yet is complete. All queries of a node travel together.
///
/// # Errors
/// A recipe that declares something twice or needs something that nobody declares; a peer that cannot be read.
pub async fn plan(evaluated: &[Evaluated], peers: &Peers, events: &Events) -> Result<Plan> {
    let items = order(evaluated)?;
    let mut planning = Planning::new(&items);
    let mut reading = FuturesUnordered::new();
    loop {
        for task in planning.ready()? {
            reading.push(look(task, &items, peers, events));
        }
        match reading.next().await {
            Some(found) => planning.take(found?)?,
            None => break,
        }
    }
    drop(reading);
    let Planning { decided, seen, .. } = planning;
    let planned: Vec<Planned> = items
        .iter()
        .zip(decided)
        .map(|(item, change)| Planned {
            id: item.id.clone(),
            phase: item.recipe.source.name.clone(),
            node: item.node.clone(),
            // After all reading: only now is it known which secrets are used.
            change: change.expect("resources that wait for each other were refused before").blanked(),
            chosen: true,
        })
        .collect();
    Ok(Plan { items, planned, seen })
}

/// Checks, without any peer, that everything declared can be ordered; returns the identities in the order of declaration.
///
/// # Errors
/// The same as [`plan`] for wrong recipes.
pub fn check(evaluated: &[Evaluated]) -> Result<Vec<Id>> {
    Ok(order(evaluated)?.into_iter().map(|item| item.id).collect())
}

impl Plan {
    /// Leaves only the changes of some phases (`phases/system`) or resources (`proxmox.vm/cu1`, or a beginning such as `ssh.file/`).
    ///
    /// # Errors
    /// A word that fits nothing; something chosen that needs something that is left out and does not exist yet.
    pub fn only(mut self, words: &[String]) -> Result<Self> {
        let fits = |one: &Planned, word: &String| !word.is_empty() && (one.phase == *word || one.id.to_string().starts_with(word.as_str()));
        if let Some(word) = words.iter().find(|word| !self.planned.iter().any(|one| fits(one, word))) {
            return Err(Error::usage(FitsNothing { word: word.clone() }));
        }
        let chosen: Vec<bool> = self.planned.iter().map(|one| words.iter().any(|word| fits(one, word))).collect();
        for (one, item) in self.items.iter().enumerate().filter(|(one, _)| chosen[*one]) {
            let lacking = item.needs.iter().find(|need| !chosen[**need] && matches!(self.planned[**need].change, Change::Create(_)));
            if let Some(lacking) = lacking {
                let (id, need) = (self.planned[one].id.clone(), self.planned[*lacking].id.clone());
                return Err(Error::usage(LeftOut { id, need }));
            }
        }
        for (one, _) in self.planned.iter_mut().zip(&chosen).filter(|(_, chosen)| !**chosen) {
            one.change = Change::None;
            one.chosen = false;
        }
        Ok(self)
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("no phase of this run is called `{word}`, and no resource begins with it")]
#[diagnostic(code(kthw::plan::fits_nothing), help("the plan without `--only` lists both"))]
struct FitsNothing {
    word: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{id} needs {need}, which does not exist yet and is left out")]
#[diagnostic(code(kthw::plan::left_out), help("add `--only {need}`, or run without `--only`"))]
struct LeftOut {
    id: Id,
    need: Id,
}

enum Task {
    Read(usize),
    Node(String, Vec<usize>),
}

enum Found {
    Read(usize, Option<Live>),
    Node(Vec<(usize, Vec<Finding>)>),
}

async fn look(task: Task, items: &[Item], peers: &Peers, events: &Events) -> Result<Found> {
    match task {
        Task::Read(one) => {
            let work = items[one].step.read(peers);
            Ok(Found::Read(one, reporting(items[one].id.clone(), events.clone(), work).await?))
        }
        Task::Node(node, members) => Ok(Found::Node(read_node(&node, &members, items, peers, events).await?)),
    }
}

/// Sends the queries of these resources of one node in one round.
pub(crate) async fn read_node(
    node: &str,
    members: &[usize],
    items: &[Item],
    peers: &Peers,
    events: &Events,
) -> Result<Vec<(usize, Vec<Finding>)>> {
    let queries: Vec<_> = members.iter().map(|one| items[*one].step.query()).collect();
    let probes: Vec<_> = queries.iter().flatten().cloned().collect();
    let first = members.first().map_or_else(|| Id::new("node", node), |one| items[*one].id.clone());
    let mut findings = reporting(first, events.clone(), peers.nodes().read(node, &probes)).await?.into_iter();
    Ok(members.iter().zip(queries).map(|(one, query)| (*one, findings.by_ref().take(query.len()).collect())).collect())
}

struct Planning<'a> {
    items: &'a [Item],
    decided: Vec<Option<Change>>,
    hidden: Vec<bool>,
    seen: Vec<Seen>,
    started: HashSet<usize>,
    nodes_asked: BTreeSet<String>,
    answers: HashMap<usize, Vec<Finding>>,
}

impl<'a> Planning<'a> {
    fn new(items: &'a [Item]) -> Self {
        Self {
            items,
            decided: vec![None; items.len()],
            hidden: vec![false; items.len()],
            seen: items.iter().map(|_| Seen::Absent).collect(),
            started: HashSet::new(),
            nodes_asked: BTreeSet::new(),
            answers: HashMap::new(),
        }
    }

    /// Decides whatever can be decided without looking, and returns what has to be looked at now.
    fn ready(&mut self) -> Result<Vec<Task>> {
        let mut tasks = Vec::new();
        let mut again = true;
        while again {
            again = false;
            for one in 0..self.items.len() {
                let item = &self.items[one];
                if self.decided[one].is_some() || self.started.contains(&one) {
                    continue;
                }
                if !item.needs.iter().chain(&item.refreshed_by).all(|other| self.decided[*other].is_some()) {
                    continue;
                }
                if item.needs.iter().any(|other| self.hidden[*other]) {
                    self.decide_hidden(one);
                    again = true;
                } else if let Some(node) = &item.node {
                    if let Some(findings) = self.answers.remove(&one) {
                        let live = item.step.understand(&findings)?;
                        self.decide(one, live.as_ref());
                        self.seen[one] = Seen::OnNode(findings);
                        again = true;
                    } else if self.nodes_asked.insert(node.clone()) {
                        let members = (0..self.items.len()).filter(|other| self.items[*other].node.as_ref() == Some(node)).collect();
                        tasks.push(Task::Node(node.clone(), members));
                    }
                } else {
                    self.started.insert(one);
                    tasks.push(Task::Read(one));
                }
            }
        }
        Ok(tasks)
    }

    /// Decides about something whose needs are not there yet. What travelled in the node's one look anyway is used, for then the
    /// change can go out in one batch with what it needs; everything else counts as absent and is looked at when its turn comes.
    fn decide_hidden(&mut self, one: usize) {
        let item = &self.items[one];
        let on_same_node = |other: &usize| !self.hidden[*other] || self.items[*other].node == item.node && !self.items[*other].opens_node;
        let findings = self.answers.remove(&one).filter(|_| item.needs.iter().all(on_same_node));
        match findings.and_then(|findings| Some((item.step.understand(&findings).ok()?, findings))) {
            Some((live, findings)) => {
                self.decide(one, live.as_ref());
                self.seen[one] = Seen::OnNode(findings);
            }
            None => self.decide(one, None),
        }
    }

    fn take(&mut self, found: Found) -> Result<()> {
        match found {
            Found::Read(one, live) => {
                self.decide(one, live.as_ref());
                self.seen[one] = Seen::Read;
            }
            Found::Node(answers) => self.answers.extend(answers),
        }
        Ok(())
    }

    fn decide(&mut self, one: usize, live: Option<&Live>) {
        let item = &self.items[one];
        let mut change = item.step.diff(live);
        if change.is_none() {
            let cause = item.refreshed_by.iter().find(|other| self.decided[**other].as_ref().is_some_and(|change| !change.is_none()));
            if let Some(cause) = cause {
                change = Change::Update(vec![refreshed_because(&self.items[*cause].id)]);
            }
        }
        self.hidden[one] = item.step.hides_dependents(&change);
        self.decided[one] = Some(change);
    }
}

/// The field that shows why something acts although it is as wanted itself.
pub(crate) fn refreshed_because(cause: &Id) -> Field {
    Field::new("refreshed by", cause)
}

/// The plan as people read it: every resource with its mark, and the fields that differ.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut phase = None;
        for one in self.planned.iter().filter(|one| one.chosen) {
            if phase != Some(&one.phase) {
                writeln!(f, "{}{}", if phase.is_some() { "\n" } else { "" }, one.phase)?;
                phase = Some(&one.phase);
            }
            writeln!(f, "  {} {}", one.change.mark(), one.id)?;
            for field in one.change.fields() {
                writeln!(f, "      {}", field.to_string().replace('\n', "\n      "))?;
            }
        }
        Ok(())
    }
}
