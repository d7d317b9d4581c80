//! The engine: load, graph, evaluate, plan, apply. It knows recipes, resources and peers, but no Proxmox and no kubeadm.
//!
//! A recipe only *declares* resources; [`plan`](mod@plan) reads the world and shows the difference; [`run`](mod@run) makes it so.
//! Writing needs an [`Effect`], which only a [`Permit`] makes, and only [`run`](mod@run) makes permits.

mod absent;
mod bounds;
mod change;
mod clock;
mod declare;
mod diagnostics;
mod dialect;
mod door;
mod error;
mod evaluate;
mod event;
mod fence;
mod field;
mod folder_lock;
mod graph;
mod id;
mod ledger;
mod limited;
pub mod node;
mod order;
mod orphan;
mod peers;
mod plan;
mod random;
mod readiness;
mod recipe;
mod recovery;
mod redact;
mod resource;
mod run;
mod secret;
mod secret_option;
mod stop;
mod wait;

pub use change::{Change, Refusal};
pub use clock::{Clock, SystemClock};
pub use declare::{Common, Options, Rhai, count_text, declare, declare_on_node, note_secret, secret_as_text, throw};
pub use diagnostics::{BadOption, RecipeError, RecipeErrors, nearest};
pub use door::{Effect, Intent, Permit};
pub use error::{Error, Kind, Result};
pub use evaluate::{Declared, Evaluated, NamedSecret, Unopened, all_absent, evaluate, limits, limits_for, unopened};
pub use event::{Event, Events, Outcome, RunStamp, SCHEMA, Stamped, progress, silent};
pub use fence::{Fence, NoFence};
pub use field::{Cost, Field, field, secret_field};
pub use folder_lock::lock_folder;
pub use graph::{Graph, GraphError};
pub use id::Id;
pub use ledger::{Entry, Ledger, MemoryLedger, NoLedger, Remembered};
pub use orphan::{Owned, Owner, orphans, pruned};
pub use peers::{BoxFuture, Peers};
pub use plan::{Asked, Choice, Plan, Planned, SavedPlan, Verb, check, plan, plan_for_run};
pub use random::{Random, SystemRandom};
pub use recipe::{Header, Library, Need, Recipe, RecipeStamp, Source};
pub use recovery::{Leftover, Recovered, Recoverer, Recovery, Unsettled, recover};
pub use redact::{forget_secrets, presentable, redacted};
pub use resource::{Lane, NodeResource, Removable, Resource, Work};
pub use run::{Report, RunOptions, execute, execute_heard, once, run};
pub use secret::{Secret, SecretRef};
pub use stop::Stop;
pub use wait::{Limit, Poll, wait};
