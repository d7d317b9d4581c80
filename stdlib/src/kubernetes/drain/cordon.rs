//! Cordoning: a node takes no new pods, and carries our mark if it was us, so that only what we cordoned is uncordoned.
//!
//! `kubectl uncordon` leaves the mark behind. So it counts only while the node is cordoned and the API server knows nobody else as who did it.
use super::super::{
    client::{At, Client, FIELD_MANAGER},
    error::{ReadObject, in_words, is_conflict, is_not_found, is_passing},
    node_ready::LiveNode,
};
use kthw_engine::{Error, Intent, Limit, Peers, Permit, Poll, Recovery, Result, progress, wait};
use kube::{api::ApiResource, core::GroupVersionKind};
use miette::Diagnostic;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The annotation of a node that kthw cordoned; its value says what for.
pub const CORDONED: &str = "kthw.dev/cordoned";

/// The label of a node that runs a control plane.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// What kthw cordons a node for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is restarted, and uncordoned afterwards.
    Restart,
    /// It leaves the cluster.
    Removal,
}

impl Purpose {
    /// The value of the mark.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "a restart",
            Self::Removal => "its removal",
        }
    }
}

/// Whether a node takes new pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cordon {
    /// It does.
    None,
    /// kthw keeps new pods away.
    Ours(Purpose),
    /// Somebody else does.
    Foreign,
}

/// A Node object, as far as a drain asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Whether it takes new pods.
    pub cordon: Cordon,
    /// Whether it carries our mark, which may be left over.
    has_mark: bool,
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
        let mark = object["metadata"]["annotations"][CORDONED].as_str();
        let purpose = [Purpose::Restart, Purpose::Removal].into_iter().find(|purpose| mark == Some(purpose.as_str()));
        let cordon = match purpose.filter(|_| !is_cordoned_by_others(object)) {
            _ if !unschedulable => Cordon::None,
            Some(purpose) => Cordon::Ours(purpose),
            None => Cordon::Foreign,
        };
        let addresses = object.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
        let addresses = addresses.filter(|one| one["type"] == "InternalIP").filter_map(|one| one["address"].as_str());
        let ready = super::super::objects::condition(object, "Ready").map(|(status, _)| status.to_owned());
        Self {
            cordon,
            has_mark: mark.is_some(),
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

    /// The patch that cordons it; nothing when it is cordoned, whoever did it. What we cordoned for a restart stays so for its removal.
    fn cordoned(&self, purpose: Purpose) -> Option<Value> {
        let becomes_removal = self.cordon == Cordon::Ours(Purpose::Restart) && purpose == Purpose::Removal;
        (self.cordon == Cordon::None || becomes_removal).then(|| {
            let annotations = json!({ CORDONED: purpose.as_str() });
            json!({ "metadata": { "resourceVersion": self.version, "annotations": annotations }, "spec": { "unschedulable": true } })
        })
    }

    /// The patch that lets pods come again and takes our mark off, if it was us who cordoned it for this; a mark that is left over goes alone.
    fn uncordoned(&self, purpose: Purpose) -> Option<Value> {
        let metadata = json!({ "resourceVersion": self.version, "annotations": { CORDONED: null } });
        match self.cordon {
            Cordon::Ours(own) if own == purpose => Some(json!({ "metadata": metadata, "spec": { "unschedulable": null } })),
            Cordon::Ours(_) => None,
            Cordon::None | Cordon::Foreign => self.has_mark.then(|| json!({ "metadata": metadata })),
        }
    }
}

/// Whether the API server knows who cordoned a node, and it was not us.
fn is_cordoned_by_others(object: &Value) -> bool {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut managers =
        entries.filter(|entry| entry.pointer("/fieldsV1/f:spec/f:unschedulable").is_some()).map(|entry| &entry["manager"]).peekable();
    managers.peek().is_some() && managers.all(|manager| manager != FIELD_MANAGER)
}

pub(super) fn nodes() -> At {
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
pub async fn cordon(peers: &Peers, client: &Client, node: &str, purpose: Purpose, permit: &Permit) -> Result<()> {
    let why = purpose.as_str();
    let intent = Intent::on("kubernetes", format!("cordoning Node {node} for {why}"), Recovery::Look).told_by(format!("{CORDONED}: {why}"));
    change(peers, client, node, intent, permit, |state| state.cordoned(purpose)).await
}

/// Uncordons a node that we cordoned for this.
///
/// # Errors
/// When the server refuses, or there is no such node.
pub async fn uncordon(peers: &Peers, client: &Client, node: &str, purpose: Purpose, permit: &Permit) -> Result<()> {
    let intent = Intent::on("kubernetes", format!("uncordoning Node {node}"), Recovery::Look).closing();
    change(peers, client, node, intent, permit, |state| state.uncordoned(purpose)).await
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
        .effect(Intent::on("kubernetes", format!("removing Node {node}"), Recovery::Look), async |effect| {
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
            None => Err(kube::Error::Api(Box::new(
                kube::core::Status::failure(&format!("nodes \"{node}\" not found"), "NotFound").with_code(404),
            ))),
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
#[path = "cordon_tests.rs"]
mod tests;
