//! A worker: `kubeadm join` with a token that is minted just before and revoked right after.
use super::{
    FOLDER, config,
    control_plane::ControlPlane,
    fixed::endpoint_in,
    kubelet::{self, Kubelet, LiveKubelet},
    token::Invitation,
};
use crate::{
    kubernetes::{DrainOptions, Place, in_words, is_passing, look, objects},
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{
    Change, Error, Field, Id, Limit, NodeResource, Peers, Permit, Poll, Refusal, Removable, Result, Secret, Work, field,
    node::{Action, Content, Finding, Output, Probe},
    wait,
};
use miette::Diagnostic;
use std::sync::Arc;

mod leaving;

const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const BOOTSTRAP_CONF: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const CA: &str = "/etc/kubernetes/pki/ca.crt";
const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// A worker of a cluster.
#[derive(Debug)]
pub struct Worker {
    /// The cluster.
    pub workspace: Arc<Workspace>,
    /// Its API.
    pub place: Place,
    /// The machine.
    pub node: NodeSpec,
    /// What may be done to its pods when it leaves the cluster.
    pub drain: DrainOptions,
}

/// How far a machine has come. Whether the cluster still knows it is for `kubernetes::node_ready` to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveWorker {
    /// Its kubelet has credentials of the cluster.
    Joined {
        /// `host:port` at which it asks the cluster's API.
        endpoint: Option<String>,
        /// Its kubelet.
        kubelet: LiveKubelet,
        /// The file that told kubeadm how to join still lies there, with its token.
        untidy: bool,
    },
    /// A join was begun and did not come that far.
    Begun,
    /// The machine is a control plane.
    ControlPlane,
}

impl NodeResource for Worker {
    type Live = LiveWorker;
    const REMOVABLE: Removable = Removable::Declared;

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
        let mut probes: Vec<Probe> = [KUBELET_CONF, BOOTSTRAP_CONF, CA, ADMIN_CONF, &self.file()].map(Probe::path).into();
        // Nothing else of the file: it may hold a key.
        probes.push(Probe::run(["grep", "-m1", "server:", KUBELET_CONF]));
        probes.extend(Kubelet::query());
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveWorker>> {
        use Finding::{Path, Run};
        let [Path(conf), Path(bootstrap), Path(ca), Path(admin), Path(file), Run(server), kubelet @ ..] = findings else {
            return Err(Error::peer(super::NoAnswer { node: self.node.name.to_string() }));
        };
        Ok(match (conf.is_some(), bootstrap.is_some() || ca.is_some()) {
            _ if admin.is_some() => Some(LiveWorker::ControlPlane),
            (true, _) => Some(LiveWorker::Joined {
                endpoint: endpoint_in(&server.stdout).map(str::to_owned),
                kubelet: Kubelet::live(kubelet),
                untidy: file.is_some(),
            }),
            (false, true) => Some(LiveWorker::Begun),
            (false, false) => None,
        })
    }

    fn diff(&self, live: Option<&LiveWorker>) -> Change {
        match live {
            None => Change::create([Field::new("cluster", &self.workspace.name), Field::new("endpoint", self.workspace.endpoint())]),
            Some(LiveWorker::Joined { endpoint, kubelet, untidy }) => {
                let mut refusals: Vec<Refusal> = self.refuse_endpoint(endpoint.as_deref()).into_iter().collect();
                refusals.extend(self.kubelet().refusals(kubelet));
                let mut fields = self.kubelet().fields(kubelet);
                fields.push(untidy.then(|| Field { live: Some("left behind".into()), ..Field::new("file with a join token", "removed") }));
                kubelet::change(refusals, fields)
            }
            Some(LiveWorker::Begun) => Change::Update(vec![Field { live: Some("begun".into()), ..Field::new("join", "done") }]),
            Some(LiveWorker::ControlPlane) => Change::Refused(self.refuse_control_plane()),
        }
    }

    fn work(&self, live: Option<&LiveWorker>, _: bool) -> Work {
        match live {
            Some(LiveWorker::Joined { kubelet, untidy, .. }) => {
                let mut actions: Vec<Action> = untidy.then(|| Action::Remove { path: self.file() }).into_iter().collect();
                actions.extend(self.kubelet().work(kubelet));
                Work::Actions(actions)
            }
            _ => Work::Alone,
        }
    }

    fn keeps(&self, live: &LiveWorker) -> Option<String> {
        match live {
            LiveWorker::ControlPlane => Some(self.refuse_control_plane().why),
            LiveWorker::Joined { endpoint, .. } => self.is_of_another_cluster(endpoint.as_deref()),
            LiveWorker::Begun => None,
        }
    }

    fn removal(&self, _: &LiveWorker) -> Work {
        Work::Alone
    }

    async fn remove(&self, _: &LiveWorker, peers: &Peers, permit: &Permit) -> Result<()> {
        self.leave(peers, permit).await
    }

    async fn apply(&self, live: Option<&LiveWorker>, peers: &Peers, permit: &Permit) -> Result<()> {
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
    fn kubelet(&self) -> Kubelet<'_> {
        Kubelet::of(&self.workspace, &self.node)
    }

    fn refuse_endpoint(&self, live: Option<&str>) -> Option<Refusal> {
        let (node, live) = (&self.node.name, live?);
        let endpoint = field("endpoint", live.to_owned(), self.workspace.endpoint())?;
        Some(Refusal {
            why: format!("{node} joined the cluster at another endpoint"),
            next: format!(
                "set `endpoint` back to {live}; if the cluster itself was moved by hand, write the new one into {KUBELET_CONF} on {node} and restart \
                 its kubelet"
            ),
            fields: vec![endpoint],
        })
    }

    fn refuse_control_plane(&self) -> Refusal {
        let node = &self.node.name;
        Refusal {
            why: format!("{node} is a control plane; kthw makes no worker of it"),
            next: format!(
                "set the role of {node} back to `control_plane`; a control plane that is not wanted any more has to leave its cluster first \
                 (`kubeadm reset -f` on it, which destroys a cluster that has no other)"
            ),
            fields: vec![Field { live: Some("control_plane".into()), ..Field::new("role", "worker") }],
        }
    }

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
        let version = &self.workspace.versions().map_err(Error::usage)?.kubernetes;
        let token = invitation.token.expose();
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
        Error::peer(JoinWorker { node: self.node.name.to_string(), reason: Self::telling(output) })
    }

    /// How a program ended, and what of its output says why.
    fn telling(output: &Output) -> String {
        let lines: Vec<&str> = output.stderr.lines().chain(output.stdout.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
        let telling =
            lines.iter().filter(|line| line.contains("[ERROR") || line.starts_with("error")).copied().collect::<Vec<_>>().join("; ");
        let reason = if telling.is_empty() { lines.last().copied().unwrap_or("it said nothing").to_owned() } else { telling };
        format!("exit status {}: {reason}", output.status)
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
        Worker { node: workspace.nodes[1].clone(), place, workspace, drain: DrainOptions::default() }
    }

    #[test]
    fn a_worker_is_joined_once() {
        let worker = worker();
        assert_eq!(
            worker.diff(None).fields().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["cluster: ubuntu", "endpoint: cu1.bevz.net:6443"]
        );
        let joined = |untidy| LiveWorker::Joined { endpoint: Some("cu1.bevz.net:6443".into()), kubelet: LiveKubelet::default(), untidy };
        assert_eq!(worker.diff(Some(&joined(false))), Change::None);
        let left = joined(true);
        assert_eq!(worker.diff(Some(&left)).fields()[0].to_string(), "file with a join token: left behind -> removed");
        let Work::Actions(actions) = worker.work(Some(&left), false) else { panic!("nothing else is asked for that") };
        let shown: Vec<String> = actions.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["removing /etc/kubernetes/kthw/join.yaml"]);
        assert_eq!(worker.diff(Some(&LiveWorker::Begun)).fields()[0].to_string(), "join: begun -> done");
        assert_eq!(worker.needs()[0].to_string(), "kubeadm.control_plane/ubuntu");
    }

    #[test]
    fn a_control_plane_does_not_become_a_worker_and_another_endpoint_is_refused() {
        let refused = |live: &LiveWorker| match worker().diff(Some(live)) {
            Change::Refused(Refusal { why, fields, .. }) => format!("{why} ({})", fields[0]),
            change => panic!("{change:?}"),
        };
        assert_eq!(
            refused(&LiveWorker::ControlPlane),
            "wu1 is a control plane; kthw makes no worker of it (role: control_plane -> worker)"
        );
        let elsewhere = LiveWorker::Joined { endpoint: Some("other:6443".into()), kubelet: LiveKubelet::default(), untidy: false };
        assert_eq!(refused(&elsewhere), "wu1 joined the cluster at another endpoint (endpoint: other:6443 -> cu1.bevz.net:6443)");
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
