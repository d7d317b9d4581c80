//! Rules about single addresses: inside the nodes' network, and each used once.
use super::{Check, node, repeated};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

pub(super) fn gateway(check: &mut Check<'_>) {
    let (gateway, range) = (check.workspace.network.gateway, check.workspace.network.nodes);
    if let Some(reason) = unusable(gateway, range) {
        check.add_pair(
            "kthw::workspace::gateway",
            ("network.nodes", "this network"),
            ("network.gateway", reason),
            format!("{gateway} cannot be the nodes' gateway"),
            format!("use the router's address inside {range}, or correct `network.nodes`"),
        );
    }
}

pub(super) fn nodes(check: &mut Check<'_>) {
    let network = &check.workspace.network;
    for (index, spec) in check.workspace.nodes.iter().enumerate() {
        let reason = match unusable(spec.address, network.nodes) {
            Some(reason) => reason,
            None if spec.address == network.gateway => "the gateway's address",
            None => continue,
        };
        check.add(
            "kthw::workspace::node_address",
            &node(index, "address"),
            reason,
            format!("node `{}` cannot have the address {}", spec.name, spec.address),
            format!("choose a free address inside {}", network.nodes),
        );
    }
}

pub(super) fn unique(check: &mut Check<'_>) {
    let nodes = &check.workspace.nodes;
    let addresses: Vec<Ipv4Addr> = nodes.iter().map(|spec| spec.address).collect();
    for (earlier, later) in repeated(&addresses) {
        check.add_pair(
            "kthw::workspace::duplicate_address",
            (&node(earlier, "address"), "the first"),
            (&node(later, "address"), "the second"),
            format!("nodes `{}` and `{}` have the same address", nodes[earlier].name, nodes[later].name),
            format!("choose another free address inside {}", check.workspace.network.nodes),
        );
    }
}

pub(super) fn build(check: &mut Check<'_>) {
    let network = &check.workspace.network;
    let Some(address) = check.workspace.template.as_ref().and_then(|template| template.build_address) else { return };
    let of_node = check.workspace.nodes.iter().find(|spec| spec.address == address);
    let reason = match (unusable(address, network.nodes), of_node) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(spec)) => format!("the address of `{}`", spec.name),
        (None, None) if address == network.gateway => "the gateway's address".to_owned(),
        (None, None) => return,
    };
    check.add(
        "kthw::workspace::build_address",
        "template.build_address",
        &reason,
        format!("the template cannot be built at {address}"),
        format!("choose an address inside {} that nothing else has, not even for the minutes of a build", network.nodes),
    );
}

/// Why no host of `range` can have this address.
pub(super) fn unusable(address: Ipv4Addr, range: Ipv4Net) -> Option<&'static str> {
    if !range.contains(&address) {
        Some("outside of the nodes' network")
    } else if range.prefix_len() < 31 && address == range.network() {
        Some("the network's own address")
    } else if range.prefix_len() < 31 && address == range.broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}
