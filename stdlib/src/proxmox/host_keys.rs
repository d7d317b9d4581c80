//! The SSH host keys of a machine that kthw made and does not know: its guest agent is asked, also by a recipe that makes no machines. A run that
//! died after it restarted one leaves it so.
use super::{
    Client,
    agent::{self, Silence},
    guest::Found,
    restart::machine_of,
};
use crate::{
    ssh::KnownHosts,
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{Change, Error, Field, Id, Peers, Permit, Resource, Result};
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
    /// A machine whose keys are not told yet.
    type Live = Found;

    fn id(&self) -> Id {
        Self::id_of(&self.node.name)
    }

    fn after(&self) -> Vec<Id> {
        vec![Id::new("proxmox.vm", &self.node.name)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Found>> {
        let (address, port) = self.place();
        let known = peers.get::<KnownHosts>()?;
        if known.is_known(address, port) {
            return Ok(None);
        }
        let Some(found) = machine_of(&self.node, &self.workspace, peers).await?.filter(|found| found.running) else { return Ok(None) };
        let said = agent::host_keys(&found.guest, peers.get::<Client>()?).await?;
        let may_come = found.up_for < LATELY && said.silence.as_ref().is_none_or(Silence::may_pass);
        if said.keys.is_empty() && may_come {
            known.cannot_vouch(address, port, "its machine was started a moment ago, and its guest agent does not tell its host keys yet");
            return Ok(Some(found));
        }
        self.believe(&said, peers)?;
        Ok(None)
    }

    /// What was believed shows at the node. Here is only what has to be waited for, which a plan never does.
    fn diff(&self, live: Option<&Found>) -> Change {
        let awaited = |_| Field { live: Some("not told yet".into()), ..Field::new("host keys", "told by its guest agent") };
        Change::between([live.map(awaited)])
    }

    async fn apply(&self, live: Option<Found>, peers: &Peers, _: &Permit) -> Result<()> {
        let Some(found) = live else { return Ok(()) };
        self.believe(&agent::wait_for_host_keys(&found.guest, peers.get::<Client>()?, peers).await?, peers)
    }
}

impl HostKeys {
    fn place(&self) -> (IpAddr, u16) {
        (IpAddr::V4(self.node.address), self.node.port.unwrap_or(self.workspace.ssh.port))
    }

    fn believe(&self, said: &agent::HostKeys, peers: &Peers) -> Result<()> {
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        said.keys.iter().try_for_each(|key| known.learn_vouched(address, port, key)).map_err(Error::peer)?;
        if said.keys.is_empty() {
            let finds_none = || "its guest agent finds no host keys in /etc/ssh".to_owned();
            known.cannot_vouch(address, port, &said.silence.as_ref().map_or_else(finds_none, ToString::to_string));
        }
        Ok(())
    }
}
