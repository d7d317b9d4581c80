//! Rules about what is made on Proxmox VE.
use super::{Check, node, repeated};
use std::ops::RangeInclusive;

/// Proxmox VE's range of VM ids (`pve-vmid` in its API schema).
pub(in crate::workspace) const VM_IDS: RangeInclusive<u32> = 100..=999_999_999;
/// The VLAN tags of IEEE 802.1Q.
pub(in crate::workspace) const VLANS: RangeInclusive<u16> = 1..=4094;

pub(super) fn template(check: &mut Check<'_>) {
    let workspace = check.workspace;
    if workspace.proxmox.is_some() && workspace.template.is_none() {
        check.add(
            "kthw::workspace::no_template",
            "proxmox",
            "machines are made here",
            "there is no `template` to clone machines from",
            "add `template:` with its vmid, name and image; `kthw help workspace` shows one",
        );
    }
    if workspace.proxmox.is_none() {
        return;
    }
    for (index, spec) in workspace.nodes.iter().enumerate().filter(|(_, spec)| spec.vmid.is_none()) {
        check.add(
            "kthw::workspace::no_vmid",
            &node(index, "name"),
            "this node",
            format!("node `{}` has no `vmid`", spec.name),
            "give it one that is free on the Proxmox cluster; kthw never picks one by position",
        );
    }
}

pub(super) fn ids(check: &mut Check<'_>) {
    let workspace = check.workspace;
    let template = workspace.template.iter().map(|template| ("template.vmid".to_owned(), template.vmid));
    let replicas = workspace.template.iter().flat_map(|template| template.replicas.iter().map(|(host, vmid)| (replica(host), *vmid)));
    let nodes = workspace.nodes.iter().enumerate().filter_map(|(index, spec)| Some((node(index, "vmid"), spec.vmid?)));
    let (paths, ids): (Vec<String>, Vec<u32>) = template.chain(replicas).chain(nodes).unzip();
    for (path, id) in paths.iter().zip(&ids).filter(|(_, id)| !VM_IDS.contains(id)) {
        check.add(
            "kthw::workspace::vmid",
            path,
            "not a VM id",
            format!("Proxmox VE has no VM id {id}"),
            "use a number from 100 to 999999999",
        );
    }
    for (earlier, later) in repeated(&ids) {
        check.add_pair(
            "kthw::workspace::duplicate_vmid",
            (&paths[earlier], "the first"),
            (&paths[later], "the second"),
            format!("the VM id {} is written twice", ids[later]),
            "give every machine and the template an id of its own",
        );
    }
}

pub(super) fn replicas(check: &mut Check<'_>) {
    let workspace = check.workspace;
    let (Some(proxmox), Some(template)) = (&workspace.proxmox, &workspace.template) else { return };
    for host in template.replicas.keys() {
        let (label, help) = if *host == proxmox.node {
            ("it has the template itself", "`template.vmid` is the template on `proxmox.node`; `replicas` are those on other nodes")
        } else if workspace.nodes.iter().any(|spec| spec.proxmox_node.as_ref() == Some(host)) {
            continue;
        } else {
            ("no machine is placed on it", "leave it out, or place a machine there (`proxmox_node` of a node)")
        };
        check.add(
            "kthw::workspace::replica",
            &replica(host),
            label,
            format!("the template needs no replica on the Proxmox node `{host}`"),
            help,
        );
    }
}

/// The path of the template's VM id on another Proxmox node.
pub(super) fn replica(host: &str) -> String {
    format!("template.replicas.{host}")
}

pub(super) fn settings(check: &mut Check<'_>) {
    let Some(proxmox) = &check.workspace.proxmox else { return };
    if let Some(vlan) = proxmox.vlan.filter(|vlan| !VLANS.contains(vlan)) {
        check.add(
            "kthw::workspace::vlan",
            "proxmox.vlan",
            "not a VLAN tag",
            format!("{vlan} is not a VLAN tag"),
            "use a number from 1 to 4094, or leave `vlan` out for none",
        );
    }
}
