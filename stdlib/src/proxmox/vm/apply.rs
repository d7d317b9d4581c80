//! Finding a machine, making it so (clone, configure, grow, start, wait until it is up), and removing it.
use super::{Live, Vm};
use crate::{
    proxmox::{
        agent,
        client::Client,
        config::Pending,
        device::GIB,
        guest::{self, Found, Guest, NotOurs},
        inventory,
    },
    sops::Secrets,
    ssh::Starts,
};
use kthw_engine::{Error, Peers, Permit, Result, progress};
use std::time::Duration;

impl Vm {
    pub(super) async fn find(&self, peers: &Peers) -> Result<Option<Live>> {
        let client = peers.get::<Client>()?;
        // A node that owns a machine under another VM id is never given a second one, whoever has the declared one.
        let found = match self.find_ours(client, peers).await {
            Ok(Some(found)) => found,
            none => match (self.find_elsewhere(client, peers).await?, none) {
                (Some(found), _) => found,
                (None, Ok(_)) => return self.look_at_template(client).await.map(|()| None),
                (None, Err(error)) => return Err(error),
            },
        };
        let disk = found.guest.boot_disk(&found.config, client).await?;
        self.tell_drift(&found, disk.as_ref());
        let waiting = [found.waiting.clone(), super::waiting_addresses(&self.cards, &found, client).await].concat();
        client.note_waiting(&self.node, if found.running { &waiting } else { &[] });
        if found.running {
            peers.get::<Starts>()?.note(&self.node, found.up_for, client.clock().now());
        }
        let is_other = self.other_address(&found.config).is_some();
        let addresses = if is_other && found.running { agent::addresses(&found.guest, client).await } else { Vec::new() };
        // At another address there is another machine or none.
        let moved = is_other && !addresses.contains(&self.address);
        let starting = !moved && self.learn_unknown(&found, client, peers).await?;
        Ok(Some(Live { found, disk, keys: self.keys.read(peers.get::<Secrets>()?).await?, addresses, starting }))
    }

    /// Removes the machine, and forgets its host keys when it was seen to be gone.
    pub(super) async fn unmake(&self, live: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        live.found.remove(client, peers, permit).await?;
        self.forget_keys(peers, permit).await
    }

    pub(super) async fn find_ours(&self, client: &Client, peers: &Peers) -> Result<Option<Found>> {
        match guest::find(client, peers, self.vmid).await? {
            Some(found) if !found.config.mark().is_some_and(|mark| mark.is_of(&self.workspace, &self.node)) => {
                Err(Error::refused(NotOurs::new(&found, &self.node)))
            }
            found => Ok(found),
        }
    }

    /// The machine of this node under another VM id than the one that is declared.
    async fn find_elsewhere(&self, client: &Client, peers: &Peers) -> Result<Option<Found>> {
        for vmid in inventory::called(client, &self.fqdn).await? {
            match guest::find(client, peers, vmid).await? {
                Some(found) if found.config.mark().is_some_and(|mark| mark.is_of(&self.workspace, &self.node)) => return Ok(Some(found)),
                _ => {}
            }
        }
        Ok(None)
    }

    pub(super) async fn make_so(&self, live: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = peers.get::<Client>()?;
        let keys = self.keys.read(peers.get::<Secrets>()?).await?;
        if keys.is_empty() && live.is_none() {
            return Err(Error::usage(NoPublicKey { node: self.node.clone() }));
        }
        let starting = live.as_ref().is_some_and(|live| live.starting);
        let Found { guest, mut running, halt, pool, .. } = match live {
            Some(live) => {
                if !live.found.running && self.makes_new_host_keys(&live.found.config, &keys) {
                    // Before the start, so that a run that ends between the two leaves no keys of a former life.
                    self.forget_keys(peers, permit).await?;
                }
                live.found
            }
            None => {
                let found = self.clone_template(client, peers, permit).await?;
                // Whoever had this address before is not this machine.
                self.forget_keys(peers, permit).await?;
                found
            }
        };
        if let Some(halt) = halt {
            // Before anything else: of a machine that hibernates nothing can be changed.
            guest.resume(halt, client, peers, permit).await?;
            running = true;
        }
        let values = |config: &_| self.differences(config, running, &keys).into_iter().map(|one| (one.key, one.value)).collect();
        guest.configure(client, peers, permit, values).await?;
        self.grow(&guest, client, peers, permit).await?;
        if let Some(wanted) = self.pool.as_deref().filter(|wanted| pool.as_deref() != Some(wanted)) {
            guest.put_in_pool(wanted, pool.as_deref(), client, peers, permit).await?;
        }
        if running {
            let waiting: Vec<String> = guest.pending(client).await?.into_iter().filter_map(Pending::name).collect();
            if !waiting.is_empty() {
                progress(format!("{} goes on with its old {} until it is restarted", self.node, waiting.join(", ")));
            }
            return if starting { self.meet(&guest, client, peers, permit).await } else { Ok(()) };
        }
        guest.start(client, peers, permit).await?;
        peers.get::<Starts>()?.note(&self.node, Duration::ZERO, client.clock().now());
        self.meet(&guest, client, peers, permit).await
    }

    /// Grows the boot disk if it is smaller than wanted. After the configuration: a pending change would put the old size back.
    async fn grow(&self, guest: &Guest, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(config) = guest.config(client).await? else { return Ok(()) };
        let wanted = u64::from(self.spec.disk_gib) * GIB;
        match guest.boot_disk(&config, client).await? {
            Some((disk, drive)) if drive.size_bytes.is_some_and(|bytes| bytes < wanted) => {
                guest.grow(&disk, self.spec.disk_gib, client, peers, permit).await
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{node} would be made with no public key: nobody could log in to it")]
#[diagnostic(
    code(kthw::proxmox::no_public_key),
    help("set `ssh.key_file` in the workspace, or list keys under `ssh.authorized_keys` when you use an agent")
)]
struct NoPublicKey {
    node: String,
}
