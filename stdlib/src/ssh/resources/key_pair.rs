//! `ssh.key_pair`: a key pair whose private half is in the secrets file and whose public half is on every node, made anew in time.
use crate::{
    rotation::{Stamp, today, wanted_generation},
    sops::Secrets,
    ssh::transport::{SshError, fingerprint},
    workspace::{Cluster, Rotation},
};
use jiff::civil::Date;
use kthw_engine::{
    BoxFuture, Change, Error, Field, Id, Intent, Peers, Permit, Recovery, Resource, Result, Rhai, Secret, SecretRef, field,
    node::{Action, Block, BlockOutcome, Content, Finding, Output, Probe},
    progress,
};
use miette::Diagnostic;
use rhai::plugin::*;
use russh::keys::ssh_key::authorized_keys::Entry;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

mod halves;

use halves::{Authorized, Current, Keys, new_private_key};
pub use halves::{private_key, public_half};

/// The longest time for a login with a new key, jump hosts included.
const LOGIN_LIMIT: Duration = Duration::from_secs(120);

/// Logs in to nodes beside the connections that a run uses. The lab implements it too.
pub trait Logins: Send + Sync {
    /// Opens a connection of its own to `node` with the private key `key`, and closes it again.
    ///
    /// # Errors
    /// When the node is not reachable or refuses the key.
    fn try_key<'a>(&'a self, node: &'a str, key: &'a Secret) -> BoxFuture<'a, Result<()>>;

    /// Opens a new connection to `node` as every run does, and closes it again. Whoever calls it bounds the time that it may take.
    ///
    /// # Errors
    /// When the node is not reachable or refuses who logs in.
    fn try_anew<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<()>>;
}

#[export_module]
pub mod api {
    use crate::workspace::Cluster;
    use kthw_engine::{Options, declare};
    use rhai::Map;

    /// Keeps an SSH key pair: its private half in the secrets file, its public half on every node for the user who logs in. It is made anew
    /// when the workspace's `rotation` asks for it.
    ///
    /// A pair is made anew when the one in the secrets file was not made by kthw, has a lower generation than `rotation.generation`, or is
    /// older than `rotation.max_age_days`. The new public key (ed25519) is added on every node, tried by a login on each of them, and its
    /// private half written to the secrets file; only then the keys that kthw made before, and the one that the secret held, leave the nodes.
    /// A run that fails in between leaves a key in the file that works, and the next run finishes the work. Keys of other people stay.
    ///
    /// The secret is the one that `ssh.key_secret` of the workspace names, unless the option `secret` names another. Where neither does,
    /// kthw logs in with `ssh.key_file` or an agent, which it never changes: the run says so, and what to do. The user's keys are looked
    /// for in `/home/USER/.ssh/authorized_keys`, or `/root`.
    ///
    /// ```rhai
    /// ssh::key_pair(cluster, #{ secret: sops::secret("ssh.private_key") });
    /// ```
    #[rhai_fn(return_raw, volatile, name = "key_pair")]
    pub fn key_pair(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<KeyPairSpec>::parse(&cx, "ssh::key_pair", options)?;
        declare(&cx, KeyPair::new(&cluster, spec), common)
    }
}

/// The options of `ssh::key_pair`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPairSpec {
    #[serde(default)]
    secret: Option<SecretRef>,
}

/// The resource behind `ssh::key_pair`.
#[derive(Debug)]
pub struct KeyPair {
    workspace: String,
    /// The secret with the private half; kthw keeps none when it is absent.
    secret: Option<String>,
    key_file: Option<String>,
    home: String,
    user: String,
    nodes: Vec<String>,
    /// Public keys that the workspace wants on its machines anyway.
    listed: Vec<String>,
    rotation: Rotation,
}

/// What was found: the key in the secrets file, and the keys on each node.
#[derive(Debug)]
pub struct Live {
    current: Option<Current>,
    nodes: Vec<Keys>,
    today: Date,
}

impl KeyPair {
    fn new(cluster: &Cluster, spec: KeyPairSpec) -> Self {
        let workspace = cluster.workspace();
        let user = workspace.ssh.user.clone();
        Self {
            workspace: workspace.name.clone(),
            secret: spec.secret.map(|secret| secret.name).or_else(|| workspace.ssh.key_secret.clone()),
            key_file: workspace.ssh.key_file.clone(),
            home: if user == "root" { "/root".into() } else { format!("/home/{user}") },
            user,
            nodes: workspace.nodes.iter().map(|node| node.name.to_string()).collect(),
            listed: workspace
                .ssh
                .authorized_keys
                .iter()
                .filter_map(|line| Some(fingerprint(line.parse::<Entry>().ok()?.public_key())))
                .collect(),
            rotation: workspace.rotation.clone(),
        }
    }

    fn path(&self) -> String {
        format!("{}/.ssh/authorized_keys", self.home)
    }

    /// The name in the stamps of its keys.
    fn stamp_name(&self) -> String {
        format!("ssh-key/{}", self.secret.as_deref().unwrap_or_default())
    }

    fn is_ours(&self, stamp: &Stamp) -> bool {
        stamp.is_of(&self.workspace, &self.stamp_name())
    }

    fn due(&self, live: &Live) -> Option<u32> {
        let stamp = live.current.as_ref().and_then(|current| current.stamp.as_ref());
        let wanted = wanted_generation(&self.rotation, stamp, live.today);
        stamp.is_none_or(|stamp| stamp.generation != wanted).then_some(wanted)
    }

    /// The keys on a node that are not in use any more: ours that are not the one in the file, and the one whose place that took.
    fn leftovers<'k>(&self, keys: &'k Keys, current: Option<&Current>) -> Vec<Authorized<'k>> {
        let Some(current) = current else { return Vec::new() };
        let unused = |entry: &Authorized<'_>| {
            let ours = Stamp::find(&entry.comment).is_some_and(|stamp| self.is_ours(&stamp));
            let replaced = current.replaces.as_ref() == Some(&entry.fingerprint) && !self.listed.contains(&entry.fingerprint);
            entry.fingerprint != current.fingerprint && (ours || replaced)
        };
        keys.entries().filter(unused).collect()
    }

    async fn look(&self, name: &str, peers: &Peers) -> Result<Live> {
        let secret = peers.get::<Secrets>()?.get_opt(name)?.filter(|secret| !secret.is_blank());
        let current = secret.map(|secret| Current::of(name, &secret, |stamp| self.is_ours(stamp))).transpose()?;
        let nodes = futures::future::try_join_all(self.nodes.iter().map(|node| self.keys_on(node, peers))).await?;
        Ok(Live { current, nodes, today: today(peers.clock()) })
    }

    async fn keys_on(&self, node: &str, peers: &Peers) -> Result<Keys> {
        // Its content comes along because it is never this.
        let probe = Probe::Path { path: self.path(), expect: Some(Content::plain("its content is wanted").sha256()) };
        let finding = peers.nodes().read(node, std::slice::from_ref(&probe)).await?.into_iter().next().unwrap_or(Finding::Path(None));
        Keys::of(node, probe, finding, &self.path())
    }

    /// Makes a key pair, adds it everywhere, tries it everywhere, and puts it into the secrets file.
    async fn rotate(&self, name: &str, generation: u32, live: &Live, peers: &Peers, permit: &Permit) -> Result<Current> {
        let stamp = Stamp { workspace: self.workspace.clone(), name: self.stamp_name(), generation, made: live.today };
        let comment = match live.current.as_ref().filter(|current| current.stamp.is_none()) {
            Some(replaced) => format!("{stamp} replaces {}", replaced.fingerprint),
            None => stamp.to_string(),
        };
        let secret = new_private_key(&comment, peers.random())?;
        let new = Current::of(name, &secret, |stamp| self.is_ours(stamp))?;
        for keys in &live.nodes {
            self.add(keys, &new, peers, permit).await?;
        }
        for node in &self.nodes {
            self.try_on(node, &secret, peers).await?;
        }
        let secrets = peers.get::<Secrets>()?;
        let intent = Intent::on(secrets.file(), format!("the new value of {name}"), Recovery::Look).told_by(new.fingerprint.clone());
        permit.effect(intent, async |effect| secrets.set(&[(name, secret)], effect)).await?;
        Ok(new)
    }

    async fn add(&self, keys: &Keys, current: &Current, peers: &Peers, permit: &Permit) -> Result<()> {
        let owner = Some(format!("{}:{}", self.user, self.user));
        let path = self.path();
        let actions = match keys.state {
            Some(_) => vec![Action::AppendLine { path, line: current.line.clone() }],
            None => vec![
                Action::Directory { path: format!("{}/.ssh", self.home), mode: 0o700, owner: owner.clone() },
                Action::Write { path, content: Content::plain(format!("{}\n", current.line)), mode: 0o600, owner },
            ],
        };
        for action in &actions {
            let output = permit.act(peers, &keys.node, action).await?;
            self.succeeded(&keys.node, &output)?;
        }
        Ok(())
    }

    async fn try_on(&self, node: &str, secret: &Secret, peers: &Peers) -> Result<()> {
        let tried = tokio::time::timeout(LOGIN_LIMIT, peers.get::<Arc<dyn Logins>>()?.try_key(node, secret)).await;
        let silent = |_| Err(Error::peer(SshError::Timeout { node: node.into(), during: "a login", seconds: LOGIN_LIMIT.as_secs() }));
        tried.unwrap_or_else(silent).map_err(|error| Error::peer(NotAccepted { node: node.into(), why: error.to_string() }))
    }

    /// Takes unused keys from a node, in one step, if its file is still as it was read.
    async fn clean(&self, keys: &Keys, current: &Current, peers: &Peers, permit: &Permit) -> Result<()> {
        let unused: Vec<&str> = self.leftovers(keys, Some(current)).into_iter().map(|entry| entry.line).collect();
        let Some(state) = keys.state.as_ref().filter(|_| !unused.is_empty() && keys.holds(&current.fingerprint)) else { return Ok(()) };
        let kept: String = keys.text.lines().filter(|line| !unused.contains(line)).flat_map(|line| [line, "\n"]).collect();
        let owner = Some(format!("{}:{}", state.owner, state.group));
        let write = Action::Write { path: self.path(), content: Content::plain(kept), mode: state.mode, owner };
        let block = Block { after: Vec::new(), guard: vec![keys.seen.clone()], actions: vec![write], reread: Vec::new() };
        let intent = Intent::on(&keys.node, format!("taking unused keys from {}", self.path()), Recovery::Script);
        let changed = permit.effect(intent, async |effect| peers.nodes().change(&keys.node, &[block], effect, &|_| ()).await);
        match changed.await?.into_iter().next() {
            Some(BlockOutcome::Done(_)) => Ok(()),
            Some(BlockOutcome::Failed { output, .. }) => self.succeeded(&keys.node, &output),
            _ => Err(Error::peer(Moved { node: keys.node.clone(), path: self.path() })),
        }
    }

    fn succeeded(&self, node: &str, output: &Output) -> Result<()> {
        if output.status == 0 {
            return Ok(());
        }
        Err(Error::peer(NotWritten { node: node.into(), path: self.path(), said: output.stderr.trim().into() }))
    }

    /// Says that the key in use is not kthw's to change.
    fn tell_foreign(&self) {
        let place = match &self.key_file {
            Some(file) => format!("`ssh.key_file` names {file}, a file that kthw only reads"),
            None => "it is an agent's, and kthw never changes an agent".into(),
        };
        progress(format!(
            "the SSH key is not rotated: {place}. To have it rotated, put it into the secrets file \
             (`kthw secrets edit`, as `ssh.private_key`) and write `key_secret: ssh.private_key` under `ssh` in workspace.yaml in its place"
        ));
    }
}

impl Resource for KeyPair {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("ssh.key_pair", self.secret.as_deref().unwrap_or("not in the secrets file"))
    }

    fn needs(&self) -> Vec<Id> {
        self.nodes.iter().filter(|_| self.secret.is_some()).map(|node| Id::new("ssh.node", node)).collect()
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        match &self.secret {
            Some(name) => self.look(name, peers).await.map(Some),
            None => {
                self.tell_foreign();
                Ok(None)
            }
        }
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(name) = &self.secret else { return Change::None };
        let Some(live) = live else {
            let generation = format!("generation {}", self.rotation.generation.max(1));
            return Change::create([Field::new("key", generation), Field::new("secret", SecretRef { name: name.clone() })]);
        };
        let due = self.due(live);
        let rotated = due.and_then(|generation| {
            let found = live.current.as_ref().map_or_else(|| "none".into(), |current| current.shown());
            field("key", found, format!("generation {generation}"))
        });
        let mut fields = vec![rotated];
        for keys in &live.nodes {
            if let Some(current) = live.current.as_ref().filter(|current| due.is_none() && !keys.holds(&current.fingerprint)) {
                fields.push(field(format!("key on {}", keys.node), "missing".to_owned(), current.fingerprint.clone()));
            }
            let unused = self.leftovers(keys, live.current.as_ref()).into_iter();
            fields.extend(unused.map(|entry| field(format!("unused key on {}", keys.node), entry.fingerprint, "removed".into())));
        }
        Change::between(fields)
    }

    async fn apply(&self, _: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(name) = &self.secret else { return Ok(()) };
        // Read again just before: what is removed here cannot be had back.
        let live = self.look(name, peers).await?;
        let current = match (self.due(&live), &live.current) {
            (None, Some(current)) => {
                let secret = peers.get::<Secrets>()?.get(name)?;
                for keys in &live.nodes {
                    if !keys.holds(&current.fingerprint) {
                        self.add(keys, current, peers, permit).await?;
                    }
                    self.try_on(&keys.node, &secret, peers).await?;
                }
                current.clone()
            }
            (due, _) => self.rotate(name, due.unwrap_or(1), &live, peers, permit).await?,
        };
        for node in &self.nodes {
            self.clean(&self.keys_on(node, peers).await?, &current, peers, permit).await?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} does not take the key: {why}")]
#[diagnostic(
    code(kthw::ssh::key_not_accepted),
    help(
        "the key in the secrets file stays in use; run it again when the node takes it (with a jump host, its user needs the new public key too)"
    )
)]
struct NotAccepted {
    node: String,
    why: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write {path} on {node}: {said}")]
#[diagnostic(
    code(kthw::ssh::authorized_keys),
    help("the key in the secrets file stays in use; look at the file and its folder on the node")
)]
struct NotWritten {
    node: String,
    path: String,
    said: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} on {node} changed while keys were taken from it")]
#[diagnostic(
    code(kthw::ssh::authorized_keys),
    help("run it again: the key in the secrets file works, and unused ones are still to be removed")
)]
struct Moved {
    node: String,
    path: String,
}

#[cfg(test)]
mod tests;
