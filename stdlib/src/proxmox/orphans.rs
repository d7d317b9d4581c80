//! Machines and templates with the mark of a workspace that the workspace does not name any more.
use super::{
    client::Client,
    guests::{self, Guest},
    machine::{self, Found},
    template::Template,
    vm::known_address,
};
use crate::{ssh::KnownHosts, workspace::Workspace};
use futures::{StreamExt, TryStreamExt, stream};
use kthw_engine::{BoxFuture, Change, Error, Id, Intent, Owned, Owner, Peers, Permit, Removable, Resource, Result};
use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// How many machines are looked at at once.
const SIDE_BY_SIDE: usize = 8;

/// Finds the orphans of one workspace.
#[derive(Clone, Debug)]
pub struct Orphans(pub Arc<Workspace>);

impl Orphans {
    /// The guests that may be orphans, as far as the list tells: tagged as ours, and not what the workspace names.
    fn candidates(&self, list: &BTreeMap<u32, Guest>) -> Vec<Guest> {
        let named: HashSet<String> = self.0.nodes.iter().map(|node| self.0.fqdn(node)).collect();
        let domain = format!(".{}", self.0.domain);
        let may_be = |guest: &&Guest| {
            let name = guest.name.as_deref().unwrap_or_default();
            let ours = name.ends_with(&domain) || guest.is_template_of_kthw();
            guest.kind == "qemu" && guest.is_of_kthw() && ours && !named.contains(name)
        };
        list.values().filter(may_be).cloned().collect()
    }

    /// The orphan behind a guest, if its mark says that it is one.
    async fn orphan(&self, guest: &Guest, client: &Client, peers: &Peers) -> Result<Option<Orphan>> {
        let Some(found) = machine::find(client, peers, guest.vmid).await? else { return Ok(None) };
        let Some(mark) = found.config.mark().filter(|mark| mark.workspace == self.0.name) else { return Ok(None) };
        let id = match mark.name.strip_prefix("template/") {
            Some(template) if self.0.template.as_ref().is_none_or(|declared| declared.name.as_str() != template) => Template::id_of(template),
            None if self.0.nodes.iter().all(|node| node.name.as_str() != mark.name) => Id::new("proxmox.vm", &mark.name),
            _ => return Ok(None),
        };
        Ok(Some(Orphan { id, vmid: guest.vmid, mark: mark.to_string(), port: self.0.ssh.port }))
    }
}

impl Owner for Orphans {
    fn owned<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Vec<Owned>>> {
        Box::pin(async move {
            let client = peers.get::<Client>()?;
            let list = guests::all(client).await?;
            let look = |guest: Guest| async move {
                let orphan = self.orphan(&guest, client, peers).await?;
                Ok::<_, Error>(orphan.map(|orphan| Owned::new(orphan, format!("VM {} on {}", guest.vmid, guest.node))))
            };
            let found: Vec<Option<Owned>> = stream::iter(self.candidates(&list)).map(look).buffered(SIDE_BY_SIDE).try_collect().await?;
            Ok(found.into_iter().flatten().collect())
        })
    }
}

/// A machine or template that nobody names any more.
#[derive(Debug)]
struct Orphan {
    id: Id,
    vmid: u32,
    /// The whole mark, nonce and all: only this very machine is removed.
    mark: String,
    port: u16,
}

impl Resource for Orphan {
    type Live = Found;
    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        self.id.clone()
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Found>> {
        let found = machine::find(peers.get::<Client>()?, peers, self.vmid).await?;
        Ok(found.filter(|found| found.config.mark().is_some_and(|mark| mark.to_string() == self.mark)))
    }

    fn diff(&self, _: Option<&Found>) -> Change {
        Change::None
    }

    async fn apply(&self, _: Option<Found>, _: &Peers, _: &Permit) -> Result<()> {
        Ok(())
    }

    fn keeps(&self, live: &Found) -> Option<String> {
        live.protection()
    }

    async fn remove(&self, live: Found, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        if live.running {
            live.machine.stop(client, peers, permit).await?;
        }
        live.machine.remove(client, peers, permit).await?;
        let Some(address) = known_address(&live.config) else { return Ok(()) };
        let known = peers.get::<KnownHosts>()?;
        let intent = Intent::on(known.path().display().to_string(), format!("forgetting the host keys at {address}")).closing();
        let forget = async |effect: &_| known.forget(IpAddr::V4(address), self.port, effect).map_err(Error::peer);
        permit.effect(intent, forget).await
    }
}
