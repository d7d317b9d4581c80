//! Objects in a cluster: reading what was declared, and keeping it by server-side apply.
use super::{
    client::{At, Client},
    compare::{APPLIED, compare},
    document::{Document, Tier},
    error::{ApplyObject, NoSuchKind, NoWay, ReadObject, RemoveObject, in_words, is_not_found, is_passing},
};
use crate::seams::KubernetesAccess;
use futures::{StreamExt, TryStreamExt, stream};
use kthw_engine::{Change, Effect, Error, Field, Intent, Limit, Peers, Permit, Poll, Recovery, Result, progress, wait};
use kube::{api::ApiResource, core::GroupVersion};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// How many requests of one resource are under way at once.
const SIDE_BY_SIDE: usize = 8;

/// The longest time for finding the way to an API: a node is asked for it.
const OPEN_LIMIT: Duration = Duration::from_secs(300);

/// How long webhooks may take to answer: their pods may be pulling images.
const WEBHOOKS: Limit = Limit::minutes(2);

/// What reading found of a set of declared objects.
#[derive(Debug)]
pub struct LiveObjects {
    found: Vec<(Arc<Document>, Option<Value>)>,
}

impl LiveObjects {
    /// Whether not one of them is there.
    pub fn is_absent(&self) -> bool {
        self.found.iter().all(|(_, live)| live.is_none())
    }

    /// What has to change, field path by field path. Pure.
    pub fn change(&self) -> Change {
        if self.is_absent() {
            return create(self.found.iter().map(|(document, _)| &**document));
        }
        Change::between(self.found.iter().flat_map(|(document, live)| match live {
            Some(live) => compare(document, live).into_iter().map(Some).collect::<Vec<_>>(),
            None => vec![Some(Field { live: Some("absent".into()), ..Field::new(document.to_string(), "present") })],
        }))
    }

    /// The objects that are there and that kthw applied.
    fn ours(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.found.iter().filter(|(_, live)| live.as_ref().is_some_and(is_applied)).map(|(document, _)| document)
    }

    /// Those that are there, as they are.
    pub fn there(&self) -> impl Iterator<Item = (&Arc<Document>, &Value)> {
        self.found.iter().filter_map(|(document, live)| Some((document, live.as_ref()?)))
    }

    /// All that were looked for.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.found.iter().map(|(document, _)| document)
    }

    /// Those that are there and that kthw applied.
    pub fn only_ours(self) -> Self {
        Self { found: self.found.into_iter().filter(|(_, live)| live.as_ref().is_some_and(is_applied)).collect() }
    }

    /// Whether at least one of them was applied by kthw.
    pub fn any_is_ours(&self) -> bool {
        self.ours().next().is_some()
    }

    /// The objects that are not as declared.
    fn differing(&self) -> Vec<Arc<Document>> {
        let differs = |document: &Document, live: &Option<Value>| live.as_ref().is_none_or(|live| !compare(document, live).is_empty());
        self.found.iter().filter(|(document, live)| differs(document, live)).map(|(document, _)| document.clone()).collect()
    }
}

fn is_applied(live: &Value) -> bool {
    live["metadata"]["annotations"][APPLIED].is_string()
}

/// The change that makes all of these objects.
pub fn create<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Change {
    Change::create(documents.into_iter().map(|document| Field::new(document.to_string(), "present")))
}

/// The client for the API of the cluster whose control-plane node is `node`. Every request of kthw comes from here, so a server that
/// is still starting refuses none of them.
///
/// # Errors
/// When the API cannot be reached.
pub async fn client(peers: &Peers, node: &str) -> Result<Client> {
    let open = peers.get::<Arc<dyn KubernetesAccess>>()?.open(node);
    let silent = |_| Error::peer(NoWay { node: node.to_owned(), seconds: OPEN_LIMIT.as_secs() });
    let client = tokio::time::timeout(OPEN_LIMIT, open).await.map_err(silent)??;
    Ok(client.patient(peers.shared_clock()))
}

/// Reads every declared object, with nothing but GET requests.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub async fn read(client: &Client, documents: &[Arc<Document>]) -> Result<LiveObjects> {
    let kinds = Kinds::discover(client, documents).await?;
    let found = stream::iter(documents.iter().cloned())
        .map(|document| {
            let at = kinds.at(&document);
            async move {
                let live = match at {
                    Some(at) => get(client, &at, &document).await?,
                    None => None,
                };
                Ok::<_, Error>((document, live))
            }
        })
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    Ok(LiveObjects { found })
}

/// Makes the objects that differ as declared: definitions first, then namespaces, then the rest in the order of the manifest.
///
/// # Errors
/// What the server refuses, and waits that took too long.
pub async fn apply(peers: &Peers, client: &Client, live: &LiveObjects, permit: &Permit) -> Result<()> {
    let mut documents = live.differing();
    documents.sort_by_key(|document| document.tier());
    for tier in [Tier::Definition, Tier::Namespace, Tier::Other] {
        let members: Vec<_> = documents.iter().filter(|document| document.tier() == tier).cloned().collect();
        if members.is_empty() {
            continue;
        }
        let kinds = kinds_of_all(peers, client, &members).await?;
        for (index, document) in members.iter().enumerate() {
            progress(format!("applying {document} ({} of {})", index + 1, members.len()));
            let at = kinds.at(document).ok_or_else(|| Error::peer(NoSuchKind::of(document)))?;
            let intent = Intent::on("kubernetes", format!("applying {document}"), Recovery::Look)
                .told_by(format!("{APPLIED}: {}", document.digest()));
            permit.effect(intent, async |effect| apply_one(peers, client, &at, document, effect).await).await?;
        }
        if tier == Tier::Definition {
            let kinds = &kinds;
            stream::iter(&members).map(Ok).try_for_each_concurrent(SIDE_BY_SIDE, |one| established(peers, client, kinds, one)).await?;
        }
    }
    Ok(())
}

/// Asks the server, and the webhooks that look at these objects, whether it would take those that differ; nothing is changed. A webhook whose
/// pods are just starting is waited for, so that nothing is half done.
///
/// # Errors
/// What the server or a webhook refuses, and webhooks that do not answer.
pub async fn rehearse(peers: &Peers, client: &Client, live: &LiveObjects) -> Result<()> {
    let documents = live.differing();
    let kinds = kinds_of_all(peers, client, &documents).await?;
    for document in &documents {
        let at = &kinds.at(document).ok_or_else(|| Error::peer(NoSuchKind::of(document)))?;
        let body = &applied_body(document);
        let help = "the pods behind a webhook have to run: `kubectl get pods -A`, and `kubectl get endpointslices -A` shows whether its service has one";
        wait(peers, WEBHOOKS, &format!("the API server and its webhooks to accept {document}"), help, || async move {
            taken(client.rehearse(at, &document.name, body).await, document)
        })
        .await?;
    }
    Ok(())
}

/// Removes the objects that kthw applied, the last of the manifest first, and sees that they are gone.
///
/// # Errors
/// What the server refuses, and objects that stay because something keeps them.
pub async fn remove(peers: &Peers, client: &Client, live: &LiveObjects, permit: &Permit) -> Result<()> {
    let mut documents: Vec<_> = live.ours().cloned().collect();
    documents.sort_by_key(|document| document.tier());
    documents.reverse();
    let kinds = Kinds::discover(client, &documents).await?;
    for (index, document) in documents.iter().enumerate() {
        progress(format!("removing {document} ({} of {})", index + 1, documents.len()));
        // A kind that is no longer served went with its definition, and its objects with it.
        let Some(at) = kinds.at(document) else { continue };
        let refused = |error: &kube::Error| Error::peer(RemoveObject { what: document.to_string(), reason: in_words(error) });
        let intent = Intent::on("kubernetes", format!("removing {document}"), Recovery::Look);
        permit.effect(intent, async |effect| client.delete(&at, &document.name, effect).await.map_err(|error| refused(&error))).await?;
    }
    let (documents, kinds) = (&documents, &kinds);
    let help = "`kubectl get` shows its `metadata.finalizers`: what keeps it has to let it go";
    wait(peers, Limit::minutes(2), "the objects to be gone", help, || async move {
        for document in documents {
            let Some(at) = kinds.at(document) else { continue };
            if get(client, &at, document).await?.is_some() {
                return Ok(Poll::Pending(format!("{document} is still there")));
            }
        }
        Ok(Poll::Ready(()))
    })
    .await
}

async fn get(client: &Client, at: &At, document: &Document) -> Result<Option<Value>> {
    match client.get(at, &document.name).await {
        Ok(None) => Ok(None),
        Ok(Some(object)) => Ok(serde_json::to_value(object).ok()),
        Err(error) => Err(Error::peer(ReadObject { what: document.to_string(), reason: in_words(&error) })),
    }
}

/// Applies one object. Server-side apply can be repeated, so a server that is busy or restarting is asked again for a while.
async fn apply_one(peers: &Peers, client: &Client, at: &At, document: &Document, effect: &Effect) -> Result<()> {
    let body = &applied_body(document);
    wait(
        peers,
        Limit::seconds(60),
        &format!("the API server to take {document}"),
        "see that the API server stays up: `crictl ps` and `journalctl -u kubelet` on the control plane",
        || async move { taken(client.apply(at, &document.name, body, effect).await, document) },
    )
    .await
}

/// The object as it is sent: with a note of what was applied.
fn applied_body(document: &Document) -> Value {
    let mut body = document.body.clone();
    body["metadata"]["annotations"][APPLIED] = json!(document.digest());
    body
}

/// What the server's answer to an apply means for a wait.
fn taken(answer: kube::Result<()>, document: &Document) -> Result<Poll<()>> {
    match answer {
        Ok(()) => Ok(Poll::Ready(())),
        Err(error) if is_passing(&error) => Ok(Poll::Pending(in_words(&error))),
        Err(error) => Err(Error::peer(ApplyObject { what: document.to_string(), reason: in_words(&error) })),
    }
}

/// Waits until the server serves what a definition defines.
async fn established(peers: &Peers, client: &Client, kinds: &Kinds, definition: &Document) -> Result<()> {
    let Some(at) = kinds.at(definition) else { return Err(Error::peer(NoSuchKind::of(definition))) };
    let at = &at;
    wait(
        peers,
        Limit::seconds(60),
        &format!("{definition} to be established"),
        "the definition's `status.conditions` say what is wrong with it",
        || async move {
            let live = get(client, at, definition).await?.unwrap_or_default();
            match condition(&live, "Established") {
                Some(("True", _)) => Ok(Poll::Ready(())),
                Some((_, why)) => Ok(Poll::Pending(why)),
                None => Ok(Poll::Pending("the server has not looked at it yet".into())),
            }
        },
    )
    .await
}

/// The status of a condition, and its reason and message in words.
pub fn condition<'a>(object: &'a Value, name: &str) -> Option<(&'a str, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let one = conditions.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(name))?;
    let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
    let why = match (text("reason"), text("message")) {
        ("", "") => "no reason given".into(),
        ("", only) | (only, "") => only.into(),
        (reason, message) => format!("{reason}: {message}"),
    };
    Some((text("status"), why))
}

/// Finds the kinds of all documents; a kind that was just defined may take the server a moment to list.
async fn kinds_of_all(peers: &Peers, client: &Client, documents: &[Arc<Document>]) -> Result<Kinds> {
    wait(
        peers,
        Limit::seconds(30),
        "the API server to serve every kind of the manifest",
        "apply the custom resource definitions that it needs first, with `needs: [...]`",
        || async move {
            let kinds = Kinds::discover(client, documents).await?;
            match documents.iter().find(|document| kinds.find(document).is_none()) {
                None => Ok(Poll::Ready(kinds)),
                Some(missing) => Ok(Poll::Pending(format!("no kind `{}` in {}", missing.kind, missing.api_version))),
            }
        },
    )
    .await
}

/// What the server serves of the API versions that a manifest uses.
///
/// Each version is asked for by itself: that is less than what the server says of everything that it serves.
struct Kinds(HashMap<(String, String), (ApiResource, bool)>);

impl Kinds {
    async fn discover(client: &Client, documents: &[Arc<Document>]) -> Result<Self> {
        let versions: BTreeSet<String> = documents.iter().map(|document| document.api_version.clone()).collect();
        let lists: Vec<_> =
            stream::iter(versions).map(|version| resources(client, version)).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        Ok(Self(lists.into_iter().flatten().collect()))
    }

    fn find(&self, document: &Document) -> Option<&(ApiResource, bool)> {
        self.0.get(&(document.api_version.clone(), document.kind.clone()))
    }

    fn at(&self, document: &Document) -> Option<At> {
        let (resource, namespaced) = self.find(document)?;
        let namespace = namespaced.then(|| document.namespace.clone().unwrap_or_else(|| "default".into()));
        Some(At { resource: resource.clone(), namespace })
    }
}

async fn resources(client: &Client, version: String) -> Result<Vec<((String, String), (ApiResource, bool))>> {
    let list = match client.resources(&version).await {
        Ok(list) => list,
        // The group is not served (yet): nothing of it exists.
        Err(error) if is_not_found(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::peer(ReadObject { what: format!("the kinds of {version}"), reason: in_words(&error) })),
    };
    let group_version: GroupVersion = match version.parse() {
        Ok(parsed) => parsed,
        Err(_) => return Ok(Vec::new()),
    };
    Ok(list
        .resources
        .into_iter()
        .filter(|resource| !resource.name.contains('/'))
        .map(|resource| {
            let kind = group_version.clone().with_kind(&resource.kind);
            ((version.clone(), resource.kind), (ApiResource::from_gvk_with_plural(&kind, &resource.name), resource.namespaced))
        })
        .collect())
}
