//! Checking a workspace as a whole. Every rule runs, so that all problems are shown at once.

mod access;
mod addresses;
mod dns;
mod firewall;
mod kind;
mod load_balancer;
mod machines;
mod metallb;
mod more;
mod names;
mod networks;
mod others;
mod proxmox;
mod proxy;
mod proxy_protocol;
mod registries;
mod sources;
mod system;
mod traefik;
mod versions;

use super::{Versions, Workspace, WorkspaceFile, problem::Problem};
pub(super) use more::MTUS;
pub(super) use proxmox::{VLANS, VM_IDS};
use std::{collections::HashMap, hash::Hash};

/// The rules, in the order in which their problems are shown.
const RULES: &[fn(&mut Check<'_>)] = &[
    kind::missing,
    kind::of_clusters_alone,
    kind::roles,
    names::cluster,
    names::nodes,
    names::endpoint,
    names::ssh,
    versions::known,
    versions::add_ons,
    versions::fit,
    versions::kubelet_flags,
    networks::ranges,
    networks::services,
    networks::pods,
    networks::overlaps,
    addresses::gateway,
    addresses::nodes,
    addresses::unique,
    more::lists,
    more::networks,
    more::addresses,
    addresses::build,
    metallb::pools,
    metallb::apart,
    metallb::bgp,
    traefik::address,
    traefik::replicas,
    proxy_protocol::agrees,
    machines::control_planes,
    load_balancer::clusters,
    load_balancer::listeners,
    load_balancer::check,
    load_balancer::timeouts,
    load_balancer::virtual_address,
    machines::sizes,
    system::known,
    system::cpu_type,
    system::containerd,
    system::updates,
    proxmox::template,
    proxmox::ids,
    proxmox::replicas,
    proxmox::settings,
    sources::image,
    sources::packages,
    sources::mirror,
    registries::mirrors,
    registries::registries,
    access::audit,
    access::pod_security,
    proxy::proxy,
    dns::pihole,
    firewall::allowed,
    firewall::ranges,
    others::shared,
];

/// Everything wrong with `file`, by itself and beside `others`.
pub(super) fn problems(file: &WorkspaceFile, others: &[&WorkspaceFile]) -> Vec<Problem> {
    let mut check = Check { file, workspace: file.workspace(), others, problems: Vec::new() };
    for rule in RULES {
        rule(&mut check);
    }
    check.problems
}

/// What a rule looks at, and where it puts what it finds.
struct Check<'a> {
    file: &'a WorkspaceFile,
    workspace: &'a Workspace,
    others: &'a [&'a WorkspaceFile],
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    /// The versions of a cluster; that an edge has none is a rule of its own.
    fn versions(&self) -> Option<&'a Versions> {
        self.workspace.versions.as_ref().filter(|_| !self.workspace.is_edge())
    }

    /// Notes a problem with the field at `path`.
    fn add(&mut self, code: &'static str, path: &str, label: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.file.problem(code, message, path, label, help));
    }

    /// Notes a problem between two fields; `first` is shown as the earlier one.
    fn add_pair(
        &mut self,
        code: &'static str,
        (first, first_label): (&str, &str),
        (path, label): (&str, &str),
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mut problem = self.file.problem(code, message, path, label, help);
        if self.file.is_from_file(path) && self.file.is_from_file(first) {
            problem = problem.at(self.file.place(first), first_label);
        }
        self.problems.push(problem);
    }
}

/// The path of a field of the node at `index`.
fn node(index: usize, field: &str) -> String {
    format!("nodes[{index}].{field}")
}

/// The first pair of equal values before each repeated one: positions of the earlier and of the later.
fn repeated<T: Eq + Hash>(values: &[T]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut first = HashMap::new();
    values.iter().enumerate().filter_map(move |(later, value)| {
        let earlier = *first.entry(value).or_insert(later);
        (earlier != later).then_some((earlier, later))
    })
}
