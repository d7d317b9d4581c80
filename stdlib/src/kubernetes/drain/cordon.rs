//! Cordoning: a node takes no new pods, and carries our mark if it was us, so that only what we cordoned is uncordoned.
use super::super::{
    client::{At, Client},
    error::{ReadObject, in_words, is_conflict, is_not_found, is_passing},
    node_ready::LiveNode,
};
use kthw_engine::{Error, Intent, Limit, Peers, Permit, Poll, Result, progress, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The annotation of a node that kthw cordoned; its value says what for.
pub const CORDONED: &str = "kthw.dev/cordoned";

/// The label of a node that runs a control plane.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Whether a node takes new pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cordon {
    /// It does.
    None,
    /// kthw keeps new pods away, or left its mark.
    Ours,
    /// Somebody else does.
    Foreign,
}

/// A Node object, as far as a drain asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Whether it takes new pods.
    pub cordon: Cordon,
    /// Whether new pods are kept away.
    unschedulable: bool,
    /// What its kubelet reports.
    pub live: LiveNode,
    /// Whether its kubelet is not heard of any more.
    pub is_lost: bool,
    /// The boot in which its kubelet reported last.
    pub boot_id: String,
    /// Whether it runs a control plane.
    pub is_control_plane: bool,
    /// Its addresses in the cluster.
    pub addresses: Vec<String>,
    version: String,
}

impl NodeState {
    /// Understands a Node object.
    pub fn of(object: &Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let unschedulable = object.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
        let cordon = match (object["metadata"]["annotations"][CORDONED].is_string(), unschedulable) {
            (true, _) => Cordon::Ours,
            (false, true) => Cordon::Foreign,
            (false, false) => Cordon::None,
        };
        let addresses = object.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
        let addresses = addresses.filter(|one| one["type"] == "InternalIP").filter_map(|one| one["address"].as_str());
        let ready = super::super::objects::condition(object, "Ready").map(|(status, _)| status.to_owned());
        Self {
            cordon,
            unschedulable,
            live: LiveNode::of(object),
            is_lost: ready.as_deref() == Some("Unknown"),
            boot_id: text("/status/nodeInfo/bootID"),
            is_control_plane: object["metadata"]["labels"][CONTROL_PLANE].is_string(),
            addresses: addresses.map(str::to_owned).collect(),
            version: text("/metadata/resourceVersion"),
        }
    }

    /// Whether the cluster has another machine under this name than the one at `address`.
    pub fn is_other_machine(&self, address: Ipv4Addr) -> bool {
        !self.addresses.is_empty() && !self.addresses.contains(&address.to_string())
    }

    /// The patch that cordons it; nothing when it is cordoned, whoever did it.
    fn cordoned(&self, why: &str) -> Option<Value> {
        (!self.unschedulable).then(|| {
            json!({ "metadata": { "resourceVersion": self.version, "annotations": { CORDONED: why } }, "spec": { "unschedulable": true } })
        })
    }

    /// The patch that lets pods come again and takes our mark off; nothing when it does not carry it.
    fn uncordoned(&self) -> Option<Value> {
        (self.cordon == Cordon::Ours).then(|| {
            json!({ "metadata": { "resourceVersion": self.version, "annotations": { CORDONED: null } }, "spec": { "unschedulable": null } })
        })
    }
}

fn nodes() -> At {
    At { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node")), namespace: None }
}

/// Reads a node; `None` when the cluster has none of that name. The inner error is the API's own.
pub async fn look(client: &Client, node: &str) -> std::result::Result<Option<NodeState>, kube::Error> {
    let found = client.get(&nodes(), node).await?;
    Ok(found.and_then(|object| serde_json::to_value(object).ok()).map(|object| NodeState::of(&object)))
}

/// What reading a node failed with.
pub fn unreadable(node: &str, error: &kube::Error) -> Error {
    Error::peer(ReadObject { what: format!("Node {node}"), reason: in_words(error) })
}

/// Keeps new pods away from a node. A node that is cordoned already stays as it is, and whose it is stays too.
///
/// # Errors
/// When the server refuses, or there is no such node.
pub async fn cordon(peers: &Peers, client: &Client, node: &str, why: &str, permit: &Permit) -> Result<()> {
    let intent = Intent::on("kubernetes", format!("cordoning Node {node} for {why}")).told_by(format!("{CORDONED}: {why}"));
    change(peers, client, node, intent, permit, |state| state.cordoned(why)).await
}

/// Lets pods come to a node again, if it was us who kept them away.
///
/// # Errors
/// When the server refuses, or there is no such node.
pub async fn uncordon(peers: &Peers, client: &Client, node: &str, permit: &Permit) -> Result<()> {
    let intent = Intent::on("kubernetes", format!("uncordoning Node {node}")).closing();
    change(peers, client, node, intent, permit, NodeState::uncordoned).await
}

/// Removes a Node object. That it is gone already is fine.
///
/// # Errors
/// When the server refuses.
pub async fn remove(peers: &Peers, client: &Client, node: &str, permit: &Permit) -> Result<()> {
    let gone = |error: &kube::Error| unreadable(node, error);
    if look(client, node).await.map_err(|error| gone(&error))?.is_none() {
        return Ok(());
    }
    let what = format!("the API server to remove Node {node}");
    permit
        .effect(Intent::on("kubernetes", format!("removing Node {node}")), async |effect| {
            wait(peers, TAKES, &what, HELP, async || match client.delete(&nodes(), node, effect).await {
                Ok(()) => Ok(Poll::Ready(())),
                Err(error) if is_passing(&error) => Ok(Poll::Pending(in_words(&error))),
                Err(error) => Err(Error::peer(ChangeNode { node: node.to_owned(), reason: in_words(&error) })),
            })
            .await
        })
        .await
}

/// How long a server that is busy may take to accept a change.
const TAKES: Limit = Limit::seconds(60);
const HELP: &str = "see that the API server stays up: `crictl ps` and `journalctl -u kubelet` on the control plane";

/// Changes a node as `patch` asks for what it is now; reads again when somebody else was faster. No effect when there is nothing to change.
async fn change(
    peers: &Peers,
    client: &Client,
    node: &str,
    intent: Intent,
    permit: &Permit,
    patch: impl Fn(&NodeState) -> Option<Value>,
) -> Result<()> {
    let look = async || -> std::result::Result<Option<Value>, kube::Error> {
        match look(client, node).await? {
            Some(state) => Ok(patch(&state)),
            None => Err(kube::Error::Api(Box::new(kube::core::Status::failure(&format!("nodes \"{node}\" not found"), "NotFound").with_code(404)))),
        }
    };
    if look().await.map_err(|error| unreadable(node, &error))?.is_none() {
        return Ok(());
    }
    progress(format!("{} ({})", intent.what, intent.peer));
    let what = format!("the API server to take a change of Node {node}");
    permit
        .effect(intent, async |effect| {
            wait(peers, TAKES, &what, HELP, async || {
                let sent = match look().await {
                    Ok(Some(body)) => client.patch(&nodes(), node, &body, effect).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                match sent {
                    Ok(()) => Ok(Poll::Ready(())),
                    Err(error) if is_passing(&error) || is_conflict(&error) => Ok(Poll::Pending(in_words(&error))),
                    Err(error) if is_not_found(&error) => Err(unreadable(node, &error)),
                    Err(error) => Err(Error::peer(ChangeNode { node: node.to_owned(), reason: in_words(&error) })),
                }
            })
            .await
        })
        .await
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the API server does not change Node {node}: {reason}")]
#[diagnostic(
    code(kthw::kubernetes::change_node),
    help("see what keeps it: an admission webhook may refuse; `kubectl describe node {node}`")
)]
struct ChangeNode {
    node: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(mark: bool, unschedulable: bool) -> NodeState {
        let annotations = if mark { json!({ CORDONED: "a restart" }) } else { json!({}) };
        let mut object = json!({ "metadata": { "resourceVersion": "7", "annotations": annotations }, "spec": {} });
        if unschedulable {
            object["spec"]["unschedulable"] = json!(true);
        }
        NodeState::of(&object)
    }

    #[test]
    fn only_what_we_cordoned_is_uncordoned() {
        let (free, ours, foreign, left) = (node(false, false), node(true, true), node(false, true), node(true, false));
        assert_eq!([free.cordon, ours.cordon, foreign.cordon, left.cordon], [Cordon::None, Cordon::Ours, Cordon::Foreign, Cordon::Ours]);
        assert_eq!(
            free.cordoned("a restart"),
            Some(json!({ "metadata": { "resourceVersion": "7", "annotations": { CORDONED: "a restart" } }, "spec": { "unschedulable": true } }))
        );
        assert_eq!((ours.cordoned("x"), foreign.cordoned("x")), (None, None));
        assert_eq!((free.uncordoned(), foreign.uncordoned()), (None, None));
        assert!(ours.uncordoned().is_some() && left.uncordoned().is_some());
    }
}
