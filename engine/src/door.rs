//! The one door: every effect on the world is announced, carried out and recorded here, and nothing else can write.
//!
//! A client's method that changes something takes an [`Effect`]. Only [`Permit::effect`] makes one, a permit is made for the resource
//! whose turn it is, and only a run makes permits. So what must happen around every effect has one place: asking whether the run was told
//! to stop, writing down what is about to happen, counting, and ending a run exactly there in the lab.
use crate::{
    error::{Error, Result},
    fence::Fence,
    id::Id,
    ledger::{Entry, Ledger},
    node::{Action, Heard, Output},
    peers::Peers,
    recovery::{Leftover, Recovery},
    run::RunOptions,
    stop::{Stop, not_to_be_stopped},
};
use miette::Diagnostic;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What an effect is about to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Intent {
    /// The peer that is changed: a node's name, `proxmox`, `kubernetes`, or a file.
    pub peer: String,
    /// What is done to it, in words; never a secret.
    pub what: String,
    /// What a later run does when nobody saw how it ended.
    pub recovery: Recovery,
    /// How to tell later whether it happened, when reading the resource is not enough: a nonce, a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
    /// What goes with it that an earlier effect left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_back: Option<Leftover>,
    /// Whether it takes back or completes what was begun, so that it is done even after the run was told to stop.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closing: bool,
}

impl Intent {
    /// Doing `what` to `peer`, settled in this way if the run dies in it.
    pub fn on(peer: impl Into<String>, what: impl Into<String>, recovery: Recovery) -> Self {
        Self { peer: peer.into(), what: what.into(), recovery, told_by: None, takes_back: None, closing: false }
    }

    /// The same, with how to tell later whether it happened.
    #[must_use]
    pub fn told_by(mut self, mark: impl Into<String>) -> Self {
        self.told_by = Some(mark.into());
        self
    }

    /// The same, after which what an earlier effect [left](Recovery::TakeBack) is gone.
    #[must_use]
    pub fn taking_back(mut self, leftover: Leftover) -> Self {
        self.takes_back = Some(leftover);
        self
    }

    /// The same, done even after the run was told to stop: leaving it out would leave something half-made behind.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closing = true;
        self
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What all effects of one run share.
#[derive(Debug)]
pub(crate) struct Door {
    run: u64,
    stop: Stop,
    fence: Arc<dyn Fence>,
    ledger: Arc<dyn Ledger>,
    /// How many effects were begun.
    begun: AtomicU64,
}

impl Door {
    /// The door of the run with these options.
    pub fn open(peers: &Peers, options: &RunOptions) -> Arc<Self> {
        Self::numbered(options.number.unwrap_or_else(|| peers.clock().unix_ms()), options)
    }

    /// The door of the run with this number.
    pub fn numbered(run: u64, options: &RunOptions) -> Arc<Self> {
        let RunOptions { stop, fence, ledger, effects_before, .. } = options.clone();
        Arc::new(Self { run, stop, fence, ledger, begun: AtomicU64::new(effects_before) })
    }

    /// Lets `resources` be changed.
    pub fn permit(self: &Arc<Self>, resources: Vec<Id>) -> Permit {
        Permit { door: self.clone(), resources }
    }

    /// How many effects were begun so far.
    pub fn effects(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

/// Allows changing the world, for the resources whose turn it is. A dry run never holds one, so it cannot write, whatever a module does.
///
/// There is no public constructor on purpose; `tests/tidy.rs` checks that only `run.rs` opens a door.
#[derive(Debug)]
pub struct Permit {
    door: Arc<Door>,
    resources: Vec<Id>,
}

/// One effect under way: what every client demands before it changes anything.
#[derive(Debug)]
pub struct Effect {
    door: Arc<Door>,
    number: u64,
}

impl Permit {
    /// Does `work`, having written down what is about to happen, and writes down how it ended.
    ///
    /// # Errors
    /// As `work`. It is not begun when the run was told to stop (unless the intent is [closing](Intent::closing)), when the fence does not say
    /// that the workspace is still this run's, or when the ledger does not take the intent.
    pub async fn effect<T>(&self, intent: Intent, work: impl AsyncFnOnce(&Effect) -> Result<T>) -> Result<T> {
        let door = &self.door;
        if door.stop.is_asked() && !intent.closing {
            return Err(Error::stopped(Stopped { before: format!("{} ({})", intent.what, intent.peer) }));
        }
        door.fence.check().await?;
        let number = door.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Entry { number, run: door.run, resources: self.resources.clone(), intent };
        door.ledger.begin(&entry).await?;
        let effect = Effect { door: door.clone(), number };
        let done = not_to_be_stopped(work(&effect)).await;
        let told = door.ledger.end(number, done.as_ref().err().map(ToString::to_string).as_deref()).await;
        let done = done?;
        told.map(|()| done)
    }

    /// The number of the run: later runs have higher ones.
    pub fn run(&self) -> u64 {
        self.door.run
    }

    /// Does one action on a node, as an effect of its own. The exit status of the action is part of the output.
    ///
    /// # Errors
    /// When the node cannot be reached, and as [`effect`](Self::effect).
    pub async fn act(&self, peers: &Peers, node: &str, action: &Action) -> Result<Output> {
        self.effect(Intent::on(node, action.to_string(), Recovery::Script), async |effect| peers.nodes().act(node, action, effect).await)
            .await
    }

    /// As [`act`](Self::act), for somebody who listens.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn act_heard(&self, peers: &Peers, node: &str, action: &Action, heard: &(dyn Fn(Heard<'_>) + Sync)) -> Result<Output> {
        let intent = Intent::on(node, action.to_string(), Recovery::Script);
        self.effect(intent, async |effect| peers.nodes().act_heard(node, action, effect, heard).await).await
    }

    /// As [`act`](Self::act), for an action that takes back or completes what was begun.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn act_closing(&self, peers: &Peers, node: &str, action: &Action) -> Result<Output> {
        let intent = Intent::on(node, action.to_string(), Recovery::Script).closing();
        self.effect(intent, async |effect| peers.nodes().act(node, action, effect).await).await
    }
}

impl Effect {
    /// Writes down what the peer calls it, such as the id of a task that goes on by itself.
    ///
    /// # Errors
    /// When the ledger does not take it.
    pub async fn note(&self, name: &str) -> Result<()> {
        self.door.ledger.note(self.number, name).await
    }

    /// The number of the run: later runs have higher ones.
    pub fn run(&self) -> u64 {
        self.door.run
    }
}

/// Something was not begun because the run was told to stop.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the run was asked to stop before {before}")]
#[diagnostic(code(kthw::run::stopped), help("run it again: it goes on from what is there"))]
struct Stopped {
    before: String,
}
