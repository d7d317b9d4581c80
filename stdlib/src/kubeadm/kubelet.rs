//! A joined node's kubelet: what kubeadm wrote for it once, compared with what the workspace says now.
//!
//! Arguments, `failSwapOn` and `serverTLSBootstrap` are changed in place, the kubelet then started anew; pods go on meanwhile. What a kubelet reads only when its node
//! registers, or what its running pods depend on, is refused.
use super::config;
use crate::{
    ssh::{SERVICE_PROPERTIES, started_s},
    workspace::{NodeSpec, Workspace},
};
use kthw_engine::{
    Change, Field, Refusal, field,
    node::{Action, Content, Finding, PathState, Probe},
};
use std::collections::BTreeMap;

/// The kubelet's configuration on a node, from the cluster's.
pub const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// Its arguments on this node: `KUBELET_KUBEADM_ARGS="--name=value …"`.
const ARGUMENTS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const VARIABLE: &str = "KUBELET_KUBEADM_ARGS";

/// What kubeadm adds by itself (`buildKubeletArgs` in upstream's cmd/kubeadm/app/phases/kubelet/flags.go, older ones too).
const OF_KUBEADM: [&str; 4] = ["container-runtime-endpoint", "hostname-override", "network-plugin", "pod-infra-container-image"];

/// What a kubelet uses only when its node registers (`--help` of the kubelet, and `initialNode` in pkg/kubelet/kubelet_node_status.go).
const ONLY_AT_REGISTRATION: [&str; 3] = ["hostname-override", "node-labels", "register-with-taints"];

/// Whether it refuses to start with swap on.
const SWAP: &str = "failSwapOn";
/// Whether it asks the cluster for its serving certificate
/// (<https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#kubelet-serving-certs>).
const SERVING: &str = "serverTLSBootstrap";

/// How many probes [`Kubelet::query`] has.
pub const PROBES: usize = 3;

/// The kubelet of one node as it should be.
#[derive(Debug)]
pub struct Kubelet<'a> {
    node: &'a str,
    arguments: BTreeMap<String, String>,
    workspace: &'a Workspace,
}

/// A kubelet as found. What is not known of it is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveKubelet {
    /// The text of its configuration.
    config: Option<String>,
    /// Its arguments on this node.
    arguments: Option<BTreeMap<String, String>>,
    /// One of these files is newer than its start.
    stale: Option<&'static str>,
}

impl<'a> Kubelet<'a> {
    /// The kubelet of `node`.
    pub fn of(workspace: &'a Workspace, node: &'a NodeSpec) -> Self {
        Self { node: &node.name, arguments: config::kubelet_arguments(workspace, node), workspace }
    }

    /// What to look at. `systemctl show` is what `ssh::service` asks too, so it runs once.
    pub fn query() -> [Probe; PROBES] {
        // No file has this digest, so the content comes along.
        let content = |path: &str| Probe::Path { path: path.into(), expect: Some(String::new()) };
        [content(CONFIG), content(ARGUMENTS), Probe::run(["env", "TZ=UTC", "systemctl", "show", SERVICE_PROPERTIES, "--", "kubelet"])]
    }

    /// Understands the answers to [`query`](Self::query).
    pub fn live(findings: &[Finding]) -> LiveKubelet {
        let [Finding::Path(config), Finding::Path(arguments), Finding::Run(shown)] = findings else { return LiveKubelet::default() };
        let started = started_s(&shown.stdout);
        let newer = |file: &Option<PathState>| file.as_ref().zip(started).is_some_and(|(file, started)| file.modified_s > started);
        let stale = [(CONFIG, newer(config)), (ARGUMENTS, newer(arguments))].into_iter().find(|(_, newer)| *newer);
        LiveKubelet {
            config: text_of(config.as_ref()),
            arguments: text_of(arguments.as_ref()).and_then(|text| arguments_in(&text)),
            stale: stale.map(|(path, _)| path),
        }
    }

    /// What differs and is changed in place.
    pub fn fields(&self, live: &LiveKubelet) -> Vec<Option<Field>> {
        let mut fields: Vec<Option<Field>> = self.differing(live).filter(|field| !is_fixed(field)).map(Some).collect();
        fields.extend(self.settings(live).map(|(name, live, wanted)| field(format!("kubelet {name}"), live, wanted)));
        fields.push(live.stale.and_then(|path| field("kubelet", format!("{path} is newer than its start"), "restarted with it".into())));
        fields
    }

    /// What differs and is not changed under a running node.
    pub fn refusals(&self, live: &LiveKubelet) -> Vec<Refusal> {
        let node = self.node;
        let fixed: Vec<Field> = self.differing(live).filter(is_fixed).collect();
        let registered = (!fixed.is_empty()).then(|| Refusal {
            why: format!("a kubelet takes labels, taints and its node's name from its arguments only when the node registers, and {node} has"),
            next: format!(
                "set `kubeadm.kubelet_extra_args` back; or change {node} itself (`kubectl label node`, `kubectl taint node`) and write the same \
                 into {ARGUMENTS} on it"
            ),
            fields: fixed,
        });
        registered.into_iter().chain(refuse_cgroup_driver(self.workspace, node, live.config.as_deref())).collect()
    }

    /// Writes what differs and starts the kubelet anew.
    pub fn work(&self, live: &LiveKubelet) -> Vec<Action> {
        let mut actions = Vec::new();
        let write =
            |path: &str, content: String| Action::Write { path: path.into(), content: Content::plain(content), mode: 0o644, owner: None };
        let other: Vec<_> = self.settings(live).filter(|(_, live, wanted)| live != wanted).collect();
        if let Some(text) = live.config.as_deref().filter(|_| !other.is_empty()) {
            let is_of = |line: &str, name: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
            let written = |(name, _, wanted): &(&str, String, String)| format!("{name}: {wanted}\n");
            let line = |line: &str| {
                let found = other.iter().find(|(name, ..)| is_of(line, name));
                found.map_or_else(|| format!("{line}\n"), written)
            };
            let new = other.iter().filter(|(name, ..)| !text.lines().any(|line| is_of(line, name)));
            actions.push(write(CONFIG, text.lines().map(line).chain(new.map(written)).collect()));
        }
        if let Some(live) = live.arguments.as_ref().filter(|_| self.differing(live).next().is_some()) {
            actions.push(write(ARGUMENTS, written(&self.merged(live))));
        }
        if !actions.is_empty() || live.stale.is_some() {
            actions.push(Action::run(["systemctl", "restart", "kubelet"]));
        }
        actions
    }

    /// Whether [`work`](Self::work) changes what new nodes get from the cluster.
    pub fn changes_configuration(&self, live: &LiveKubelet) -> bool {
        self.settings(live).any(|(_, live, wanted)| live != wanted)
    }

    /// The settings in its configuration that are kept: name, live value, wanted value.
    fn settings<'l>(&self, live: &'l LiveKubelet) -> impl Iterator<Item = (&'static str, String, String)> + use<'l> {
        let kubeadm = &self.workspace.kubeadm;
        let (swap, serving) = (kubeadm.fail_swap_on.to_string(), kubeadm.kubelet_serving_certificates.map(|one| one.to_string()));
        live.config.iter().flat_map(move |text| {
            let swap = value_in(text, SWAP).map(|live| (SWAP, live.to_owned(), swap.clone()));
            // Where it is not in the file, the kubelet signs for itself.
            let serving = serving.clone().map(|wanted| (SERVING, value_in(text, SERVING).unwrap_or("false").to_owned(), wanted));
            swap.into_iter().chain(serving)
        })
    }

    /// Every argument that is not as wanted. What neither kubeadm nor the workspace names has to go.
    fn differing<'l>(&'l self, live: &'l LiveKubelet) -> impl Iterator<Item = Field> + 'l {
        live.arguments.iter().flat_map(|live| {
            let named = |name: &str| format!("kubelet --{name}");
            let other = self.arguments.iter().filter(|(name, want)| live.get(*name) != Some(*want)).map(move |(name, want)| Field {
                live: Some(live.get(name).map_or("absent", String::as_str).to_owned()),
                ..Field::new(named(name), want)
            });
            let more = live.iter().filter(|(name, _)| !self.arguments.contains_key(*name) && !OF_KUBEADM.contains(&name.as_str()));
            other.chain(more.map(move |(name, value)| Field { live: Some(value.clone()), ..Field::new(named(name), "absent") }))
        })
    }

    /// What kubeadm added, and what the workspace names.
    fn merged(&self, live: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut merged: BTreeMap<String, String> = live
            .iter()
            .filter(|(name, _)| OF_KUBEADM.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        merged.extend(self.arguments.clone());
        merged
    }
}

/// Another cgroup driver than the one that the pods of a joined node run under.
///
/// Upstream: "Changing the cgroup driver of a Node that has joined a cluster is a sensitive operation"
/// (<https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers>).
pub fn refuse_cgroup_driver(workspace: &Workspace, node: &str, config: Option<&str>) -> Option<Refusal> {
    let live = value_in(config?, "cgroupDriver")?;
    let driver = field("cgroup_driver", live.to_owned(), config::cgroup_driver(workspace.kubeadm.cgroup_driver).to_owned())?;
    Some(Refusal {
        why: format!("{node} runs pods under the cgroup driver `{live}`, which is not changed under them"),
        next: format!(
            "set `kubeadm.cgroup_driver` back to `{live}`, or move node after node by hand \
             (https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/configure-cgroup-driver/) before you run again"
        ),
        fields: vec![driver],
    })
}

fn is_fixed(field: &Field) -> bool {
    field.name.strip_prefix("kubelet --").is_some_and(|name| ONLY_AT_REGISTRATION.contains(&name))
}

/// The content of a file that came along.
pub fn text_of(file: Option<&PathState>) -> Option<String> {
    Some(String::from_utf8_lossy(file?.content.as_deref()?).into_owned())
}

/// A plain value at the top of a YAML file that a program wrote.
fn value_in<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let value = |line: &'t str| line.strip_prefix(key)?.strip_prefix(':');
    text.lines().find_map(value).map(|value| value.trim().trim_matches('"'))
}

/// Reads the arguments as kubeadm itself does (`ReadKubeletDynamicEnvFile`). A word that is no flag belongs to the one before it.
fn arguments_in(text: &str) -> Option<BTreeMap<String, String>> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(VARIABLE)?.strip_prefix('='))?;
    let line = line.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
    let mut found: Vec<(String, String)> = Vec::new();
    for word in line.split_whitespace() {
        match (word.strip_prefix("--"), found.last_mut()) {
            (Some(flag), _) => {
                found.push(flag.split_once('=').map_or((flag.into(), String::new()), |(name, value)| (name.into(), value.into())))
            }
            (None, Some((_, value))) if value.is_empty() => word.clone_into(value),
            (None, Some((_, value))) => value.extend([" ", word]),
            (None, None) => {}
        }
    }
    Some(found.into_iter().collect())
}

/// The file as kubeadm writes it: sorted, and quoted once.
fn written(arguments: &BTreeMap<String, String>) -> String {
    let words: Vec<String> = arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect();
    format!("{VARIABLE}=\"{}\"\n", words.join(" ").replace('\\', "\\\\").replace('"', "\\\""))
}

/// The fields and refusals as one change.
pub fn change(refusals: Vec<Refusal>, fields: Vec<Option<Field>>) -> Change {
    crate::refusals::refused(refusals).unwrap_or_else(|| Change::between(fields))
}

#[cfg(test)]
#[path = "kubelet_tests.rs"]
mod tests;
