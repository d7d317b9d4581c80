//! A node of the cluster that reports Ready: nothing to write, only something to wait for.
use super::{
    client::{At, Client},
    error::{ReadObject, in_words, is_passing},
    objects::{self, condition},
    place::Place,
};
use kthw_engine::{Change, Error, Field, Id, Limit, Peers, Permit, Poll, Resource, Result, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use serde_json::Value;

/// Waits for a node to report Ready.
#[derive(Debug)]
pub struct NodeReady {
    /// The cluster.
    pub place: Place,
    /// The node's name.
    pub node: String,
}

/// What the API knows of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// The condition's reason and message.
    pub why: String,
}

impl LiveNode {
    /// Understands a Node object.
    pub fn of(object: &Value) -> Self {
        match condition(object, "Ready") {
            Some((status, why)) => Self { ready: status == "True", why },
            None => Self { ready: false, why: "its kubelet has not reported yet".into() },
        }
    }
}

/// Reads a node; `None` when the cluster has none of that name. The inner error is the API's own.
pub(crate) async fn look(client: &Client, node: &str) -> std::result::Result<Option<LiveNode>, kube::Error> {
    let nodes = At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node")), namespace: None };
    let found = client.get(&nodes, node).await?;
    Ok(found.map(|object| LiveNode::of(&object.data)))
}

impl Resource for NodeReady {
    type Live = LiveNode;

    fn id(&self) -> Id {
        Id::new("kubernetes.node_ready", &self.node)
    }

    fn needs(&self) -> Vec<Id> {
        vec![self.place.control_plane()]
    }

    fn after(&self) -> Vec<Id> {
        // No node is Ready without the pod network: where that could not be installed, nobody waits for it.
        vec![Id::new("kubeadm.worker", &self.node), Id::new("calico.installation", &self.place.cluster)]
    }

    async fn read(&self, peers: &Peers) -> Result<Option<LiveNode>> {
        let client = objects::client(peers, &self.place.node).await?;
        look(&client, &self.node).await.map_err(|error| self.unreadable(&error))
    }

    fn diff(&self, live: Option<&LiveNode>) -> Change {
        match live {
            None => Change::create([Field::new("ready", true)]),
            Some(live) if live.ready => Change::None,
            Some(live) => Change::Update(vec![Field { live: Some("false".into()), ..Field::new("ready", true) }.because(&live.why)]),
        }
    }

    async fn apply(&self, _: Option<LiveNode>, peers: &Peers, _: &Permit) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let client = &client;
        let help = format!(
            "on {node}: `journalctl -u kubelet` and `crictl ps`; \"cni plugin not initialized\" means that the pod network is not running yet: \
             `kubectl -n calico-system get pods`; if the cluster knows no {node} although it joined once, run `kubeadm reset -f` there and run again",
            node = self.node
        );
        wait(peers, Limit::minutes(10), &format!("node {} to report Ready", self.node), &help, || async move {
            match look(client, &self.node).await {
                Ok(Some(live)) if live.ready => Ok(Poll::Ready(())),
                Ok(Some(live)) => Ok(Poll::Pending(live.why)),
                Ok(None) => Ok(Poll::Pending("the cluster knows no node of that name".into())),
                Err(error) if is_passing(&error) => Ok(Poll::Pending(in_words(&error))),
                Err(error) => Err(self.unreadable(&error)),
            }
        })
        .await
    }
}

impl NodeReady {
    fn unreadable(&self, error: &kube::Error) -> Error {
        Error::peer(ReadObject { what: format!("Node {}", self.node), reason: in_words(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_node_is_ready_or_says_why_not() {
        let resource = NodeReady { place: Place { cluster: "u".into(), node: "cu1".into() }, node: "wu1".into() };
        let condition = |status: &str, reason: &str| {
            LiveNode::of(&json!({"status": {"conditions": [{"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": status, "reason": reason, "message": "cni plugin not initialized"}]}}))
        };
        assert_eq!(resource.diff(Some(&condition("True", "KubeletReady"))), Change::None);
        let change = resource.diff(Some(&condition("Unknown", "KubeletNotReady")));
        expect!["ready: false (KubeletNotReady: cni plugin not initialized) -> true"].assert_eq(&change.fields()[0].to_string());
        let change = resource.diff(Some(&LiveNode::of(&json!({}))));
        expect!["ready: false (its kubelet has not reported yet) -> true"].assert_eq(&change.fields()[0].to_string());
        assert_eq!(resource.diff(None).word(), "create");
    }
}
