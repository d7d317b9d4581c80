//! What else is on a node: that it can be reached at all, and commands that somebody else wrote.
use super::resources::world;
use kthw_engine::{Change, Id, Intent, Lane, NodeResource, Peers, Permit, Recovery, Result, Work, node::*};

/// The first thing on a node: it answers, and with a key that was kept. Whoever wants it waits for it.
#[derive(Debug)]
pub struct Opener {
    pub node: String,
    pub spec: OpenerSpec,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenerSpec {
    /// Openers of the same lane are opened one by one.
    #[serde(default)]
    lane: Option<String>,
}

impl NodeResource for Opener {
    type Live = ();
    fn id(&self) -> Id {
        Id::new("tiny.opener", &self.node)
    }
    fn node(&self) -> &str {
        &self.node
    }
    fn lane(&self) -> Option<Lane> {
        self.spec.lane.clone().map(|name| Lane { name, at_most: 1, stop_after_failure: false })
    }
    fn opens_node(&self) -> bool {
        true
    }
    fn query(&self) -> Vec<Probe> {
        vec![Probe::HostKey]
    }
    fn live(&self, findings: &[Finding]) -> Result<Option<()>> {
        Ok(matches!(findings, [Finding::HostKey(HostKey { trust: KeyTrust::Pinned, .. })]).then_some(()))
    }
    fn diff(&self, live: Option<&()>) -> Change {
        live.map_or_else(|| Change::create([]), |()| Change::None)
    }
    fn work(&self, _: Option<&()>, _: bool) -> Work {
        Work::Alone
    }
    async fn apply(&self, _: Option<&()>, peers: &Peers, _: &Permit) -> Result<()> {
        let world = world(peers)?;
        world.busy(peers.clock()).await;
        world.log(&format!("waited for {}", self.node));
        world.dead.lock().unwrap().remove(&self.node);
        world.strangers.lock().unwrap().remove(&self.node);
        Ok(())
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// Whether its author says that asking changes nothing; nobody's command but ours when absent.
    #[serde(default)]
    reads: Option<bool>,
    /// Whether it is done by itself, not in a batch.
    #[serde(default)]
    alone: bool,
}

/// A command that was run or not; asking whether it was is a command too.
#[derive(Debug)]
pub struct Command {
    pub node: String,
    pub name: String,
    pub spec: CommandSpec,
}

impl NodeResource for Command {
    type Live = ();
    fn id(&self) -> Id {
        Id::new("tiny.command", format!("{}/{}", self.node, self.name))
    }
    fn node(&self) -> &str {
        &self.node
    }
    fn query(&self) -> Vec<Probe> {
        let argv = vec![self.name.clone()];
        vec![match self.spec.reads {
            Some(reads) => Probe::Check { argv, reads },
            None => Probe::Run { argv },
        }]
    }
    fn live(&self, findings: &[Finding]) -> Result<Option<()>> {
        Ok(matches!(findings, [Finding::Run(Output { status: 0, .. })]).then_some(()))
    }
    fn diff(&self, live: Option<&()>) -> Change {
        live.map_or_else(|| Change::create([]), |()| Change::None)
    }
    fn work(&self, _: Option<&()>, _: bool) -> Work {
        if self.spec.alone { Work::Alone } else { Work::Actions(vec![Action::run([&self.name])]) }
    }
    async fn apply(&self, _: Option<&()>, peers: &Peers, permit: &Permit) -> Result<()> {
        let world = world(peers)?;
        let intent = Intent::on(&self.node, format!("the command {}", self.name), Recovery::Script);
        permit.effect(intent, async |effect| world.run_by_itself(&self.name, effect).await).await
    }
}
