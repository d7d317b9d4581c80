//! The peers of a run in the lab: the same clients as in the real world, over the lab's seams.
use crate::{ENDPOINT, World};
use bytes::Bytes;
use kthw_engine::{BoxFuture, Clock, Error, Peers, Result, Secret};
use kthw_stdlib::{
    artifact::{Artifact, ArtifactSource, Artifacts},
    http::Trust,
    proxmox::{Client, Credentials, Endpoint, Settings},
    sops::Secrets,
    ssh::KnownHosts,
    workspace::Workspace,
    world::KubernetesAccess,
};
use std::sync::Arc;

/// The public key of lab machines whose workspace names none. Its private half was never kept: the lab asks for no proof.
pub const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYi1vbmx5LWtleS1uby1wcml2YXRlLWhhbGYtMDAwMDAw the-lab";

/// The token that the lab's Proxmox knows; it opens nothing anywhere else.
const TOKEN: &str = "root@pam!kthw=00000000-0000-0000-0000-000000000000";

/// Made-up values for secrets with these names. The lab gets no others: its world is kept in a file as plain text, and a recipe is tried
/// there by people who hold no key.
pub fn stand_in_secrets(names: impl IntoIterator<Item = String>) -> Secrets {
    let values = names.into_iter().map(|name| (name.clone(), Secret::new(format!("the lab's stand-in for {name}"))));
    Secrets::from_values("secrets.sops.yaml", values.collect::<Vec<_>>())
}

/// Peers of `workspace` in `world`. Host keys are pinned in `known_hosts`, which must not be the real world's, and `secrets` are what
/// recipes may use.
///
/// # Errors
/// When the lab's own settings are refused, which would be a mistake in kthw.
pub fn peers(world: &World, workspace: &Workspace, known_hosts: KnownHosts, secrets: Secrets) -> Result<Peers> {
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    let settings = Settings {
        endpoints: vec![Endpoint::parse(ENDPOINT).map_err(Error::usage)?],
        credentials: Credentials::token(&Secret::new(TOKEN)).map_err(Error::usage)?,
        trust: Trust::System,
    };
    let access: Arc<dyn KubernetesAccess> = Arc::new(world.kubernetes(workspace));
    let nodes = world.nodes(workspace).with_known_hosts(known_hosts.clone());
    Ok(Peers::new(Arc::new(nodes), clock.clone())
        .with(known_hosts)
        .with(Client::over(Arc::new(world.http(workspace)), settings, clock))
        .with(access)
        .with(Artifacts::new(StandIns))
        .with(secrets))
}

/// What stands in for Calico's operator manifest.
const OPERATOR: &str = include_str!("stand-ins/tigera-operator.yaml");

/// Stand-ins for upstream's files, in our own words: nothing is downloaded in the lab.
struct StandIns;

impl ArtifactSource for StandIns {
    fn fetch<'a>(&'a self, artifact: &'a Artifact) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move {
            match (artifact.project.as_str(), artifact.file.as_str()) {
                ("calico", "tigera-operator.yaml") => Ok(Bytes::from_static(OPERATOR.as_bytes())),
                (project, file) => Err(Error::peer(NoStandIn { what: format!("{project}/{file}") })),
            }
        })
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the lab has no stand-in for {what}")]
#[diagnostic(code(kthw::lab::no_stand_in), help("add one in `lab/src/peers.rs`, or run without `--lab`"))]
struct NoStandIn {
    what: String,
}
