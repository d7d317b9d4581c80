//! What is done about an effect whose end nobody saw, because its run died: every intent says so before it begins, and a later run acts on it.
use crate::{
    door::{Door, Permit},
    error::Result,
    event::{Events, reporting},
    id::Id,
    ledger::Entry,
    node::Action,
    peers::{BoxFuture, Peers},
    run::RunOptions,
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many effects are settled at once.
const AT_ONCE: usize = 32;

/// What a later run does about an effect whose end nobody saw. There is no default: whoever writes has to say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "what")]
pub enum Recovery {
    /// Nothing beforehand: the next look at its resources tells whether it happened, and their change makes whole what is half-made.
    Look,
    /// Its script may still run on the node that it changes: that is waited for, then as [`Look`](Self::Look).
    Script,
    /// The peer may still be at it, under the name that was [noted](crate::Effect::note): that is waited for, then as [`Look`](Self::Look).
    Task,
    /// It makes something that no look finds and that has to go, even if the effect itself ended well, until an effect
    /// [takes it back](crate::Intent::taking_back).
    TakeBack(Leftover),
}

/// Something that an effect leaves behind, in the words of the module that made it. Never a secret: it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Leftover(pub Value);

/// An effect of an earlier run that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// What was about to happen.
    #[serde(flatten)]
    pub entry: Entry,
    /// What the peer called it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Whether it is known to have ended. It is here because of what it left, then.
    #[serde(default)]
    pub ended: bool,
}

/// What only the modules know: how their peers are asked about something that an earlier run began.
pub trait Recoverer: Send + Sync {
    /// Waits until the peer is no longer at what it calls `name`; says in words how that ended.
    fn wait_for<'a>(&'a self, name: &'a str, peers: &'a Peers) -> BoxFuture<'a, Result<String>>;

    /// Takes back what was left, if it is still there; says in words what was done.
    fn take_back<'a>(&'a self, leftover: &'a Leftover, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<String>>;
}

/// What became of the effects that earlier runs left open.
#[derive(Debug)]
pub struct Recovered {
    /// Each with how it was settled, in words; an error says why it is still open.
    pub settled: Vec<(Unsettled, Result<String>)>,
    /// How many effects that took, which count as the first of the run.
    pub effects: u64,
}

/// Settles what earlier runs left open, before anything is planned.
pub async fn recover(open: Vec<Unsettled>, recoverer: &dyn Recoverer, peers: &Peers, events: &Events, options: &RunOptions) -> Recovered {
    let door = Door::open(peers, options);
    let permit = door.permit(Vec::new());
    let nodes: BTreeSet<String> = open.iter().filter(|one| may_run_on_node(one)).map(|one| one.entry.intent.peer.clone()).collect();
    let waits = nodes.into_iter().map(|node| async {
        let how = reporting(Id::new("node", &node), events.clone(), wait_for_script(&node, peers, &permit)).await;
        (node, how)
    });
    let nodes: BTreeMap<String, String> = stream::iter(waits).buffered(AT_ONCE).collect().await;
    let settling = open.into_iter().map(|one| async {
        let about = one.entry.resources.first().cloned().unwrap_or_else(|| Id::new("peer", &one.entry.intent.peer));
        let permit = door.permit(one.entry.resources.clone());
        let how = reporting(about, events.clone(), settle(&one, &nodes, recoverer, peers, &permit)).await;
        (one, how)
    });
    let settled = stream::iter(settling).buffered(AT_ONCE).collect().await;
    Recovered { settled, effects: door.effects() }
}

fn may_run_on_node(one: &Unsettled) -> bool {
    one.entry.intent.recovery == Recovery::Script && !one.ended
}

/// Waits for the turn of this run on the node, which a script of an earlier run keeps for as long as it goes on.
async fn wait_for_script(node: &str, peers: &Peers, permit: &Permit) -> String {
    match permit.act(peers, node, &Action::run(["true"])).await {
        Ok(_) => "no script of an earlier run goes on there".into(),
        // Nothing is lost by going on: the turn is waited for again before anything is changed there.
        Err(error) => format!("not asked, because {error}; what may go on there is waited for before anything is changed"),
    }
}

async fn settle(
    one: &Unsettled,
    nodes: &BTreeMap<String, String>,
    recoverer: &dyn Recoverer,
    peers: &Peers,
    permit: &Permit,
) -> Result<String> {
    match &one.entry.intent.recovery {
        Recovery::TakeBack(leftover) => recoverer.take_back(leftover, peers, permit).await,
        Recovery::Script => Ok(nodes.get(&one.entry.intent.peer).cloned().unwrap_or_else(look)),
        Recovery::Task => match one.names.last() {
            Some(name) => recoverer.wait_for(name, peers).await,
            None => Ok(look()),
        },
        Recovery::Look => Ok(look()),
    }
}

fn look() -> String {
    "the plan tells".into()
}
