//! What a module defines for each thing that it keeps: how to read it, how to compare it, how to change it.
use crate::{
    change::Change,
    door::Permit,
    error::Result,
    id::Id,
    node::{Action, Finding, Probe},
    peers::{BoxFuture, Peers},
};
use std::{any::Any, fmt, future::Future, sync::Arc};

/// Whether a resource can be removed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removable {
    /// It goes with what holds it, or stays.
    No,
    /// Only when a recipe gives it `present: false`: it may have replaced something that nobody can bring back.
    Declared,
    /// It is wholly ours, and goes too when everything that a recipe made is removed.
    Ours,
}

/// One thing kept in a wanted state.
pub trait Resource: fmt::Debug + Send + Sync + 'static {
    /// What reading finds.
    type Live: Send + Sync + 'static;

    /// Whether it can be removed by itself.
    const REMOVABLE: Removable = Removable::No;

    /// Whether what needs it lives inside it and goes with it, like everything on a machine.
    const HOLDS_DEPENDENTS: bool = false;

    /// Whether it judges what others made, like a validation: as long as something that comes before it is to be changed, whatever that is, it
    /// counts as absent, and is looked at when it is its turn.
    const JUDGES: bool = false;

    /// Its identity, unique in a plan.
    fn id(&self) -> Id;

    /// The identities that must be there before it. While one of them is still to be created, this one counts as absent.
    fn needs(&self) -> Vec<Id> {
        Vec::new()
    }

    /// Identities that come first, if the plan holds them.
    fn after(&self) -> Vec<Id> {
        Vec::new()
    }

    /// A queue that it shares with others, such as clones of one template.
    fn lane(&self) -> Option<Lane> {
        None
    }

    /// Reads it; `None` when it is not there. Never changes anything.
    fn read(&self, peers: &Peers) -> impl Future<Output = Result<Option<Self::Live>>> + Send;

    /// Compares what is wanted with what was found. Pure.
    fn diff(&self, live: Option<&Self::Live>) -> Change;

    /// Whether those that need it cannot be read before `change` is done, although it exists (a stopped machine).
    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_))
    }

    /// Makes it so.
    fn apply(&self, live: Option<Self::Live>, peers: &Peers, permit: &Permit) -> impl Future<Output = Result<()>> + Send;

    /// Whether what was found is ours to remove; what is not ours counts as absent.
    fn is_ours(&self, _live: &Self::Live) -> bool {
        true
    }

    /// Why it is never removed although it is declared absent, such as a protection that somebody put on it.
    fn keeps(&self, _live: &Self::Live) -> Option<String> {
        None
    }

    /// Removes it; only asked of what is [removable](Self::REMOVABLE).
    fn remove(&self, _live: Self::Live, _peers: &Peers, _permit: &Permit) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// One thing on a node, as data: a query and a list of actions. All queries of a node travel together, and so do its changes.
///
/// Within a phase, the resources of a node are changed in the order in which the recipe declares them.
pub trait NodeResource: fmt::Debug + Send + Sync + 'static {
    /// What reading finds.
    type Live: Send + Sync + 'static;

    /// Whether it can be removed by itself.
    const REMOVABLE: Removable = Removable::No;

    /// Whether what needs it lives inside it and goes with it, like everything in a cluster.
    const HOLDS_DEPENDENTS: bool = false;

    /// Its identity, unique in a plan.
    fn id(&self) -> Id;

    /// The name of the node that it is on.
    fn node(&self) -> &str;

    /// The identities that must be there before it.
    fn needs(&self) -> Vec<Id> {
        Vec::new()
    }

    /// Identities that come first, if the plan holds them.
    fn after(&self) -> Vec<Id> {
        Vec::new()
    }

    /// Identities whose change makes this one act too, such as the configuration of a service.
    fn refreshed_by(&self) -> Vec<Id> {
        Vec::new()
    }

    /// A queue that it shares with others, on whatever nodes, such as the control planes of one cluster.
    fn lane(&self) -> Option<Lane> {
        None
    }

    /// Whether it opens its node: everything else on the node is read only when what *this* needs is there.
    fn opens_node(&self) -> bool {
        false
    }

    /// Whether those that need it cannot be read before `change` is done, although it exists (an API server that is down).
    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_))
    }

    /// What to look at.
    fn query(&self) -> Vec<Probe>;

    /// Understands the answers, given in the order of [`query`](Self::query); `None` when it is not there.
    ///
    /// # Errors
    /// When an answer cannot be understood.
    fn live(&self, findings: &[Finding]) -> Result<Option<Self::Live>>;

    /// Compares what is wanted with what was found. Pure.
    fn diff(&self, live: Option<&Self::Live>) -> Change;

    /// What to do about it. `refresh` is set when one of [`refreshed_by`](Self::refreshed_by) changed in this run.
    fn work(&self, live: Option<&Self::Live>, refresh: bool) -> Work;

    /// Why it is never removed although it is declared absent.
    fn keeps(&self, _live: &Self::Live) -> Option<String> {
        None
    }

    /// What removes it; only asked of what is [removable](Self::REMOVABLE).
    fn removal(&self, _live: &Self::Live) -> Work {
        Work::Actions(Vec::new())
    }

    /// Does the work of [`Work::Alone`].
    fn apply(&self, _live: Option<&Self::Live>, _peers: &Peers, _permit: &Permit) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Does the removal of [`Work::Alone`].
    fn remove(&self, _live: &Self::Live, _peers: &Peers, _permit: &Permit) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// How a resource on a node is changed.
#[derive(Debug)]
pub enum Work {
    /// By these actions, together with others of the same node.
    Actions(Vec<Action>),
    /// By [`NodeResource::apply`] or [`NodeResource::remove`], alone: it needs another peer as well (a join token, a drain), waits for
    /// something, or says why it is not done.
    Alone,
}

/// A queue: of all resources in lanes of the same name, only so many are worked on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// What is protected, such as `proxmox/clone/9000`.
    pub name: String,
    /// How many at once.
    pub at_most: usize,
    /// Whether nothing that waits in it is tried after the first failure, its own or of what it needs: a second control plane is not touched
    /// after the first broke, or could not be reached.
    pub stop_after_failure: bool,
}

pub(crate) type Live = Box<dyn Any + Send + Sync>;

/// A resource with its types erased, so that one plan can hold them all.
pub(crate) trait Step: fmt::Debug + Send + Sync {
    fn id(&self) -> Id;
    fn needs(&self) -> Vec<Id>;
    fn after(&self) -> Vec<Id>;
    fn refreshed_by(&self) -> Vec<Id>;
    fn lane(&self) -> Option<Lane>;
    fn node(&self) -> Option<&str>;
    fn opens_node(&self) -> bool;
    fn hides_dependents(&self, change: &Change) -> bool;
    fn removable(&self) -> Removable;
    fn holds_dependents(&self) -> bool;
    fn judges(&self) -> bool;
    fn is_ours(&self, live: &Live) -> bool;
    fn keeps(&self, live: &Live) -> Option<String>;
    fn removal(&self, live: &Live) -> Work;
    fn remove<'a>(&'a self, live: Live, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>>;
    fn query(&self) -> Vec<Probe>;
    fn understand(&self, findings: &[Finding]) -> Result<Option<Live>>;
    fn read<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Option<Live>>>;
    fn diff(&self, live: Option<&Live>) -> Change;
    fn work(&self, live: Option<&Live>, refresh: bool) -> Work;
    fn apply<'a>(&'a self, live: Option<Live>, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>>;
}

pub(crate) type AnyStep = Arc<dyn Step>;

#[derive(Debug)]
pub(crate) struct General<R>(pub R);
#[derive(Debug)]
pub(crate) struct OnNode<R>(pub R);

fn own<T: 'static>(live: Live) -> T {
    *live.downcast().expect("a resource gets back what its own read returned")
}

fn cast<T: 'static>(live: &Live) -> &T {
    live.downcast_ref().expect("a resource gets back what its own read returned")
}

impl<R: Resource> Step for General<R> {
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
        None
    }
    fn opens_node(&self) -> bool {
        false
    }
    fn hides_dependents(&self, change: &Change) -> bool {
        self.0.hides_dependents(change)
    }
    fn removable(&self) -> Removable {
        R::REMOVABLE
    }
    fn holds_dependents(&self) -> bool {
        R::HOLDS_DEPENDENTS
    }
    fn judges(&self) -> bool {
        R::JUDGES
    }
    fn is_ours(&self, live: &Live) -> bool {
        self.0.is_ours(cast(live))
    }
    fn keeps(&self, live: &Live) -> Option<String> {
        self.0.keeps(cast(live))
    }
    fn removal(&self, _: &Live) -> Work {
        Work::Alone
    }
    fn remove<'a>(&'a self, live: Live, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.remove(own(live), peers, permit))
    }
    fn query(&self) -> Vec<Probe> {
        Vec::new()
    }
    fn understand(&self, _: &[Finding]) -> Result<Option<Live>> {
        Ok(None)
    }
    fn read<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Option<Live>>> {
        Box::pin(async move { Ok(self.0.read(peers).await?.map(|live| Box::new(live) as Live)) })
    }
    fn diff(&self, live: Option<&Live>) -> Change {
        self.0.diff(live.map(cast))
    }
    fn work(&self, _: Option<&Live>, _: bool) -> Work {
        Work::Alone
    }
    fn apply<'a>(&'a self, live: Option<Live>, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.apply(live.map(own), peers, permit))
    }
}

impl<R: NodeResource> Step for OnNode<R> {
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
        self.0.refreshed_by()
    }
    fn lane(&self) -> Option<Lane> {
        self.0.lane()
    }
    fn node(&self) -> Option<&str> {
        Some(self.0.node())
    }
    fn opens_node(&self) -> bool {
        self.0.opens_node()
    }
    fn hides_dependents(&self, change: &Change) -> bool {
        self.0.hides_dependents(change)
    }
    fn removable(&self) -> Removable {
        R::REMOVABLE
    }
    fn holds_dependents(&self) -> bool {
        R::HOLDS_DEPENDENTS
    }
    fn judges(&self) -> bool {
        false
    }
    fn is_ours(&self, _: &Live) -> bool {
        true
    }
    fn keeps(&self, live: &Live) -> Option<String> {
        self.0.keeps(cast(live))
    }
    fn removal(&self, live: &Live) -> Work {
        self.0.removal(cast(live))
    }
    fn remove<'a>(&'a self, live: Live, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.0.remove(cast(&live), peers, permit).await })
    }
    fn query(&self) -> Vec<Probe> {
        self.0.query()
    }
    fn understand(&self, findings: &[Finding]) -> Result<Option<Live>> {
        Ok(self.0.live(findings)?.map(|live| Box::new(live) as Live))
    }
    fn read<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Option<Live>>> {
        Box::pin(async move {
            let query = self.0.query();
            let findings = peers.nodes().read(self.0.node(), &query).await?;
            self.understand(&findings)
        })
    }
    fn diff(&self, live: Option<&Live>) -> Change {
        self.0.diff(live.map(cast))
    }
    fn work(&self, live: Option<&Live>, refresh: bool) -> Work {
        self.0.work(live.map(cast), refresh)
    }
    fn apply<'a>(&'a self, live: Option<Live>, peers: &'a Peers, permit: &'a Permit) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.0.apply(live.as_ref().map(cast), peers, permit).await })
    }
}
