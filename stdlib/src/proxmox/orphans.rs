//! Machines with the mark of a workspace that the workspace does not name any more, and templates.
use super::{
    client::Client,
    guest::{self, Found, Guest},
    inventory::{self, Entry},
    template::old,
    vm::known_address,
};
use crate::{
    kubernetes::membership::{Membership, empty, membership, remove_node},
    ssh::KnownHosts,
    workspace::Workspace,
};
use futures::{StreamExt, TryStreamExt, stream};
use kthw_engine::{BoxFuture, Change, Error, Id, Intent, Owned, Owner, Peers, Permit, Recovery, Removable, Resource, Result};
use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// How many machines are looked at at once.
const SIDE_BY_SIDE: usize = 8;

/// Finds the orphans of one workspace.
#[derive(Clone, Debug)]
pub struct Orphans(pub Arc<Workspace>);

impl Orphans {
    /// The guests that may be orphans, as far as the list tells: machines in our domain, tagged as ours, that the workspace does not name.
    fn candidates(&self, list: &BTreeMap<u32, Entry>) -> Vec<Entry> {
        let named: HashSet<String> = self.0.nodes.iter().map(|node| self.0.fqdn(node)).collect();
        let domain = format!(".{}", self.0.domain);
        let may_be = |entry: &&Entry| {
            let name = entry.name.as_deref().unwrap_or_default();
            entry.kind == "qemu" && !entry.template && entry.is_of_kthw() && name.ends_with(&domain) && !named.contains(name)
        };
        list.values().filter(may_be).cloned().collect()
    }

    /// The orphan behind a guest, if its mark says that it is one. Whoever copied one of our machines copied its mark too, but not its name.
    async fn orphan(&self, entry: &Entry, client: &Client) -> Result<Option<Orphan>> {
        let guest = Guest { vmid: entry.vmid, host: entry.node.clone() };
        let Some(mark) = guest.config(client).await?.and_then(|config| config.mark()) else { return Ok(None) };
        let called_so = entry.name.as_deref() == Some(&format!("{}.{}", mark.name, self.0.domain));
        let named = self.0.nodes.iter().any(|node| node.name.as_str() == mark.name);
        if mark.workspace != self.0.name || named || !called_so {
            return Ok(None);
        }
        let taken: HashSet<Ipv4Addr> = self.0.nodes.iter().map(|node| node.address).collect();
        let workspace = self.0.clone();
        Ok(Some(Orphan { node: mark.name.clone(), vmid: entry.vmid, mark: mark.to_string(), workspace, taken }))
    }
}

impl Owner for Orphans {
    fn owned<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Vec<Owned>>> {
        Box::pin(async move {
            let client = peers.get::<Client>()?;
            let list = inventory::all(client).await?;
            let look = |entry: Entry| async move {
                let orphan = self.orphan(&entry, client).await?;
                Ok::<_, Error>(orphan.map(|orphan| Owned::new(orphan, format!("VM {} on {}", entry.vmid, entry.node))))
            };
            let machines: Vec<Option<Owned>> = stream::iter(self.candidates(&list)).map(look).buffered(SIDE_BY_SIDE).try_collect().await?;
            let templates: Vec<Entry> = list.values().filter(|entry| old::may_be(entry, &self.0)).cloned().collect();
            let look = |entry: Entry| async move { old::owned(&entry, &self.0, client).await };
            let templates: Vec<Option<Owned>> = stream::iter(templates).map(look).buffered(SIDE_BY_SIDE).try_collect().await?;
            let mut seen = HashSet::new();
            // Of two with one mark, the second comes when the first is gone.
            Ok(machines.into_iter().chain(templates).flatten().filter(|one| seen.insert(one.id())).collect())
        })
    }
}

/// A machine that nobody names any more.
#[derive(Debug)]
struct Orphan {
    node: String,
    vmid: u32,
    /// The whole mark, nonce and all: only this very machine is removed.
    mark: String,
    workspace: Arc<Workspace>,
    /// Addresses that the workspace gives to others: their host keys stay.
    taken: HashSet<Ipv4Addr>,
}

/// What was found of it: the machine, and whether it is a node of the cluster.
#[derive(Debug)]
struct Live {
    found: Found,
    membership: Membership,
}

impl Resource for Orphan {
    type Live = Live;
    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        Id::new("proxmox.vm", &self.node)
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        let found = guest::find(peers.get::<Client>()?, peers, self.vmid).await?;
        let Some(found) = found.filter(|found| found.config.mark().is_some_and(|mark| mark.to_string() == self.mark)) else {
            return Ok(None);
        };
        let membership = membership(&self.workspace, &self.node, known_address(&found.config), peers).await?;
        Ok(Some(Live { found, membership }))
    }

    fn diff(&self, _: Option<&Live>) -> Change {
        Change::None
    }

    async fn apply(&self, _: Option<Live>, _: &Peers, _: &Permit) -> Result<()> {
        Ok(())
    }

    fn keeps(&self, live: &Live) -> Option<String> {
        live.found.protection().or_else(|| match &live.membership {
            Membership::Stays(why) => Some(why.clone()),
            Membership::None | Membership::Worker(_) => None,
        })
    }

    async fn remove(&self, Live { found, membership }: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        let (client, guest) = (peers.get::<Client>()?, &found.guest);
        if let Membership::Worker(place) = &membership {
            empty(place, &self.node, peers, permit).await?;
            // While it runs, its kubelet would make the Node object anew; when it is gone, nobody would know of the object any more.
            if found.running {
                guest.stop(client, peers, permit).await?;
            }
            remove_node(place, &self.node, peers, permit).await?;
            guest.remove(client, peers, permit).await?;
        } else {
            found.remove(client, peers, permit).await?;
        }
        self.forget_keys(&found, peers, permit).await
    }
}

impl Orphan {
    async fn forget_keys(&self, found: &Found, peers: &Peers, permit: &Permit) -> Result<()> {
        let address = known_address(&found.config).filter(|address| !self.taken.contains(address));
        let Some(address) = address else { return Ok(()) };
        let (known, port) = (peers.get::<KnownHosts>()?, self.workspace.ssh.port);
        let intent =
            Intent::on(known.path().display().to_string(), format!("forgetting the host keys at {address}"), Recovery::Look).closing();
        permit.effect(intent, async |effect| known.forget(IpAddr::V4(address), port, effect).map_err(Error::peer)).await
    }
}
