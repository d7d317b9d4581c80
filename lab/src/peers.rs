//! The peers of a run in the lab: the same clients as in the real world, over the lab's seams.
use crate::{
    ENDPOINT, World,
    fault::{Harm, Trigger},
    proxmox::FIRST_TOKEN,
    stand_ins::{StandIns, stand_in},
};
use kthw_engine::{Clock, Error, Peers, Result, Secret};
use kthw_stdlib::{
    artifact::{self, Artifacts, DigestFrom, Needed, Pin},
    dns,
    http::Trust,
    proxmox::{Access, Client, Credentials, Endpoint},
    seams::{KubernetesAccess, Reach},
    sops::Secrets,
    ssh::{KnownHosts, Logins, Starts},
    workspace::{PiHoleVersion, Workspace},
};
use std::sync::Arc;

/// Gives the files without a digest one: what the lab serves at an address is the lab's own.
pub fn pin(workspace: &mut Workspace) {
    for Needed { upstream, from, .. } in artifact::needed(workspace).into_iter().chain(artifact::on_request(workspace)) {
        if from == DigestFrom::Missing {
            let stand_in = stand_in(&upstream).unwrap_or_else(|| upstream.url.clone());
            let pin = Pin::of(upstream, crate::state::fingerprint(&stand_in), stand_in.len() as u64, "for the lab".into());
            // What has no pin takes one.
            let _ = workspace.artifacts.pins.add(pin, false);
        }
    }
    artifact::pin_image(workspace);
}

/// The public key of lab machines whose workspace names none. Its private half was never kept: the lab asks for no proof.
pub const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYi1vbmx5LWtleS1uby1wcml2YXRlLWhhbGYtMDAwMDAw the-lab";

/// Made-up values for secrets with these names. The lab gets no others: its world is kept in a file as plain text, and a recipe is tried
/// there by people who hold no key.
pub fn stand_in_secrets(names: impl IntoIterator<Item = String>) -> Secrets {
    let values = names.into_iter().map(|name| (name.clone(), Secret::new(format!("stand-in-of-the-lab:{name}"))));
    Secrets::from_values("secrets.sops.yaml", values.collect::<Vec<_>>())
}

/// Peers of `workspace` in `world`. Host keys are pinned in `known_hosts`, which must not be the real world's, and `secrets` are what
/// recipes may use.
///
/// # Errors
/// When the lab's own settings are refused, which would be a mistake in kthw.
pub fn peers(world: &World, workspace: &Workspace, known_hosts: KnownHosts, secrets: Secrets) -> Result<Peers> {
    let clock: Arc<dyn Clock> = Arc::new(world.clock());
    let secrets = lab_secrets(world, workspace, &secrets)?;
    let access_to_proxmox = Access {
        endpoints: vec![Endpoint::parse(ENDPOINT).map_err(Error::usage)?],
        credentials: Credentials::token(&secrets.get(TOKEN_NAME)?).map_err(Error::usage)?,
        trust: Trust::System,
    };
    let access: Arc<dyn KubernetesAccess> = Arc::new(world.kubernetes(workspace));
    let reach: Arc<dyn Reach> = Arc::new(world.reach(workspace));
    let nodes = world.nodes(workspace).with_known_hosts(known_hosts.clone()).with_secrets(secrets.clone());
    let login: Arc<dyn Logins> = Arc::new(nodes.clone());
    Ok(Peers::new(Arc::new(nodes), clock.clone())
        .with(login)
        .with(known_hosts)
        .with(Client::over(Arc::new(world.http(workspace)), access_to_proxmox, clock))
        .with(pihole(world, workspace))
        .with(access)
        .with(reach)
        .with(Artifacts::new(StandIns))
        .with(secrets)
        .with(Starts::default())
        .with_random(Arc::new(world.random())))
}

/// The client of the workspace's Pi-hole, which the lab plays in its latest version; any password does.
fn pihole(world: &World, workspace: &Workspace) -> dns::Client {
    let Some(dns) = &workspace.dns else {
        let name = workspace.name.clone();
        return dns::Client::new(move || Err(Error::recipe(dns::NoPiHole::of(&name))));
    };
    let url = dns.pihole.url.trim_end_matches('/').to_owned();
    let password = Secret::new("stand-in-of-the-lab");
    let access = dns::Access { url: url.clone(), version: PiHoleVersion::Six, password, trust: Trust::System };
    dns::Client::over(Arc::new(world.pihole(&url)), access)
}

/// The secret with the token that the lab's client uses; it opens nothing anywhere else.
const TOKEN_NAME: &str = "proxmox.token";

/// The secrets of a run in the lab: those that the lab has written itself, stand-ins in the form that their use asks for, and `given`.
fn lab_secrets(world: &World, workspace: &Workspace, given: &Secrets) -> Result<Secrets> {
    let written = world.with_state(|state| state.secrets.clone());
    let mut names = given.names();
    names.extend(written.keys().cloned().chain([TOKEN_NAME.to_owned()]).chain(workspace.ssh.key_secret.clone()));
    names.sort();
    names.dedup();
    let mut first = Vec::new();
    for name in names {
        let value = match name.as_str() {
            TOKEN_NAME => Secret::new(format!("root@pam!kthw={FIRST_TOKEN}")),
            key if workspace.ssh.key_secret.as_deref() == Some(key) || key.ends_with("private_key") => stand_in_key(key)?,
            _ => given.get(&name)?,
        };
        first.push((name, value));
    }
    let now: Vec<(String, Secret)> = first
        .iter()
        .map(|(name, value)| (name.clone(), written.get(name).map_or_else(|| value.clone(), |text| Secret::new(text.as_str()))))
        .collect();
    let world = world.clone();
    Ok(Secrets::kept_by("secrets.sops.yaml", now, move |values| {
        let is_new = |name: &str, value: &Secret| first.iter().all(|(known, old)| known != name || old.disclose() != value.disclose());
        world.with_state(|state| -> Result<()> {
            // There is no connection that could hang: this process writes the file itself.
            let fault = state.strike_as(
                |on| *on == Trigger::Secrets,
                |outcome| match outcome {
                    Harm::Refused { text, .. } => Some((text.clone(), false)),
                    Harm::BrokenBefore => Some(("the disk is gone".into(), false)),
                    Harm::BrokenAfter => Some(("the disk is gone, after it was written".into(), true)),
                    _ => None,
                },
            );
            if let Some((text, false)) = fault {
                return Err(Error::usage(NotKept { text }));
            }
            // Only what was made up in the lab is new, so nothing of a person's comes into the lab's file.
            state.secrets = values
                .iter()
                .filter(|(name, value)| is_new(name, value))
                .map(|(name, value)| (name.clone(), value.disclose().to_owned()))
                .collect();
            state.writes += 1;
            fault.map_or(Ok(()), |(text, _)| Err(Error::usage(NotKept { text })))
        })
    }))
}

/// A private key that is the same in every lab, and opens nothing anywhere else.
pub(crate) fn stand_in_key(name: &str) -> Result<Secret> {
    use sha2::Digest;
    kthw_stdlib::ssh::private_key(&sha2::Sha256::digest(format!("the lab's key {name}")).into(), "the-lab")
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write secrets.sops.yaml: {text}")]
#[diagnostic(code(kthw::lab::secrets), help("this is one of the lab's faults"))]
struct NotKept {
    text: String,
}
