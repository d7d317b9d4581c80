//! The systems that a run talks to: nodes behind one seam, and the typed clients that the modules provide.
use crate::{
    clock::Clock,
    error::{Error, Result},
    limited::Limited,
    node::Nodes,
    random::{Random, SystemRandom},
};
use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
};

/// A boxed future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Every peer of a run. Modules find their own client in it by type.
pub struct Peers {
    nodes: Arc<dyn Nodes>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    clients: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Peers {
    /// Peers with these nodes and this clock, the system's random numbers, and no clients yet. No node may be silent for ever.
    pub fn new(nodes: Arc<dyn Nodes>, clock: Arc<dyn Clock>) -> Self {
        Self { nodes: Arc::new(Limited(nodes)), clock, random: Arc::new(SystemRandom), clients: HashMap::new() }
    }

    /// The same peers, where random numbers come from `random`.
    #[must_use]
    pub fn with_random(self, random: Arc<dyn Random>) -> Self {
        Self { random, ..self }
    }

    /// The same peers with one more client, which modules find by its type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, client: T) -> Self {
        self.clients.insert(TypeId::of::<T>(), Arc::new(client));
        self
    }

    /// The client of type `T`.
    ///
    /// # Errors
    /// When this run was built without one; that is a mistake in kthw, not in a recipe.
    pub fn get<T: Any + Send + Sync>(&self) -> Result<&T> {
        self.clients.get(&TypeId::of::<T>()).and_then(|client| client.downcast_ref()).ok_or_else(|| Error::peer(NoClient(type_name::<T>())))
    }

    /// The machines.
    pub fn nodes(&self) -> &dyn Nodes {
        &*self.nodes
    }

    /// The clock for waits.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Where random numbers that enter the world come from.
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// The same clock, for holders that outlive a borrow of the peers.
    pub fn shared_clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("this run has no client of type {0}")]
#[diagnostic(code(kthw::no_client), help("this is a mistake in kthw; please report it with the command that you ran"))]
struct NoClient(&'static str);
