//! Serving certificates of kubelets: each comes from the cluster's authority, because a request that the policy allows is approved.
//!
//! The policy is `serving_request.rs`. A kubelet asks anew some weeks before its certificate ends, and the next run approves that.
use super::{
    client::{Approval, At, Client},
    error::{ReadObject, in_words, is_conflict, is_not_found, is_passing},
    listing, objects,
    place::Place,
    serving_request::{Member, Request, pending},
};
use crate::validation::{Answer, Destination, Question, ask};
use futures::future::join_all;
use kthw_engine::{Change, Error, Field, Id, Intent, Limit, Peers, Permit, Poll, Recovery, Refusal, Resource, Result, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use rustls::pki_types::CertificateDer;

/// The port of a kubelet.
pub const KUBELET_PORT: u16 = 10250;
const REQUESTS: listing::Kind = ("certificates.k8s.io", "v1", "CertificateSigningRequest");
/// How long a kubelet may take to ask, be heard and show what it got.
const ISSUED: Limit = Limit::minutes(5);
const WANTED: &str = "of the cluster's authority";
/// What a person does about a request that is not approved.
const NEXT: &str = "`kubectl get csr` and `kubectl describe csr` show it; one that a node did not make itself has to be found out about: \
                    `kubectl certificate deny`. A node's names and addresses are those in the workspace";

/// The serving certificates of all kubelets of a cluster.
#[derive(Debug)]
pub struct KubeletCertificates {
    /// The cluster.
    pub place: Place,
    /// Its nodes.
    pub members: Vec<Member>,
}

/// What reading found.
#[derive(Debug)]
pub struct LiveCertificates {
    /// Each node, with what its kubelet shows in place of a certificate of the cluster's authority.
    wrong: Vec<(String, String)>,
    /// Requests that wait.
    requests: Vec<Request>,
}

impl LiveCertificates {
    fn allowed(&self) -> impl Iterator<Item = (&Request, &String)> {
        self.requests.iter().filter_map(|request| Some((request, request.verdict.as_ref().ok()?)))
    }

    /// Why requests are never approved; `None` without any.
    fn against(&self) -> Option<String> {
        let told = self.requests.iter().filter_map(|request| Some(format!("{}: {}", request.name, request.verdict.as_ref().err()?)));
        let all: Vec<String> = told.collect();
        (!all.is_empty()).then(|| format!("requests for serving certificates are not approved: {}", all.join("; ")))
    }

    /// What is still missing, in words.
    fn missing(&self) -> Option<String> {
        let wrong = self.wrong.iter().map(|(node, why)| format!("{node}: {why}"));
        let waits = self.allowed().map(|(request, node)| format!("{node}: {} waits", request.name));
        wrong.chain(waits).next()
    }
}

fn requests() -> At {
    let (group, version, kind) = REQUESTS;
    At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), namespace: None }
}

/// When the certificate ends that the kubelet of `node` shows, which has to be of one of these authorities.
///
/// # Errors
/// What is wrong with it, or with the way there.
pub async fn shown_by(peers: &Peers, node: &str, address: &str, authorities: Vec<CertificateDer<'static>>) -> Result<Answer> {
    let question = Question::Certificate { name: address.to_owned(), authorities };
    ask(peers, node, &Destination::new("127.0.0.1", KUBELET_PORT), &question).await
}

impl KubeletCertificates {
    async fn look(&self, client: &Client, peers: &Peers) -> Result<LiveCertificates> {
        let conf = super::admin_conf(peers.nodes(), &self.place.node).await?;
        let unreadable = |reason: String| Error::peer(ReadObject { what: "the cluster's authority".into(), reason });
        let authorities = conf.authorities().map_err(unreadable)?;
        let asked = self.members.iter().map(async |member| {
            let shown = shown_by(peers, &member.name, &member.address.to_string(), authorities.clone()).await;
            Some((member.name.clone(), shown.err()?.to_string()))
        });
        let wrong = join_all(asked).await.into_iter().flatten().collect();
        let requests = pending(&listing::list(client, &REQUESTS, None, "").await?, &self.members);
        Ok(LiveCertificates { wrong, requests })
    }

    /// Approves what the policy allows. One that somebody else was faster with is looked at again.
    async fn approve(&self, client: &Client, live: &LiveCertificates, permit: &Permit) -> Result<()> {
        for (request, node) in live.allowed() {
            let intent = Intent::on("kubernetes", format!("approving the serving certificate of {node}"), Recovery::Look);
            let message = format!("kthw: {node} asks for its own names and addresses");
            let approval = Approval { version: Some(&request.version), reason: "KthwPolicy", message: &message };
            permit
                .effect(intent, async |effect| match client.approve(&requests(), &request.name, approval, effect).await {
                    Ok(()) => Ok(()),
                    Err(error) if is_conflict(&error) || is_not_found(&error) || is_passing(&error) => Ok(()),
                    Err(error) => Err(Error::peer(NotApproved { request: request.name.clone(), reason: in_words(&error) })),
                })
                .await?;
        }
        Ok(())
    }
}

impl Resource for KubeletCertificates {
    type Live = LiveCertificates;

    fn id(&self) -> Id {
        Id::new("kubernetes.kubelet_certificates", &self.place.cluster)
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    fn after(&self) -> Vec<Id> {
        // A kubelet asks once its node is known; and one that is told to ask shows no certificate until then.
        let of = |member: &Member| [Id::new("kubeadm.worker", &member.name), Id::new("kubernetes.node_ready", &member.name)];
        self.members.iter().flat_map(of).collect()
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveCertificates>> {
        let client = objects::client(peers, &self.place.node).await?;
        self.look(&client, peers).await.map(Some)
    }

    fn diff(&self, live: Option<&LiveCertificates>) -> Change {
        let field = |node: &str, want: &str| Field::new(format!("certificate of {node}"), want);
        let Some(live) = live else { return Change::create(self.members.iter().map(|member| field(&member.name, WANTED))) };
        let wrong = live.wrong.iter().map(|(node, why)| Field { live: Some("another".into()), ..field(node, WANTED) }.because(why));
        let allowed =
            live.allowed().map(|(request, node)| Field { live: Some(format!("asked for ({})", request.name)), ..field(node, "approved") });
        let fields: Vec<Option<Field>> = wrong.chain(allowed).map(Some).collect();
        match live.against() {
            Some(why) if fields.is_empty() => Change::Refused(Refusal { why, next: NEXT.into(), fields: Vec::new() }),
            _ => Change::between(fields),
        }
    }

    async fn apply(&self, _: Option<LiveCertificates>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let (client, help) = (&client, "on that node: `journalctl -u kubelet`; what waits for a decision: `kubectl get csr`");
        let what = "every kubelet to show a certificate of the cluster's authority";
        let against = wait(peers, ISSUED, what, help, || async move {
            let live = self.look(client, peers).await?;
            self.approve(client, &live, permit).await?;
            let against = live.against();
            Ok(match live.missing() {
                None => Poll::Ready(against),
                Some(missing) => Poll::Pending(against.map_or_else(|| missing.clone(), |against| format!("{missing}; {against}"))),
            })
        })
        .await?;
        match against {
            None => Ok(()),
            Some(why) => Err(Error::refused(Against { why })),
        }
    }
}

/// The server does not take an approval.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the request {request} for a serving certificate is not approved: {reason}")]
#[diagnostic(code(kthw::kubernetes::not_approved), help("`kubectl describe csr {request}` shows it"))]
struct NotApproved {
    request: String,
    reason: String,
}

/// Somebody asks for what is not theirs.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{why}")]
#[diagnostic(code(kthw::kubernetes::against_the_policy), help("{NEXT}"))]
struct Against {
    why: String,
}
