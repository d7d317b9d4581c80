//! The peers of a real run: Proxmox over HTTPS, nodes over SSH, Kubernetes through a tunnel, artifacts from their mirror.
use super::{Loaded, secrets_of};
use crate::store::Store;
use kthw_engine::{Clock, Error, Peers, Result, SystemClock, node::Nodes};
use kthw_stdlib::{
    artifact::{Artifacts, PinnedSource},
    dns,
    http::{HttpClient, Trust},
    kubernetes::{NodeAccess, Tunnel},
    proxmox::{Access, Client},
    seams::{KubernetesAccess, Reach},
    ssh::{KnownHosts, Logins, SshNodes, Starts, UserConfig},
    validation::OverSsh,
};
use std::sync::Arc;

/// Makes the clients. No peer is contacted before the first question, and only then does a missing setting matter.
///
/// # Errors
/// Files that are there and cannot be read.
pub fn open(workspace: &Loaded, store: &Store) -> Result<Peers> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let known_hosts = KnownHosts::open(store.file("known_hosts")).map_err(Error::usage)?;
    let secrets = secrets_of(workspace)?;
    let mut nodes = SshNodes::new(workspace.workspace.clone(), known_hosts.clone()).with_secrets(secrets.clone());
    match UserConfig::of_this_person() {
        Ok(Some(config)) => nodes = nodes.with_config(config, workspace.ssh_said),
        Ok(None) => {}
        Err(why) => known_hosts.warn(&why),
    }
    let nodes = Arc::new(nodes);
    let login: Arc<dyn Logins> = nodes.clone();
    let access: Arc<dyn KubernetesAccess> = Arc::new(NodeAccess::new(nodes.clone() as Arc<dyn Nodes>, nodes.clone() as Arc<dyn Tunnel>));
    let reach: Arc<dyn Reach> = Arc::new(OverSsh::new(nodes.clone() as Arc<dyn Tunnel>));
    let http = Arc::new(HttpClient::new(&Trust::System).map_err(Error::usage)?);
    let artifacts = Artifacts::new(PinnedSource::new(store.file("artifacts"), workspace.artifacts.mirror.clone(), http));
    let for_proxmox = secrets.clone();
    let proxmox = Client::new(move || Access::find(&for_proxmox), clock.clone());
    let (of, for_pihole) = (workspace.workspace.clone(), secrets.clone());
    let pihole = dns::Client::new(move || dns::Access::of(&of, &for_pihole));
    let peers = Peers::new(nodes, clock).with(known_hosts).with(access).with(reach).with(artifacts).with(proxmox).with(pihole);
    Ok(peers.with(login).with(secrets).with(Starts::default()))
}
