//! Rules between workspaces that share a network, a domain and a Proxmox cluster.
use super::{Check, networks::overlap, node};
use crate::workspace::WorkspaceFile;

pub(super) fn shared(check: &mut Check<'_>) {
    for other in check.others.iter().copied().filter(|other| other.label() != check.file.label()) {
        letter(check, other);
        addresses(check, other);
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
    for (index, spec) in check.workspace.nodes.iter().enumerate() {
        let taken = other.workspace().nodes.iter().position(|theirs| theirs.address == spec.address);
        if let Some(position) = taken {
            let theirs = &other.workspace().nodes[position];
            check.add(
                "kthw::workspace::shared_address",
                &node(index, "address"),
                "taken",
                format!("{} also belongs to `{}` ({})", spec.address, theirs.name, other.line(&node(position, "address"))),
                "choose an address that is free in both workspaces",
            );
        }
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

fn ids(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace, other.workspace());
    if ours.proxmox.is_none() || theirs.proxmox.is_none() {
        return;
    }
    let own = ours.nodes.iter().enumerate().filter_map(|(index, spec)| Some((node(index, "vmid"), spec.vmid?)));
    let own = own.chain(ours.template.iter().map(|template| ("template.vmid".to_owned(), template.vmid))).collect::<Vec<_>>();
    for (path, id) in own {
        let machine = theirs.nodes.iter().position(|spec| spec.vmid == Some(id)).map(|position| node(position, "vmid"));
        // Clusters may share a template; they may not share anything else.
        let template = theirs.template.as_ref().filter(|template| template.vmid == id).map(|_| "template.vmid".to_owned());
        let same_template =
            path == "template.vmid" && ours.template.as_ref().map(|ours| &ours.name) == theirs.template.as_ref().map(|theirs| &theirs.name);
        if let Some(place) = machine.or(template.filter(|_| !same_template)) {
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

/// Pods and services of two clusters may use the same ranges, because neither leaves its cluster. But no pod could reach a
/// node of the other cluster whose address its own cluster takes for a pod or a service.
fn ranges(check: &mut Check<'_>, other: &WorkspaceFile) {
    let (ours, theirs) = (check.workspace.network.clone(), other.workspace().network.clone());
    for (name, own, field, their) in [
        ("pods", ours.pods, "nodes", theirs.nodes),
        ("services", ours.services, "nodes", theirs.nodes),
        ("nodes", ours.nodes, "pods", theirs.pods),
        ("nodes", ours.nodes, "services", theirs.services),
    ] {
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
