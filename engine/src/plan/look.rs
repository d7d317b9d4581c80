//! The looks of a plan: one exec for everything on a node, one read for everything else.
use super::{
    Asking,
    planning::{Found, Look},
};
use crate::{
    error::Result,
    event::{Events, reporting},
    id::Id,
    node::{Finding, Probe},
    order::{Item, Order},
    peers::Peers,
};

/// Does one look. A failure is part of what was found.
pub(super) async fn look(look: Look, order: &Order, peers: &Peers, events: &Events, asking: Asking) -> Found {
    match look {
        Look::Read(position) => {
            let item = &order.items[position];
            Found::Read(position, reporting(item.id.clone(), events.clone(), item.step.read(peers)).await)
        }
        Look::Node(node) => {
            let members = &order.nodes[node];
            let may_ask = |query: &[Probe]| query.iter().all(|probe| asking.allows(probe));
            Found::Node(node, ask_node(&members.node, &members.items, &order.items, peers, events, may_ask).await)
        }
    }
}

/// Sends the queries of these resources of one node in one round.
///
/// # Errors
/// When the node does not answer all of them.
pub(crate) async fn read_node(
    node: &str,
    members: &[usize],
    items: &[Item],
    peers: &Peers,
    events: &Events,
) -> Result<Vec<(usize, Vec<Finding>)>> {
    ask_node(node, members, items, peers, events, |_| true).await
}

/// As [`read_node`], without the resources whose query `may_ask` denies; there is no answer about those.
async fn ask_node(
    node: &str,
    members: &[usize],
    items: &[Item],
    peers: &Peers,
    events: &Events,
    may_ask: impl Fn(&[Probe]) -> bool,
) -> Result<Vec<(usize, Vec<Finding>)>> {
    let queries = members.iter().map(|position| (*position, items[*position].step.query()));
    let queries: Vec<_> = queries.filter(|(_, query)| may_ask(query)).collect();
    let probes: Vec<_> = queries.iter().flat_map(|(_, query)| query).cloned().collect();
    let first = members.first().map_or_else(|| Id::new("node", node), |position| items[*position].id.clone());
    let mut findings = reporting(first, events.clone(), peers.nodes().read(node, &probes)).await?.into_iter();
    Ok(queries.into_iter().map(|(position, query)| (position, findings.by_ref().take(query.len()).collect())).collect())
}
