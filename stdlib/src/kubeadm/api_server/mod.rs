//! What the API server is told beside what kubeadm tells it: its audit log, and what pods may be.
//!
//! An API server reads these files when it starts and never again. So a file's name holds its digest: another content is another argument, and with
//! it another static pod, which the kubelet starts in place of the one that runs.
mod audit;
mod pod_security;

use super::{FOLDER, static_pod};
use crate::workspace::Workspace;
use kthw_engine::{
    Field, Refusal,
    node::{Action, Content, PathState, Probe},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where the files are, on every control plane; root's alone.
const FILES: &str = "/etc/kubernetes/kthw/api-server";
/// Where the audit log is; root's alone.
const LOGS: &str = "/var/log/kubernetes/audit";
const LOG: &str = "/var/log/kubernetes/audit/audit.log";

const POLICY: &str = "audit-policy-file";
const LOG_PATH: &str = "audit-log-path";
const ADMISSION: &str = "admission-control-config-file";

/// Every argument that can be of kthw.
const OURS: [&str; 6] = [ADMISSION, "audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize", LOG_PATH, POLICY];

/// The arguments that kubeadm writes (`getAPIServerCommand` in upstream's cmd/kubeadm/app/phases/controlplane/manifests.go, the same from 1.29 to 1.37).
const OF_KUBEADM: [&str; 27] = [
    "advertise-address",
    "allow-privileged",
    "authorization-mode",
    "client-ca-file",
    "enable-admission-plugins",
    "enable-bootstrap-token-auth",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-keyfile",
    "etcd-servers",
    "kubelet-client-certificate",
    "kubelet-client-key",
    "kubelet-preferred-address-types",
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-username-headers",
    "secure-port",
    "service-account-issuer",
    "service-account-key-file",
    "service-account-signing-key-file",
    "service-cluster-ip-range",
    "tls-cert-file",
    "tls-private-key-file",
];

/// What the API server of a cluster is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its arguments.
    pub arguments: BTreeMap<String, String>,
    /// The files that they name, by their paths.
    files: BTreeMap<String, String>,
    /// What a person reads of it in a plan: a name and what is said under it.
    in_words: Vec<(&'static str, String)>,
}

/// What reading finds of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSettings {
    /// The arguments in the API server's manifest; `None` while there is no manifest.
    arguments: Option<BTreeMap<String, String>>,
    /// The wanted files that are not there, or hold something else.
    wrong: Vec<(String, &'static str)>,
}

impl Settings {
    /// What the workspace says.
    pub fn of(workspace: &Workspace) -> Self {
        let mut settings = Self::default();
        if let Some(audit) = &workspace.audit {
            settings.file(POLICY, "audit", &audit::policy(audit));
            settings.arguments.insert(LOG_PATH.into(), LOG.into());
            settings.arguments.extend(audit::rotation(audit).map(|(name, value)| (name.to_owned(), value)));
            let level = format!("{:?}", audit.level).to_lowercase();
            settings.in_words.push(("audit", format!("{level}, {} days, {} MiB at most", audit.keep_days, audit.max_mib)));
        }
        if let Some(security) = &workspace.pod_security {
            settings.file(ADMISSION, "admission", &pod_security::configuration(security, workspace));
            let words = format!(
                "enforce {}, warn {}, audit {}, not in {}",
                security.enforce.word(),
                security.warn.word(),
                security.audit.word(),
                pod_security::exempt(security, workspace).join(", ")
            );
            settings.in_words.push(("pod_security", words));
        }
        settings
    }

    fn file(&mut self, argument: &str, name: &str, content: &Value) {
        let content = super::config::yaml(content);
        let path = format!("{FILES}/{name}-{}.yaml", &Content::plain(content.clone()).sha256()[..12]);
        self.arguments.insert(argument.into(), path.clone());
        self.files.insert(path, content);
    }

    /// The folders of this machine that the API server's pod sees, as kubeadm's configuration names them.
    pub fn volumes(&self) -> Vec<Value> {
        let mut volumes = Vec::new();
        if !self.files.is_empty() {
            volumes.push(json!({"name": "kthw-files", "hostPath": FILES, "mountPath": FILES, "readOnly": true, "pathType": "Directory"}));
        }
        if self.arguments.contains_key(LOG_PATH) {
            volumes.push(json!({"name": "kthw-audit", "hostPath": LOGS, "mountPath": LOGS, "pathType": "Directory"}));
        }
        volumes
    }

    /// What a plan says of a control plane that is still to be made.
    pub fn created(&self) -> Vec<Field> {
        self.in_words.iter().map(|(name, words)| Field::new(*name, words)).collect()
    }

    /// What to look at beside the manifest.
    pub fn query(&self) -> Vec<Probe> {
        self.files
            .iter()
            .map(|(path, content)| Probe::Path { path: path.clone(), expect: Some(Content::plain(content.clone()).sha256()) })
            .collect()
    }

    /// Understands the manifest, and the answers to [`query`](Self::query).
    pub fn live(&self, manifest: Option<&str>, files: &[Option<PathState>]) -> LiveSettings {
        let wrong = self.files.iter().zip(files).filter_map(|((path, content), state)| {
            let wanted = Content::plain(content.clone()).sha256();
            match state {
                None => Some((path.clone(), "absent")),
                Some(state) if state.sha256.as_deref() != Some(wanted.as_str()) => Some((path.clone(), "changed")),
                Some(_) => None,
            }
        });
        LiveSettings { arguments: manifest.map(static_pod::flags), wrong: wrong.collect() }
    }

    /// What differs and is changed in place, with one restart of the API server. What others gave it stays out of it.
    pub fn fields(&self, live: &LiveSettings) -> Vec<Field> {
        let Some(arguments) = &live.arguments else { return Vec::new() };
        let mut fields: Vec<Field> = OURS.iter().filter_map(|name| self.field(name, arguments)).collect();
        fields.extend(
            live.wrong
                .iter()
                .filter(|(path, _)| arguments.values().any(|value| value == path))
                .map(|(path, found)| Field { live: Some((*found).to_owned()), ..Field::new(path.clone(), "as declared") }),
        );
        fields
    }

    fn field(&self, name: &str, arguments: &BTreeMap<String, String>) -> Option<Field> {
        let (wanted, live) = (self.arguments.get(name), arguments.get(name));
        if live == wanted || (wanted.is_none() && !is_ours(name, arguments)) {
            return None;
        }
        let said = |value: Option<&String>| value.map_or("absent", String::as_str).to_owned();
        Some(Field { live: Some(said(live)), ..Field::new(format!("--{name}"), said(wanted)) })
    }

    /// Arguments that somebody else gave the API server, and that kubeadm would not write again.
    pub fn refusal(&self, node: &str, live: &LiveSettings) -> Option<Refusal> {
        let differs = self.fields(live);
        let arguments = live.arguments.as_ref()?;
        let foreign: Vec<String> = arguments
            .keys()
            .filter(|name| !OF_KUBEADM.contains(&name.as_str()) && !is_ours(name, arguments))
            .map(|name| format!("--{name}"))
            .collect();
        (!differs.is_empty() && !foreign.is_empty()).then(|| Refusal {
            why: format!(
                "the API server on {node} is started with {}, which is not of kthw and would be lost: kubeadm writes the whole of its manifest",
                foreign.join(", ")
            ),
            next: format!(
                "take {} out of /etc/kubernetes/manifests/kube-apiserver.yaml on {node}; or take `audit` and `pod_security` out of the workspace, \
                 and set them beside it yourself",
                foreign.join(", ")
            ),
            fields: differs,
        })
    }

    /// Puts the files in their places. It can be repeated, and changes nothing for an API server that runs.
    pub fn write(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.files.is_empty() {
            actions.extend([FOLDER, FILES].map(|path| Action::Directory { path: path.into(), mode: 0o700, owner: None }));
        }
        actions.extend(self.files.iter().map(|(path, content)| Action::Write {
            path: path.clone(),
            content: Content::plain(content.clone()),
            mode: 0o600,
            owner: None,
        }));
        if self.arguments.contains_key(LOG_PATH) {
            actions.push(Action::Directory { path: LOGS.into(), mode: 0o700, owner: None });
        }
        actions
    }

    /// Removes the files of kthw that the API server was told before and is not told any more.
    pub fn clean(&self, live: &LiveSettings) -> Vec<Action> {
        let arguments = live.arguments.iter().flatten();
        let before = arguments.filter(|(name, _)| [POLICY, ADMISSION].contains(&name.as_str())).map(|(_, path)| path);
        let gone = before.filter(|path| path.starts_with(FILES) && !self.files.contains_key(*path));
        gone.map(|path| Action::Remove { path: path.clone() }).collect()
    }

    /// Whether a command line is that of an API server that was told all of this and nothing else of kthw's.
    pub fn runs(&self, command_line: &str) -> bool {
        let arguments = static_pod::arguments(command_line.split_whitespace());
        OURS.iter().all(|name| self.field(name, &arguments).is_none())
    }
}

/// Whether kthw gave the argument `name`. Those that bound an audit log say nothing of whose it is, so they go with the log.
fn is_ours(name: &str, arguments: &BTreeMap<String, String>) -> bool {
    let in_files = |name: &str| arguments.get(name).is_some_and(|path| path.starts_with(FILES));
    match name {
        POLICY | ADMISSION => in_files(name),
        _ => OURS.contains(&name) && in_files(POLICY) && arguments.get(LOG_PATH).is_some_and(|path| path == LOG),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
