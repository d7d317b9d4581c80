//! Orphans: what carries our mark in the world and is no longer declared.
use crate::{
    error::Result,
    evaluate::{Declared, Evaluated},
    id::Id,
    peers::{BoxFuture, Peers},
    recipe::Recipe,
    resource::{AnyStep, General, Resource},
};
use rhai::Position;
use std::{collections::HashSet, sync::Arc};

/// Lists what a module owns in the world, whoever declares it.
pub trait Owner: Send + Sync {
    /// Everything with our mark that the workspace does not name.
    ///
    /// # Errors
    /// When the peer cannot be asked.
    fn owned<'a>(&'a self, peers: &'a Peers) -> BoxFuture<'a, Result<Vec<Owned>>>;
}

/// Something that carries our mark.
#[derive(Clone, Debug)]
pub struct Owned {
    step: AnyStep,
    what: String,
}

impl Owned {
    /// Something that `resource` can remove; `what` says what it is, such as `VM 423 on pve1`.
    pub fn new(resource: impl Resource, what: impl Into<String>) -> Self {
        Self { step: Arc::new(General(resource)), what: what.into() }
    }

    /// Its identity.
    pub fn id(&self) -> Id {
        self.step.id()
    }

    /// What it is.
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// The members of `owned` that no recipe of this run declares.
pub fn orphans(owned: Vec<Owned>, evaluated: &[Evaluated]) -> Vec<Owned> {
    let declared: HashSet<Id> = evaluated.iter().flat_map(|one| &one.declared).map(Declared::id).collect();
    owned.into_iter().filter(|one| !declared.contains(&one.id())).collect()
}

/// Declares orphans as absent, in a phase with the name of `recipe`.
pub fn pruned(recipe: Arc<Recipe>, orphans: Vec<Owned>) -> Evaluated {
    let absent = |one: Owned| Declared::new(one.step, Vec::new(), Position::NONE).going();
    Evaluated { recipe, declared: orphans.into_iter().map(absent).collect(), secrets: Vec::new() }
}
