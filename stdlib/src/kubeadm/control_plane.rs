//! The first control plane: `kubeadm init` on exactly one node.
use super::config::{self, ClusterSpec};
use crate::workspace::{NodeSpec, Role, Workspace};
use kthw_engine::{
    Change, Error, Field, Id, Limit, NodeResource, Peers, Permit, Poll, Refusal, Result, Work, field,
    node::{Action, Finding, Output, Probe},
    wait,
};
use miette::Diagnostic;
use std::sync::Arc;

mod certificate;
mod init;
mod late;

pub use certificate::LiveCertificate;
pub use late::LatePhase;

const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// The field that differs while the API server does not answer.
const API_SERVER: &str = "API server";

/// A cluster's control plane on its first control-plane node.
#[derive(Debug)]
pub struct ControlPlane {
    workspace: Arc<Workspace>,
    node: NodeSpec,
    spec: ClusterSpec,
}

/// What reading finds of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveControlPlane {
    /// What asking the API server said, when it cannot be asked.
    silent: Option<String>,
    /// The version of the API server's image, if its manifest says one.
    version: Option<String>,
    certificate: LiveCertificate,
    /// `kubeadm init` was begun and did not come to its end.
    begun: bool,
    /// Phases of which something is missing, and what.
    missing: Vec<(&'static LatePhase, Vec<String>)>,
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

    /// Another version is running: that is never changed in passing.
    fn refuse_upgrade(&self, live: &str) -> Option<Change> {
        let want = self.spec.version.to_string();
        let version = field("version", live, &want)?;
        Some(Change::Refused(Refusal {
            why: format!("the control plane on {} runs {live}; changing it to {want} is an upgrade, which kthw does not do yet", self.node.name),
            next: format!("set `versions.kubernetes` to {live}, or run `kubeadm upgrade apply v{want}` on {} first", self.node.name),
            fields: vec![version],
        }))
    }

    fn names(&self) -> Vec<String> {
        config::certificate_names(&self.workspace, &self.spec.endpoint)
    }

    async fn run(&self, argv: &[&str], what: &str, peers: &Peers, permit: &Permit) -> Result<()> {
        self.act(&Action::run(argv.iter().copied()), what, peers, permit).await
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
    type Live = LiveControlPlane;
    const HOLDS_DEPENDENTS: bool = true;

    fn id(&self) -> Id {
        Self::id_of(&self.workspace)
    }

    fn node(&self) -> &str {
        &self.node.name
    }

    fn query(&self) -> Vec<Probe> {
        let mut probes: Vec<Probe> = [ADMIN_CONF, KUBELET_CONF].map(Probe::path).into();
        // No file has this digest, so the manifest's content comes along.
        probes.push(Probe::Path { path: MANIFEST.into(), expect: Some(String::new()) });
        probes.push(init::probe());
        probes.extend(certificate::query());
        probes.push(ask_readiness());
        probes.extend(late::ask(&self.node.name));
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveControlPlane>> {
        use Finding::{Path, Run};
        let [Path(admin), Path(kubelet), Path(manifest), Path(init), Path(crt), Path(key), Path(new_crt), Path(new_key), Run(shown), Run(ready), Run(system), Run(public), Run(node)] =
            findings
        else {
            return Err(Error::peer(super::NoAnswer { node: self.node.name.to_string() }));
        };
        if [admin, kubelet, manifest].iter().all(|file| file.is_none()) {
            return Ok(None);
        }
        let certificate = LiveCertificate::read(&self.node.name, [crt, key, new_crt, new_key], shown)?;
        let version = manifest.as_ref().and_then(|file| version_in(file.content.as_deref()?));
        let begun = init::is_unfinished(init.as_ref());
        let live = |silent, missing| Ok(Some(LiveControlPlane { silent, version, certificate, begun, missing }));
        match late::missing(&[system, public, node], &self.node.name, &self.workspace.kubeadm.skip_phases) {
            _ if admin.is_none() => live(Some(format!("there is no {ADMIN_CONF}")), Vec::new()),
            _ if ready.status != 0 => live(Some(told(ready)), Vec::new()),
            // All of them run again, whatever is there.
            _ if begun => live(None, Vec::new()),
            Ok(missing) => live(None, missing),
            Err(failed) => live(Some(told(failed)), Vec::new()),
        }
    }

    fn diff(&self, live: Option<&LiveControlPlane>) -> Change {
        match live {
            None => Change::create([
                Field::new("version", &self.spec.version),
                Field::new("endpoint", &self.spec.endpoint),
                Field::new("pod_subnet", self.spec.pod_subnet),
                Field::new("service_subnet", self.spec.service_subnet),
                Field::new("certificate names", self.names().join(", ")),
            ]),
            Some(live) => {
                let version = live.version.as_deref().filter(|_| live.silent.is_none());
                if let Some(refused) = version.and_then(|version| self.refuse_upgrade(version)) {
                    return refused;
                }
                let silent = live.silent.as_ref().map(|reason| was(API_SERVER, format!("silent ({reason})"), "answering"));
                let begun = live.begun.then(|| was("kubeadm init", "begun", "ended"));
                let certificate = live.certificate.fields(&self.names());
                let missing = live.missing.iter().flat_map(|(_, names)| names).map(|name| was(name, "absent", "present"));
                Change::between(silent.into_iter().chain(begun).chain(certificate).chain(missing).map(Some))
            }
        }
    }

    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_)) || change.fields().iter().any(|field| field.name == API_SERVER)
    }

    fn work(&self, live: Option<&LiveControlPlane>, _: bool) -> Work {
        match live {
            None => Work::Actions(self.init()),
            Some(_) => Work::JustInTime,
        }
    }

    async fn apply(&self, live: Option<&LiveControlPlane>, peers: &Peers, permit: &Permit) -> Result<()> {
        let Some(live) = live else { return Ok(()) };
        // First: without a certificate, or with one that has ended, the API server stays silent.
        if !live.certificate.fields(&self.names()).is_empty() {
            self.renew_certificate(&live.certificate, peers, permit).await?;
        }
        if live.silent.is_some() {
            self.wait_until_it_answers(live.begun, peers).await?;
        }
        self.finish(live, peers, permit).await
    }
}

fn was(name: &str, live: impl Into<String>, want: &str) -> Field {
    Field { live: Some(live.into()), ..Field::new(name.to_owned(), want) }
}

fn ask_readiness() -> Probe {
    Probe::run(["kubectl", "--kubeconfig", ADMIN_CONF, "--request-timeout=10s", "get", "--raw=/readyz"])
}

/// The version in `image: <registry>/kube-apiserver:v1.31.9` of a static pod's manifest.
fn version_in(manifest: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(manifest).ok()?;
    let image = text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image:"))?;
    let version = image.trim().trim_matches('"').rsplit_once(":v")?.1;
    version.parse::<semver::Version>().ok().map(|version| version.to_string())
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
