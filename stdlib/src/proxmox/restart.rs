//! The machine of a node, for whoever restarts it: what its next start will change, and the host keys that it has afterwards.
use super::{
    agent,
    client::Client,
    guest::{self, Found},
    inventory, task,
    vm::{cards_of, waiting_addresses},
};
use crate::{
    ssh::KnownHosts,
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{Error, Intent, Limit, Peers, Permit, Poll, Recovery, Result, node::KeyTrust, progress, wait};
use std::net::IpAddr;

/// The machine of a node. `None` where kthw makes no machines, or where somebody else's has the node's VM id.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub async fn machine_of(node: &NodeSpec, workspace: &Workspace, peers: &Peers) -> Result<Option<Found>> {
    let (Some(vmid), Some(_)) = (node.vmid, &workspace.proxmox) else { return Ok(None) };
    let client = peers.get::<Client>()?;
    let is_ours = |found: &Found| found.config.mark().is_some_and(|mark| mark.is_of(&workspace.name, &node.name));
    let mut found = guest::find(client, peers, vmid).await?.filter(is_ours);
    if let Some(found) = &mut found {
        let more = waiting_addresses(&cards_of(workspace, node), found, client).await;
        found.waiting.extend(more);
    }
    let waiting = found.as_ref().filter(|found| found.running).map_or(&[][..], |found| &found.waiting);
    client.note_waiting(&node.name, waiting);
    Ok(found)
}

/// Whether the machine of a node is there, under whatever VM id; taken for granted where kthw makes no machines.
///
/// # Errors
/// When Proxmox does not answer or refuses.
pub async fn is_there(workspace: &Workspace, node: &str, peers: &Peers) -> Result<bool> {
    let client = peers.get::<Client>()?;
    if workspace.proxmox.is_none() {
        return Ok(true);
    }
    Ok(!inventory::called(client, &format!("{node}.{}", workspace.domain)).await?.is_empty())
}

/// Restarts a machine so that what waits for that takes effect. A restart that is under way already, begun by a run that died, is waited for.
///
/// # Errors
/// When Proxmox refuses or its system does not shut down.
pub async fn restart(found: &Found, peers: &Peers, permit: &Permit) -> Result<()> {
    let (client, guest) = (peers.get::<Client>()?, &found.guest);
    let what = format!("the restart of VM {} that is under way", guest.vmid);
    let under_way = |tasks: Vec<task::Active>| tasks.iter().any(|task| task.restarts(guest.vmid));
    if !under_way(task::active(client, &guest.host).await?) {
        return guest.reboot(client, peers, permit).await;
    }
    wait(peers, Limit::minutes(10), &what, "look at the machine's tasks in Proxmox", async || {
        Ok(match under_way(task::active(client, &guest.host).await?) {
            true => Poll::Pending("its task goes on".into()),
            false => Poll::Ready(()),
        })
    })
    .await
}

/// Forgets the host keys of a machine that Proxmox is about to start anew: if cloud-init is told something else then, it makes new ones, and
/// Proxmox does not list that among what waits. A run that dies before it has pinned them leaves a machine whose keys are unknown, and are asked
/// of its guest agent, and none whose keys are wrong. Where no agent vouches for them nothing is forgotten.
///
/// # Errors
/// When Proxmox's answer leaves nothing to go on with.
pub async fn forget_before_start(found: &Found, node: &NodeSpec, workspace: &Workspace, peers: &Peers, permit: &Permit) -> Result<()> {
    if agent::host_keys(&found.guest, peers.get::<Client>()?).await?.keys.is_empty() {
        return Ok(());
    }
    let (known, address, port) = pinned_at(node, workspace, peers)?;
    let what = format!("forgetting the host keys of {}, which may make new ones", node.name);
    permit
        .effect(Intent::on(known.path().display().to_string(), what, Recovery::Look), async |effect| {
            known.forget(address, port, effect).map_err(Error::peer)
        })
        .await
}

fn pinned_at<'p>(node: &NodeSpec, workspace: &Workspace, peers: &'p Peers) -> Result<(&'p KnownHosts, IpAddr, u16)> {
    Ok((peers.get::<KnownHosts>()?, IpAddr::V4(node.address), node.port.unwrap_or(workspace.ssh.port)))
}

/// Pins the host keys that a machine made anew when it started: cloud-init does so when its settings have changed. The guest agent vouches for
/// them; it is waited for. Returns what was seen.
///
/// # Errors
/// When Proxmox's answer leaves nothing to go on with.
pub async fn pin_anew(found: &Found, node: &NodeSpec, workspace: &Workspace, peers: &Peers, permit: &Permit) -> Result<String> {
    let said = agent::wait_for_host_keys(&found.guest, peers.get::<Client>()?, peers).await?;
    if said.keys.is_empty() {
        return Ok(said.silence.map_or_else(|| "its guest agent finds no host keys".into(), |silence| silence.to_string()));
    }
    let (known, address, port) = pinned_at(node, workspace, peers)?;
    let is_pinned = |key: &String| known.trust_line(&address.to_string(), port, key).is_ok_and(|(_, trust)| trust == KeyTrust::Pinned);
    if known.is_pinned(address, port) && said.keys.iter().all(is_pinned) {
        return Ok("it shows another host key than those that its guest agent vouches for".into());
    }
    progress(format!("{} has new SSH host keys since it was restarted, as its guest agent says", node.name));
    let intent = Intent::on(known.path().display().to_string(), format!("the new host keys of {}", node.name), Recovery::Look).closing();
    permit
        .effect(intent, async |effect| {
            known.forget(address, port, effect).map_err(Error::peer)?;
            said.keys.iter().try_for_each(|key| known.pin(&node.name, address, port, key, effect).map(drop)).map_err(Error::peer)
        })
        .await?;
    Ok("it has new host keys".into())
}
