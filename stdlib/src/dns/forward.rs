//! Zones of cluster DNS that other name servers serve: a block in CoreDNS's Corefile.
use super::corefile::{Corefile, Zones, joined};
use crate::kubernetes::{At, Client, Place, ReadObject, in_words, is_conflict, is_passing, objects};
use kthw_engine::{
    BadOption, Change, Error, Field, Id, Intent, Limit, Peers, Permit, Poll, Recovery, Refusal, Removable, Resource, Result, field, wait,
};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use serde::Deserialize;
use serde_json::{Value, json};

/// Where kubeadm puts the Corefile (<https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/>).
const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
const KEY: &str = "Corefile";
/// How long a server that is busy, or somebody who writes the same object, may keep the change from being made.
const TAKES: Limit = Limit::seconds(60);

/// The options of `dns::forward`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardSpec {
    /// Zones, and the addresses of who serves each.
    zones: Zones,
}

/// The resource behind `dns::forward`.
#[derive(Debug)]
pub struct Forward {
    place: Place,
    zones: Zones,
}

/// What reading found.
#[derive(Debug)]
pub struct LiveForward {
    /// `resourceVersion`, by which a change is refused when somebody was faster.
    version: Value,
    /// The Corefile, or why it is none that a block can be kept in.
    corefile: std::result::Result<Corefile, String>,
}

impl Forward {
    /// The zones of a cluster.
    ///
    /// # Errors
    /// Zones without a server, or none at all.
    pub fn new(place: Place, spec: ForwardSpec) -> std::result::Result<Self, BadOption> {
        if spec.zones.0.is_empty() {
            return Err(BadOption::new("dns::forward", "`zones` names none".into()));
        }
        if let Some((zone, _)) = spec.zones.0.iter().find(|(_, servers)| servers.is_empty()) {
            return Err(BadOption::new("dns::forward", format!("nobody serves `{zone}`: name an address at least")));
        }
        Ok(Self { place, zones: spec.zones })
    }

    fn unreadable(error: &kube::Error) -> Error {
        Error::peer(ReadObject { what: format!("ConfigMap {NAMESPACE}/{NAME}"), reason: in_words(error) })
    }

    /// Makes the Corefile what `edit` makes of it, by one change that is refused when somebody else was faster, and then tried again.
    async fn change(&self, what: &str, peers: &Peers, permit: &Permit, edit: impl Fn(&Corefile) -> String + Sync) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let intent = Intent::on("kubernetes", what, Recovery::Look);
        let help = "see that the API server stays up, and who else writes `kubectl -n kube-system get configmap coredns`";
        permit
            .effect(intent, async |effect| {
                wait(peers, TAKES, "the API server to take a change of the Corefile", help, async || {
                    let sent = match look(&client).await {
                        Ok(LiveForward { version, corefile: Ok(corefile) }) => {
                            let body = json!({ "metadata": { "resourceVersion": version }, "data": { KEY: edit(&corefile) } });
                            client.patch(&at(), NAME, &body, effect).await
                        }
                        Ok(LiveForward { corefile: Err(why), .. }) => return Err(Error::refused(NotKept { why })),
                        Err(error) => Err(error),
                    };
                    match sent {
                        Ok(()) => Ok(Poll::Ready(())),
                        Err(error) if is_passing(&error) || is_conflict(&error) => Ok(Poll::Pending(in_words(&error))),
                        Err(error) => Err(Self::unreadable(&error)),
                    }
                })
                .await
            })
            .await
    }
}

fn at() -> At {
    At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap")), namespace: Some(NAMESPACE.into()) }
}

async fn look(client: &Client) -> std::result::Result<LiveForward, kube::Error> {
    let found = client.get(&at(), NAME).await?;
    let version = found.as_ref().map(|object| json!(object.metadata.resource_version)).unwrap_or_default();
    let text = found.as_ref().and_then(|object| object.data["data"][KEY].as_str());
    let corefile = match text {
        Some(text) => Corefile::parse(text).map_err(|damaged| format!("the Corefile of {NAMESPACE}/{NAME} is damaged: {damaged}")),
        None => Err(format!("there is no ConfigMap {NAMESPACE}/{NAME} with a Corefile: this cluster's DNS is not kubeadm's CoreDNS")),
    };
    Ok(LiveForward { version, corefile })
}

impl Resource for Forward {
    type Live = LiveForward;

    const REMOVABLE: Removable = Removable::Ours;

    fn id(&self) -> Id {
        Id::new("dns.forward", &self.place.cluster)
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveForward>> {
        let client = objects::client(peers, &self.place.node).await?;
        let live = look(&client).await.map_err(|error| Self::unreadable(&error))?;
        let is_absent =
            live.corefile.as_ref().is_ok_and(|corefile| !corefile.has_block() && corefile.served_by_others(&self.zones).is_empty());
        Ok((!is_absent).then_some(live))
    }

    fn diff(&self, live: Option<&LiveForward>) -> Change {
        let Some(live) = live else {
            return Change::create(self.zones.0.iter().map(|(zone, servers)| Field::new(zone.to_string(), joined(servers))));
        };
        let refused = |why: String, next: &str| Change::Refused(Refusal { why, next: next.into(), fields: Vec::new() });
        let corefile = match &live.corefile {
            Ok(corefile) => corefile,
            Err(why) => return refused(why.clone(), "mend it: `kubectl -n kube-system edit configmap coredns`"),
        };
        if let Some(zone) = corefile.served_by_others(&self.zones).first() {
            let why = format!("the Corefile serves {zone} already, in a block that is not kthw's");
            return refused(why, "take that block out of it, or the zone out of the recipe: CoreDNS refuses one that stands twice");
        }
        let wanted = Corefile::parse(&corefile.with(&self.zones)).map(|wanted| wanted.block().to_owned()).unwrap_or_default();
        Change::between([field("block", corefile.block().to_owned(), wanted)])
    }

    async fn apply(&self, _: Option<LiveForward>, peers: &Peers, permit: &Permit) -> Result<()> {
        self.change("zones of cluster DNS", peers, permit, |corefile| corefile.with(&self.zones)).await
    }

    fn is_ours(&self, live: &LiveForward) -> bool {
        live.corefile.as_ref().is_ok_and(Corefile::has_block)
    }

    async fn remove(&self, _: LiveForward, peers: &Peers, permit: &Permit) -> Result<()> {
        self.change("removing the zones of cluster DNS", peers, permit, Corefile::without).await
    }
}

/// The Corefile became another thing since the plan was made.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{why}")]
#[diagnostic(code(kthw::dns::corefile), help("mend it: `kubectl -n kube-system edit configmap coredns`"))]
struct NotKept {
    why: String,
}
