//! The first control plane: `kubeadm init` on exactly one node.
use super::{
    FOLDER,
    config::{self, ClusterSpec},
    fixed::Made,
    kubelet::{self, Kubelet, LiveKubelet},
};
use crate::workspace::{NodeSpec, Role, Workspace};
use kthw_engine::{
    Change, Error, Field, Id, Limit, NodeResource, Peers, Permit, Poll, Refusal, Result, Work,
    node::{Action, Content, Finding, Output, Probe},
    wait,
};
use miette::Diagnostic;
use std::{collections::BTreeSet, sync::Arc};

const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const CONTROLLER_MANAGER: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
/// The field that differs while the API server does not answer.
const API_SERVER: &str = "API server";
const NAMES: &str = "certificate names";
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
const CERTIFICATE_KEY: &str = "/etc/kubernetes/pki/apiserver.key";

/// A cluster's control plane on its first control-plane node.
#[derive(Debug)]
pub struct ControlPlane {
    workspace: Arc<Workspace>,
    node: NodeSpec,
    spec: ClusterSpec,
}

/// What reading finds of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveControlPlane {
    /// The API server answers.
    Running {
        /// Names and addresses in its certificate.
        names: BTreeSet<String>,
        /// How it was made.
        made: Box<Made>,
        /// The kubelet of its node.
        kubelet: LiveKubelet,
    },
    /// kubeadm was here, but the API server does not answer.
    Silent {
        /// What asking it said.
        reason: String,
    },
    /// The machine is a worker of a cluster.
    Worker,
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

    /// Names that the certificate lacks, and names in it that nobody asks for any more.
    fn name_fields(&self, live: &BTreeSet<String>) -> Vec<Option<Field>> {
        let wanted = self.names();
        let of_kubeadm = config::names_of_kubeadm(&self.node, &self.spec);
        let missing = wanted.iter().filter(|name| !live.contains(*name));
        let missing = missing.map(|name| Field { live: Some("absent".into()), ..Field::new(NAMES, name) });
        let more = live.iter().filter(|name| !wanted.contains(name) && !of_kubeadm.contains(name));
        missing.chain(more.map(|name| Field { live: Some(name.clone()), ..Field::new(NAMES, "absent") })).map(Some).collect()
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
            fields: vec![Field { live: Some("worker".into()), ..Field::new("role", "control_plane") }],
        }
    }

    /// Makes right what differs on one that runs.
    fn mend(&self, names: &BTreeSet<String>, kubelet: &LiveKubelet) -> Vec<Action> {
        let mut actions = if self.name_fields(names).is_empty() { Vec::new() } else { self.renew_certificate() };
        if self.kubelet().changes_configuration(kubelet) {
            // The cluster's copy first: nodes that join later begin with it.
            actions.extend(self.write_configuration());
            actions.push(Action::run(["kubeadm", "init", "phase", "upload-config", "kubelet", "--config", &self.file()]));
        }
        actions.extend(self.kubelet().work(kubelet));
        actions
    }

    fn file(&self) -> String {
        format!("{FOLDER}/kubeadm.yaml")
    }

    fn write_configuration(&self) -> Vec<Action> {
        vec![
            Action::Directory { path: FOLDER.into(), mode: 0o700, owner: None },
            Action::Write {
                path: self.file(),
                content: Content::plain(config::init(&self.workspace, &self.node, &self.spec)),
                mode: 0o600,
                owner: None,
            },
        ]
    }

    fn init(&self) -> Vec<Action> {
        let settings = &self.workspace.kubeadm;
        let mut argv: Vec<String> = ["kubeadm", "init", "--config"].map(String::from).into();
        argv.extend([self.file(), "--skip-token-print".into()]);
        if !settings.skip_phases.is_empty() {
            argv.push(format!("--skip-phases={}", settings.skip_phases.join(",")));
        }
        argv.extend(super::ignored(settings));
        let mut actions: Vec<Action> = config::resolve_endpoint(&self.spec.endpoint).into_iter().collect();
        actions.extend(self.write_configuration());
        actions.push(Action::run_for(600, argv));
        actions
    }

    /// Makes the API server's certificate anew. The server takes up a new file by itself within a minute.
    fn renew_certificate(&self) -> Vec<Action> {
        let mut actions = self.write_configuration();
        actions.extend([CERTIFICATE, CERTIFICATE_KEY].map(|path| Action::Remove { path: path.into() }));
        actions.push(Action::run(["kubeadm", "init", "phase", "certs", "apiserver", "--config", &self.file()]));
        actions
    }
}

impl NodeResource for ControlPlane {
    type Live = LiveControlPlane;

    fn id(&self) -> Id {
        Self::id_of(&self.workspace)
    }

    fn node(&self) -> &str {
        &self.node.name
    }

    fn query(&self) -> Vec<Probe> {
        // No file has this digest, so a manifest's content comes along.
        let content = |path: &str| Probe::Path { path: path.into(), expect: Some(String::new()) };
        let mut probes: Vec<Probe> = [ADMIN_CONF, KUBELET_CONF].map(Probe::path).into();
        probes.extend([MANIFEST, CONTROLLER_MANAGER].map(content));
        // Nothing else of the file: it holds the administrator's key.
        probes.push(Probe::run(["grep", "-m1", "server:", ADMIN_CONF]));
        probes.push(Probe::run(["openssl", "x509", "-in", CERTIFICATE, "-noout", "-ext", "subjectAltName"]));
        probes.push(ask_readiness());
        probes.extend(Kubelet::query());
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveControlPlane>> {
        let [
            Finding::Path(admin),
            Finding::Path(kubelet_conf),
            Finding::Path(manifest),
            Finding::Path(controller_manager),
            Finding::Run(server),
            Finding::Run(names),
            Finding::Run(ready),
            kubelet @ ..,
        ] = findings
        else {
            return Err(Error::peer(super::NoAnswer { node: self.node.name.clone() }));
        };
        if admin.is_none() && manifest.is_none() {
            // kubeadm writes the administrator's credentials before the kubelet's.
            return Ok(kubelet_conf.as_ref().map(|_| LiveControlPlane::Worker));
        }
        if admin.is_some() && ready.status == 0 {
            if names.status == 127 {
                return Err(Error::peer(NoOpenssl { node: self.node.name.clone() }));
            }
            let text = |file: &Option<_>| kubelet::text_of(file.as_ref()).unwrap_or_default();
            return Ok(Some(LiveControlPlane::Running {
                names: names_in(&names.stdout),
                made: Box::new(Made::of(&text(manifest), &text(controller_manager), &server.stdout)),
                kubelet: Kubelet::live(kubelet),
            }));
        }
        let reason = if admin.is_some() { told(ready) } else { format!("there is no {ADMIN_CONF}") };
        Ok(Some(LiveControlPlane::Silent { reason }))
    }

    fn diff(&self, live: Option<&LiveControlPlane>) -> Change {
        match live {
            None => Change::create([
                Field::new("version", &self.spec.version),
                Field::new("endpoint", &self.spec.endpoint),
                Field::new("pod_subnet", self.spec.pod_subnet),
                Field::new("service_subnet", self.spec.service_subnet),
                Field::new(NAMES, self.names().join(", ")),
            ]),
            Some(LiveControlPlane::Running { names, made, kubelet }) => {
                let mut refusals = made.refusals(&self.workspace, &self.node, &self.spec);
                refusals.extend(self.kubelet().refusals(kubelet));
                let mut fields = self.name_fields(names);
                fields.extend(self.kubelet().fields(kubelet));
                kubelet::change(refusals, fields)
            }
            Some(LiveControlPlane::Silent { reason }) => {
                Change::Update(vec![Field { live: Some(format!("silent ({reason})")), ..Field::new(API_SERVER, "answering") }])
            }
            Some(LiveControlPlane::Worker) => Change::Refused(self.refuse_worker()),
        }
    }

    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_)) || change.fields().iter().any(|field| field.name == API_SERVER || field.name == "role")
    }

    fn work(&self, live: Option<&LiveControlPlane>, _: bool) -> Work {
        match live {
            None => Work::Actions(self.init()),
            Some(LiveControlPlane::Running { names, kubelet, .. }) => Work::Actions(self.mend(names, kubelet)),
            Some(LiveControlPlane::Silent { .. } | LiveControlPlane::Worker) => Work::JustInTime,
        }
    }

    /// A silent API server is only waited for: nothing that could be on it is ever thrown away.
    async fn apply(&self, _: Option<&LiveControlPlane>, peers: &Peers, _: &Permit) -> Result<()> {
        let node = &self.node.name;
        let help = format!(
            "on {node}: `systemctl status kubelet`, `journalctl -u kubelet`, `crictl ps -a`; if this is what a failed first `kubeadm init` left and \
             nothing is on the cluster yet, run `kubeadm reset -f` there and run kthw again"
        );
        let probes = [ask_readiness()];
        let probes = &probes;
        wait(peers, Limit::minutes(2), &format!("the API server on {node} to answer"), &help, || async move {
            match peers.nodes().read(node, probes).await?.first() {
                Some(Finding::Run(output)) if output.status == 0 => Ok(Poll::Ready(())),
                Some(Finding::Run(output)) => Ok(Poll::Pending(told(output))),
                _ => Err(Error::peer(super::NoAnswer { node: node.clone() })),
            }
        })
        .await
    }
}

fn ask_readiness() -> Probe {
    Probe::run(["kubectl", "--kubeconfig", ADMIN_CONF, "--request-timeout=10s", "get", "--raw=/readyz"])
}

/// The names and addresses in what `openssl x509 -ext subjectAltName` prints.
fn names_in(text: &str) -> BTreeSet<String> {
    text.split([',', '\n'])
        .filter_map(|part| part.trim().strip_prefix("DNS:").or_else(|| part.trim().strip_prefix("IP Address:")))
        .map(str::to_owned)
        .collect()
}

/// The last line of a refusal. The server opens its port before it knows anybody's rights, so who is refused then is not the point.
fn told(output: &Output) -> String {
    let lines = [&output.stderr, &output.stdout];
    let last = lines.iter().find_map(|text| text.lines().rev().find(|line| !line.trim().is_empty())).unwrap_or("no answer").trim();
    match [("(Forbidden)", "403 while it starts: RBAC is not loaded yet"), ("(Unauthorized)", "401 while it starts: it does not know anybody yet")]
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
#[error("cannot look into the API server's certificate on {node}: there is no `openssl`")]
#[diagnostic(code(kthw::kubeadm::openssl), help("install it: `ssh::package(node, \"openssl\")`"))]
struct NoOpenssl {
    node: String,
}

#[cfg(test)]
#[path = "control_plane_tests.rs"]
mod tests;
