//! The first control plane: `kubeadm init` on exactly one node.
use super::{
    api_server::{LiveSettings, Settings},
    config::{self, ClusterSpec},
    fixed::Made,
    kubelet::{self, Kubelet, LiveKubelet},
};
use crate::{
    dns::Records,
    workspace::{NodeSpec, Role, Workspace},
};
use kthw_engine::{
    Change, Error, Field, Id, Limit, NodeResource, Peers, Permit, Poll, Refusal, Result, Work,
    node::{Action, Finding, Output, Probe},
    wait,
};
use miette::Diagnostic;
use std::sync::Arc;

mod certificate;
mod init;
mod late;
mod settings;

pub use certificate::LiveCertificate;
pub use late::LatePhase;

const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const CONTROLLER_MANAGER: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
/// The field that differs while the API server does not answer.
const API_SERVER: &str = "API server";

/// A cluster's control plane on its first control-plane node.
#[derive(Debug)]
pub struct ControlPlane {
    workspace: Arc<Workspace>,
    node: NodeSpec,
    spec: ClusterSpec,
}

/// What reading finds of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveMachine {
    /// It is a worker of a cluster.
    Worker,
    /// kubeadm began a control plane on it.
    ControlPlane(Box<LiveControlPlane>),
}

/// What reading finds of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveControlPlane {
    /// What asking the API server said, when it cannot be asked.
    silent: Option<String>,
    /// How it was made.
    made: Made,
    certificate: LiveCertificate,
    /// `kubeadm init` was begun and did not come to its end.
    begun: bool,
    /// Phases of which something is missing, and what.
    missing: Vec<(&'static LatePhase, Vec<String>)>,
    /// What the API server is told beside that.
    settings: LiveSettings,
    /// The kubelet of its node.
    kubelet: LiveKubelet,
}

impl ControlPlane {
    /// The control plane of this workspace.
    ///
    /// # Errors
    /// A workspace with none or several, as long as kthw builds one only.
    pub fn new(workspace: Arc<Workspace>, spec: ClusterSpec) -> std::result::Result<Self, ControlPlanes> {
        let all: Vec<&NodeSpec> = workspace.with_role(Role::ControlPlane).collect();
        match all[..] {
            [node] => Ok(Self { node: node.clone(), workspace: workspace.clone(), spec }),
            _ => Err(ControlPlanes { name: workspace.name.clone(), count: all.len() }),
        }
    }

    /// The identity of a cluster's control plane.
    pub fn id_of(workspace: &Workspace) -> Id {
        Id::new("kubeadm.control_plane", &workspace.name)
    }

    fn names(&self) -> Vec<String> {
        config::certificate_names(&self.workspace, &self.spec.endpoint)
    }

    /// How the certificate differs from the one that is wanted.
    fn certificate_fields(&self, live: &LiveCertificate) -> Vec<Field> {
        let wanted = self.names();
        let mut fields = live.fields(&wanted);
        fields.extend(live.more(&wanted, &config::names_of_kubeadm(&self.node, &self.spec)));
        fields
    }

    fn settings(&self) -> Settings {
        Settings::of(&self.workspace)
    }

    fn kubelet(&self) -> Kubelet<'_> {
        Kubelet::of(&self.workspace, &self.node)
    }

    fn refuse_worker(&self) -> Refusal {
        let node = &self.node.name;
        Refusal {
            why: format!("{node} is a worker of a cluster; kthw makes no control plane of it"),
            next: format!(
                "set the role of {node} back to `worker`; or take it out of the cluster (`kubectl drain {node}`, `kubectl delete node {node}`, then \
                 `kubeadm reset -f` on it) and run again"
            ),
            fields: vec![was("role", "worker", "control_plane")],
        }
    }

    /// What differs of it. While it is silent, only what its silence may come from.
    fn difference(&self, live: &LiveControlPlane) -> Change {
        let silent = live.silent.as_ref().map(|reason| was(API_SERVER, "silent", "answering").because(reason));
        let begun = live.begun.then(|| was("kubeadm init", "begun", "ended"));
        let missing = live.missing.iter().flat_map(|(_, names)| names).map(|name| was(name, "absent", "present"));
        let own = silent.into_iter().chain(begun).chain(self.certificate_fields(&live.certificate)).chain(missing);
        let mut fields: Vec<Option<Field>> = own.chain(self.settings().fields(&live.settings)).map(Some).collect();
        let foreign = self.settings().refusal(&self.node.name, &live.settings);
        if live.silent.is_some() {
            return kubelet::change(foreign.into_iter().collect(), fields);
        }
        let mut refusals = live.made.refusals(&self.workspace, &self.node, &self.spec);
        refusals.extend(foreign);
        refusals.extend(self.kubelet().refusals(&live.kubelet));
        fields.extend(self.kubelet().fields(&live.kubelet));
        kubelet::change(refusals, fields)
    }

    /// Makes the kubelet right, and what nodes that join later begin with.
    fn keep_kubelet(&self, live: &LiveControlPlane) -> Vec<Action> {
        let mut actions = Vec::new();
        if live.silent.is_some() {
            return actions;
        }
        if self.kubelet().changes_configuration(&live.kubelet) {
            // The cluster's copy first: once the node's own is right, nothing tells that it is not.
            actions.extend(self.upload_kubelet_configuration());
        }
        actions.extend(self.kubelet().work(&live.kubelet));
        actions
    }

    async fn run(&self, argv: &[&str], what: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        self.act(&Action::run(argv.iter().copied()), what, peers, permit).await
    }

    fn only_its_kubelet_differs(&self, live: &LiveControlPlane) -> bool {
        let finished = live.silent.is_none() && !live.begun && live.missing.is_empty();
        finished && self.certificate_fields(&live.certificate).is_empty() && self.settings().fields(&live.settings).is_empty()
    }

    fn no_answer<T>(&self) -> Result<T> {
        Err(Error::peer(super::NoAnswer { node: self.node.name.to_string() }))
    }

    async fn act(&self, action: &Action, what: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        let output = permit.act(peers, &self.node.name, action).await?;
        if output.status == 0 {
            return Ok(());
        }
        let reason = format!("exit status {}: {}", output.status, told(&output));
        Err(Error::peer(Failed { node: self.node.name.to_string(), what: what.into(), reason }))
    }

    /// Waits for a silent API server: nothing that could be on it is ever thrown away.
    async fn wait_until_it_answers(&self, begun: bool, peers: &Peers) -> Result<()> {
        let node = &self.node.name;
        let help = format!(
            "on {node}: `systemctl status kubelet`, `journalctl -u kubelet`, `crictl ps -a`; if this is what a failed first `kubeadm init` left and \
             nothing is on the cluster yet, run `kubeadm reset -f` there and run kthw again"
        );
        let mut probes = vec![ask_readiness()];
        // Before `kubeadm init` came to give its administrator rights, the other questions are refused.
        probes.extend(late::ask(node).into_iter().filter(|_| !begun));
        let probes = &probes;
        wait(peers, Limit::minutes(2), &format!("the API server on {node} to answer"), &help, || async move {
            let findings = peers.nodes().read(node, probes).await?;
            let failed = findings.iter().find_map(|finding| match finding {
                Finding::Run(output) if output.status == 0 => None,
                Finding::Run(output) => Some(Ok(Poll::Pending(told(output)))),
                _ => Some(Err(Error::peer(super::NoAnswer { node: node.to_string() }))),
            });
            failed.unwrap_or(Ok(Poll::Ready(())))
        })
        .await
    }
}

impl NodeResource for ControlPlane {
    type Live = LiveMachine;
    const HOLDS_DEPENDENTS: bool = true;

    fn id(&self) -> Id {
        Self::id_of(&self.workspace)
    }

    fn node(&self) -> &str {
        &self.node.name
    }

    fn after(&self) -> Vec<Id> {
        // The endpoint's name is in every file that kubeadm writes.
        vec![Records::id_of(&self.workspace)]
    }

    fn query(&self) -> Vec<Probe> {
        // No file has this digest, so a manifest's content comes along.
        let content = |path: &str| Probe::Path { path: path.into(), expect: Some(String::new()) };
        let mut probes: Vec<Probe> = [ADMIN_CONF, KUBELET_CONF].map(Probe::path).into();
        probes.extend([MANIFEST, CONTROLLER_MANAGER].map(content));
        // Nothing else of the file: it holds the administrator's key.
        probes.push(Probe::run(["grep", "-m1", "server:", ADMIN_CONF]));
        probes.push(init::probe());
        probes.extend(certificate::query());
        probes.push(ask_readiness());
        probes.extend(late::ask(&self.node.name));
        probes.extend(Kubelet::query());
        probes.extend(self.settings().query());
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveMachine>> {
        use Finding::{Path, Run};
        let [Path(admin), Path(kubelet_conf), Path(manifest), Path(controllers), Run(server), Path(init), rest @ ..] = findings else {
            return self.no_answer();
        };
        let [Path(crt), Path(key), Path(new_crt), Path(new_key), Run(shown), Run(ready), Run(system), Run(public), Run(node), rest @ ..] =
            rest
        else {
            return self.no_answer();
        };
        let Some((kubelet, files)) = rest.split_at_checked(kubelet::PROBES) else { return self.no_answer() };
        let begun = init::is_unfinished(init.as_ref());
        // kubeadm writes the administrator's credentials before the kubelet's, so these alone are a worker's.
        match (admin.is_some() || manifest.is_some(), kubelet_conf.is_some()) {
            (false, false) => return Ok(None),
            (false, true) if !begun => return Ok(Some(LiveMachine::Worker)),
            _ => {}
        }
        let certificate = LiveCertificate::read(&self.node.name, [crt, key, new_crt, new_key], shown)?;
        let (silent, missing) = match late::missing(&[system, public, node], &self.node.name, &self.workspace.kubeadm.skip_phases) {
            _ if admin.is_none() => (Some(format!("there is no {ADMIN_CONF}")), Vec::new()),
            _ if ready.status != 0 => (Some(told(ready)), Vec::new()),
            // All of them run again, whatever is there.
            _ if begun => (None, Vec::new()),
            Ok(missing) => (None, missing),
            Err(failed) => (Some(told(failed)), Vec::new()),
        };
        let text = |file: &Option<_>| kubelet::text_of(file.as_ref()).unwrap_or_default();
        let made = Made::of(&text(manifest), &text(controllers), &server.stdout);
        let states: Vec<_> = files.iter().map(|finding| if let Path(state) = finding { state.clone() } else { None }).collect();
        let settings = self.settings().live(kubelet::text_of(manifest.as_ref()).as_deref(), &states);
        let kubelet = Kubelet::live(kubelet);
        Ok(Some(LiveMachine::ControlPlane(Box::new(LiveControlPlane { silent, made, certificate, begun, missing, settings, kubelet }))))
    }

    fn diff(&self, live: Option<&LiveMachine>) -> Change {
        match live {
            None => {
                let own = [
                    Field::new("version", &self.spec.version),
                    Field::new("endpoint", &self.spec.endpoint),
                    Field::new("pod_subnet", self.spec.pod_subnet),
                    Field::new("service_subnet", self.spec.service_subnet),
                    Field::new(certificate::NAMES, self.names().join(", ")),
                ];
                Change::create(own.into_iter().chain(self.settings().created()))
            }
            Some(LiveMachine::ControlPlane(live)) => self.difference(live),
            Some(LiveMachine::Worker) => Change::Refused(self.refuse_worker()),
        }
    }

    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_)) || change.fields().iter().any(|field| field.name == API_SERVER || field.name == "role")
    }

    fn work(&self, live: Option<&LiveMachine>, _: bool) -> Work {
        match live {
            None => Work::Actions(self.init()),
            Some(LiveMachine::ControlPlane(live)) if self.only_its_kubelet_differs(live) => Work::Actions(self.keep_kubelet(live)),
            Some(_) => Work::Alone,
        }
    }

    async fn apply(&self, live: Option<&LiveMachine>, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(LiveMachine::ControlPlane(live)) = live else { return Ok(()) };
        // First: without a certificate, or with one that has ended, the API server stays silent.
        if !self.certificate_fields(&live.certificate).is_empty() {
            self.renew_certificate(&live.certificate, peers, permit).await?;
        }
        if live.silent.is_some() {
            // A file that it does not understand keeps it silent as well.
            self.keep_settings(live, peers, permit).await?;
            self.wait_until_it_answers(live.begun, peers).await?;
        }
        self.finish(live, peers, permit).await?;
        if live.silent.is_none() {
            self.keep_settings(live, peers, permit).await?;
        }
        for action in self.keep_kubelet(live) {
            self.act(&action, "change its kubelet", peers, permit).await?;
        }
        Ok(())
    }
}

fn was(name: &str, live: impl Into<String>, want: &str) -> Field {
    Field { live: Some(live.into()), ..Field::new(name.to_owned(), want) }
}

fn ask_readiness() -> Probe {
    Probe::run(["kubectl", "--kubeconfig", ADMIN_CONF, "--request-timeout=10s", "get", "--raw=/readyz"])
}

/// The last line of a refusal. The server opens its port before it knows anybody's rights, so who is refused then is not the point.
fn told(output: &Output) -> String {
    let lines = [&output.stderr, &output.stdout];
    let last = lines.iter().find_map(|text| text.lines().rev().find(|line| !line.trim().is_empty())).unwrap_or("no answer").trim();
    match [
        ("(Forbidden)", "403 while it starts: RBAC is not loaded yet"),
        ("(Unauthorized)", "401 while it starts: it does not know anybody yet"),
    ]
    .iter()
    .find(|(sign, _)| last.contains(sign))
    {
        Some((_, why)) => format!("it answers {why}"),
        None => last.to_owned(),
    }
}

/// A number of control planes that cannot be built yet.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("the workspace `{name}` has {count} control planes; kthw builds clusters with exactly one, not yet with more")]
#[diagnostic(code(kthw::kubeadm::control_planes), help("leave one of its `nodes` with `role: control_plane`"))]
pub struct ControlPlanes {
    name: String,
    count: usize,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot {what} on {node}: {reason}")]
#[diagnostic(code(kthw::kubeadm::control_plane), help("what was there is as it was; run kthw again once the reason is gone"))]
struct Failed {
    node: String,
    what: String,
    reason: String,
}

#[cfg(test)]
pub(super) use certificate::{probe as certificate_probe, shown as certificate_shown};

#[cfg(test)]
#[path = "control_plane_tests.rs"]
mod tests;
