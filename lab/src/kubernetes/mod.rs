//! Enough of a Kubernetes API for recipes: discovery, objects, server-side apply, and controllers that make conditions true.
mod access;
mod addresses;
mod bookkeeping;
mod cluster;
mod controllers;
mod discovery;
mod eviction;
mod managed;
mod members;
mod merge;
mod objects;
mod pods;
mod service;
mod serving;
#[cfg(test)]
mod tests;
mod webhooks;

pub use access::LabKubernetes;
pub(crate) use addresses::{behind, service_at, shown_at};
pub use cluster::{BootstrapToken, Cluster, Object};
pub(crate) use cluster::{has_condition, key};
pub(crate) use controllers::run_node as run_node_controllers;
pub use members::{Member, Members};
pub(crate) use service::get;
pub(crate) use serving::shown as serving_certificate;

use crate::{node::Machine, state::State};

/// The manifest by which a kubelet runs a part of the control plane; `image` is the whole name of its image.
pub(crate) fn static_pod(component: &str, image: &str, flags: &[(&str, String)]) -> String {
    let flags: String = flags.iter().map(|(name, value)| format!("    - --{name}={value}\n")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {component}, namespace: kube-system}}\nspec:\n  containers:\n  - command:\n    \
         - {component}\n{flags}    image: {image}\n    name: {component}\n"
    )
}

/// Lets the controllers of every cluster that is up do their work, as a request does that looks at everything.
pub(crate) fn settle(state: &mut State) {
    for number in 0..state.clusters.len() {
        if is_up(state, number) {
            controllers::run(state, number, controllers::View::Pods);
        }
    }
}

/// Whether the API of a cluster answers at all: one of its control planes runs.
pub(crate) fn is_up(state: &State, number: usize) -> bool {
    state.clusters[number].members.control_planes().any(|member| {
        state.machines.get(&member.machine).is_some_and(|machine| serves(machine, state.now_ms) && machine.cluster == Some(number))
    })
}

/// Whether the API server on one machine, which may be taken out of the world just now, answers.
pub(crate) fn answers_on(state: &State, number: usize, key: &str, machine: &Machine) -> bool {
    let here = state.clusters[number].members.control_planes().any(|member| member.machine == key);
    (here && serves(machine, state.now_ms)) || (!here && is_up(state, number))
}

/// Whether a machine's API server runs; it needs some seconds after a boot.
fn serves(machine: &Machine, now_ms: u64) -> bool {
    let up_ms = if machine.boots > 1 { machine.ssh_from_ms + 15_000 } else { 0 };
    machine.running
        && now_ms >= up_ms
        && machine.runs("kubelet.service")
        && machine.runs("containerd.service")
        && machine.files.exists("/etc/kubernetes/manifests/kube-apiserver.yaml")
}
