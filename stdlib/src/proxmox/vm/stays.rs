//! What a machine keeps: its address and its host, refused when the workspace says otherwise; its disk, told when it is another than declared.
use super::{Live, Vm, diff::Gib, known_address};
use crate::{
    proxmox::{
        config::Config,
        device::{Drive, GIB},
        guest::Found,
        ownership::noted,
    },
    workspace::Role,
};
use kthw_engine::{Change, Cost, Refusal, field, progress};
use std::net::Ipv4Addr;

impl Vm {
    /// The address that its configuration gives it, when that is another one than the workspace's.
    pub(super) fn other_address(&self, config: &Config) -> Option<Ipv4Addr> {
        known_address(config).filter(|address| *address != self.address)
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
        // Where its agent says that it has the address, only its configuration is wrong, and that can be changed.
        let old = self.other_address(&live.found.config).filter(|_| !live.addresses.contains(&self.address))?;
        let (node, vmid) = (&self.node, live.found.guest.vmid);
        let told = match live.addresses.as_slice() {
            [] => String::new(),
            found if found.contains(&old) => ", and its guest agent says the same".into(),
            found => format!("; its guest agent says {}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        let instead = match self.role {
            Role::ControlPlane => "; certificates, etcd and the other nodes know it by that address".to_owned(),
            Role::LoadBalancer => format!("; for another one let it be made anew: remove VM {vmid}, run again"),
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

    /// Says what an administrator has done that stays: where the machine lies, where its disk lies, how large it is, and how it was cloned.
    pub(super) fn tell_drift(&self, found: &Found, disk: Option<&(String, Drive)>) {
        let moved = (self.host != found.guest.host && self.refuse_move(found).is_none())
            .then(|| format!("VM {} was made on {} and lies on {} now", found.guest.vmid, self.host, found.guest.host));
        moved.into_iter().chain(self.drift(found, disk)).for_each(progress);
    }

    /// How its disk is not as declared and fine all the same, in words.
    pub(super) fn drift(&self, found: &Found, disk: Option<&(String, Drive)>) -> Vec<String> {
        let vmid = found.guest.vmid;
        let Some((key, drive)) = disk else { return Vec::new() };
        let lies_on = if drive.storage.is_empty() { drive.volume.as_str() } else { drive.storage.as_str() };
        let storage = (lies_on != self.spec.storage.as_str())
            .then(|| format!("{key} of VM {vmid} lies on {lies_on}, declared is {}; it stays there", self.spec.storage));
        let gib = u64::from(self.spec.disk_gib);
        // What a storage rounds up is less than a GiB.
        let size = drive.size_bytes.filter(|bytes| bytes / GIB > gib);
        let size = size.map(|bytes| format!("{key} of VM {vmid} has {} GiB, declared are {gib}; a disk is never made smaller", Gib(bytes)));
        // Only a disk that names its base tells by itself: LVM-thin gives linked clones a name like any other (the note at the top of upstream's
        // PVE/Storage/LvmThinPlugin.pm). Else its own note does, if it has one.
        let cloned = if drive.is_linked() { Some("linked") } else { noted(&found.config, "clone") };
        let cloned = cloned.filter(|cloned| *cloned != self.clone_mode());
        let cloned = cloned.map(|cloned| format!("VM {vmid} is a {cloned} clone, declared is a {} one; it stays so", self.clone_mode()));
        [storage, size, cloned].into_iter().flatten().collect()
    }
}
