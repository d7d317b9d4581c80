//! Who logs in where, with what, and on which way: as the workspace says, and where it does not, as the person's own configuration does.
use super::{
    connection::Target,
    error::SshError,
    identity::Identity,
    known_hosts::KnownHosts,
    user_config::{HostConfig, UserConfig},
};
use crate::{sops::Secrets, workspace::Workspace};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Which settings of `ssh` the workspace writes down itself; the others have defaults, before which the person's configuration counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct SshSaid {
    /// `ssh.user`.
    pub user: bool,
    /// `ssh.port`.
    pub port: bool,
}

/// The ways to the nodes of a workspace.
pub(crate) struct Routes {
    pub workspace: Arc<Workspace>,
    pub known: KnownHosts,
    pub agent_socket: Option<PathBuf>,
    pub secrets: Option<Secrets>,
    pub config: Option<UserConfig>,
    pub said: SshSaid,
    /// What is logged in with, by the files that are named: they are read once.
    identities: Mutex<HashMap<Vec<PathBuf>, Identity>>,
    /// What the person's configuration says, by node.
    configs: Mutex<HashMap<String, HostConfig>>,
}

/// A host on the way.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub target: Target,
    config: HostConfig,
}

type Ssh<T> = Result<T, SshError>;

impl Routes {
    pub fn new(workspace: Arc<Workspace>, known: KnownHosts, agent_socket: Option<PathBuf>) -> Self {
        let said = SshSaid { user: true, port: true };
        Self { workspace, known, agent_socket, secrets: None, config: None, said, identities: Mutex::default(), configs: Mutex::default() }
    }

    /// The node's address, port and user. A machine that kthw makes has the user and the port that it was made with.
    pub fn target(&self, node: &str) -> Ssh<Target> {
        let (address, own_port) = self.workspace.place(node).ok_or_else(|| SshError::NoSuchNode { node: node.to_owned() })?;
        let (ssh, is_made) = (&self.workspace.ssh, self.workspace.proxmox.is_some());
        let config = self.config_of(node);
        let user = config.user.filter(|_| !self.said.user && !is_made).unwrap_or_else(|| ssh.user.clone());
        let port = own_port.or(config.port.filter(|_| !self.said.port && !is_made)).unwrap_or(ssh.port);
        let host = address.to_string();
        // Where kthw makes the machines, it reads their keys through the guest agent and pins them; a machine without an agent has
        // nobody to vouch for it.
        let trust_on_first_use = self.known.takes_first(&host, port, !is_made);
        Ok(Target { node: node.to_owned(), host, port, user, trust_on_first_use })
    }

    /// What to log in to a node with. A key among the secrets is looked up each time: it may have been rotated in this run.
    pub fn identity(&self, node: &str) -> Ssh<Identity> {
        self.identity_by(node, &self.config_of(node))
    }

    /// What to log in to a host on the way to `node` with.
    pub fn hop_identity(&self, node: &str, hop: &Hop) -> Ssh<Identity> {
        self.identity_by(node, &hop.config)
    }

    fn identity_by(&self, node: &str, config: &HostConfig) -> Ssh<Identity> {
        let ssh = &self.workspace.ssh;
        if let Some(name) = &ssh.key_secret {
            let missing = |reason: String| SshError::KeySecret { name: name.clone(), reason };
            let secrets = self.secrets.as_ref().ok_or_else(|| missing("this run has no secrets".into()))?;
            return Identity::of_secret(name, &secrets.get(name).map_err(|error| missing(error.to_string()))?);
        }
        let named = if ssh.key_file.is_none() { config.identity_files.as_slice() } else { &[] };
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = identities.get(named) {
            return Ok(identity.clone());
        }
        let identity = match named {
            [] => Identity::find(node, ssh.key_file.as_deref(), self.agent_socket.clone())?,
            files => Identity::of_files(node, files, self.agent_socket.clone(), config.identities_only)?,
        };
        identities.insert(named.to_vec(), identity.clone());
        Ok(identity)
    }

    /// The hosts on the way to a node, the nearest first.
    pub fn hops(&self, node: &str) -> Ssh<Vec<Hop>> {
        let jumps = self.workspace.ssh.jump_host.clone().map_or_else(|| self.config_of(node).jumps, |jump| vec![jump]);
        let hop = |text: &String| {
            let (user, host, port) = jump_target(text).ok_or_else(|| SshError::JumpHost { text: text.clone() })?;
            let default = &self.workspace.ssh.user;
            let config = self.config.as_ref().map(|known| known.host(&[&host], user.as_ref().unwrap_or(default))).unwrap_or_default();
            self.tell(&config);
            let target = Target {
                node: format!("{text} (the way to {node})"),
                host: config.host_name.clone().unwrap_or(host),
                port: port.or(config.port).unwrap_or(22),
                user: user.or_else(|| config.user.clone()).unwrap_or_else(|| default.clone()),
                trust_on_first_use: false,
            };
            Ok(Hop { target, config })
        };
        jumps.iter().map(hop).collect()
    }

    /// What the person's configuration says of a node, which has a name and an address.
    fn config_of(&self, node: &str) -> HostConfig {
        let (Some(config), Some((address, _))) = (&self.config, self.workspace.place(node)) else {
            return HostConfig::default();
        };
        let mut known = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(node) {
            return config.clone();
        }
        let config = config.host(&[node, &address.to_string()], &self.workspace.ssh.user);
        self.tell(&config);
        known.insert(node.to_owned(), config.clone());
        config
    }

    fn tell(&self, config: &HostConfig) {
        config.warnings.iter().for_each(|warning| self.known.warn(warning));
    }
}

/// Understands `[user@]host[:port]`.
fn jump_target(text: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let (user, place) = text.split_once('@').map_or((None, text), |(user, place)| (Some(user), place));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (place, None),
    };
    let fine = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (user.is_none_or(fine) && fine(host)).then(|| (user.map(str::to_owned), host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_understood() {
        let cases = [
            ("admin@gate.example:2222", Some((Some("admin"), "gate.example", Some(2222)))),
            ("gate", Some((None, "gate", None))),
            ("admin@10.0.0.1", Some((Some("admin"), "10.0.0.1", None))),
            ("gate:ssh", None),
            ("@gate", None),
            ("-oProxyCommand=x@gate name", None),
        ];
        for (text, expected) in cases {
            let target = jump_target(text);
            assert_eq!(target.as_ref().map(|(user, host, port)| (user.as_deref(), host.as_str(), *port)), expected, "{text}");
        }
    }
}
