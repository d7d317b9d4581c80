//! The SSH host keys of a machine: asked of its guest agent, believed for a run, pinned, and forgotten when they are another life's.
use super::Vm;
use crate::{
    proxmox::{
        agent::{self, Agent, HostKeys, Silence},
        client::Client,
        config::Config,
        guest::{Found, Guest},
    },
    ssh::KnownHosts,
};
use kthw_engine::{Error, Intent, Peers, Permit, Recovery, Result, progress};
use std::time::Duration;

impl Vm {
    /// Whether what its next start tells cloud-init differs from what it was told: cloud-init takes that for another machine, and such a
    /// machine makes its host keys anew.
    pub(super) fn makes_new_host_keys(&self, config: &Config, keys: &[String]) -> bool {
        const TOLD: [&str; 7] = ["name", "delete", "nameserver", "searchdomain", "ciuser", "sshkeys", "ciupgrade"];
        self.differences(config, false, keys).iter().any(|one| TOLD.contains(&&*one.key) || one.key.starts_with("ipconfig"))
    }

    /// Waits until a machine that was just started is up, and pins its host keys.
    pub(super) async fn meet(&self, guest: &Guest, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        match agent::wait_for(guest, self.address, self.agent_timeout(), client, peers).await? {
            Agent::Ready => {
                let found = agent::wait_for_host_keys(guest, client, peers).await?;
                if found.keys.is_empty() {
                    return self.believe(&found, peers);
                }
                // Cloud-init makes new ones when its settings have changed.
                self.forget_keys(peers, permit).await?;
                self.pin(&found.keys, peers, permit).await
            }
            Agent::Silent(silence) => {
                progress(format!("going on without the guest agent: {silence}"));
                self.believe(&HostKeys { keys: Vec::new(), silence: Some(silence) }, peers)
            }
        }
    }

    /// Believes the host keys of a machine that runs, when none are known here: another computer made it, or the cache was lost. Keeping
    /// them is for the node's own resource. Returns whether the machine was started so lately that its agent may still come.
    pub(super) async fn learn_unknown(&self, found: &Found, client: &Client, peers: &Peers) -> Result<bool> {
        let known = peers.get::<KnownHosts>()?;
        if !found.running || found.halt.is_some() || known.is_known(self.address.into(), self.port) {
            return Ok(false);
        }
        let said = agent::host_keys(&found.guest, client).await?;
        let starting = found.up_for < self.agent_timeout() && found.config.agent_enabled();
        if said.keys.is_empty() && starting && matches!(said.silence, None | Some(Silence::Absent(_))) {
            let seconds = found.up_for.as_secs();
            let why = format!("its machine was started {seconds} s ago, and its guest agent does not tell its host keys yet");
            known.cannot_vouch(self.address.into(), self.port, &why);
            return Ok(true);
        }
        self.believe(&said, peers).map(|()| false)
    }

    pub(super) fn agent_timeout(&self) -> Duration {
        Duration::from_secs(self.spec.agent_timeout_s.into())
    }

    /// Believes what the agent says. Only where Proxmox says that there is no agent may the first key that comes be taken: whoever could make
    /// the agent fall silent could otherwise have a key of their own believed.
    pub(super) fn believe(&self, found: &HostKeys, peers: &Peers) -> Result<()> {
        let known = peers.get::<KnownHosts>()?;
        match &found.silence {
            _ if !found.keys.is_empty() => {
                let learn = |key: &String| known.learn_vouched(self.address.into(), self.port, key);
                return found.keys.iter().try_for_each(learn).map_err(Error::peer);
            }
            Some(Silence::Absent(said)) => {
                if let Some(warning) = known.allow_first(&self.node, self.address.into(), self.port, said) {
                    progress(warning);
                }
            }
            Some(silence @ Silence::Unasked { .. }) => {
                progress(format!("its SSH host key stays unknown: {silence}"));
                known.cannot_vouch(self.address.into(), self.port, &silence.to_string());
            }
            None => known.cannot_vouch(self.address.into(), self.port, "its guest agent finds no host keys in /etc/ssh"),
        }
        Ok(())
    }

    pub(super) async fn pin(&self, keys: &[String], peers: &Peers, permit: &Permit) -> Result<()> {
        let known = peers.get::<KnownHosts>()?;
        let intent = Intent::on(known.path().display().to_string(), format!("the host keys of {}", self.node), Recovery::Look).closing();
        let pin = |key: &String, effect: &_| known.pin(&self.node, self.address.into(), self.port, key, effect).map(drop);
        permit.effect(intent, async |effect| keys.iter().try_for_each(|key| pin(key, effect)).map_err(Error::peer)).await
    }

    pub(super) async fn forget_keys(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let known = peers.get::<KnownHosts>()?;
        let intent =
            Intent::on(known.path().display().to_string(), format!("forgetting the host keys at {}", self.address), Recovery::Look)
                .closing();
        permit.effect(intent, async |effect| known.forget(self.address.into(), self.port, effect).map_err(Error::peer)).await
    }
}
