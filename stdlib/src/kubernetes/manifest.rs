//! Any Kubernetes objects, kept by server-side apply.
use super::{
    document::Document,
    objects::{self, LiveObjects},
    place::Place,
};
use kthw_engine::{Change, Id, Peers, Permit, Removable, Resource, Result};
use std::sync::Arc;

/// A set of objects that a recipe writes out.
#[derive(Debug)]
pub struct Manifest {
    id: Id,
    place: Place,
    documents: Vec<Arc<Document>>,
}

impl Manifest {
    /// Keeps `documents` in the cluster at `place`, under the identity `id`.
    pub fn new(id: Id, place: Place, documents: Vec<Document>) -> Self {
        Self { id, place, documents: documents.into_iter().map(Arc::new).collect() }
    }
}

impl Resource for Manifest {
    type Live = LiveObjects;
    /// An object that was there before may have been taken over; nobody can give it back.
    const REMOVABLE: Removable = Removable::Declared;

    fn id(&self) -> Id {
        self.id.clone()
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveObjects>> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = objects::read(&client, &self.documents).await?;
        Ok((!live.is_absent()).then_some(live))
    }

    fn diff(&self, live: Option<&LiveObjects>) -> Change {
        live.map_or_else(|| objects::create(self.documents.iter().map(|document| &**document)), LiveObjects::change)
    }

    async fn apply(&self, live: Option<LiveObjects>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = match live {
            Some(live) => live,
            None => objects::read(&client, &self.documents).await?,
        };
        objects::apply(peers, &client, &live, permit).await
    }

    fn is_ours(&self, live: &LiveObjects) -> bool {
        live.any_is_ours()
    }

    async fn remove(&self, live: LiveObjects, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        objects::remove(peers, &client, &live, permit).await
    }
}
