//! Rules about what kind of workspace it is: a cluster has what Kubernetes needs, an edge has none of it.
use super::{Check, node};
use crate::workspace::{
    Role,
    kind::{OF_CLUSTERS, OF_CLUSTERS_INSIDE},
};

/// What is optional by its type, because an edge has none.
pub(super) fn missing(check: &mut Check<'_>) {
    let (workspace, network) = (check.workspace, &check.workspace.network);
    if workspace.is_edge() {
        return;
    }
    let needed = [
        ("versions", workspace.versions.is_some()),
        ("network.pods", network.pods.is_some()),
        ("network.services", network.services.is_some()),
    ];
    for (path, _) in needed.into_iter().filter(|(_, is_there)| !is_there) {
        let (within, field) = path.rsplit_once('.').map_or((String::new(), path), |(parent, field)| (format!(" in `{parent}`"), field));
        check.add(
            "kthw::workspace::missing_field",
            path,
            "in this block",
            format!("`{field}` is missing{within}"),
            format!("add `{field}:`; `kthw help workspace` says what it is, and that an edge has `load_balancer` instead"),
        );
    }
}

pub(super) fn of_clusters_alone(check: &mut Check<'_>) {
    if !check.workspace.is_edge() {
        return;
    }
    let inside = OF_CLUSTERS_INSIDE.iter().flat_map(|(block, fields)| fields.iter().map(move |field| format!("{block}.{field}")));
    let all = OF_CLUSTERS.iter().map(|field| (*field).to_owned()).chain(inside);
    for path in all.filter(|path| check.file.says(path)).collect::<Vec<_>>() {
        check.add_pair(
            "kthw::workspace::not_on_an_edge",
            ("load_balancer", "makes it an edge"),
            (&path, "of clusters alone"),
            format!("an edge has no `{path}`: it runs no Kubernetes"),
            format!("take `{path}` out; a load balancer in front of this cluster is a workspace of its own, which has `load_balancer`"),
        );
    }
}

pub(super) fn roles(check: &mut Check<'_>) {
    let is_edge = check.workspace.is_edge();
    let nodes = &check.workspace.nodes;
    for (index, spec) in nodes.iter().enumerate() {
        let (role, help) = match spec.role {
            Role::ControlPlane | Role::Worker if is_edge => {
                ("a member of a cluster", "write `role: load_balancer`, or `role: other` for a machine that recipes of your own use")
            }
            Role::LoadBalancer if !is_edge => {
                ("a load balancer", "put it into a workspace of its own, an edge: one with `load_balancer`, which names this cluster")
            }
            _ => continue,
        };
        check.add(
            "kthw::workspace::role",
            &node(index, "role"),
            if is_edge { "this is an edge" } else { "this is a cluster" },
            format!("node `{}` cannot be {role} here", spec.name),
            help,
        );
    }
    if is_edge && !nodes.iter().any(|spec| spec.role == Role::LoadBalancer) {
        check.add(
            "kthw::workspace::no_load_balancer",
            "nodes",
            "no node has `role: load_balancer`",
            "an edge needs a machine that passes connections on",
            "give one node, or two, `role: load_balancer`",
        );
    }
}
