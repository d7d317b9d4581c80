//! What a run reports while it goes on: typed events for the terminal, for `--json` and later for the journal.
use crate::{change::Change, clock::Clock, id::Id, redact::presentable};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// One thing that happened. Serialised with `"event"` as its tag; the schema's version is in [`Event::Begun`].
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A plan or a run began.
    Begun {
        /// Version of this event schema.
        schema: u32,
        /// The recipe that was asked for.
        recipe: String,
        /// The workspace that it runs on.
        workspace: String,
        /// Whether the world is the lab.
        lab: bool,
    },
    /// An effect that an earlier run left open was settled, or could not be.
    Recovered {
        /// That run's number.
        run_left: u64,
        /// The effect's number in it.
        effect: u64,
        /// What it was, and on which peer.
        what: String,
        /// How it was settled, or why it could not be.
        how: String,
        /// Whether it was.
        settled: bool,
    },
    /// A resource was compared with the world.
    Planned {
        /// Which resource.
        id: Id,
        /// The phase that declares it.
        phase: String,
        /// What would change.
        #[serde(flatten)]
        change: Change,
    },
    /// Machines that need a restart before something takes effect. Not sent when there are none.
    RestartNeeded {
        /// What waits, by node.
        nodes: BTreeMap<String, Vec<String>>,
    },
    /// Work on a resource began.
    Started {
        /// Which resource.
        id: Id,
    },
    /// Progress on a resource, or on a wait.
    Progress {
        /// Which resource.
        id: Id,
        /// In plain words.
        text: String,
    },
    /// Something on a resource's peer that hinders nobody and that a person should know of.
    Noticed {
        /// Which resource.
        id: Id,
        /// In plain words.
        text: String,
    },
    /// Work on a resource ended.
    Ended {
        /// Which resource.
        id: Id,
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
        /// Seconds that it took.
        seconds: f64,
    },
    /// The run is over.
    Finished {
        /// Resources that were changed.
        changed: usize,
        /// Resources that needed nothing.
        unchanged: usize,
        /// Resources that failed.
        failed: usize,
        /// Resources that were skipped because of a failure.
        skipped: usize,
        /// Resources that are never done as declared.
        refused: usize,
        /// Seconds from the first to the last.
        seconds: f64,
    },
}

/// How work on one resource ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is as wanted and nothing was done.
    Unchanged,
    /// It was changed and read back as wanted.
    Changed {
        /// `create`, `update`, `replace` or `delete`.
        change: String,
    },
    /// It failed.
    Failed {
        /// The error on one line.
        error: String,
    },
    /// It was not tried.
    Skipped {
        /// Why, naming the resource that failed.
        because: String,
    },
    /// It is never done as declared; the plan said so.
    Refused {
        /// Why.
        why: String,
    },
}

/// The version of the event schema.
pub const SCHEMA: u32 = 2;

/// Which run an event belongs to, and whose clock tells when it happened.
#[derive(Clone)]
pub struct RunStamp {
    run: u64,
    clock: Arc<dyn Clock>,
}

/// An event as it is written down.
#[derive(Clone, Debug, Serialize)]
pub struct Stamped {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// The run's number: the moment at which it began.
    pub run: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl RunStamp {
    /// A run that begins now.
    pub fn begin(clock: Arc<dyn Clock>) -> Self {
        Self { run: clock.unix_ms(), clock }
    }

    /// The run with this number.
    pub fn numbered(run: u64, clock: Arc<dyn Clock>) -> Self {
        Self { run, clock }
    }

    /// The run's number.
    pub fn number(&self) -> u64 {
        self.run
    }

    /// The event with the time and the run.
    pub fn on(&self, event: Event) -> Stamped {
        Stamped { time_ms: self.clock.unix_ms(), run: self.run, event }
    }
}

/// Where events go.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Events that go nowhere.
pub fn silent() -> Events {
    Arc::new(|_| {})
}

tokio::task_local! {
    static CURRENT: (Id, Events);
}

/// Reports progress on the resource that is being worked on; does nothing outside a run.
pub fn progress(text: impl Into<String>) {
    let _ = CURRENT.try_with(|(id, events)| events(Event::Progress { id: id.clone(), text: presentable(&text.into()).into_owned() }));
}

/// Runs `work` so that [`progress`] inside it is reported for `id`.
pub(crate) async fn reporting<T>(id: Id, events: Events, work: impl Future<Output = T>) -> T {
    CURRENT.scope((id, events), work).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn what_a_peer_says_controls_no_terminal() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let into = heard.clone();
        let events: Events = Arc::new(move |event| into.lock().unwrap().push(event));
        reporting(Id::new("proxmox.vm", "cu1"), events, async { progress("it says \u{1b}[2J") }).await;
        assert!(matches!(&heard.lock().unwrap()[..], [Event::Progress { text, .. }] if text == r"it says \u{1b}[2J"), "{heard:?}");
    }
}
