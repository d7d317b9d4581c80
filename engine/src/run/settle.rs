//! The work itself: read at its turn, change, read back until it is as wanted.
use super::{
    batch::Batch,
    errors::{ActionFailed, DidNotSettle, MoreThanPlanned, NeverDone},
    schedule::{Consent, Done, Job},
};
use crate::{
    change::Change,
    door::{Door, Intent, Permit},
    error::{Error, Kind, Result},
    event::{Event, Events, progress, reporting},
    node::{BlockOutcome, Finding, Told},
    order::{Item, Order},
    peers::Peers,
    plan::read_node,
    recovery::Recovery,
    redact::presentable,
    resource::Live,
};
use std::{sync::Arc, time::Duration};

/// The pauses between looks at something that was changed and is not yet as wanted: 15 s in all.
const PATIENCE: [Duration; 5] =
    [Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Does one task. It does not fail itself: failures are part of what it returns.
pub(crate) async fn work(task: Job, order: &Order, peers: &Peers, door: &Arc<Door>, events: &Events) -> Done {
    let items = &order.items;
    match task {
        Job::Alone { position, consent, unread } => {
            events(Event::Started { id: items[position].id.clone() });
            let permit = door.permit(vec![items[position].id.clone()]);
            let alone = alone(&items[position], &consent, unread, peers, &permit);
            Done::Alone { position, ended: reporting(items[position].id.clone(), events.clone(), alone).await }
        }
        Job::Read { node, members } => {
            let found = read_node(&order.nodes[node].node, &members, items, peers, events).await;
            Done::Read { node, members, found }
        }
        Job::Batch(batch) => {
            let outcomes = change_node(&batch, order, peers, door, events).await;
            Done::Batch { batch, outcomes }
        }
    }
}

/// One resource by itself. `unread` is set for what opens a node that was not there yet: its first look is part of its work.
async fn alone(item: &Item, consent: &Consent, unread: bool, peers: &Peers, permit: &Permit) -> Result<Change> {
    let live = match &consent.planned {
        // It may answer by now; if not, its own work is to wait for it.
        Change::Unknown(_) if unread => match item.step.read(peers).await {
            Err(error) if error.kind() == Kind::Peer => None,
            read => read?,
        },
        _ if unread => None,
        _ => item.step.read(peers).await?,
    };
    let change = within_consent(item, item.step.diff(live.as_ref()), consent)?;
    if change.is_none() {
        return Ok(change);
    }
    item.step.apply(live, peers, permit).await?;
    until_settled(item, peers).await?;
    Ok(change)
}

/// Checks that a change is no more than what a person agreed to.
pub(crate) fn within_consent(item: &Item, now: Change, consent: &Consent) -> Result<Change> {
    if let Change::Refused(refusal) = &now {
        return Err(Error::refused(NeverDone::new(item.id.clone(), refusal)));
    }
    match now.beyond(&consent.planned, consent.touched) {
        None => Ok(now),
        Some(more) => Err(Error::settle(MoreThanPlanned { id: item.id.clone(), more })),
    }
}

async fn until_settled(item: &Item, peers: &Peers) -> Result<()> {
    let mut pauses = PATIENCE.iter();
    loop {
        let live = item.step.read(peers).await?;
        let left = item.step.diff(live.as_ref());
        if left.is_none() {
            return Ok(());
        }
        let Some(pause) = pauses.next() else {
            return Err(Error::settle(DidNotSettle::new(item.id.clone(), left)));
        };
        progress(format!("changed; waiting until it reads as wanted ({} left)", left.fields().len()));
        peers.clock().sleep(*pause).await;
    }
}

/// How the work on one member of a batch ended.
#[derive(Debug)]
pub(crate) enum MemberOutcome {
    /// It was changed and reads as wanted.
    Settled,
    /// Its node is no longer as it was; nothing was done. These are the new findings.
    Moved(Vec<Finding>),
    /// A resource of the same batch that it comes after failed.
    Held,
    /// It failed.
    Failed(Error),
}

async fn change_node(batch: &Batch, order: &Order, peers: &Peers, door: &Arc<Door>, events: &Events) -> Vec<MemberOutcome> {
    let (items, node) = (&order.items, order.nodes[batch.node].node.as_str());
    let told = |what: Told<'_>| match what {
        Told::Began(member) => batch.members.get(member).into_iter().for_each(|of| events(Event::Started { id: items[*of].id.clone() })),
        Told::Noticed(member, text) => batch.members.get(member).into_iter().for_each(|of| {
            events(Event::Noticed { id: items[*of].id.clone(), text: presentable(text).into_owned() });
        }),
    };
    let first = items[batch.members[0]].id.clone();
    let permit = door.permit(batch.members.iter().map(|position| items[*position].id.clone()).collect());
    let intent = Intent::on(node, batch.to_string(), Recovery::Script);
    let work = permit.effect(intent, async |effect| peers.nodes().change(node, &batch.blocks, effect, &told).await);
    let outcomes = match reporting(first, events.clone(), work).await {
        Ok(outcomes) => outcomes,
        // None of it was begun; the scheduler says why.
        Err(error) if error.kind() == Kind::Stopped => return batch.members.iter().map(|_| MemberOutcome::Held).collect(),
        Err(error) => return broken(batch, error),
    };
    let mut ended = Vec::with_capacity(outcomes.len());
    for (member, outcome) in outcomes.into_iter().enumerate() {
        let item = &items[batch.members[member]];
        ended.push(match outcome {
            BlockOutcome::Done(findings) => match as_wanted(item, &findings) {
                Ok(Change::None) => MemberOutcome::Settled,
                Ok(_) => match reporting(item.id.clone(), events.clone(), until_settled(item, peers)).await {
                    Ok(()) => MemberOutcome::Settled,
                    Err(error) => MemberOutcome::Failed(error),
                },
                Err(error) => MemberOutcome::Failed(error),
            },
            BlockOutcome::Moved(findings) => MemberOutcome::Moved(findings),
            BlockOutcome::Skipped => MemberOutcome::Held,
            BlockOutcome::Failed { action, output } => {
                let what = batch.blocks[member].actions.get(action).map_or_else(|| "its change".into(), ToString::to_string);
                MemberOutcome::Failed(Error::peer(ActionFailed { id: item.id.clone(), node: node.to_owned(), what, output }))
            }
        });
    }
    ended
}

fn as_wanted(item: &Item, findings: &[Finding]) -> Result<Change> {
    let live: Option<Live> = item.step.understand(findings)?;
    Ok(item.step.diff(live.as_ref()))
}

/// The exec failed as a whole: the first member carries the error, and the others are held back.
fn broken(batch: &Batch, error: Error) -> Vec<MemberOutcome> {
    let mut ended = vec![MemberOutcome::Failed(error)];
    ended.extend(batch.members.iter().skip(1).map(|_| MemberOutcome::Held));
    ended
}
