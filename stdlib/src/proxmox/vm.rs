//! A virtual machine as a resource: found, compared, made so, removed.
use super::{
    config::Config,
    device::Drive,
    guest::{Found, Halt},
    names::{PoolId, PveNode},
    template::Template,
};
use crate::workspace::Role;
use kthw_engine::{Change, Cost, Field, Id, Peers, Permit, Removable, Resource, Result, field};
use std::net::Ipv4Addr;

mod apply;
mod cards;
mod clone;
mod diff;
mod host_keys;
mod keys;
mod spec;
mod stays;

use cards::Card;
pub(in crate::proxmox) use cards::{cards_of, waiting_addresses};
pub(super) use keys::Keys;
pub use spec::VmSpec;

/// The resource behind `proxmox::vm`.
#[derive(Clone, Debug)]
pub struct Vm {
    workspace: String,
    node: String,
    fqdn: String,
    search: String,
    role: Role,
    vmid: u32,
    host: PveNode,
    template_vmid: Option<u32>,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
    dns: Vec<Ipv4Addr>,
    user: String,
    port: u16,
    keys: Keys,
    vlan: Option<u16>,
    cards: Vec<Card>,
    pool: Option<PoolId>,
    spec: VmSpec,
}

/// What was found: the machine, and the public keys in the operator's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub(super) found: Found,
    /// Its system disk, by its key.
    pub(super) disk: Option<(String, Drive)>,
    pub(super) keys: Vec<String>,
    /// What its guest agent says of its addresses; asked only when its configuration has another one than the workspace.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// It was started a moment ago, no host key of it is known, and its guest agent does not answer yet: who it is cannot be told.
    pub(super) starting: bool,
}

impl Resource for Vm {
    type Live = Live;
    const REMOVABLE: Removable = Removable::Ours;
    const HOLDS_DEPENDENTS: bool = true;

    fn id(&self) -> Id {
        Id::new("proxmox.vm", &self.node)
    }

    fn after(&self) -> Vec<Id> {
        let template = &self.spec.template;
        vec![Template::id_of(template), Template::id_of_replica(template, &self.host)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        self.find(peers).await
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else { return Change::Create(self.create_fields()) };
        let Live { found, disk, keys, starting, .. } = live;
        let now = match found.halt {
            Some(halt) => halt.word(),
            None if !found.running => "stopped",
            None if *starting => "starting",
            None => "running",
        };
        let status = field("status", now, "running");
        let status = status.map(|field| found.halt.map(Halt::meaning).into_iter().fold(field, Field::because));
        let differences = self.differences(&found.config, found.running, keys).into_iter().map(|one| Some(one.field));
        let vmid = field("vmid", found.guest.vmid, self.vmid).map(|field| field.at(Cost::Replacement));
        let pool = self.pool.as_ref().and_then(|pool| field("pool", found.pool.as_deref().unwrap_or("none"), pool));
        let drive = disk.as_ref().map(|(_, drive)| drive);
        let own = [status, vmid, self.origin_field(&found.config), pool, self.disk_field(drive)];
        self.with_refusals(live, Change::between(own.into_iter().chain(differences)))
    }

    fn hides_dependents(&self, change: &Change) -> bool {
        // A machine that has to be started cannot be looked into before, and at another address there is another one or none.
        let refused_at = |name| matches!(change, Change::Refused(_)) && change.fields().iter().any(|field| field.name == name);
        let is_down = |field: &Field| field.name == "status" && field.live.as_deref() != Some("starting");
        refused_at("address") || matches!(change, Change::Create(_)) || change.fields().iter().any(is_down)
    }

    async fn apply(&self, live: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        self.make_so(live, peers, permit).await
    }

    fn keeps(&self, live: &Live) -> Option<String> {
        live.found.protection()
    }

    async fn remove(&self, live: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        self.unmake(live, peers, permit).await
    }
}

/// The address that cloud-init gives a machine with this configuration.
pub(super) fn known_address(config: &Config) -> Option<Ipv4Addr> {
    let properties = config.properties("ipconfig0", "");
    properties.get("ip")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests;
