//! Every moment at which a run may die, and the world that it leaves then: one run shows them all.
use crate::{
    node::{AtWork, InProgram, Outlived},
    observer::Observer,
    world::World,
};
use kthw_engine::{BoxFuture, Entry, Ledger, Result};
use kthw_store::MemoryRecords;
use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a process that is killed at some moment leaves behind.
#[derive(Debug)]
pub struct Boundary {
    /// The moment, in words.
    pub moment: String,
    /// The world, as it was then.
    pub world: World,
    /// The host keys that its computer keeps.
    pub known_hosts: String,
    /// Its lock and its journal.
    pub records: Arc<MemoryRecords>,
    /// The script that goes on without it.
    pub outlived: Option<Outlived>,
}

/// Keeps what each moment of a run leaves behind: before each effect is written down, before it is done, when the peer has named it, after it,
/// between the actions of a batch, whose script dies with the connection or goes on, and between the parts of a program, where the lab's program
/// has some.
///
/// An effect to which the peer gives no name, and which is no batch, is done or not done: it has nothing between before and after.
pub struct Boundaries {
    world: World,
    known_hosts: PathBuf,
    records: Arc<MemoryRecords>,
    /// Where the run writes its effects down.
    journal: Arc<dyn Ledger>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    boundaries: Vec<Boundary>,
    /// The effects that are under way, in words.
    under_way: BTreeMap<u64, Entry>,
}

impl Boundaries {
    /// Watches `world` for a run that is to get this as its ledger; `known_hosts` is the file in which it keeps host keys, and `records` hold its
    /// lock and its `journal`.
    pub fn watch(world: &World, known_hosts: PathBuf, records: Arc<MemoryRecords>, journal: Arc<dyn Ledger>) -> Arc<Self> {
        let boundaries = Arc::new(Self { world: world.clone(), known_hosts, records, journal, kept: Mutex::default() });
        world.observe(boundaries.clone());
        boundaries
    }

    /// All moments so far, in their order.
    pub fn take(&self) -> Vec<Boundary> {
        std::mem::take(&mut self.kept().boundaries)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, kept: &mut Kept, moment: String, world: World, outlived: Option<Outlived>) {
        // No file is an empty one.
        let known_hosts = std::fs::read_to_string(&self.known_hosts).unwrap_or_default();
        let records = Arc::new(self.records.fork());
        kept.boundaries.push(Boundary { moment, world, known_hosts, records, outlived });
    }

    fn at(&self, kept: &mut Kept, when: &str, entry: &Entry) {
        self.keep(kept, format!("{when} {}", in_words(entry)), self.world.fork(), None);
    }
}

fn in_words(entry: &Entry) -> String {
    format!("effect {}, {} ({})", entry.number, entry.intent.what, entry.intent.peer)
}

impl Ledger for Boundaries {
    fn begin<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        self.at(&mut self.kept(), "before the journal has", entry);
        Box::pin(async {
            self.journal.begin(entry).await?;
            let kept = &mut *self.kept();
            self.at(kept, "before", entry);
            kept.under_way.insert(entry.number, entry.clone());
            Ok(())
        })
    }

    fn note<'a>(&'a self, number: u64, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.journal.note(number, name).await?;
            let kept = &mut *self.kept();
            if let Some(entry) = kept.under_way.get(&number).cloned() {
                self.at(kept, "in the middle of", &entry);
            }
            Ok(())
        })
    }

    fn end<'a>(&'a self, number: u64, failure: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        {
            let kept = &mut *self.kept();
            if let Some(entry) = kept.under_way.remove(&number) {
                self.at(kept, "after", &entry);
            }
        }
        self.journal.end(number, failure)
    }
}

impl Observer for Boundaries {
    fn script(&self, script: &AtWork) {
        let kept = &mut *self.kept();
        let Some(entry) = kept.under_way.values().find(|entry| entry.intent.peer == script.node()) else { return };
        let place = format!("{}, {}", in_words(entry), script.progress());
        if !script.is_beginning() {
            self.keep(kept, format!("in {place}: the script dies too"), script.cut(), None);
        }
        let (world, rest) = script.outlived();
        self.keep(kept, format!("in {place}: the script goes on"), world, Some(rest));
    }

    fn program(&self, program: &InProgram) {
        let kept = &mut *self.kept();
        let Some(entry) = kept.under_way.values().find(|entry| entry.intent.peer == program.node()) else { return };
        let moment = format!("in {}, in {}: its program dies too", in_words(entry), program.part());
        self.keep(kept, moment, program.cut(), None);
    }
}

impl fmt::Debug for Boundaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Boundaries({})", self.kept().boundaries.len())
    }
}
