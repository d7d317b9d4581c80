//! What upstream publishes as manifests and runs in the cluster: applied from files with known digests, and seen to run.
use super::{
    document::Document,
    error::{ReadObject, in_words},
    objects::{self, LiveObjects},
    place::Place,
    rollout::{WORKLOADS, behind, trouble},
};
use crate::{
    artifact::{Artifacts, Pins, Upstream, digest_of},
    kubernetes::{At, Client},
};
use kthw_engine::{Change, Error, Field, Id, Limit, Peers, Permit, Poll, Refusal, Removable, Resource, Result, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// How long its workloads may take to run: images are pulled.
const ROLLOUT: Limit = Limit::minutes(10);

/// An add-on of one cluster, in one version.
#[derive(Debug)]
pub struct AddOn {
    id: Id,
    place: Place,
    /// Upstream's files, in the order of their use. One without a digest is never fetched.
    files: Vec<(Upstream, Option<String>)>,
    documents: OnceCell<Vec<Arc<Document>>>,
}

/// What reading found of it.
#[derive(Debug)]
pub struct LiveAddOn {
    objects: LiveObjects,
    /// Workloads that are not rolled out, with what keeps them.
    behind: Vec<Field>,
}

impl AddOn {
    /// What `files` say, under the identity `id`. Digests that kthw does not know are taken from `pins`.
    pub fn new(id: Id, place: Place, files: Vec<Upstream>, pins: &Pins) -> Self {
        let files = files.into_iter().map(|file| (file.clone(), digest_of(&file, pins))).collect();
        Self { id, place, files, documents: OnceCell::new() }
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

    async fn look(&self, client: &Client, peers: &Peers) -> Result<LiveAddOn> {
        let objects = objects::read(client, self.documents(peers).await?).await?;
        let behind = stragglers(client, &objects).await?;
        Ok(LiveAddOn { objects, behind })
    }

    /// Waits until all of its workloads run.
    async fn rolled_out(&self, client: &Client, peers: &Peers) -> Result<()> {
        let is_workload = |document: &&Arc<Document>| WORKLOADS.contains(&document.kind.as_str());
        let workloads: Vec<Arc<Document>> = self.documents(peers).await?.iter().filter(is_workload).cloned().collect();
        let (workloads, id) = (&workloads, &self.id);
        let help = "`kubectl describe` of that pod says more; images come from the registries that the workspace names";
        wait(peers, ROLLOUT, &format!("{id} to run"), help, || async move {
            let live = objects::read(client, workloads).await?;
            match stragglers(client, &live).await?.first() {
                None => Ok(Poll::Ready(())),
                Some(field) => Ok(Poll::Pending(format!("{}: {}", field.name, field.live.as_deref().unwrap_or_default()))),
            }
        })
        .await
    }
}

impl Resource for AddOn {
    type Live = LiveAddOn;
    /// An object that was there before may have been taken over; nobody can give it back.
    const REMOVABLE: Removable = Removable::Declared;

    fn id(&self) -> Id {
        self.id.clone()
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveAddOn>> {
        if self.unpinned().is_some() {
            return Ok(None);
        }
        let client = objects::client(peers, &self.place.node).await?;
        let live = self.look(&client, peers).await?;
        Ok((!live.objects.is_absent()).then_some(live))
    }

    fn diff(&self, live: Option<&LiveAddOn>) -> Change {
        if let Some(refusal) = self.unpinned() {
            return Change::Refused(refusal);
        }
        if let Some(live) = live {
            let fields = live.objects.change().fields().to_vec();
            return Change::between(fields.into_iter().chain(live.behind.iter().cloned()).map(Some));
        }
        let version = self.files.first().map(|(file, _)| Field::new("version", &file.version));
        let digests = self.files.iter().filter_map(|(file, sha256)| {
            let name = if file.file.contains("crds") { "definitions" } else { "manifest" };
            sha256.as_ref().map(|sha256| Field::new(name, format!("sha256 {sha256}")))
        });
        Change::create(version.into_iter().chain(digests))
    }

    async fn apply(&self, live: Option<LiveAddOn>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = match live {
            Some(live) => live,
            None => self.look(&client, peers).await?,
        };
        objects::apply(peers, &client, &live.objects, permit).await?;
        self.rolled_out(&client, peers).await
    }

    fn is_ours(&self, live: &LiveAddOn) -> bool {
        live.objects.any_is_ours()
    }

    async fn remove(&self, live: LiveAddOn, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        objects::remove(peers, &client, &live.objects, permit).await
    }
}

/// The workloads among what is there that do not run yet, each with what keeps it.
async fn stragglers(client: &Client, live: &LiveObjects) -> Result<Vec<Field>> {
    let mut found = Vec::new();
    for (document, object) in live.there() {
        let Some(why) = behind(object) else { continue };
        let pods = pods(client, document.namespace.as_deref().unwrap_or("default")).await?;
        let why = trouble(object, &pods).map_or(why.clone(), |trouble| format!("{why}: {trouble}"));
        found.push(Field { live: Some(why), ..Field::new(document.to_string(), "runs") });
    }
    Ok(found)
}

async fn pods(client: &Client, namespace: &str) -> Result<Vec<Value>> {
    let at = At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod")), namespace: Some(namespace.to_owned()) };
    let refused = |error: kube::Error| Error::peer(ReadObject { what: format!("the pods of {namespace}"), reason: in_words(&error) });
    let pods = client.list(&at, "").await.map_err(refused)?;
    Ok(pods.into_iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect())
}

/// A file of the add-on has no digest. A plan refuses it before anybody could ask for it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} has no digest")]
#[diagnostic(code(kthw::kubernetes::no_digest), help("`kthw artifacts pin` records one"))]
struct NoDigest {
    path: String,
}
