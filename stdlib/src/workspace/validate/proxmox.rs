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
    let nodes = workspace.nodes.iter().enumerate().filter_map(|(index, spec)| Some((node(index, "vmid"), spec.vmid?)));
    let (paths, ids): (Vec<String>, Vec<u32>) = template.chain(nodes).unzip();
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
