//! The first control plane: `kubeadm init` on exactly one node.
use super::{
    FOLDER,
    config::{self, ClusterSpec},
};
use crate::workspace::{NodeSpec, Role, Workspace};
use kthw_engine::{
    Change, Error, Field, Id, Limit, NodeResource, Peers, Permit, Poll, Refusal, Result, Work, field,
    node::{Action, Content, Finding, Output, PathState, Probe},
    wait,
};
use miette::Diagnostic;
use std::{collections::BTreeSet, sync::Arc};

const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// The field that differs while the API server does not answer.
const API_SERVER: &str = "API server";
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
        /// The version of its image, if its manifest says one.
        version: Option<String>,
    },
    /// kubeadm was here, but the API server does not answer.
    Silent {
        /// What asking it said.
        reason: String,
    },
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
        let mut probes: Vec<Probe> = [ADMIN_CONF, KUBELET_CONF].map(Probe::path).into();
        // No file has this digest, so the manifest's content comes along.
        probes.push(Probe::Path { path: MANIFEST.into(), expect: Some(String::new()) });
        probes.push(Probe::run(["openssl", "x509", "-in", CERTIFICATE, "-noout", "-ext", "subjectAltName"]));
        probes.push(ask_readiness());
        probes
    }

    fn live(&self, findings: &[Finding]) -> Result<Option<LiveControlPlane>> {
        let [Finding::Path(admin), Finding::Path(kubelet), Finding::Path(manifest), Finding::Run(names), Finding::Run(ready)] = findings
        else {
            return Err(Error::peer(super::NoAnswer { node: self.node.name.to_string() }));
        };
        let there = |path: &Option<PathState>| path.is_some();
        if !there(admin) && !there(kubelet) && !there(manifest) {
            return Ok(None);
        }
        if there(admin) && ready.status == 0 {
            if names.status == 127 {
                return Err(Error::peer(NoOpenssl { node: self.node.name.to_string() }));
            }
            let version = manifest.as_ref().and_then(|file| version_in(file.content.as_deref()?));
            return Ok(Some(LiveControlPlane::Running { names: names_in(&names.stdout), version }));
        }
        let reason = if there(admin) { told(ready) } else { format!("there is no {ADMIN_CONF}") };
        Ok(Some(LiveControlPlane::Silent { reason }))
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
            Some(LiveControlPlane::Running { names, version }) => {
                if let Some(refused) = version.as_deref().and_then(|version| self.refuse_upgrade(version)) {
                    return refused;
                }
                let missing = self.names().into_iter().filter(|name| !names.contains(name));
                let missing = missing.map(|name| Some(Field { live: Some("absent".into()), ..Field::new("certificate names", name) }));
                Change::between(missing)
            }
            Some(LiveControlPlane::Silent { reason }) => {
                Change::Update(vec![Field { live: Some(format!("silent ({reason})")), ..Field::new(API_SERVER, "answering") }])
            }
        }
    }

    fn hides_dependents(&self, change: &Change) -> bool {
        matches!(change, Change::Create(_)) || change.fields().iter().any(|field| field.name == API_SERVER)
    }

    fn work(&self, live: Option<&LiveControlPlane>, _: bool) -> Work {
        match live {
            None => Work::Actions(self.init()),
            Some(LiveControlPlane::Running { .. }) => Work::Actions(self.renew_certificate()),
            Some(LiveControlPlane::Silent { .. }) => Work::JustInTime,
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
                _ => Err(Error::peer(super::NoAnswer { node: node.to_string() })),
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
#[error("cannot look into the API server's certificate on {node}: there is no `openssl`")]
#[diagnostic(code(kthw::kubeadm::openssl), help("install it: `ssh::package(node, \"openssl\")`"))]
struct NoOpenssl {
    node: String,
}

#[cfg(test)]
#[path = "control_plane_tests.rs"]
mod tests;
