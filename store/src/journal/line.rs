//! What one line of a log says.
use crate::lease::Owner;
use kthw_engine::{Id, Intent, Outcome, RecipeStamp, Unsettled};
use serde::{Deserialize, Serialize};

/// The version of the lines. A reader refuses newer ones; what is older it reads.
pub const SCHEMA: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the log, from 1.
    pub n: u64,
    /// When it was written, in milliseconds since 1970.
    pub ms: u64,
    /// What it says.
    #[serde(flatten)]
    pub what: What,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A run began: always the first line, unless another run took over before there was one.
    Run(Box<Header>),
    /// An effect of an earlier run was settled.
    Settled {
        /// That run's number.
        run: u64,
        /// The effect's number in it.
        effect: u64,
        /// How, in words.
        how: String,
    },
    /// The plan that is carried out.
    Planned {
        /// Its digest.
        sha256: String,
        /// How many resources are to be changed.
        changes: u64,
    },
    /// An effect is about to happen.
    Begin {
        /// Its number in the run, from 1.
        effect: u64,
        /// The resources that it is for.
        resources: Vec<Id>,
        /// What is about to happen.
        #[serde(flatten)]
        intent: Intent,
    },
    /// The peer's own name for an effect is known.
    Note {
        /// The effect.
        effect: u64,
        /// What the peer calls it.
        name: String,
    },
    /// An effect is over.
    End {
        /// The effect.
        effect: u64,
        /// How it failed, if it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// A resource that was not as declared has ended.
    Resource(Resource),
    /// The run came to its end.
    Finish(Finish),
    /// Another run took the workspace over: always the last line. Its writer is the one that took over.
    TakenOver {
        /// That run's number; 0 when a person broke the lock.
        by: u64,
    },
}

/// How a run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of all lines of this log.
    pub schema: u32,
    /// The run's number: it is higher than those of all runs before, and about the milliseconds since 1970.
    pub run: u64,
    /// The end of the run before.
    pub previous: Option<Tail>,
    /// What the run is.
    #[serde(flatten)]
    pub about: About,
    /// What earlier runs left open: this run settles it first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Unsettled>,
}

impl Header {
    /// Of the run with this number, which found nothing before it.
    pub fn of(run: u64, about: About) -> Self {
        Self { schema: SCHEMA, run, previous: None, about, open: Vec::new() }
    }
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The workspace.
    pub workspace: String,
    /// What was asked for, such as `run` or `destroy`.
    pub verb: String,
    /// Who asked.
    pub owner: Owner,
    /// The version of kthw.
    pub kthw: String,
    /// The recipes, in the order of the run; the last is the one that was asked for.
    pub recipes: Vec<RecipeStamp>,
    /// The digest of the workspace as it was validated.
    pub workspace_sha256: String,
}

impl About {
    /// Such as `run ubuntu/full`.
    pub(crate) fn what(&self) -> String {
        let recipe = self.recipes.last().map(|recipe| format!(" {}", recipe.name)).unwrap_or_default();
        format!("{}{recipe}", self.verb)
    }
}

/// Where a log ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The run.
    pub run: u64,
    /// The digest of its last line.
    pub chain: String,
    /// Whether nothing was open then.
    #[serde(default)]
    pub settled: bool,
}

/// Where the journal of a workspace ends when a run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it ended before: the run wrote nothing.
    Same,
    /// Here.
    At(Tail),
    /// Nobody knows: something could not be written.
    Unknown,
}

/// How one resource ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Which.
    pub id: Id,
    /// How.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Seconds that it took.
    pub seconds: f64,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// Resources that were changed.
    pub changed: usize,
    /// Resources that failed.
    pub failed: usize,
    /// Resources that were not tried.
    pub skipped: usize,
    /// Seconds from the first to the last.
    pub seconds: f64,
    /// Whether it was told to stop.
    pub stopped: bool,
}
