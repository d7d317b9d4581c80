//! A control plane that takes pods: what a cluster of one node needs. kubeadm keeps pods and load balancers away from a control plane by a
//! taint and a label (its phase `mark-control-plane`); both are taken away.
use super::{
    client::{At, Client},
    error::{ReadObject, in_words, is_conflict, is_not_found, is_passing},
    objects,
    place::Place,
};
use kthw_engine::{Change, Error, Field, Id, Intent, Limit, Peers, Permit, Poll, Recovery, Resource, Result, field, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use serde_json::{Value, json};

/// The taint: <https://kubernetes.io/docs/reference/labels-annotations-taints/#node-role-kubernetes-io-control-plane-taint>.
const TAINT: &str = "node-role.kubernetes.io/control-plane";
/// The label, which MetalLB obeys too:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#node-kubernetes-io-exclude-from-external-load-balancers>.
const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// How long a server that is busy may take to accept the change.
const TAKES: Limit = Limit::seconds(60);

/// A control plane that takes pods and traffic of load balancers.
#[derive(Debug)]
pub struct TakesPods {
    /// The cluster.
    pub place: Place,
    /// The node's name.
    pub node: String,
}

/// What keeps pods and load balancers away now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    version: Value,
    /// All taints of the node.
    taints: Vec<Value>,
    is_excluded: bool,
}

impl Live {
    fn of(object: &Value) -> Self {
        let taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let is_excluded = !object["metadata"]["labels"][LABEL].is_null();
        Self { version: object["metadata"]["resourceVersion"].clone(), taints, is_excluded }
    }

    fn is_tainted(&self) -> bool {
        self.taints.iter().any(|taint| taint["key"] == TAINT)
    }

    /// The merge patch that takes away what is there and leaves other taints; nothing when nothing is there.
    fn patch(&self) -> Option<Value> {
        let mut body = json!({ "metadata": { "resourceVersion": self.version } });
        if self.is_tainted() {
            let others: Vec<&Value> = self.taints.iter().filter(|taint| taint["key"] != TAINT).collect();
            body["spec"] = json!({ "taints": others });
        }
        if self.is_excluded {
            body["metadata"]["labels"] = json!({ LABEL: null });
        }
        (self.is_tainted() || self.is_excluded).then_some(body)
    }
}

fn nodes() -> At {
    At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node")), namespace: None }
}

async fn look(client: &Client, node: &str) -> std::result::Result<Option<Live>, kube::Error> {
    let found = client.get(&nodes(), node).await?;
    Ok(found.map(|object| {
        let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
        Live::of(&json!({ "metadata": metadata, "spec": object.data["spec"] }))
    }))
}

impl TakesPods {
    fn unreadable(&self, error: &kube::Error) -> Error {
        Error::peer(ReadObject { what: format!("Node {}", self.node), reason: in_words(error) })
    }
}

impl Resource for TakesPods {
    type Live = Live;

    fn id(&self) -> Id {
        Id::new("kubernetes.takes_pods", &self.node)
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<Live>> {
        let client = objects::client(peers, &self.place.node).await?;
        look(&client, &self.node).await.map_err(|error| self.unreadable(&error))
    }

    fn diff(&self, live: Option<&Live>) -> Change {
        let Some(live) = live else { return Change::create([Field::new("pods", true), Field::new("load balancers", true)]) };
        let taint = if live.is_tainted() { TAINT } else { "none" };
        let label = if live.is_excluded { LABEL } else { "none" };
        Change::between([field("taint", taint, "none"), field("label", label, "none")])
    }

    async fn apply(&self, _: Option<Live>, peers: &Peers, permit: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let intent = Intent::on("kubernetes", format!("letting pods run on {}", self.node), Recovery::Look);
        let what = format!("the API server to take a change of Node {}", self.node);
        let help = "see that the API server stays up: `crictl ps` and `journalctl -u kubelet` on the control plane";
        permit
            .effect(intent, async |effect| {
                wait(peers, TAKES, &what, help, async || {
                    let sent = match look(&client, &self.node).await {
                        Ok(Some(live)) => match live.patch() {
                            Some(body) => client.patch(&nodes(), &self.node, &body, effect).await,
                            None => Ok(()),
                        },
                        Ok(None) => return Ok(Poll::Pending("the cluster knows no node of that name yet".into())),
                        Err(error) => Err(error),
                    };
                    match sent {
                        Ok(()) => Ok(Poll::Ready(())),
                        Err(error) if is_passing(&error) || is_conflict(&error) => Ok(Poll::Pending(in_words(&error))),
                        Err(error) if is_not_found(&error) => Err(self.unreadable(&error)),
                        Err(error) => Err(Error::peer(Refused { node: self.node.clone(), reason: in_words(&error) })),
                    }
                })
                .await
            })
            .await
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server does not let pods run on {node}: {reason}")]
#[diagnostic(
    code(kthw::kubernetes::takes_pods),
    help("see what keeps it: an admission webhook may refuse; `kubectl describe node {node}`")
)]
struct Refused {
    node: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn what_kubeadm_put_there_goes_and_other_taints_stay() {
        let resource = TakesPods { place: Place { cluster: "u".into(), node: "cu1".into() }, node: "cu1".into() };
        let node = |taints: Value, labels: Value| {
            Live::of(&json!({ "metadata": { "resourceVersion": "7", "labels": labels }, "spec": { "taints": taints } }))
        };
        let made = node(
            json!([{ "key": TAINT, "effect": "NoSchedule" }, { "key": "gpu", "effect": "NoSchedule" }]),
            json!({ LABEL: "", "a": "b" }),
        );
        let shown: Vec<String> = resource.diff(Some(&made)).fields().iter().map(ToString::to_string).collect();
        expect![[r#"
            taint: node-role.kubernetes.io/control-plane -> none
            label: node.kubernetes.io/exclude-from-external-load-balancers -> none"#]]
        .assert_eq(&shown.join("\n"));
        let patch = json!({
            "metadata": { "resourceVersion": "7", "labels": { LABEL: null } },
            "spec": { "taints": [{ "key": "gpu", "effect": "NoSchedule" }] },
        });
        assert_eq!(made.patch(), Some(patch));
        let free = node(json!([{ "key": "gpu", "effect": "NoSchedule" }]), json!({ "a": "b" }));
        assert_eq!((resource.diff(Some(&free)), free.patch()), (Change::None, None));
        assert_eq!(resource.diff(None).word(), "create");
    }
}
