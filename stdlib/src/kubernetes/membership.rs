//! Whether a machine that is to be removed is a node of its cluster, and may leave it.
use super::{
    drain::{self, DrainOptions, NodeState},
    objects,
    place::Place,
};
use crate::{proxmox::is_there, workspace::Workspace};
use kthw_engine::{
    Error, Kind, Peers, Permit, Result,
    node::{Finding, Probe},
};
use miette::Diagnostic;
use std::net::Ipv4Addr;

/// Where a control plane has the administrator's kubeconfig.
const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
/// What runs an API server, and what a cluster is kept in; with one of them a cluster stands, whether kthw can ask it or not.
const CLUSTER: [&str; 2] = ["/etc/kubernetes/manifests/kube-apiserver.yaml", "/var/lib/etcd/member"];

/// What a cluster says of a machine that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// There is no cluster, or it does not know the machine.
    None,
    /// It is a worker, which can be drained.
    Worker(Place),
    /// It must not go, for this reason.
    Stays(String),
}

/// A machine that is removed goes with what lies in its `emptyDir` volumes. Pods that nobody would start again are not lost unsaid.
fn options() -> DrainOptions {
    DrainOptions { delete_emptydir_data: true, ..DrainOptions::default() }
}

/// Asks the cluster of `workspace` about the machine called `node` at `address`.
///
/// A cluster that stands and does not answer keeps the machine: its pods would be cut off without anybody having looked at what they hold,
/// their volumes stay attached to a machine that is gone, and the Node object would stay behind, for nothing would find it again later.
///
/// # Errors
/// What is wrong with a recipe or a workspace; everything else is a reason to stay.
pub async fn membership(workspace: &Workspace, node: &str, address: Option<Ipv4Addr>, peers: &Peers) -> Result<Membership> {
    let Ok(place) = Place::of(workspace) else { return Ok(Membership::None) };
    match ask(workspace, &place, node, peers).await {
        Ok(None) => Ok(Membership::None),
        Ok(Some((state, refusal))) => Ok(judge(&state, refusal, node, address, place)),
        Err(error) if matches!(error.kind(), Kind::Usage | Kind::Recipe) => Err(error),
        Err(error) => Ok(Membership::Stays(format!(
            "the cluster cannot be asked whether {node} is one of its nodes, which would be drained first ({error})"
        ))),
    }
}

/// The machine's Node object and why its pods may not be evicted; `None` when there is no cluster, or none that knows it.
async fn ask(workspace: &Workspace, place: &Place, node: &str, peers: &Peers) -> Result<Option<(NodeState, Option<String>)>> {
    let probes: Vec<Probe> = [ADMIN_CONF].into_iter().chain(CLUSTER).map(Probe::path).collect();
    match peers.nodes().read(&place.node, &probes).await {
        Ok(findings) => match standing(&findings) {
            Standing::Asked => {}
            Standing::None => return Ok(None),
            Standing::Unasked(path) => return Err(Error::peer(NoAdminConf { node: place.node.clone(), path })),
        },
        // A control plane that is no machine runs nothing.
        Err(_) if !is_there(workspace, &place.node, peers).await? => return Ok(None),
        Err(error) => return Err(error),
    }
    let client = objects::client(peers, &place.node).await?;
    let Some(state) = drain::look(&client, node).await.map_err(|error| drain::unreadable(node, &error))? else { return Ok(None) };
    let refusal = drain::outlook(&client, node, &options()).await?.refusal();
    Ok(Some((state, refusal.map(|(why, _)| why))))
}

/// What the files of a control plane say of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// There is none.
    None,
    /// It can be asked.
    Asked,
    /// There is one, as this path shows, and nothing to ask it with.
    Unasked(&'static str),
}

fn standing(findings: &[Finding]) -> Standing {
    let is_there = |at: usize| matches!(findings.get(at), Some(Finding::Path(Some(_))));
    let of_cluster = CLUSTER.iter().enumerate().find(|(at, _)| is_there(at + 1));
    match of_cluster {
        _ if is_there(0) => Standing::Asked,
        Some((_, path)) => Standing::Unasked(path),
        None => Standing::None,
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} has {path}, and no {ADMIN_CONF} to ask its cluster with")]
#[diagnostic(
    code(kthw::kubernetes::no_admin_conf),
    help(
        "on {node}: `kubeadm init phase kubeconfig admin` writes it anew; what a cluster left behind that is gone goes with `kubeadm reset`"
    )
)]
struct NoAdminConf {
    node: String,
    path: &'static str,
}

fn judge(state: &NodeState, refusal: Option<String>, node: &str, address: Option<Ipv4Addr>, place: Place) -> Membership {
    match (refusal, address.filter(|address| state.is_other_machine(*address))) {
        _ if state.is_control_plane => {
            Membership::Stays(format!("{node} runs a control plane of the cluster; taking it away could cost etcd its majority"))
        }
        (_, Some(address)) => {
            Membership::Stays(format!("the cluster has another machine as {node} (at {}, not {address})", state.addresses.join(", ")))
        }
        (Some(why), None) => Membership::Stays(format!("{node} cannot be drained: {why}")),
        (None, None) => Membership::Worker(place),
    }
}

/// Drains a worker that is about to be removed.
///
/// # Errors
/// What the server refuses; pods that do not leave within the limit, and what holds them.
pub async fn empty(place: &Place, node: &str, peers: &Peers, permit: &Permit) -> Result<()> {
    drain::empty(peers, &objects::client(peers, &place.node).await?, node, &options(), permit).await
}

/// Removes the Node object of a machine that does not run any more.
///
/// # Errors
/// When the server refuses.
pub async fn remove_node(place: &Place, node: &str, peers: &Peers, permit: &Permit) -> Result<()> {
    drain::remove(peers, &objects::client(peers, &place.node).await?, node, permit).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kthw_engine::node::{PathKind, PathState};
    use serde_json::json;

    #[test]
    fn only_a_worker_whose_pods_may_go_leaves() {
        let place = || Place { cluster: "u".into(), node: "cu1".into() };
        let state = |labels: serde_json::Value| {
            let addresses = json!([{ "type": "InternalIP", "address": "10.0.0.5" }, { "type": "Hostname", "address": "wu2" }]);
            NodeState::of(&json!({ "metadata": { "labels": labels }, "status": { "addresses": addresses } }))
        };
        let judged = |labels, refusal: Option<&str>, address: Option<[u8; 4]>| match judge(
            &state(labels),
            refusal.map(str::to_owned),
            "wu2",
            address.map(Into::into),
            place(),
        ) {
            Membership::Stays(why) => why,
            other => format!("{other:?}"),
        };
        let worker = format!("{:?}", Membership::Worker(place()));
        assert_eq!(judged(json!({}), None, Some([10, 0, 0, 5])), worker);
        assert_eq!(judged(json!({}), None, None), worker);
        assert_eq!(judged(json!({}), None, Some([10, 0, 0, 6])), "the cluster has another machine as wu2 (at 10.0.0.5, not 10.0.0.6)");
        assert_eq!(judged(json!({}), Some("nothing would start a/b again"), None), "wu2 cannot be drained: nothing would start a/b again");
        let plane = json!({ "node-role.kubernetes.io/control-plane": "" });
        assert!(judged(plane, None, None).starts_with("wu2 runs a control plane"));
    }

    #[test]
    fn a_cluster_stands_while_its_api_server_or_its_data_are_there() {
        let there = || {
            let (owner, group) = ("root".to_owned(), "root".to_owned());
            Finding::Path(Some(PathState { kind: PathKind::File, mode: 0o600, owner, group, modified_s: 0, sha256: None, content: None }))
        };
        let of = |[admin, manifest, data]: [bool; 3]| {
            standing(&[admin, manifest, data].map(|one| if one { there() } else { Finding::Path(None) }))
        };
        assert_eq!((of([true, true, true]), of([false; 3])), (Standing::Asked, Standing::None));
        assert_eq!(of([false, true, true]), Standing::Unasked("/etc/kubernetes/manifests/kube-apiserver.yaml"));
        assert_eq!(of([false, false, true]), Standing::Unasked("/var/lib/etcd/member"));
    }
}
