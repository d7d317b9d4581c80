//! The SSH host keys of a machine that kthw made and does not know: its guest agent is asked, also by a recipe that makes no machines. A run that
//! died after it restarted one leaves it so.
use super::{Client, agent, restart::machine_of};
use crate::{
    ssh::KnownHosts,
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{Change, Error, Id, Peers, Permit, Resource, Result};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// A machine that was started so lately may not have made its keys, or its agent not have come up.
const LATELY: Duration = Duration::from_secs(600);

/// The resource by which a node's keys are believed before the node is opened. Keeping them is for `ssh.node`.
#[derive(Debug)]
pub struct HostKeys {
    /// The node.
    pub node: NodeSpec,
    /// Its workspace.
    pub workspace: Arc<Workspace>,
}

impl HostKeys {
    /// The identity of those of a node.
    pub fn id_of(node: &str) -> Id {
        Id::new("proxmox.host_keys", node)
    }
}

impl Resource for HostKeys {
    type Live = ();

    fn id(&self) -> Id {
        Self::id_of(&self.node.name)
    }

    fn after(&self) -> Vec<Id> {
        vec![Id::new("proxmox.vm", &self.node.name)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<()>> {
        let (address, port) = (IpAddr::V4(self.node.address), self.node.port.unwrap_or(self.workspace.ssh.port));
        let known = peers.get::<KnownHosts>()?;
        if known.is_known(address, port) {
            return Ok(None);
        }
        let Some(found) = machine_of(&self.node, &self.workspace, peers).await?.filter(|found| found.running) else { return Ok(None) };
        let client = peers.get::<Client>()?;
        let said = match found.up_for < LATELY {
            true => agent::wait_for_host_keys(&found.guest, client, peers).await?,
            false => agent::host_keys(&found.guest, client).await?,
        };
        said.keys.iter().try_for_each(|key| known.learn_vouched(address, port, key)).map_err(Error::peer)?;
        if said.keys.is_empty() {
            let why = said.silence.map_or_else(|| "its guest agent finds no host keys in /etc/ssh".to_owned(), |silence| silence.to_string());
            known.cannot_vouch(address, port, &why);
        }
        Ok(None)
    }

    /// Nothing is made: what was believed shows at the node.
    fn diff(&self, _: Option<&()>) -> Change {
        Change::None
    }

    async fn apply(&self, _: Option<()>, _: &Peers, _: &Permit) -> Result<()> {
        Ok(())
    }
}
