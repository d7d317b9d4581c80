//! The Tigera operator, which runs Calico: upstream's manifest, pinned by its digest.
use crate::{
    artifact::{Artifact, Artifacts, calico_operator, calico_versions},
    kubernetes::{
        Document, Place,
        objects::{self, LiveObjects},
    },
};
use kthw_engine::{Change, Error, Field, Id, Peers, Permit, Removable, Resource, Result, nearest};
use miette::Diagnostic;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The operator of one cluster.
#[derive(Debug)]
pub struct Operator {
    place: Place,
    artifact: Artifact,
    documents: OnceCell<Vec<Arc<Document>>>,
}

impl Operator {
    /// The operator in `version`.
    ///
    /// # Errors
    /// A version that kthw has no digest for.
    pub fn new(place: Place, version: &str) -> std::result::Result<Self, UnknownVersion> {
        let artifact = calico_operator(version).ok_or_else(|| UnknownVersion::new(version))?;
        Ok(Self { place, artifact, documents: OnceCell::new() })
    }

    /// The objects of the manifest; fetched and parsed once.
    async fn documents(&self, peers: &Peers) -> Result<&Vec<Arc<Document>>> {
        let load = || async {
            let bytes = peers.get::<Artifacts>()?.fetch(&self.artifact).await?;
            let documents = Document::parse(&String::from_utf8_lossy(&bytes)).map_err(Error::peer)?;
            Ok(documents.into_iter().map(Arc::new).collect())
        };
        self.documents.get_or_try_init(load).await
    }
}

impl Resource for Operator {
    type Live = LiveObjects;
    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        Id::new("calico.operator", &self.place.cluster)
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveObjects>> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = objects::read(&client, self.documents(peers).await?).await?;
        Ok((!live.is_absent()).then_some(live))
    }

    fn diff(&self, live: Option<&LiveObjects>) -> Change {
        let fields = [Field::new("version", &self.artifact.version), Field::new("manifest", format!("sha256 {}", self.artifact.sha256))];
        live.map_or_else(|| Change::create(fields), LiveObjects::change)
    }

    async fn apply(&self, live: Option<LiveObjects>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = match live {
            Some(live) => live,
            None => objects::read(&client, self.documents(peers).await?).await?,
        };
        objects::apply(peers, &client, &live, permit).await
    }

    fn keeps(&self, live: &LiveObjects) -> Option<String> {
        live.keeps()
    }

    async fn remove(&self, live: LiveObjects, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        objects::remove(peers, &client, &live, permit).await
    }
}

/// A Calico version without a known digest.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("kthw does not know Calico {version}; it knows {known}")]
#[diagnostic(code(kthw::calico::unknown_version), help("{help}"))]
pub struct UnknownVersion {
    version: String,
    known: String,
    help: String,
}

impl UnknownVersion {
    fn new(version: &str) -> Self {
        let known = calico_versions();
        let guess = nearest(version, known.iter().copied()).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        Self { version: version.into(), known: known.join(", "), help: format!("{guess}set `versions.calico` in the workspace") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_lists_the_known_ones() {
        let place = Place { cluster: "u".into(), node: "cu1".into() };
        let error = Operator::new(place, "3.28.9").expect_err("refused");
        assert_eq!(error.to_string(), "kthw does not know Calico 3.28.9; it knows 3.26.4, 3.27.0, 3.28.0");
        assert_eq!(error.help, "did you mean 3.28.0? set `versions.calico` in the workspace");
    }
}
