//! Resources that are declared absent: the same step, but it removes what it would otherwise keep.
use crate::{
    change::{Change, Refusal},
    door::Permit,
    error::{Kind, Result},
    id::Id,
    node::{Finding, Probe},
    peers::{BoxFuture, Peers},
    resource::{AnyStep, Lane, Live, Removable, Step, Work},
};

/// Whether a declared resource is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is kept.
    #[default]
    Present,
    /// It is removed.
    Absent,
    /// It cannot be removed by itself: it goes with what holds it, or stays.
    Stays,
}

/// A step that removes what `0` keeps.
#[derive(Debug)]
pub(crate) struct Absent(pub AnyStep);

impl Step for Absent {
    fn id(&self) -> Id {
        self.0.id()
    }
    fn needs(&self) -> Vec<Id> {
        self.0.needs()
    }
    fn after(&self) -> Vec<Id> {
        self.0.after()
    }
    fn refreshed_by(&self) -> Vec<Id> {
        Vec::new()
    }
    fn lane(&self) -> Option<Lane> {
        self.0.lane()
    }
    fn node(&self) -> Option<&str> {
        self.0.node()
    }
    fn opens_node(&self) -> bool {
        self.0.opens_node()
    }
    fn removable(&self) -> Removable {
        self.0.removable()
    }
    fn judges(&self) -> bool {
        false
    }
    fn holds_dependents(&self) -> bool {
        self.0.holds_dependents()
    }
    fn hides_dependents(&self, _: &Change) -> bool {
        false
    }
    fn query(&self) -> Vec<Probe> {
        self.0.query()
    }
    fn understand(&self, findings: &[Finding]) -> Result<Option<Live>> {
        self.0.understand(findings)
    }
    fn read<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Option<Live>>> {
        Box::pin(async move {
            match self.0.read(peers).await {
                // What is there belongs to somebody else, so ours is not.
                Err(error) if error.kind() == Kind::Refused => Ok(None),
                read => read,
            }
        })
    }
    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live.filter(|live| self.0.is_ours(live)) else { return Change::None };
        match self.0.keeps(live) {
            Some(why) => Change::Refused(Refusal {
                why,
                next: "it stays, with everything in it; if it shall really go, take away what keeps it, and run again".into(),
                fields: Vec::new(),
            }),
            None => Change::Delete,
        }
    }
    fn is_ours(&self, live: &Live) -> bool {
        self.0.is_ours(live)
    }
    fn keeps(&self, live: &Live) -> Option<String> {
        self.0.keeps(live)
    }
    fn work(&self, live: Option<&Live>, _: bool) -> Work {
        live.map_or(Work::Alone, |live| self.0.removal(live))
    }
    fn removal(&self, live: &Live) -> Work {
        self.0.removal(live)
    }
    fn apply<'a>(&'a self, live: Option<Live>, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match live {
                Some(live) => self.0.remove(live, peers, permit).await,
                None => Ok(()),
            }
        })
    }
    fn remove<'a>(&'a self, live: Live, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>> {
        self.0.remove(live, peers, permit)
    }
}
