//! A worker that leaves its cluster: that it is this cluster's own, drained, its Node object removed, its credentials taken.
use super::{KUBELET_CONF, Worker};
use crate::kubernetes::{Client, drain, objects};
use kthw_engine::{Error, Peers, Permit, Result, node::Action};
use miette::Diagnostic;

impl Worker {
    /// Drains the node and takes it out of the cluster. Its credentials go last: as long as they are there, it counts as a worker, so a
    /// removal that was interrupted is resumed.
    pub(super) async fn leave(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let (node, client) = (&self.node.name, objects::client(peers, &self.place.node).await?);
        self.is_the_clusters_own(&client).await?;
        drain::empty(peers, &client, node, &self.drain, permit).await?;
        // A kubelet that runs would make its Node object anew.
        self.act(&Action::run(["systemctl", "stop", "kubelet"]), peers, permit).await?;
        drain::remove(peers, &client, node, permit).await?;
        let output = permit.act(peers, node, &Action::run_for(300, ["kubeadm", "reset", "--force"])).await?;
        match output.status {
            0 => Ok(()),
            _ => Err(Error::peer(ResetWorker { node: node.to_string(), reason: Self::telling(&output) })),
        }
    }

    /// Why a machine does not leave this cluster: it asks another one's API, or nobody can tell whose.
    pub(super) fn is_of_another_cluster(&self, live: Option<&str>) -> Option<String> {
        let (node, endpoint) = (&self.node.name, self.workspace.endpoint());
        match live {
            Some(live) if live == endpoint => None,
            Some(live) => Some(format!("{node} is in a cluster at {live}, not in the one at {endpoint}")),
            None => Some(format!("{node} is in a cluster, and {KUBELET_CONF} does not tell at which endpoint")),
        }
    }

    /// Checks that the cluster has no other machine under the name of this one: that would be drained, and this one reset.
    async fn is_the_clusters_own(&self, client: &Client) -> Result<()> {
        let node = &self.node.name;
        let state = drain::look(client, node).await.map_err(|error| drain::unreadable(node, &error))?;
        match state.filter(|state| state.is_other_machine(self.node.address)) {
            Some(state) => Err(Error::refused(OtherMachine {
                node: node.to_string(),
                address: self.node.address.to_string(),
                addresses: state.addresses.join(", "),
            })),
            None => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the cluster has another machine as {node} (at {addresses}, not {address})")]
#[diagnostic(
    code(kthw::kubeadm::other_machine),
    help("`kubectl get node {node} -o wide` shows it; if the one at {address} shall leave its cluster, run `kubeadm reset` there")
)]
struct OtherMachine {
    node: String,
    address: String,
    addresses: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} left the cluster, and cannot be reset: {reason}")]
#[diagnostic(code(kthw::kubeadm::reset), help("run it again, or `kubeadm reset --force` on {node}, to see what keeps it"))]
struct ResetWorker {
    node: String,
    reason: String,
}
