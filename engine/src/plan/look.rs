//! The looks of a plan: one exec for everything on a node, one read for everything else.
use super::planning::{Found, Task};
use crate::{
    error::Result,
    event::{Events, reporting},
    id::Id,
    node::Finding,
    order::{Item, Order},
    peers::Peers,
};

/// Does one look. A failure is part of what was found.
pub(super) async fn look(task: Task, order: &Order, peers: &Peers, events: &Events) -> Found {
    match task {
        Task::Read(one) => {
            let item = &order.items[one];
            Found::Read(one, reporting(item.id.clone(), events.clone(), item.step.read(peers)).await)
        }
        Task::Node(node) => {
            let members = &order.nodes[node];
            Found::Node(node, read_node(&members.node, &members.items, &order.items, peers, events).await)
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
    let queries: Vec<_> = members.iter().map(|one| items[*one].step.query()).collect();
    let probes: Vec<_> = queries.iter().flatten().cloned().collect();
    let first = members.first().map_or_else(|| Id::new("node", node), |one| items[*one].id.clone());
    let mut findings = reporting(first, events.clone(), peers.nodes().read(node, &probes)).await?.into_iter();
    Ok(members.iter().zip(queries).map(|(one, query)| (*one, findings.by_ref().take(query.len()).collect())).collect())
}
