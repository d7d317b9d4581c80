//! Any Kubernetes objects, kept by server-side apply.
use super::{
    document::Document,
    objects::{self, LiveObjects},
    place::Place,
};
use kthw_engine::{Change, Field, Id, Peers, Permit, Refusal, Removable, Resource, Result};
use std::sync::Arc;

/// A set of objects that a recipe writes out.
#[derive(Debug)]
pub struct Manifest {
    id: Id,
    place: Place,
    documents: Vec<Arc<Document>>,
    fixed: Option<Fixed>,
}

/// Fields that stay as they were made.
#[derive(Debug)]
pub struct Fixed {
    /// How the paths of these fields end.
    pub endings: &'static [&'static str],
    /// Why they stay.
    pub why: &'static str,
    /// What a person can do.
    pub next: &'static str,
}

impl Manifest {
    /// Keeps `documents` in the cluster at `place`, under the identity `id`.
    pub fn new(id: Id, place: Place, documents: Vec<Document>) -> Self {
        Self { id, place, documents: documents.into_iter().map(Arc::new).collect(), fixed: None }
    }

    /// The same objects, of which some fields are refused when they differ.
    #[must_use]
    pub fn with_fixed(self, fixed: Fixed) -> Self {
        Self { fixed: Some(fixed), ..self }
    }

    fn refuse_fixed(&self, change: Change) -> Change {
        let is_fixed =
            |fixed: &Fixed, field: &Field| field.live.is_some() && fixed.endings.iter().any(|ending| field.name.ends_with(ending));
        match (&self.fixed, change) {
            (Some(fixed), Change::Update(fields)) if fields.iter().any(|field| is_fixed(fixed, field)) => {
                Change::Refused(Refusal { why: fixed.why.into(), next: fixed.next.into(), fields })
            }
            (_, change) => change,
        }
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
        match live {
            None => objects::create(self.documents.iter().map(|document| &**document)),
            Some(live) => self.refuse_fixed(live.change()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_field_is_refused_with_all_that_differs() {
        let place = Place { cluster: "u".into(), node: "cu1".into() };
        let manifest = Manifest::new(Id::new("x", "y"), place, Vec::new()).with_fixed(Fixed {
            endings: &[".cidr"],
            why: "it stays",
            next: "set it back",
        });
        let field = |name: &'static str| Field { live: Some("a".into()), ..Field::new(name, "b") };
        let free = Change::Update(vec![field("Installation default spec.registry")]);
        assert_eq!(manifest.refuse_fixed(free.clone()), free);
        let refused = manifest.refuse_fixed(Change::Update(vec![field("Installation default spec.ipPools[0].cidr"), field("x")]));
        assert!(matches!(&refused, Change::Refused(refusal) if refusal.why == "it stays" && refusal.fields.len() == 2), "{refused:?}");
    }
}
