//! Templates of a workspace that it does not name any more: they are removed with `--prune`, unless a linked clone lies on one.
use super::Template;
use crate::{
    proxmox::{
        call::Call,
        client::Client,
        error::Failure,
        guest::{self, Found, Guest},
        inventory::Entry,
    },
    workspace::Workspace,
};
use kthw_engine::{Change, Id, Owned, Peers, Permit, Removable, Resource, Result};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Whether a line of the list may be an old template of this workspace: called as its template is, under an id that it does not name. A template
/// under another name is a recipe's own, which may not be part of this run.
pub(in crate::proxmox) fn may_be(entry: &Entry, workspace: &Workspace) -> bool {
    let Some(template) = &workspace.template else { return false };
    let called_so = entry.name.as_deref().is_some_and(|name| Template::is_called(name, &template.name));
    called_so && entry.kind == "qemu" && entry.is_of_kthw() && workspace.template_hosts().all(|(_, vmid)| vmid != entry.vmid)
}

/// The old template behind a line of the list, if its mark says that it is one of this workspace.
pub(in crate::proxmox) async fn owned(entry: &Entry, workspace: &Workspace, client: &Client) -> Result<Option<Owned>> {
    let guest = Guest { vmid: entry.vmid, host: entry.node.clone() };
    let (Some(config), Some(template)) = (guest.config(client).await?, &workspace.template) else { return Ok(None) };
    let is_ours = config.mark().is_some_and(|mark| mark.is_of(&workspace.name, &format!("template/{}", template.name)));
    let (Some(mark), true) = (config.mark(), is_ours) else { return Ok(None) };
    let old = Old { name: entry.name.clone().unwrap_or_default(), vmid: entry.vmid, mark: mark.to_string() };
    Ok(Some(Owned::new(old, format!("VM {} on {}, an old template", entry.vmid, entry.node))))
}

/// A template, or what was to become one, that nobody names any more.
#[derive(Debug)]
struct Old {
    name: String,
    vmid: u32,
    /// The whole mark, nonce and all: only this very machine is removed.
    mark: String,
}

/// What was found of it, and the volumes that lie on its disk.
#[derive(Debug)]
struct Live {
    found: Found,
    clones: BTreeSet<String>,
}

impl Resource for Old {
    type Live = Live;
    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        Id::new("proxmox.template", format!("{}/{}", self.name, self.vmid))
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        let client = peers.get::<Client>()?;
        let found = guest::find(client, peers, self.vmid).await?;
        let Some(found) = found.filter(|found| found.config.mark().is_some_and(|mark| mark.to_string() == self.mark)) else {
            return Ok(None);
        };
        let clones = clones_of(&found, client).await?;
        Ok(Some(Live { found, clones }))
    }

    fn diff(&self, _: Option<&Live>) -> Change {
        Change::None
    }

    async fn apply(&self, _: Option<Live>, _: &Peers, _: &Permit) -> Result<()> {
        Ok(())
    }

    fn keeps(&self, live: &Live) -> Option<String> {
        let used = || format!("VM {} is the base of linked clones: {}", self.vmid, Vec::from_iter(live.clones.iter().cloned()).join(", "));
        live.found.protection().or_else(|| (!live.clones.is_empty()).then(used))
    }

    async fn remove(&self, live: Live, peers: &Peers, permit: &Permit) -> Result<()> {
        live.found.remove(peers.get::<Client>()?, peers, permit).await
    }
}

/// The volumes that lie on the disk of a template. Storages tell it by `parent`, or in the volume's own name, as files do
/// (<https://pve.proxmox.com/pve-docs/api-viewer/#/nodes/{node}/storage/{storage}/content>); on LVM-thin a clone needs its base no more. Proxmox refuses
/// to remove a base in use too.
async fn clones_of(template: &Found, client: &Client) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Volume {
        volid: String,
        #[serde(default)]
        parent: Option<String>,
    }
    let Some((_, drive)) = template.config.boot_disk().filter(|(_, drive)| !drive.storage.is_empty()) else { return Ok(BTreeSet::new()) };
    let base = drive.file();
    let call = Call::get(["nodes", &template.guest.host, "storage", &drive.storage, "content"]).with("content", "images");
    let volumes: Vec<Volume> = match client.get(&call).await {
        Ok(volumes) => volumes,
        // Whoever may not see the storage leaves it to Proxmox.
        Err(Failure::Refused(refused)) if refused.status == 403 => Vec::new(),
        Err(failure) => return Err(failure.into()),
    };
    // A parent may be named with its storage or without, and with a snapshot behind it.
    let own = base.rsplit([':', '/']).next().unwrap_or_default();
    let lies_on = |volume: &Volume| {
        let parent = volume.parent.as_deref().and_then(|parent| parent.rsplit([':', '/']).next()?.split('@').next());
        volume.volid.starts_with(&format!("{base}/")) || (!own.is_empty() && parent == Some(own))
    };
    Ok(volumes.into_iter().filter(lies_on).map(|volume| volume.volid).collect())
}
