//! The Tigera operator, which runs Calico: upstream's manifests, pinned by their digests.
use crate::{
    artifact::{Artifacts, Pins, Upstream, calico_files, digest_of},
    kubernetes::{
        Document, Place,
        objects::{self, LiveObjects},
    },
    versions::{Component, Minor, known_lines},
};
use kthw_engine::{Change, Error, Field, Id, Peers, Permit, Refusal, Removable, Resource, Result};
use miette::Diagnostic;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The operator of one cluster.
#[derive(Debug)]
pub struct Operator {
    place: Place,
    version: String,
    /// Upstream's files, in the order of their use. One without a digest is never fetched.
    files: Vec<(Upstream, Option<String>)>,
    documents: OnceCell<Vec<Arc<Document>>>,
}

impl Operator {
    /// The operator in `version`. Digests that kthw does not know are taken from `pins`.
    ///
    /// # Errors
    /// A version of which kthw does not know what files it has.
    pub fn new(place: Place, version: &str, pins: &Pins) -> std::result::Result<Self, UnknownVersion> {
        let files = calico_files(version).ok_or_else(|| UnknownVersion::new(version))?;
        let version = files.first().map(|file| file.version.clone()).unwrap_or_default();
        let files = files.into_iter().map(|file| (file.clone(), digest_of(&file, pins))).collect();
        Ok(Self { place, version, files, documents: OnceCell::new() })
    }

    /// The objects of the manifests; fetched and parsed once.
    async fn documents(&self, peers: &Peers) -> Result<&Vec<Arc<Document>>> {
        let load = || async {
            let mut all = Vec::new();
            for (file, sha256) in &self.files {
                let Some(sha256) = sha256 else { return Err(Error::refused(NoDigest { path: file.path() })) };
                let bytes = peers.get::<Artifacts>()?.fetch(&file.clone().with_digest(sha256)).await?;
                let documents = Document::parse(&String::from_utf8_lossy(&bytes)).map_err(Error::peer)?;
                all.extend(documents.into_iter().map(Arc::new));
            }
            Ok(all)
        };
        self.documents.get_or_try_init(load).await
    }

    /// Files that anybody could swap are not applied to a cluster.
    fn unpinned(&self) -> Option<Refusal> {
        let missing: Vec<String> = self.files.iter().filter(|(_, sha256)| sha256.is_none()).map(|(file, _)| file.path()).collect();
        let (has, it) = if missing.len() == 1 { ("has", "it") } else { ("have", "them") };
        (!missing.is_empty()).then(|| Refusal {
            why: format!("{} {has} no digest, so nobody would notice other contents", missing.join(" and ")),
            next: format!("`kthw artifacts pin` fetches {it}, shows what is in {it}, and records the digest beside the workspace"),
            fields: Vec::new(),
        })
    }
}

impl Resource for Operator {
    type Live = LiveObjects;
    /// An object that was there before may have been taken over; nobody can give it back.
    const REMOVABLE: Removable = Removable::Declared;

    fn id(&self) -> Id {
        Id::new("calico.operator", &self.place.cluster)
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveObjects>> {
        if self.unpinned().is_some() {
            return Ok(None);
        }
        let client = objects::client(peers, &self.place.node).await?;
        let live = objects::read(&client, self.documents(peers).await?).await?;
        Ok((!live.is_absent()).then_some(live))
    }

    fn diff(&self, live: Option<&LiveObjects>) -> Change {
        if let Some(refusal) = self.unpinned() {
            return Change::Refused(refusal);
        }
        let mut fields = vec![Field::new("version", &self.version)];
        for (file, sha256) in &self.files {
            let name = if file.file.contains("crds") { "definitions" } else { "manifest" };
            fields.extend(sha256.as_ref().map(|sha256| Field::new(name, format!("sha256 {sha256}"))));
        }
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

    fn is_ours(&self, live: &LiveObjects) -> bool {
        live.any_is_ours()
    }

    async fn remove(&self, live: LiveObjects, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        objects::remove(peers, &client, &live, permit).await
    }
}

/// A file of the operator has no digest. A plan refuses it before anybody could ask for it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} has no digest")]
#[diagnostic(code(kthw::calico::no_digest), help("`kthw artifacts pin` records one"))]
struct NoDigest {
    path: String,
}

/// A Calico version of a minor that kthw does not know.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("kthw does not know Calico {version}; it knows the releases of {known}")]
#[diagnostic(code(kthw::calico::unknown_version), help("{help}"))]
pub struct UnknownVersion {
    version: String,
    known: String,
    help: String,
}

impl UnknownVersion {
    fn new(version: &str) -> Self {
        let known = Minor::list(&known_lines(Component::Calico));
        Self {
            version: version.into(),
            known,
            help: "write a full version, such as `3.32.1`, or set `versions.calico` in the workspace".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Pin;

    fn operator(version: &str, pins: &Pins) -> std::result::Result<Operator, UnknownVersion> {
        Operator::new(Place { cluster: "u".into(), node: "cu1".into() }, version, pins)
    }

    #[test]
    fn an_unknown_version_lists_the_known_ones() {
        let error = operator("3.99.0", &Pins::default()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "kthw does not know Calico 3.99.0; it knows the releases of 3.26, 3.27, 3.28, 3.29, 3.30, 3.31 and 3.32"
        );
    }

    #[test]
    fn a_version_without_digests_is_refused_until_it_is_pinned() {
        let mut pins = Pins::default();
        let change = |pins: &Pins| operator("3.32.1", pins).expect("known").diff(None);
        let Change::Refused(refusal) = change(&pins) else { panic!("{:?}", change(&pins)) };
        let both = "calico/v3.32.1/operator-crds.yaml and calico/v3.32.1/tigera-operator.yaml have no digest";
        assert!(refusal.why.starts_with(both) && refusal.next.contains("kthw artifacts pin"), "{refusal:?}");
        for (file, digit) in calico_files("3.32.1").expect("known").into_iter().zip(["1", "2"]) {
            assert!(matches!(change(&pins), Change::Refused(_)), "one is not enough");
            pins.add(Pin::of(file, digit.repeat(64), 7, "2026-11-29".into()), false).expect("new");
        }
        let fields: Vec<String> = change(&pins).fields().iter().map(ToString::to_string).collect();
        let expected =
            ["version: v3.32.1".into(), format!("definitions: sha256 {}", "1".repeat(64)), format!("manifest: sha256 {}", "2".repeat(64))];
        assert_eq!(fields, expected);
    }
}
