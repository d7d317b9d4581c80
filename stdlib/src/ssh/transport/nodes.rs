//! The real nodes of a run: [`Nodes`] over SSH, one connection per node, opened when it is first needed.
use super::{
    aloud::Aloud,
    connection::{Answer, Connection, Listener, kept},
    error::SshError,
    identity::Identity,
    known_hosts::{KnownHosts, fingerprint},
    routes::{Hop, Routes, SshSaid},
    shell::{ChangeScript, Malformed, NoTurn, NotDone, Privilege, Query, ScriptEnd, Sections, Separator, Turn, WAIT_S},
    sudo::{SudoRefusal, sudo_refusal},
    user_config::UserConfig,
};
use crate::{sops::Secrets, ssh::Logins, workspace::Workspace};
use kthw_engine::{
    BoxFuture, Effect, Error, Result, Secret,
    node::{Action, Block, BlockOutcome, Finding, Heard, HostKey, KeyTrust, Nodes, Output, Probe, Told},
    progress,
};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};

/// Looking at everything on a node takes well under a second; a node that hangs is told apart from a busy one by this.
const READ_LIMIT: Duration = Duration::from_secs(120);
/// What a batch may take on top of the time that its programs are allowed.
const CHANGE_MARGIN: Duration = Duration::from_secs(120);

/// The machines of a workspace, over SSH.
pub struct SshNodes {
    routes: Routes,
    /// The last of the hosts on the way, by what the way is.
    ways: std::sync::Mutex<HashMap<String, Slot>>,
    open: std::sync::Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<Mutex<Option<Arc<Connection>>>>;
type Ssh<T> = std::result::Result<T, SshError>;

impl SshNodes {
    /// The nodes of `workspace`, whose host keys are in `known_hosts`. Nothing is opened yet. Without a key file in the workspace, the
    /// agent of `SSH_AUTH_SOCK` is asked.
    pub fn new(workspace: Arc<Workspace>, known_hosts: KnownHosts) -> Self {
        let agent = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { routes: Routes::new(workspace, known_hosts, agent), ways: std::sync::Mutex::default(), open: std::sync::Mutex::default() }
    }

    /// The same nodes, whose private key may be in `secrets`, where the workspace's `ssh.key_secret` names it.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.routes.secrets = Some(secrets);
        self
    }

    /// The same nodes, with the agent at another socket.
    #[must_use]
    pub fn with_agent(mut self, socket: impl Into<PathBuf>) -> Self {
        self.routes.agent_socket = Some(socket.into());
        self
    }

    /// The same nodes, for a person who has a configuration of SSH; of it counts what the workspace does not say itself.
    #[must_use]
    pub fn with_config(mut self, config: UserConfig, said: SshSaid) -> Self {
        (self.routes.config, self.routes.said) = (Some(config), said);
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
        let identity = self.routes.identity(node)?;
        let through = self.way(node).await?;
        let connection = Arc::new(Connection::open(self.routes.target(node)?, &identity, &self.routes.known, through).await?);
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// The host through which a node is reached, shared by all nodes that are reached on that way.
    async fn way(&self, node: &str) -> Ssh<Option<Arc<Connection>>> {
        let hops = self.routes.hops(node)?;
        let key: Vec<String> = hops.iter().map(|hop| format!("{}@{}", hop.target.user, hop.target.address())).collect();
        let slot = self.ways.lock().expect("nobody panics while holding the ways").entry(key.join(" ")).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Some(open.clone()));
        }
        slot.clone_from(&self.open_way(node, hops, None).await?);
        Ok(slot.clone())
    }

    /// Opens a way, logging in everywhere with `identity` if one is given.
    async fn open_way(&self, node: &str, hops: Vec<Hop>, identity: Option<&Identity>) -> Ssh<Option<Arc<Connection>>> {
        let mut through = None;
        for hop in hops {
            let identity = identity.cloned().map_or_else(|| self.routes.hop_identity(node, &hop), Ok)?;
            through = Some(Arc::new(Connection::open(hop.target, &identity, &self.routes.known, through).await?));
        }
        Ok(through)
    }

    /// The user that logs in to a node, and what else it takes to be root there.
    fn privilege(&self, node: &str) -> Ssh<(String, Privilege)> {
        let user = self.routes.target(node)?.user;
        let privilege = if user == "root" { Privilege::Root } else { Privilege::Sudo };
        Ok((user, privilege))
    }

    async fn read_all(&self, node: &str, probes: &[Probe]) -> Ssh<Vec<Finding>> {
        if probes.contains(&Probe::HostKey) {
            return self.read_with_host_key(node, probes).await;
        }
        let mut findings = Vec::with_capacity(probes.len());
        let (_, privilege) = self.privilege(node)?;
        for piece in Query::pieces(probes) {
            let query = Query::new(&probes[piece]);
            let mark = Separator::random().map_err(SshError::Random)?;
            let command = privilege.command(&query.script(&mark));
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
        let trust = if believed.is_certified { Some(KeyTrust::Pinned) } else { self.routes.known.trust(host, port, &believed.key) };
        let shown = Finding::HostKey(HostKey { fingerprint: fingerprint(&believed.key), trust: trust.unwrap_or(KeyTrust::AsItCame) });
        Ok(probes.iter().filter_map(|probe| if *probe == Probe::HostKey { Some(shown.clone()) } else { found.next() }).collect())
    }

    async fn keep(&self, node: &str, effect: &Effect) -> Ssh<()> {
        let connection = self.connection(node).await?;
        match connection.host_key() {
            Some((host, port, _)) => Ok(self.routes.known.pin_learnt(node, host, port, effect)?),
            None => Ok(()),
        }
    }

    async fn read_once(&self, node: &str, command: &str) -> Ssh<Answer> {
        self.connection(node).await?.exec(command, None, READ_LIMIT, "while it was read", ()).await
    }

    async fn change_all(&self, node: &str, run: u64, blocks: &[Block], told: &(dyn Fn(Told<'_>) + Sync)) -> Ssh<Vec<BlockOutcome>> {
        let mark = Separator::random().map_err(SshError::Random)?;
        let turn = self.turn(node, run)?;
        let batch = ChangeScript::of_blocks(blocks, &mark, self.privilege(node)?.1, turn.as_ref());
        let mut line = Vec::new();
        let heard = |bytes: &[u8]| {
            for byte in bytes {
                line.push(*byte);
                if *byte == b'\n' {
                    if Turn::waits(&line, &mark) {
                        progress(format!("waiting for another script of kthw on {node}, for at most {WAIT_S} s"));
                    }
                    if let Some(position) = ChangeScript::begun(&line, &mark) {
                        told(Told::Began(position));
                    }
                    if let Some((position, text)) = ChangeScript::noticed(&line, &mark) {
                        told(Told::Noticed(position, &text));
                    }
                    line.clear();
                }
            }
        };
        let answer = self.send(node, &batch, kept(heard)).await?;
        match ChangeScript::understand(blocks, &answer.stdout, &mark).map_err(|source| self.misunderstood(node, &answer, &mark, source))? {
            ScriptEnd::Blocks(outcomes) => Ok(outcomes),
            ScriptEnd::InputCutShort => Err(SshError::InputCutShort { node: node.to_owned() }),
            ScriptEnd::NoTurn(why) => Err(no_turn(node, why)),
        }
    }

    /// The turn of a run on a node. What a person asked for directly has the number 0: it is no run, waits for nobody and overtakes nobody.
    fn turn(&self, node: &str, run: u64) -> Ssh<Option<Turn>> {
        let target = self.routes.target(node)?;
        Ok((run > 0).then(|| Turn { machine: format!("{node}-{}-{}", target.host, target.port), run }))
    }

    async fn act_once(&self, node: &str, run: u64, action: &Action) -> Ssh<Output> {
        let mark = Separator::random().map_err(SshError::Random)?;
        let turn = self.turn(node, run)?;
        let batch = ChangeScript::of_action(action, &mark, self.privilege(node)?.1, turn.as_ref());
        let answer = self.send(node, &batch, ()).await?;
        let output =
            ChangeScript::understand_action(&answer.stdout, &mark).map_err(|source| self.misunderstood(node, &answer, &mark, source))?;
        output.map_err(|why| not_done(node, why))
    }

    async fn act_aloud(&self, node: &str, run: u64, action: &Action, heard: &(dyn Fn(Heard<'_>) + Sync)) -> Ssh<Output> {
        let mark = Separator::random().map_err(SshError::Random)?;
        let turn = self.turn(node, run)?;
        let batch = ChangeScript::of_action_aloud(action, &mark, self.privilege(node)?.1, turn.as_ref());
        let mut aloud = Aloud::new(&mark, heard);
        let mut answer = self.send(node, &batch, &mut aloud).await?;
        answer.stdout = aloud.end();
        let status = ChangeScript::understand_aloud(&answer.stdout, &mark);
        let status = status.map_err(|source| self.misunderstood(node, &answer, &mark, source))?;
        let status = status.map_err(|why| not_done(node, why))?;
        Ok(Output { status, ..Output::default() })
    }

    async fn send(&self, node: &str, batch: &ChangeScript, listener: impl Listener) -> Ssh<Answer> {
        let limit = CHANGE_MARGIN + Duration::from_secs(batch.timeout_s + WAIT_S);
        let stdin = batch.stdin.as_ref().map(|bytes| bytes.as_slice());
        self.connection(node).await?.exec(&batch.command, stdin, limit, "while it was changed", listener).await
    }

    /// Says why an answer is not one. When the script never began, sudo's own words are the reason.
    fn misunderstood(&self, node: &str, answer: &Answer, mark: &Separator, source: Malformed) -> SshError {
        let said = answer.stderr.trim();
        let mark = mark.as_str().as_bytes();
        let has_begun = answer.stdout.windows(mark.len()).any(|bytes| bytes == mark);
        if let (Ok((user, Privilege::Sudo)), false) = (self.privilege(node), has_begun)
            && let Some(SudoRefusal { said, help }) = sudo_refusal(said, &user)
        {
            return SshError::Sudo { node: node.to_owned(), user, said, help };
        }
        let status = answer.status.map_or_else(|| "no status".into(), |status| format!("status {status}"));
        // A login shell such as nologin(8) says on standard output that it lets nobody in.
        let shown = String::from_utf8_lossy(&answer.stdout);
        let shown = if has_begun { "" } else { shown.trim() };
        let said = said.lines().last().or_else(|| shown.lines().last());
        let said = said.map_or(status.clone(), |last| format!("{status}, {}", last.chars().take(200).collect::<String>()));
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
        told: &'a (dyn Fn(Told<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Vec<BlockOutcome>>> {
        Box::pin(async move {
            // Before anything is changed on it: a machine that is somebody else next time is noticed then.
            self.keep(node, effect).await.map_err(Error::peer)?;
            self.change_all(node, effect.run(), batch, told).await.map_err(Error::peer)
        })
    }

    fn act<'a>(&'a self, node: &'a str, action: &'a Action, effect: &'a Effect) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move {
            self.keep(node, effect).await.map_err(Error::peer)?;
            self.act_once(node, effect.run(), action).await.map_err(Error::peer)
        })
    }

    fn act_heard<'a>(
        &'a self,
        node: &'a str,
        action: &'a Action,
        effect: &'a Effect,
        heard: &'a (dyn Fn(Heard<'_>) + Sync),
    ) -> BoxFuture<'a, Result<Output>> {
        Box::pin(async move {
            self.keep(node, effect).await.map_err(Error::peer)?;
            self.act_aloud(node, effect.run(), action, heard).await.map_err(Error::peer)
        })
    }

    fn keep_host_key<'a>(&'a self, node: &'a str, effect: &'a Effect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.keep(node, effect).await.map_err(Error::peer) })
    }
}

impl Logins for SshNodes {
    fn try_key<'a>(&'a self, node: &'a str, key: &'a Secret) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let attempt = async {
                let identity = Identity::of_secret("the new key", key)?;
                // A key that is to be the workspace's own is needed on the way too.
                let through = match &self.routes.workspace.ssh.key_secret {
                    Some(_) => self.open_way(node, self.routes.hops(node)?, Some(&identity)).await?,
                    None => self.way(node).await?,
                };
                Connection::open(self.routes.target(node)?, &identity, &self.routes.known, through).await.map(drop)
            };
            attempt.await.map_err(Error::peer)
        })
    }

    fn try_anew<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let attempt = async {
                let through = self.way(node).await?;
                Connection::open(self.routes.target(node)?, &self.routes.identity(node)?, &self.routes.known, through).await.map(drop)
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

fn not_done(node: &str, why: NotDone) -> SshError {
    match why {
        NotDone::InputCutShort => SshError::InputCutShort { node: node.to_owned() },
        NotDone::NoTurn(why) => no_turn(node, why),
    }
}

fn no_turn(node: &str, why: NoTurn) -> SshError {
    match why {
        NoTurn::Held => SshError::Held { node: node.to_owned(), seconds: WAIT_S },
        NoTurn::Overtaken(by) => SshError::Overtaken { node: node.to_owned(), by },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_changes_waits_for_its_turn_under_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownHosts::open(folder.path().join("known_hosts")).unwrap();
        let nodes = SshNodes::new(Arc::new(crate::ssh::testing::workspace()), known);
        let turn = nodes.turn("cu1", 5).unwrap().expect("a turn");
        assert_eq!((turn.machine.as_str(), turn.run), ("cu1-10.10.10.116-22", 5));
    }
}
