//! What a machine keeps: its address and its host. Told from what Proxmox knows of it, and refused when the workspace says otherwise.
use super::{Live, Vm};
use crate::{
    proxmox::{config::Config, guest::Found, ownership::noted},
    workspace::Role,
};
use kthw_engine::{Change, Cost, Field, Refusal, field, progress};
use std::net::Ipv4Addr;

impl Vm {
    /// The address that its configuration gives it, when that is another one than the workspace's.
    pub(super) fn other_address(&self, config: &Config) -> Option<Ipv4Addr> {
        let ip = config.get("ipconfig0")?.split(',').find_map(|part| part.trim().strip_prefix("ip="))?;
        let address: Ipv4Addr = ip.split('/').next()?.parse().ok()?;
        (address != self.address).then_some(address)
    }

    /// The change that `fields` make, unless something of it is never done.
    pub(super) fn with_refusals(&self, live: &Live, change: Change) -> Change {
        let own: Vec<Refusal> = [self.refuse_address(live), self.refuse_move(&live.found)].into_iter().flatten().collect();
        if own.is_empty() {
            return change;
        }
        // Whatever else differs is shown too, so that nobody wonders where it went.
        let rest = Refusal { why: String::new(), next: String::new(), fields: change.fields().to_vec() };
        let mut generic = if let Change::Refused(refusal) = change { refusal } else { rest };
        if let Some(address) = generic.fields.iter_mut().find(|field| field.name == "address") {
            // No restart brings it. Everybody was told where a control plane is.
            address.cost = if self.role == Role::ControlPlane { Cost::Everything } else { Cost::Nothing };
        }
        crate::refusals::refused(own.into_iter().chain([generic])).expect("there is one at least")
    }

    fn refuse_address(&self, live: &Live) -> Option<Refusal> {
        let (node, vmid, old) = (&self.node, live.found.guest.vmid, self.other_address(&live.found.config)?);
        let told = match live.addresses.as_slice() {
            [] => String::new(),
            found if found.contains(&old) => ", and its guest agent says the same".into(),
            found => format!("; its guest agent says {}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        let instead = match self.role {
            Role::ControlPlane => "; certificates, etcd and the other nodes know it by that address".to_owned(),
            Role::Worker | Role::Other => format!(
                "; for another one let it be made anew: take it out of the cluster (`kubectl drain {node}`, `kubectl delete node {node}`), remove \
                 VM {vmid}, run again"
            ),
        };
        Some(Refusal {
            why: format!("{node} has the address {old} (ipconfig0 of VM {vmid}{told}), and a node keeps its address"),
            next: format!("set `address` of {node} back to {old}{instead}"),
            fields: Vec::new(),
        })
    }

    /// The workspace asks for another host than the machine was made on. Where somebody else moved it is fine.
    fn refuse_move(&self, found: &Found) -> Option<Refusal> {
        let (vmid, host) = (found.guest.vmid, &found.guest.host);
        let node = field("node", host.as_str(), self.host.as_str()).filter(|_| noted(&found.config, "node") != Some(self.host.as_str()))?;
        Some(Refusal {
            why: format!("VM {vmid} lies on {host}; kthw moves no machine from host to host"),
            next: format!(
                "`qm migrate {vmid} {} --online` on {host}, or set the node back to {host} (`proxmox_node` of {})",
                self.host, self.node
            ),
            fields: vec![node],
        })
    }

    /// Says where a machine is that somebody moved.
    pub(super) fn tell_move(&self, found: &Found) {
        if self.host != found.guest.host && self.refuse_move(found).is_none() {
            progress(format!("VM {} was made on {} and lies on {} now", found.guest.vmid, self.host, found.guest.host));
        }
    }

    /// How it was cloned. Only a disk that names its base tells by itself: LVM-thin gives linked clones a name like any other
    /// (the note at the top of upstream's PVE/Storage/LvmThinPlugin.pm). Else its own note does, if it has one.
    pub(super) fn clone_field(&self, found: &Found) -> Option<Field> {
        let linked = found.config.boot_disk().is_some_and(|(_, drive)| drive.is_linked());
        let live = if linked { "linked" } else { noted(&found.config, "clone")? };
        field("clone", live, self.clone_mode()).map(|field| field.at(Cost::Replacement))
    }
}
