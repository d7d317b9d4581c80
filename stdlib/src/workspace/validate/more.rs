//! Rules about the networks beside the nodes' own, about search domains and time servers.
use super::{Check, networks::overlap, node, repeated};
use crate::workspace::names::NetworkName;
use ipnet::Ipv4Net;
use kthw_engine::nearest;
use std::{net::Ipv4Addr, ops::RangeInclusive};

/// The packet sizes that Proxmox VE takes (`mtu` of `net[n]` in its API schema), without its 1, which means the bridge's, and without what IPv4 does
/// not have (RFC 791).
pub(in crate::workspace) const MTUS: RangeInclusive<u32> = 576..=65520;
/// `net0` is the nodes' network; Proxmox VE has 32 (`$MAX_NETS` in
/// <https://git.proxmox.com/?p=qemu-server.git;a=blob;f=src/PVE/QemuServer/Network.pm>).
const MOST: usize = 31;
/// Kubernetes gives a pod at most 32 search domains, three of which are the cluster's: `MaxDNSSearchPaths` in
/// <https://github.com/kubernetes/kubernetes/blob/v1.31.0/pkg/apis/core/validation/validation.go>.
const SEARCH_DOMAINS: usize = 29;

pub(super) fn lists(check: &mut Check<'_>) {
    let network = check.workspace.network.clone();
    for (earlier, later) in repeated(&network.dns_search) {
        twice(check, "dns_search", earlier, later);
    }
    for (earlier, later) in repeated(&network.ntp) {
        twice(check, "ntp", earlier, later);
    }
    if network.dns_search.len() > SEARCH_DOMAINS {
        check.add(
            "kthw::workspace::dns_search",
            "network.dns_search",
            "too many",
            format!("{} search domains: pods get those of their node, and have room for {SEARCH_DOMAINS}", network.dns_search.len()),
            format!("name {SEARCH_DOMAINS} at most; each one costs a question for every name that is not found"),
        );
    }
}

fn twice(check: &mut Check<'_>, field: &str, earlier: usize, later: usize) {
    check.add_pair(
        "kthw::workspace::written_twice",
        (&format!("network.{field}[{earlier}]"), "the first"),
        (&format!("network.{field}[{later}]"), "the second"),
        format!("`network.{field}` names the same twice"),
        "leave one of the two out",
    );
}

pub(super) fn networks(check: &mut Check<'_>) {
    let workspace = check.workspace;
    let networks = &workspace.network.more;
    if networks.len() > MOST {
        check.add(
            "kthw::workspace::networks",
            "network.more",
            "too many",
            format!("{} networks, and a machine has room for {MOST} beside its own", networks.len()),
            "put some of them on one VLAN",
        );
    }
    if workspace.proxmox.is_none() && !networks.is_empty() {
        check.add(
            "kthw::workspace::networks",
            "network.more",
            "no machine is made",
            "network cards are configured on machines that kthw makes alone",
            "add a `proxmox` block, or configure the cards yourself and take `network.more` out",
        );
    }
    let names: Vec<&NetworkName> = networks.iter().map(|network| &network.name).collect();
    for (earlier, later) in repeated(&names) {
        check.add_pair(
            "kthw::workspace::written_twice",
            (&format!("network.more[{earlier}].name"), "the first"),
            (&format!("network.more[{later}].name"), "the second"),
            format!("two networks are called `{}`", names[later]),
            "give each a name of its own",
        );
    }
    for (index, network) in networks.iter().enumerate() {
        let path = |field: &str| format!("network.more[{index}].{field}");
        if network.range.network() != network.range.addr() {
            let message = format!("`{}` is not the start of its range", network.range);
            check.add(
                "kthw::workspace::range",
                &path("range"),
                "an address inside the range",
                message,
                format!("write `{}`", network.range.trunc()),
            );
        }
        if let Some(vlan) = network.vlan.filter(|vlan| !super::VLANS.contains(vlan)) {
            let message = format!("{vlan} is not a VLAN tag");
            check.add(
                "kthw::workspace::vlan",
                &path("vlan"),
                "not a VLAN tag",
                message,
                "use a number from 1 to 4094, or leave `vlan` out for none",
            );
        }
        if let Some(mtu) = network.mtu.filter(|mtu| !MTUS.contains(mtu)) {
            let message = format!("{mtu} is not the size of a packet");
            let help = format!("use a number from {} to {}, such as 9000, or leave `mtu` out for the bridge's", MTUS.start(), MTUS.end());
            check.add("kthw::workspace::mtu", &path("mtu"), "not such a size", message, help);
        }
        overlaps(check, index, network.range);
    }
}

/// Which way a packet takes has to follow from its address.
fn overlaps(check: &mut Check<'_>, index: usize, range: Ipv4Net) {
    let network = &check.workspace.network;
    let own = network.ranges().map(|(name, range)| (format!("network.{name}"), format!("the {name} range"), range));
    let before = network.more[..index].iter().enumerate();
    let before = before.map(|(at, other)| (format!("network.more[{at}].range"), format!("the network `{}`", other.name), other.range));
    for (path, what, other) in own.into_iter().chain(before).collect::<Vec<_>>() {
        if overlap(range, other) {
            let name = &check.workspace.network.more[index].name;
            check.add_pair(
                "kthw::workspace::overlapping_ranges",
                (&path, "this range"),
                (&format!("network.more[{index}].range"), "and this one"),
                format!("the network `{name}` shares addresses with {what}"),
                "give it a range apart from all others: which way a packet takes follows from its address",
            );
        }
    }
}

pub(super) fn addresses(check: &mut Check<'_>) {
    let workspace = check.workspace;
    let known = &workspace.network.more;
    for (index, spec) in workspace.nodes.iter().enumerate() {
        for (name, address) in &spec.networks {
            let path = node(index, &format!("networks.{name}"));
            let Some(network) = known.iter().find(|network| network.name == *name) else {
                let names = || known.iter().map(|network| network.name.as_str());
                let help = match nearest(name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => format!("describe it under `network.more`: `{{ name: {name}, range: …, bridge: … }}`"),
                    None => format!("`network.more` has {}", names().collect::<Vec<_>>().join(", ")),
                };
                check.add("kthw::workspace::unknown_network", &path, "not known", format!("there is no network `{name}`"), help);
                continue;
            };
            if let Some(reason) = unusable(*address, network.range) {
                let message = format!("node `{}` cannot have the address {address} in the network `{name}`", spec.name);
                let help = format!("choose a free address inside {}", network.range);
                check.add("kthw::workspace::node_address", &path, reason, message, help);
            }
        }
    }
    for network in known {
        let with: Vec<(usize, Ipv4Addr)> =
            workspace.nodes.iter().enumerate().filter_map(|(index, spec)| Some((index, *spec.networks.get(&network.name)?))).collect();
        let addresses: Vec<Ipv4Addr> = with.iter().map(|(_, address)| *address).collect();
        for (earlier, later) in repeated(&addresses) {
            let [first, second] = [earlier, later].map(|at| with[at].0);
            let field = format!("networks.{}", network.name);
            check.add_pair(
                "kthw::workspace::duplicate_address",
                (&node(first, &field), "the first"),
                (&node(second, &field), "the second"),
                format!("nodes `{}` and `{}` have the same address", workspace.nodes[first].name, workspace.nodes[second].name),
                format!("choose another free address inside {}", network.range),
            );
        }
    }
}

/// Why no host of `range` can have this address.
fn unusable(address: Ipv4Addr, range: Ipv4Net) -> Option<&'static str> {
    super::addresses::unusable(address, range).map(|reason| if range.contains(&address) { reason } else { "outside of that network" })
}
