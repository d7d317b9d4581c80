//! What upstream publishes as manifests and runs in the cluster, or objects that stand on it: applied, seen to run, and gone with its name.
use super::{
    document::Document,
    inventory::{Inventory, Recorded, is_same},
    objects::{self, LiveObjects},
    place::Place,
    rollout::WORKLOADS,
    stragglers::stragglers,
    strangers,
};
use crate::{
    artifact::{Artifacts, Pins, Upstream, digest_of},
    kubernetes::Client,
};
use kthw_engine::{Change, Error, Field, Id, Limit, Peers, Permit, Poll, Refusal, Removable, Resource, Result, wait};
use miette::Diagnostic;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// How long its workloads may take to run: images are pulled.
const ROLLOUT: Limit = Limit::minutes(10);

/// An add-on of one cluster, in one version; or a set of objects for one.
#[derive(Debug)]
pub struct AddOn {
    id: Id,
    place: Place,
    inventory: Inventory,
    /// As upstream spells it; empty for what has none.
    version: String,
    /// Upstream's files, in the order of their use. One without a digest is never fetched.
    files: Vec<(Upstream, Option<String>)>,
    /// Objects in kthw's own words, after those of the files.
    own: Vec<Arc<Document>>,
    documents: OnceCell<Vec<Arc<Document>>>,
}

/// What reading found of it.
#[derive(Debug)]
pub struct LiveAddOn {
    objects: LiveObjects,
    /// What an earlier version had, of what is still there.
    former: LiveObjects,
    recorded: Option<Recorded>,
    /// Workloads that are not rolled out, with what keeps them.
    behind: Vec<Field>,
    /// Objects of others that would go with its definitions.
    strangers: Vec<String>,
}

impl AddOn {
    /// What `files` of a release say, under the identity `id`. Digests that kthw does not know are taken from `pins`.
    pub fn of_files(id: Id, place: Place, version: &str, files: Vec<Upstream>, pins: &Pins) -> Self {
        let files = files.into_iter().map(|file| (file.clone(), digest_of(&file, pins))).collect();
        Self { version: version.into(), files, ..Self::of_documents(id, place, Vec::new()) }
    }

    /// These `documents`, under the identity `id`; with none of them, what an earlier run applied under it is looked for all the same.
    pub fn of_documents(id: Id, place: Place, documents: Vec<Document>) -> Self {
        let (inventory, own) = (Inventory::new(&id, &place.cluster), documents.into_iter().map(Arc::new).collect());
        Self { id, place, inventory, version: String::new(), files: Vec::new(), own, documents: OnceCell::new() }
    }

    /// The same with `documents` beside what the files say.
    #[must_use]
    pub fn with(mut self, documents: Vec<Document>) -> Self {
        self.own.extend(documents.into_iter().map(Arc::new));
        self
    }

    /// The objects; files are fetched and parsed once.
    async fn documents(&self, peers: &Peers) -> Result<&Vec<Arc<Document>>> {
        let load = || async {
            let mut all = Vec::new();
            for (file, sha256) in &self.files {
                let Some(sha256) = sha256 else { return Err(Error::refused(NoDigest { path: file.path() })) };
                let bytes = peers.get::<Artifacts>()?.fetch(&file.clone().with_digest(sha256)).await?;
                let documents = Document::parse(&String::from_utf8_lossy(&bytes)).map_err(Error::peer)?;
                all.extend(documents.into_iter().map(|document| Arc::new(document.without_injected_authorities())));
            }
            all.extend(self.own.iter().cloned());
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
        let documents = self.documents(peers).await?;
        let list = [Arc::new(self.inventory.document("", []).map_err(Error::peer)?)];
        let recorded = objects::read(client, &list).await?.there().next().map(|(_, live)| Inventory::read(live));
        let is_former = |one: &&Arc<Document>| !documents.iter().any(|document| is_same(document, one));
        let former: Vec<_> = recorded.iter().flat_map(|recorded| &recorded.objects).filter(is_former).cloned().collect();
        let (objects, former) = (objects::read(client, documents).await?, objects::read(client, &former).await?.only_ours());
        let behind = stragglers(client, &objects).await?;
        // Only who removes all of it has to know, and has no documents then.
        let strangers = if documents.is_empty() { strangers::of(client, &former).await? } else { Vec::new() };
        Ok(LiveAddOn { objects, former, recorded, behind, strangers })
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

    /// Writes down which objects there are, if that is not what the list says.
    async fn record<'a>(
        &self,
        peers: &Peers,
        client: &Client,
        objects: impl IntoIterator<Item = &'a Arc<Document>>,
        permit: &Permit,
    ) -> Result<()> {
        let list = [Arc::new(self.inventory.document(&self.version, objects).map_err(Error::peer)?)];
        objects::apply(peers, client, &objects::read(client, &list).await?, permit).await
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
        let is_there = live.recorded.is_some() || !live.objects.is_absent();
        Ok(is_there.then_some(live))
    }

    fn diff(&self, live: Option<&LiveAddOn>) -> Change {
        if let Some(refusal) = self.unpinned() {
            return Change::Refused(refusal);
        }
        if let Some(live) = live {
            return live.change(&self.version);
        }
        let version = (!self.version.is_empty()).then(|| Field::new("version", &self.version));
        let digests = self.files.iter().filter_map(|(file, sha256)| {
            let name = if file.file.contains("crd") { "definitions" } else { "manifest" };
            sha256.as_ref().map(|sha256| Field::new(name, format!("sha256 {sha256}")))
        });
        let own = objects::create(self.own.iter().map(|document| &**document)).fields().to_vec();
        Change::create(version.into_iter().chain(digests).chain(own))
    }

    async fn apply(&self, live: Option<LiveAddOn>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = match live {
            Some(live) => live,
            None => self.look(&client, peers).await?,
        };
        let documents = self.documents(peers).await?;
        if self.files.is_empty() {
            objects::rehearse(peers, &client, &live.objects).await?;
        }
        self.record(peers, &client, live.former.documents().chain(documents), permit).await?;
        objects::apply(peers, &client, &live.objects, permit).await?;
        self.rolled_out(&client, peers).await?;
        if !live.former.is_absent() {
            objects::remove(peers, &client, &live.former, permit).await?;
            self.record(peers, &client, documents, permit).await?;
        }
        Ok(())
    }

    fn is_ours(&self, live: &LiveAddOn) -> bool {
        live.recorded.is_some() || live.objects.any_is_ours()
    }

    fn keeps(&self, live: &LiveAddOn) -> Option<String> {
        let (first, more) = live.strangers.split_first()?;
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        Some(format!("{first}{more} would go with its definitions, and kthw did not make them: remove them first"))
    }

    async fn remove(&self, live: LiveAddOn, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        objects::remove(peers, &client, &live.former, permit).await?;
        objects::remove(peers, &client, &live.objects, permit).await?;
        let list = [Arc::new(self.inventory.document("", []).map_err(Error::peer)?)];
        objects::remove(peers, &client, &objects::read(&client, &list).await?, permit).await
    }
}

impl LiveAddOn {
    /// What has to change for it to be of `version`.
    fn change(&self, version: &str) -> Change {
        let newer = self.recorded.as_ref().filter(|recorded| recorded.version != version);
        let newer = newer.map(|recorded| Field { live: Some(recorded.version.clone()), ..Field::new("version", version) });
        let gone = self.former.documents().map(|one| Field { live: Some("of before".into()), ..Field::new(one.to_string(), "absent") });
        let objects = self.objects.change().fields().to_vec();
        let list = self.recorded.is_none().then(|| Field { live: Some("absent".into()), ..Field::new("list of its objects", "present") });
        let all = newer.into_iter().chain(objects).chain(gone).chain(self.behind.iter().cloned()).chain(list);
        Change::between(all.map(Some))
    }
}

/// A file of the add-on has no digest. A plan refuses it before anybody could ask for it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} has no digest")]
#[diagnostic(code(kthw::kubernetes::no_digest), help("`kthw artifacts pin` records one"))]
struct NoDigest {
    path: String,
}
