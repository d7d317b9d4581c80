//! Whose host key it is that a build machine shows: where the image has no agent, nobody can say so before one is built in.
use super::{
    AGENT, Build,
    error::{AnotherMachine, NoAgent},
};
use crate::{
    proxmox::{
        agent::{self, Agent},
        client::Client,
        guest::Guest,
    },
    ssh::{KnownHosts, Verdict},
};
use kthw_engine::{Error, Intent, Peers, Permit, Recovery, Result};
use std::{net::IpAddr, time::Duration};

impl Build {
    fn place(&self) -> (IpAddr, u16) {
        (IpAddr::V4(self.address), self.workspace.ssh.port)
    }

    /// Where the image has no agent, nobody can vouch for its host key yet. It is taken as it comes, and said so; the agent that is built in has to
    /// know it.
    pub(super) async fn learn_key(&self, guest: &Guest, client: &Client, peers: &Peers) -> Result<()> {
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        if known.is_known(address, port) {
            return Ok(());
        }
        let patience = if self.has_agent { AGENT } else { Duration::ZERO };
        if agent::wait_for(guest, self.address, patience, client, peers).await? == Agent::Ready {
            let told = agent::wait_for_host_keys(guest, client, peers).await?;
            if !told.keys.is_empty() {
                return told.keys.iter().try_for_each(|key| known.learn_vouched(address, port, key)).map_err(Error::peer);
            }
        }
        known.allow_until_confirmed(address, port);
        Ok(())
    }

    /// Sees that the agent answers after a start, and that the key which was met is the machine's.
    pub(super) async fn confirm_key(&self, guest: &Guest, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let machine = || self.machine.clone();
        if let Agent::Silent(silence) = agent::wait_for(guest, self.address, AGENT, client, peers).await? {
            return Err(Error::peer(NoAgent { machine: machine(), why: silence.to_string() }));
        }
        let told = agent::wait_for_host_keys(guest, client, peers).await?;
        if told.keys.is_empty() {
            let why = told.silence.map_or_else(|| "it finds no host keys in /etc/ssh".into(), |silence| silence.to_string());
            return Err(Error::peer(NoAgent { machine: machine(), why }));
        }
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        let verdicts = told.keys.iter().map(|key| known.judge_line(&address.to_string(), port, key).map_err(Error::peer));
        let verdicts = verdicts.collect::<Result<Vec<_>>>()?;
        if verdicts.contains(&Verdict::Known) {
            return Ok(());
        }
        self.forget_keys(peers, permit).await?;
        Err(Error::peer(AnotherMachine { machine: machine(), address: self.address }))
    }

    pub(super) async fn forget_keys(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let ((address, port), known) = (self.place(), peers.get::<KnownHosts>()?);
        let what = format!("forgetting the host keys at {address}");
        let intent = Intent::on(known.path().display().to_string(), what, Recovery::Look).closing();
        permit.effect(intent, async |effect| known.forget(address, port, effect).map_err(Error::peer)).await
    }
}
