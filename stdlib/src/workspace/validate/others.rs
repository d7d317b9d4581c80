//! Rules between workspaces that share a network, a domain and a Proxmox cluster.
use super::{Check, networks::overlap, node, proxmox::replica};
use crate::workspace::{Workspace, WorkspaceFile};
use std::net::Ipv4Addr;

pub(super) fn shared(check: &mut Check<'_>) {
    for other in check.others.iter().copied().filter(|other| other.label() != check.file.label()) {
        letter(check, other);
        addresses(check, other);
        pools(check, other);
        more_addresses(check, other);
        ids(check, other);
        ranges(check, other);
    }
}

fn letter(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace, other.workspace());
    if ours.name == theirs.name {
        check.add(
            "kthw::workspace::shared_name",
            "name",
            "taken",
            format!("another workspace is called `{}` too ({})", ours.name, other.line("name")),
            "give every cluster a name of its own",
        );
    }
    if ours.domain == theirs.domain && ours.release_letter == theirs.release_letter {
        check.add(
            "kthw::workspace::shared_letter",
            "release_letter",
            "taken",
            format!("`{}` is also the release letter of `{}` ({})", ours.release_letter, theirs.name, other.line("release_letter")),
            format!("their nodes would have the same host names: use a letter that is free in {}", ours.domain),
        );
    }
}

fn addresses(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace, other.workspace());
    let taken = named_addresses(theirs);
    for (path, _, address) in named_addresses(ours) {
        let Some((their_path, their_name, _)) = taken.iter().find(|(.., their)| *their == address) else { continue };
        // Clusters may share a template, which one of them builds.
        if path == BUILD && their_path == BUILD && is_shared(ours, theirs) {
            continue;
        }
        check.add(
            "kthw::workspace::shared_address",
            &path,
            "taken",
            format!("{address} also belongs to `{their_name}` ({})", other.line(their_path)),
            "choose an address that is free in both workspaces",
        );
    }
}

/// No machine has an address that the other workspace's cluster gives to services.
fn pools(check: &mut Check<'_>, other: &WorkspaceFile) {
    let theirs = other.workspace();
    let pools = theirs.metallb.iter().flat_map(|metallb| &metallb.pools);
    let ranges: Vec<_> = pools.flat_map(|pool| &pool.addresses).collect();
    for (path, _, address) in named_addresses(check.workspace) {
        let Some(range) = ranges.iter().find(|range| range.meets((address, address))) else { continue };
        check.add(
            "kthw::workspace::shared_address",
            &path,
            "taken",
            format!("{address} is among the addresses for services of `{}`, {range} ({})", theirs.name, other.line("metallb.pools")),
            "two machines would answer for one address: choose one that is free in both workspaces",
        );
    }
}

/// Addresses in networks beside the nodes' own, where both workspaces mean the same one: the same range on the same VLAN.
fn more_addresses(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace, other.workspace());
    let common = ours.network.more.iter().flat_map(|network| {
        let same = theirs.network.more.iter().filter(move |their| their.vlan == network.vlan && overlap(their.range, network.range));
        same.map(move |their| (network, their))
    });
    for (network, their) in common.collect::<Vec<_>>() {
        for (index, spec) in ours.nodes.iter().enumerate() {
            let Some(address) = spec.networks.get(&network.name) else { continue };
            let taken = theirs.nodes.iter().position(|node| node.networks.get(&their.name) == Some(address));
            if let Some(position) = taken {
                check.add(
                    "kthw::workspace::shared_address",
                    &node(index, &format!("networks.{}", network.name)),
                    "taken",
                    format!(
                        "{address} also belongs to `{}` ({})",
                        theirs.nodes[position].name,
                        other.line(&node(position, &format!("networks.{}", their.name)))
                    ),
                    "choose an address that is free in both workspaces",
                );
            }
        }
    }
}

const BUILD: &str = "template.build_address";

/// Every address that a workspace gives to somebody: its path, whose it is, and the address.
pub(super) fn named_addresses(workspace: &Workspace) -> Vec<(String, &str, Ipv4Addr)> {
    let nodes = workspace.nodes.iter().enumerate().map(|(index, spec)| (node(index, "address"), spec.name.as_str(), spec.address));
    let build = workspace.template.iter().filter_map(|template| Some((BUILD.to_owned(), template.name.as_str(), template.build_address?)));
    nodes.chain(build).collect()
}

/// Whether both clone their machines from one template.
fn is_shared(ours: &Workspace, theirs: &Workspace) -> bool {
    let key = |workspace: &Workspace| workspace.template.as_ref().map(|template| (template.name.to_string(), template.vmid));
    key(ours) == key(theirs)
}

fn ids(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace, other.workspace());
    if ours.proxmox.is_none() || theirs.proxmox.is_none() {
        return;
    }
    for (path, id) in named_ids(ours) {
        let place = named_ids(theirs).into_iter().find(|(_, their)| *their == id).map(|(place, _)| place);
        // Clusters may share a template; they may not share anything else.
        let same_template = |place: &String| {
            let of_template = |path: &str| path.starts_with("template.");
            let name = |workspace: &Workspace| workspace.template.as_ref().map(|template| template.name.to_string());
            of_template(&path) && of_template(place) && name(ours) == name(theirs)
        };
        if let Some(place) = place.filter(|place| !same_template(place)) {
            check.add(
                "kthw::workspace::shared_vmid",
                &path,
                "taken",
                format!("the VM id {id} is also used by `{}` ({})", theirs.name, other.line(&place)),
                "choose a VM id that is free in both workspaces",
            );
        }
    }
}

/// Every VM id that a workspace names, with its path.
fn named_ids(workspace: &Workspace) -> Vec<(String, u32)> {
    let nodes = workspace.nodes.iter().enumerate().filter_map(|(index, spec)| Some((node(index, "vmid"), spec.vmid?)));
    let template = workspace.template.iter().map(|template| ("template.vmid".to_owned(), template.vmid));
    let replicas = workspace.template.iter().flat_map(|template| template.replicas.iter());
    nodes.chain(template).chain(replicas.map(|(host, vmid)| (replica(host), *vmid))).collect()
}

/// Pods and services of two clusters may use the same ranges, because neither leaves its cluster. But no pod could reach a
/// node of the other cluster whose address its own cluster takes for a pod or a service.
fn ranges(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace.network.clone(), other.workspace().network.clone());
    let our_own = ours.of_cluster().map(|(name, range)| (name, range, "nodes", theirs.nodes));
    let their_own = theirs.of_cluster().map(|(field, range)| ("nodes", ours.nodes, field, range));
    for (name, own, field, their) in our_own.chain(their_own) {
        if overlap(own, their) {
            check.add(
                "kthw::workspace::shared_range",
                &format!("network.{name}"),
                "this range",
                format!(
                    "the {name} range shares addresses with the {field} range of `{}` ({})",
                    other.workspace().name,
                    other.line(&format!("network.{field}"))
                ),
                "choose a range apart from it: a cluster cannot reach nodes at addresses that it uses itself",
            );
        }
    }
}
