//! What the tiny world is made of: a machine, a file on it, and a step that is there or not.
use super::World;
use kthw_engine::{
    Change, Cost, Error, Field, Id, Intent, Lane, NodeResource, Peers, Permit, Recovery, Removable, Resource, Result, Work, field, node::*,
};
use std::sync::Arc;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{0}")]
#[diagnostic(code(tiny::trouble), help("do something else"))]
struct Trouble(String);

pub fn world(peers: &Peers) -> Result<&World> {
    Ok(peers.get::<Arc<World>>()?)
}

/// A machine; it can be given more cores and never fewer. One with no cores at all is off.
#[derive(Debug)]
pub struct Machine {
    pub name: String,
    pub cores: u32,
}

impl Resource for Machine {
    type Live = u32;
    const REMOVABLE: Removable = Removable::Ours;
    const HOLDS_DEPENDENTS: bool = true;
    fn id(&self) -> Id {
        Id::new("tiny.machine", &self.name)
    }
    async fn read(&self, peers: &Peers) -> Result<Option<u32>> {
        let world = world(peers)?;
        if world.unreadable.lock().unwrap().contains(&self.name) {
            return Err(Error::peer(Trouble(format!("403: no permission for {}", self.name))));
        }
        if world.foreign.lock().unwrap().contains(&self.name) {
            return Err(Error::refused(Trouble(format!("{} belongs to somebody else", self.name))));
        }
        Ok(world.machines.lock().unwrap().get(&self.name).copied())
    }
    fn diff(&self, live: Option<&u32>) -> Change {
        let Some(live) = live else { return Change::create([]) };
        let cores = field("cores", *live, self.cores);
        let cost = match *live {
            // Everybody was told that it has a hundred.
            100 => Cost::Everything,
            more if more > self.cores => Cost::Replacement,
            _ => Cost::Nothing,
        };
        Change::between([cores.map(|cores| cores.at(cost))])
    }
    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_)) || change.fields().iter().any(|field| field.live.as_deref() == Some("0"))
    }
    async fn apply(&self, _: Option<u32>, peers: &Peers, permit: &Permit) -> Result<()> {
        let world = world(peers)?;
        let intent = Intent::on("tiny", format!("the machine {}", self.name), Recovery::Task).told_by("its name");
        permit.effect(intent, async |effect| world.make(&self.name, self.cores, effect).await).await
    }
    fn keeps(&self, live: &u32) -> Option<String> {
        (*live == 64).then(|| "it has 64 cores, which nobody throws away".into())
    }
    async fn remove(&self, _: u32, peers: &Peers, permit: &Permit) -> Result<()> {
        let world = world(peers)?;
        let intent = Intent::on("tiny", format!("the end of the machine {}", self.name), Recovery::Task);
        permit.effect(intent, async |effect| world.unmake(&self.name, effect).await).await
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    content: String,
    #[serde(default)]
    lane: Option<String>,
    #[serde(default)]
    stop_after_failure: bool,
    #[serde(default)]
    refreshed_by: Option<String>,
    /// Whether another peer has a part in its removal.
    #[serde(default)]
    leaves: bool,
}

/// A file on a machine.
#[derive(Debug)]
pub struct File {
    pub node: String,
    pub path: String,
    pub spec: FileSpec,
}

impl NodeResource for File {
    type Live = PathState;
    const REMOVABLE: Removable = Removable::Ours;
    fn id(&self) -> Id {
        Id::new("tiny.file", format!("{}{}", self.node, self.path))
    }
    fn node(&self) -> &str {
        &self.node
    }
    fn refreshed_by(&self) -> Vec<Id> {
        self.spec.refreshed_by.iter().filter_map(|id| Id::parse(id)).collect()
    }
    fn lane(&self) -> Option<Lane> {
        let stop_after_failure = self.spec.stop_after_failure;
        self.spec.lane.clone().map(|name| Lane { name, at_most: 1, stop_after_failure })
    }
    fn query(&self) -> Vec<Probe> {
        vec![Probe::path(&self.path)]
    }
    fn live(&self, findings: &[Finding]) -> Result<Option<PathState>> {
        let [Finding::Path(state)] = findings else { panic!("one question, one answer") };
        match state {
            Some(state) if state.content.as_deref() == Some(b"rubbish") => Err(Error::peer(Trouble("what is this?".into()))),
            state => Ok(state.clone()),
        }
    }
    fn diff(&self, live: Option<&PathState>) -> Change {
        let Some(live) = live else { return Change::create([Field::new("content", &self.spec.content)]) };
        let content = String::from_utf8_lossy(live.content.as_deref().unwrap_or_default()).into_owned();
        Change::between([field("content", content, self.spec.content.clone()), field("mode", live.mode, 0o644)])
    }
    fn removal(&self, _: &PathState) -> Work {
        match self.spec.leaves {
            true => Work::Alone,
            false => Work::Actions(vec![Action::Remove { path: self.path.clone() }]),
        }
    }
    async fn remove(&self, live: &PathState, peers: &Peers, permit: &Permit) -> Result<()> {
        let what = format!("leave of {} bytes", live.content.as_ref().map_or(0, Vec::len));
        let world = world(peers)?;
        let leave = async |effect: &_| {
            world.files.lock().unwrap().remove(&(self.node.clone(), self.path.clone()));
            world.note(&what, effect).await
        };
        permit.effect(Intent::on("tiny", &what, Recovery::Look), leave).await
    }
    fn work(&self, _: Option<&PathState>, _: bool) -> Work {
        let content = Content::plain(&self.spec.content);
        Work::Actions(vec![Action::Write { path: self.path.clone(), content, mode: 0o644, owner: None }])
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    #[serde(default)]
    lane: Option<String>,
    #[serde(default)]
    at_most: usize,
    #[serde(default)]
    stop_after_failure: bool,
    /// Whether it is polished and tidied up after it was made.
    #[serde(default)]
    tidies: bool,
}

/// Something that is there or not, and takes a second to make.
#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub spec: StepSpec,
}

impl Resource for Step {
    type Live = ();
    fn id(&self) -> Id {
        Id::new("tiny.step", &self.name)
    }
    fn lane(&self) -> Option<Lane> {
        let StepSpec { lane, at_most, stop_after_failure, .. } = &self.spec;
        lane.clone().map(|name| Lane { name, at_most: *at_most, stop_after_failure: *stop_after_failure })
    }
    async fn read(&self, peers: &Peers) -> Result<Option<()>> {
        Ok(world(peers)?.steps.lock().unwrap().contains(&self.name).then_some(()))
    }
    fn diff(&self, live: Option<&()>) -> Change {
        live.map_or_else(|| Change::create([]), |()| Change::None)
    }
    async fn apply(&self, _: Option<()>, peers: &Peers, permit: &Permit) -> Result<()> {
        let world = world(peers)?;
        let begun = permit.effect(Intent::on("tiny", format!("the step {}", self.name), Recovery::Look), async |_| {
            world.busy(peers.clock()).await;
            if world.broken.lock().unwrap().contains(&self.name) {
                return Err(Error::peer(Trouble(format!("{} cannot be made", self.name))));
            }
            if !world.lost.lock().unwrap().contains(&self.name) {
                world.steps.lock().unwrap().insert(self.name.clone());
            }
            world.log(&self.name);
            Ok(())
        });
        begun.await?;
        if !self.spec.tidies {
            return Ok(());
        }
        permit
            .effect(Intent::on("tiny", format!("a polish of {}", self.name), Recovery::Look), async |effect| {
                world.note("polished", effect).await
            })
            .await?;
        permit
            .effect(Intent::on("tiny", format!("tidying after {}", self.name), Recovery::Look).closing(), async |effect| {
                world.note("tidied", effect).await
            })
            .await
    }
}

/// Says whether all is well; there is nothing to make.
#[derive(Debug)]
pub struct Judge {
    pub name: String,
    /// Something that it comes after, if it is declared.
    pub after: Vec<Id>,
}

impl Resource for Judge {
    type Live = bool;
    const JUDGES: bool = true;
    fn id(&self) -> Id {
        Id::new("tiny.judge", &self.name)
    }
    fn after(&self) -> Vec<Id> {
        self.after.clone()
    }
    async fn read(&self, peers: &Peers) -> Result<Option<bool>> {
        let world = world(peers)?;
        world.log(&format!("judged by {}", self.name));
        Ok(Some(!world.broken.lock().unwrap().contains(&self.name)))
    }
    fn diff(&self, live: Option<&bool>) -> Change {
        match live {
            None => Change::create([Field::new("well", true)]),
            Some(well) => Change::between([field("well", *well, true)]),
        }
    }
    async fn apply(&self, _: Option<bool>, _: &Peers, _: &Permit) -> Result<()> {
        Err(Error::settle(Trouble(format!("{} says that it is not well", self.name))))
    }
}
