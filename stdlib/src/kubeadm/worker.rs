//! A worker: `kubeadm join` with a token that is minted just before and revoked right after.
use super::{FOLDER, config, control_plane::ControlPlane, token::Invitation};
use crate::{
    kubernetes::{Place, in_words, is_passing, look, objects},
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{
    Change, Error, Field, Id, Limit, NodeResource, Peers, Permit, Poll, Result, Secret, Work,
    node::{Action, Content, Finding, Output, Probe},
    wait,
};
use miette::Diagnostic;
use std::sync::Arc;

const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const BOOTSTRAP_CONF: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// A worker of a cluster.
#[derive(Debug)]
pub struct Worker {
    /// The cluster.
    pub workspace: Arc<Workspace>,
    /// Its API.
    pub place: Place,
    /// The machine.
    pub node: NodeSpec,
}

/// How far a machine has come. Whether the cluster still knows it is for `kubernetes::node_ready` to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveWorker {
    /// Its kubelet has credentials of the cluster.
    Joined,
    /// It has, and the file that told kubeadm how to join still lies there, with its token.
    NotTidied,
    /// A join was begun and did not come that far.
    Begun,
}

impl NodeResource for Worker {
    type Live = LiveWorker;

    fn id(&self) -> Id {
        Id::new("kubeadm.worker", &self.node.name)
    }

    fn node(&self) -> &str {
        &self.node.name
    }

    fn needs(&self) -> Vec<Id> {
        vec![ControlPlane::id_of(&self.workspace)]
    }

    fn query(&self) -> Vec<Probe> {
        [KUBELET_CONF, BOOTSTRAP_CONF, CA, &self.file()].map(Probe::path).into()
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveWorker>> {
        let [Finding::Path(kubelet), Finding::Path(bootstrap), Finding::Path(ca), Finding::Path(file)] = findings else {
            return Err(Error::peer(super::NoAnswer { node: self.node.name.to_string() }));
        };
        Ok(match (kubelet.is_some(), bootstrap.is_some() || ca.is_some()) {
            (true, _) if file.is_some() => Some(LiveWorker::NotTidied),
            (true, _) => Some(LiveWorker::Joined),
            (false, true) => Some(LiveWorker::Begun),
            (false, false) => None,
        })
    }

    fn diff(&self, live: Option<&LiveWorker>) -> Change {
        match live {
            None => Change::create([Field::new("cluster", &self.workspace.name), Field::new("endpoint", self.workspace.endpoint())]),
            Some(LiveWorker::Joined) => Change::None,
            Some(LiveWorker::NotTidied) => {
                Change::Update(vec![Field { live: Some("left behind".into()), ..Field::new("file with a join token", "removed") }])
            }
            Some(LiveWorker::Begun) => Change::Update(vec![Field { live: Some("begun".into()), ..Field::new("join", "done") }]),
        }
    }

    fn work(&self, _: Option<&LiveWorker>, _: bool) -> Work {
        Work::JustInTime
    }

    async fn apply(&self, live: Option<&LiveWorker>, peers: &Peers, permit: &Permit) -> Result<()> {
        if live == Some(&LiveWorker::NotTidied) {
            return self.act(&Action::Remove { path: self.file() }, peers, permit).await;
        }
        self.endpoint_resolves(peers, permit).await?;
        self.wait_until_the_name_is_free(peers).await?;
        if live == Some(&LiveWorker::Begun) {
            self.clear_what_a_failed_join_left(peers, permit).await?;
        }
        let invitation = Invitation::mint(peers, &self.place.node, &self.node.name, permit).await?;
        let joined = self.join(&invitation, peers, permit).await;
        invitation.revoke(peers, &self.place.node, permit).await;
        joined
    }
}

impl Worker {
    fn file(&self) -> String {
        format!("{FOLDER}/join.yaml")
    }

    async fn act(&self, action: &Action, peers: &Peers, permit: &Permit) -> Result<()> {
        let output = permit.act(peers, &self.node.name, action).await?;
        self.succeeded(&output)
    }

    fn succeeded(&self, output: &Output) -> Result<()> {
        if output.status == 0 { Ok(()) } else { Err(self.failed(output)) }
    }

    async fn join(&self, invitation: &Invitation, peers: &Peers, permit: &Permit) -> Result<()> {
        let (version, token) = (&self.workspace.versions.kubernetes, invitation.token.expose());
        let content = Content::Secret(Secret::holding(config::join(&self.workspace, &self.node, version, token, &invitation.ca_hash)));
        self.act(&Action::Directory { path: FOLDER.into(), mode: 0o700, owner: None }, peers, permit).await?;
        let written = self.act(&Action::Write { path: self.file(), content, mode: 0o600, owner: None }, peers, permit).await;
        let mut argv: Vec<String> = ["kubeadm", "join", "--config"].map(String::from).into();
        argv.push(self.file());
        argv.extend(super::ignored(&self.workspace.kubeadm));
        let joined = match written {
            Ok(()) => self.act(&Action::run_for(300, argv), peers, permit).await,
            Err(error) => Err(error),
        };
        // It holds the token.
        let removed = permit.act_closing(peers, &self.node.name, &Action::Remove { path: self.file() }).await;
        joined.and(removed.and_then(|output| self.succeeded(&output)))
    }

    async fn endpoint_resolves(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        let endpoint = self.workspace.endpoint();
        let Some(action) = config::resolve_endpoint(&endpoint) else { return Ok(()) };
        let output = permit.act(peers, &self.node.name, &action).await?;
        if output.status == 0 { Ok(()) } else { Err(Error::peer(Unresolved { node: self.node.name.to_string(), endpoint })) }
    }

    /// kubeadm refuses the name of a node that is Ready. A machine that was just made anew still has its predecessor's for a while.
    async fn wait_until_the_name_is_free(&self, peers: &Peers) -> Result<()> {
        let client = objects::client(peers, &self.place.node).await?;
        let (client, name) = (&client, &self.node.name);
        let help = format!("another machine is in the cluster as `{name}`: stop it, or give this one another name");
        wait(peers, Limit::minutes(2), &format!("the cluster to notice that the former {name} is gone"), &help, || async move {
            match look(client, name).await {
                Ok(Some(live)) if live.ready => Ok(Poll::Pending(format!("node {name} still counts as Ready"))),
                Ok(_) => Ok(Poll::Ready(())),
                Err(error) if is_passing(&error) => Ok(Poll::Pending(in_words(&error))),
                Err(error) => Err(Error::peer(JoinWorker { node: name.to_string(), reason: in_words(&error) })),
            }
        })
        .await
    }

    /// Removes the files that make kubeadm refuse to join again; the machine was never part of the cluster.
    async fn clear_what_a_failed_join_left(&self, peers: &Peers, permit: &Permit) -> Result<()> {
        self.act(&Action::run(["systemctl", "stop", "kubelet"]), peers, permit).await?;
        for path in [BOOTSTRAP_CONF, CA] {
            self.act(&Action::Remove { path: path.into() }, peers, permit).await?;
        }
        Ok(())
    }

    fn failed(&self, output: &Output) -> Error {
        let lines: Vec<&str> = output.stderr.lines().chain(output.stdout.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
        let telling =
            lines.iter().filter(|line| line.contains("[ERROR") || line.starts_with("error")).copied().collect::<Vec<_>>().join("; ");
        let reason = if telling.is_empty() { lines.last().copied().unwrap_or("it said nothing").to_owned() } else { telling };
        Error::peer(JoinWorker { node: self.node.name.to_string(), reason: format!("exit status {}: {reason}", output.status) })
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot join {node} to the cluster: {reason}")]
#[diagnostic(
    code(kthw::kubeadm::join),
    help(
        "on {node}: `journalctl -u kubelet`; run kthw again to try once more, or run `kubeadm reset -f` there first if the machine belonged to another cluster"
    )
)]
struct JoinWorker {
    node: String,
    reason: String,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} cannot resolve the cluster's endpoint {endpoint}")]
#[diagnostic(
    code(kthw::kubeadm::unresolved_endpoint),
    help("add the name to DNS or to /etc/hosts (the phase `system` does so for all nodes), or set `endpoint` to an address")
)]
struct Unresolved {
    node: String,
    endpoint: String,
}

#[cfg(test)]
mod tests {
    use super::{super::config_tests::workspace, *};

    fn worker() -> Worker {
        let workspace = Arc::new(workspace("1.31.9", ""));
        let place = Place::of(&workspace).expect("a control plane");
        Worker { node: workspace.nodes[1].clone(), place, workspace }
    }

    #[test]
    fn a_worker_is_joined_once() {
        let worker = worker();
        assert_eq!(
            worker.diff(None).fields().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["cluster: ubuntu", "endpoint: cu1.bevz.net:6443"]
        );
        assert_eq!(worker.diff(Some(&LiveWorker::Joined)), Change::None);
        assert_eq!(worker.diff(Some(&LiveWorker::NotTidied)).fields()[0].to_string(), "file with a join token: left behind -> removed");
        assert_eq!(worker.diff(Some(&LiveWorker::Begun)).fields()[0].to_string(), "join: begun -> done");
        assert_eq!(worker.needs()[0].to_string(), "kubeadm.control_plane/ubuntu");
    }

    #[test]
    fn kubeadms_own_errors_are_shown() {
        let output = Output {
            status: 1,
            stdout: "[preflight] Running pre-flight checks\n".into(),
            stderr: "error execution phase preflight: [preflight] Some fatal errors occurred:\n\t[ERROR Port-10250]: Port 10250 is in use\n[preflight] hint\n".into(),
        };
        assert_eq!(
            worker().failed(&output).to_string(),
            "cannot join wu1 to the cluster: exit status 1: error execution phase preflight: [preflight] Some fatal errors occurred:; \
             [ERROR Port-10250]: Port 10250 is in use"
        );
    }
}
