//! The real nodes of a run: [`Nodes`] over SSH, one connection per node, opened when it is first needed.
use super::{
    connection::{Answer, Connection, Target},
    error::SshError,
    identity::Identity,
    known_hosts::{KnownHosts, fingerprint},
    shell::{ChangeScript, Malformed, NoTurn, NotDone, Privilege, Query, ScriptEnd, Sections, Separator, Turn, WAIT_S},
    sudo::{SudoRefusal, sudo_refusal},
};
use crate::{sops::Secrets, ssh::KeyLogin, workspace::Workspace};
use kthw_engine::{
    BoxFuture, Effect, Error, Result, Secret,
    node::{Action, Block, BlockOutcome, Finding, HostKey, KeyTrust, Nodes, Output, Probe},
    progress,
};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Mutex, OnceCell},
};

/// Looking at everything on a node takes well under a second; a node that hangs is told apart from a busy one by this.
const READ_LIMIT: Duration = Duration::from_secs(120);
/// What a batch may take on top of the time that its programs are allowed.
const CHANGE_MARGIN: Duration = Duration::from_secs(120);

/// The machines of a workspace, over SSH.
pub struct SshNodes {
    workspace: Arc<Workspace>,
    known: KnownHosts,
    agent_socket: Option<PathBuf>,
    identity: OnceCell<Identity>,
    secrets: Option<Secrets>,
    jump: Mutex<Option<Arc<Connection>>>,
    open: std::sync::Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<Mutex<Option<Arc<Connection>>>>;
type Ssh<T> = std::result::Result<T, SshError>;

impl SshNodes {
    /// The nodes of `workspace`, whose host keys are in `known_hosts`. Nothing is opened yet. Without a key file in the workspace, the
    /// agent of `SSH_AUTH_SOCK` is asked.
    pub fn new(workspace: Arc<Workspace>, known_hosts: KnownHosts) -> Self {
        Self {
            workspace,
            known: known_hosts,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from),
            identity: OnceCell::new(),
            secrets: None,
            jump: Mutex::new(None),
            open: std::sync::Mutex::default(),
        }
    }

    /// The same nodes, whose private key may be in `secrets`, where the workspace's `ssh.key_secret` names it.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// The same nodes, with the agent at another socket.
    #[must_use]
    pub fn with_agent(mut self, socket: impl Into<PathBuf>) -> Self {
        self.agent_socket = Some(socket.into());
        self
    }

    /// A stream from `node` to `host:port`, as the node reaches it.
    ///
    /// # Errors
    /// [`SshError`], when the node cannot be reached or nothing listens there.
    pub async fn tunnel(&self, node: &str, host: &str, port: u16) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let connection = self.connection(node).await.map_err(Error::peer)?;
        connection.tunnel(host, port).await.map_err(Error::peer)
    }

    async fn connection(&self, node: &str) -> Ssh<Arc<Connection>> {
        let slot = self.open.lock().expect("nobody panics while holding the connections").entry(node.to_owned()).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let identity = self.identity(node).await?;
        let through = self.jump_host(node, &identity).await?;
        let connection = Arc::new(Connection::open(self.target(node)?, &identity, &self.known, through).await?);
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// What to log in with. A key among the secrets is looked up each time: it may have been rotated in this run.
    async fn identity(&self, node: &str) -> Ssh<Identity> {
        if let Some(name) = &self.workspace.ssh.key_secret {
            let missing = |reason: String| SshError::KeySecret { name: name.clone(), reason };
            let secrets = self.secrets.as_ref().ok_or_else(|| missing("this run has no secrets".into()))?;
            return Identity::of_secret(name, &secrets.get(name).map_err(|error| missing(error.to_string()))?);
        }
        let find = || async { Identity::find(node, self.workspace.ssh.key_file.as_deref(), self.agent_socket.clone()) };
        self.identity.get_or_try_init(find).await.cloned()
    }

    fn target(&self, node: &str) -> Ssh<Target> {
        let spec = self.workspace.nodes.iter().find(|spec| spec.name == node);
        let spec = spec.ok_or_else(|| SshError::NoSuchNode { node: node.to_owned() })?;
        Ok(Target {
            node: node.to_owned(),
            host: spec.address.to_string(),
            port: spec.port.unwrap_or(self.workspace.ssh.port),
            user: self.workspace.ssh.user.clone(),
            // Where kthw makes the machines, it reads their keys through the guest agent and pins them; a machine without an agent has
            // nobody to vouch for it.
            trust_on_first_use: self.known.takes_first(
                &spec.address.to_string(),
                spec.port.unwrap_or(self.workspace.ssh.port),
                self.workspace.proxmox.is_none(),
            ),
        })
    }

    async fn jump_host(&self, node: &str, identity: &Identity) -> Ssh<Option<Arc<Connection>>> {
        let mut jump = self.jump.lock().await;
        if let Some(open) = jump.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Some(open.clone()));
        }
        jump.clone_from(&self.open_jump_host(node, identity).await?);
        Ok(jump.clone())
    }

    async fn open_jump_host(&self, node: &str, identity: &Identity) -> Ssh<Option<Arc<Connection>>> {
        let Some(text) = &self.workspace.ssh.jump_host else { return Ok(None) };
        let target = jump_target(text, &self.workspace.ssh.user).ok_or_else(|| SshError::JumpHost { text: text.clone() })?;
        let target = Target { node: format!("{text} (the way to {node})"), ..target };
        Ok(Some(Arc::new(Connection::open(target, identity, &self.known, None).await?)))
    }

    fn privilege(&self) -> Privilege {
        if self.workspace.ssh.user == "root" { Privilege::Root } else { Privilege::Sudo }
    }

    async fn read_all(&self, node: &str, probes: &[Probe]) -> Ssh<Vec<Finding>> {
        if probes.contains(&Probe::HostKey) {
            return self.read_with_host_key(node, probes).await;
        }
        let mut findings = Vec::with_capacity(probes.len());
        for piece in Query::pieces(probes) {
            let query = Query::new(&probes[piece]);
            let mark = Separator::random().map_err(SshError::Random)?;
            let command = self.privilege().command(&query.script(&mark));
            let answer = match self.read_once(node, &command).await {
                // Reading changes nothing, so a connection that broke in between is worth a second try.
                Err(SshError::Broken { .. }) => self.read_once(node, &command).await?,
                answered => answered?,
            };
            let understood = Sections::split(&answer.stdout, &mark).and_then(|sections| query.understand(&sections));
            findings.extend(understood.map_err(|source| self.misunderstood(node, &answer, &mark, source))?);
        }
        Ok(findings)
    }

    /// As [`read_all`](Self::read_all), where some probes are answered by the connection.
    async fn read_with_host_key(&self, node: &str, probes: &[Probe]) -> Ssh<Vec<Finding>> {
        let others: Vec<Probe> = probes.iter().filter(|probe| **probe != Probe::HostKey).cloned().collect();
        let mut found = Box::pin(self.read_all(node, &others)).await?.into_iter();
        let connection = self.connection(node).await?;
        let (host, port, believed) = connection.host_key().ok_or_else(|| SshError::NoSuchNode { node: node.to_owned() })?;
        // What an authority of the file vouches for needs no line of its own.
        let trust = if believed.is_certified { Some(KeyTrust::Pinned) } else { self.known.trust(host, port, &believed.key) };
        let shown = Finding::HostKey(HostKey { fingerprint: fingerprint(&believed.key), trust: trust.unwrap_or(KeyTrust::AsItCame) });
        Ok(probes.iter().filter_map(|probe| if *probe == Probe::HostKey { Some(shown.clone()) } else { found.next() }).collect())
    }

    async fn keep(&self, node: &str, effect: &Effect) -> Ssh<()> {
        let connection = self.connection(node).await?;
        match connection.host_key() {
            Some((host, port, _)) => Ok(self.known.pin_learnt(node, host, port, effect)?),
            None => Ok(()),
        }
    }

    async fn read_once(&self, node: &str, command: &str) -> Ssh<Answer> {
        self.connection(node).await?.exec(command, None, READ_LIMIT, "while it was read", |_| ()).await
    }

    async fn change_all(&self, node: &str, run: u64, blocks: &[Block], started: &(dyn Fn(usize) + Sync)) -> Ssh<Vec<BlockOutcome>> {
        let mark = Separator::random().map_err(SshError::Random)?;
        let turn = self.turn(node, run)?;
        let batch = ChangeScript::of_blocks(blocks, &mark, self.privilege(), turn.as_ref());
        let mut line = Vec::new();
        let heard = |bytes: &[u8]| {
            for byte in bytes {
                line.push(*byte);
                if *byte == b'\n' {
                    if Turn::waits(&line, &mark) {
                        progress(format!("waiting for another script of kthw on {node}, for at most {WAIT_S} s"));
                    }
                    if let Some(position) = ChangeScript::begun(&line, &mark) {
                        started(position);
                    }
                    line.clear();
                }
            }
        };
        let answer = self.send(node, &batch, heard).await?;
        match ChangeScript::understand(blocks, &answer.stdout, &mark).map_err(|source| self.misunderstood(node, &answer, &mark, source))? {
            ScriptEnd::Blocks(outcomes) => Ok(outcomes),
            ScriptEnd::InputCutShort => Err(SshError::InputCutShort { node: node.to_owned() }),
            ScriptEnd::NoTurn(why) => Err(no_turn(node, why)),
        }
    }

    /// The turn of a run on a node. What a person asked for directly has the number 0: it is no run, waits for nobody and overtakes nobody.
    fn turn(&self, node: &str, run: u64) -> Ssh<Option<Turn>> {
        let target = self.target(node)?;
        Ok((run > 0).then(|| Turn { machine: format!("{node}-{}-{}", target.host, target.port), run }))
    }

    async fn act_once(&self, node: &str, run: u64, action: &Action) -> Ssh<Output> {
        let mark = Separator::random().map_err(SshError::Random)?;
        let turn = self.turn(node, run)?;
        let batch = ChangeScript::of_action(action, &mark, self.privilege(), turn.as_ref());
        let answer = self.send(node, &batch, |_| ()).await?;
        let output =
            ChangeScript::understand_action(&answer.stdout, &mark).map_err(|source| self.misunderstood(node, &answer, &mark, source))?;
        output.map_err(|why| match why {
            NotDone::InputCutShort => SshError::InputCutShort { node: node.to_owned() },
            NotDone::NoTurn(why) => no_turn(node, why),
        })
    }

    async fn send(&self, node: &str, batch: &ChangeScript, heard: impl FnMut(&[u8]) + Send) -> Ssh<Answer> {
        let limit = CHANGE_MARGIN + Duration::from_secs(batch.timeout_s + WAIT_S);
        let stdin = batch.stdin.as_ref().map(|bytes| bytes.as_slice());
        self.connection(node).await?.exec(&batch.command, stdin, limit, "while it was changed", heard).await
    }

    /// Says why an answer is not one. When the script never began, sudo's own words are the reason.
    fn misunderstood(&self, node: &str, answer: &Answer, mark: &Separator, source: Malformed) -> SshError {
        let said = answer.stderr.trim();
        let mark = mark.as_str().as_bytes();
        let has_begun = answer.stdout.windows(mark.len()).any(|bytes| bytes == mark);
        if self.privilege() == Privilege::Sudo && !has_begun {
            let user = self.workspace.ssh.user.clone();
            if let Some(SudoRefusal { said, help }) = sudo_refusal(said, &user) {
                return SshError::Sudo { node: node.to_owned(), user, said, help };
            }
        }
        let status = answer.status.map_or_else(|| "no status".into(), |status| format!("status {status}"));
        let said = said.lines().last().map_or(status.clone(), |last| format!("{status}, {last}"));
        SshError::Answer { node: node.to_owned(), said, source }
    }
}

impl Nodes for SshNodes {
    fn read<'a>(&'a self, node: &'a str, probes: &'a [Probe]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(async move { self.read_all(node, probes).await.map_err(Error::peer) })
    }

    fn change<'a>(
        &'a self,
        node: &'a str,
        batch: &'a [Block],
        effect: &'a Effect,
        started: &'a (dyn Fn(usize) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(async move {
            // Before anything is changed on it: a machine that is somebody else next time is noticed then.
            self.keep(node, effect).await.map_err(Error::peer)?;
            self.change_all(node, effect.run(), batch, started).await.map_err(Error::peer)
        })
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, effect: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move {
            self.keep(node, effect).await.map_err(Error::peer)?;
            self.act_once(node, effect.run(), action).await.map_err(Error::peer)
        })
    }

    fn keep_host_key<'a>(&'a self, node: &'a str, effect: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.keep(node, effect).await.map_err(Error::peer) })
    }
}

impl KeyLogin for SshNodes {
    fn try_key<'a>(&'a self, node: &'a str, key: &'a Secret) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let attempt = async {
                let identity = Identity::of_secret("the new key", key)?;
                // A key that is to be the workspace's own is needed on the way too.
                let through = match &self.workspace.ssh.key_secret {
                    Some(_) => self.open_jump_host(node, &identity).await?,
                    None => self.jump_host(node, &self.identity(node).await?).await?,
                };
                Connection::open(self.target(node)?, &identity, &self.known, through).await.map(drop)
            };
            attempt.await.map_err(Error::peer)
        })
    }
}

impl crate::kubernetes::Tunnel for SshNodes {
    fn open<'a>(&'a self, node: &'a str, host: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn crate::kubernetes::Duplex>>> {
        Box::pin(async move {
            let stream = self.tunnel(node, host, port).await?;
            Ok(Box::new(stream) as Box<dyn crate::kubernetes::Duplex>)
        })
    }
}

fn no_turn(node: &str, why: NoTurn) -> SshError {
    match why {
        NoTurn::Held => SshError::Held { node: node.to_owned(), seconds: WAIT_S },
        NoTurn::Overtaken(by) => SshError::Overtaken { node: node.to_owned(), by },
    }
}

/// Understands `[user@]host[:port]`.
fn jump_target(text: &str, default_user: &str) -> Option<Target> {
    let (user, place) = text.split_once('@').unwrap_or((default_user, text));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (place, 22),
    };
    let fine = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (fine(user) && fine(host)).then(|| Target {
        node: String::new(),
        host: host.to_owned(),
        port,
        user: user.to_owned(),
        trust_on_first_use: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_understood() {
        let cases = [
            ("admin@gate.example:2222", Some(("admin", "gate.example", 2222))),
            ("gate", Some(("kthw", "gate", 22))),
            ("admin@10.0.0.1", Some(("admin", "10.0.0.1", 22))),
            ("gate:ssh", None),
            ("@gate", None),
            ("-oProxyCommand=x@gate name", None),
        ];
        for (text, expected) in cases {
            let target = jump_target(text, "kthw");
            assert_eq!(target.as_ref().map(|target| (target.user.as_str(), target.host.as_str(), target.port)), expected, "{text}");
        }
    }
}
