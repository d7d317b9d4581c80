//! Rules about the load balancer of an edge: which clusters it serves and where, and numbers that make sense together.
use super::{Check, others::named_addresses, repeated};
use crate::workspace::{LoadBalancer, Role, ServedCluster, kind::ingress_address, names::is_label};
use kthw_engine::nearest;
use std::net::Ipv4Addr;

const CLUSTERS: &str = "load_balancer.clusters";

pub(super) fn clusters(check: &mut Check<'_>) {
    let Some(LoadBalancer { clusters, .. }) = &check.workspace.load_balancer else { return };
    if clusters.is_empty() {
        let help = "name one: `clusters: [ubuntu]`, or `clusters: [{ name: other, address: 10.10.10.210 }]`";
        check.add("kthw::workspace::no_clusters", CLUSTERS, "empty", "an edge without clusters has nothing to serve", help);
    }
    let path = |index: usize, field: &str| format!("{CLUSTERS}[{index}].{field}");
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    for (earlier, later) in repeated(&names) {
        check.add_pair(
            "kthw::workspace::written_twice",
            (&path(earlier, "name"), "the first"),
            (&path(later, "name"), "the second"),
            format!("the cluster `{}` is named twice", names[later]),
            "leave one of the two out",
        );
    }
    let addresses: Vec<(usize, Ipv4Addr)> =
        clusters.iter().enumerate().filter_map(|(index, cluster)| Some((index, cluster.address?))).collect();
    for (earlier, later) in repeated(&addresses.iter().map(|(_, address)| *address).collect::<Vec<_>>()) {
        let [first, second] = [earlier, later].map(|at| addresses[at].0);
        check.add_pair(
            "kthw::workspace::duplicate_address",
            (&path(first, "address"), "the first"),
            (&path(second, "address"), "the second"),
            format!("`{}` and `{}` cannot be reached at the same address", names[first], names[second]),
            "write the address of each cluster's own ingress",
        );
    }
    for (index, cluster) in clusters.iter().enumerate() {
        served(check, &path(index, "name"), cluster);
        if let Some(address) = cluster.address {
            own_address(check, &path(index, "address"), address);
        }
    }
}

/// An address that machines share is in their network, nobody's own, and there are machines to share it.
pub(super) fn virtual_address(check: &mut Check<'_>) {
    const PATH: &str = "load_balancer.virtual_address";
    let workspace = check.workspace;
    let Some(shared) = workspace.load_balancer.as_ref().and_then(|balancer| balancer.virtual_address.as_ref()) else { return };
    let (path, address, network) = (format!("{PATH}.address"), shared.address, &workspace.network);
    let mut add =
        |path: &str, label: &str, message: String, help: &str| check.add("kthw::workspace::virtual_address", path, label, message, help);
    if !network.nodes.contains(&address) {
        let message = format!("{address} is outside of the nodes' network {}", network.nodes);
        add(&path, "elsewhere", message, "the machine that has it answers for it by ARP: choose one in their network");
    } else if address == network.gateway || workspace.nodes.iter().any(|node| node.address == address) {
        add(&path, "somebody's own", format!("{address} is the address of a machine"), "choose one that nobody has");
    }
    if workspace.with_role(Role::LoadBalancer).count() < 2 {
        let message = "one load balancer alone shares no address".into();
        add(PATH, "shared with whom?", message, "add a second node with `role: load_balancer`, or leave `virtual_address` out");
    }
    if shared.router_id == 0 {
        add(&format!("{PATH}.router_id"), "not such a number", "a virtual router has a number from 1 to 255".into(), "51 is usual");
    }
}

/// A cluster has a name, is beside this workspace if it has no address, and says there where its ingress is.
fn served(check: &mut Check<'_>, path: &str, cluster: &ServedCluster) {
    let ServedCluster { name, address } = cluster;
    let (others, own) = (check.others, &check.workspace.name);
    let mut add = |label: &str, message: String, help: String| check.add("kthw::workspace::served_cluster", path, label, message, help);
    if !is_label(name) {
        return add("not such a name", format!("`{name}` cannot name a cluster"), "use lower-case letters, digits and dashes".into());
    }
    if name == own {
        return add("this edge itself", format!("`{name}` is this edge and no cluster"), "name the clusters that it serves".into());
    }
    let with_address = format!("write where its ingress is reached: `{{ name: {name}, address: 10.10.10.210 }}`");
    let beside = others.iter().map(|other| other.workspace());
    match beside.clone().find(|other| other.name == *name) {
        Some(edge) if edge.is_edge() => {
            add("an edge", format!("`{name}` is an edge and no cluster"), "name the clusters that it serves".into());
        }
        Some(cluster) if address.is_none() && ingress_address(cluster).is_none() => {
            add("without an address", format!("the workspace of `{name}` does not say where its ingress is reached"), with_address)
        }
        None if address.is_none() => {
            let guess = nearest(name, beside.filter(|other| !other.is_edge()).map(|other| other.name.as_str()))
                .map(|near| format!("did you mean `{near}`? "));
            let unread = "a workspace that cannot be read counts as none, and `kthw check` says why";
            let help = format!("{}if kthw does not run it, {with_address}; {unread}", guess.unwrap_or_default());
            add("not beside this one", format!("there is no workspace `{name}` beside this one"), help);
        }
        _ => {}
    }
}

/// What would be passed on to itself.
fn own_address(check: &mut Check<'_>, path: &str, address: Ipv4Addr) {
    let own = named_addresses(check.workspace).into_iter().find(|(.., own)| *own == address);
    if let Some((_, name, _)) = own {
        check.add(
            "kthw::workspace::served_cluster",
            path,
            "a machine of this edge",
            format!("{address} belongs to `{name}`, which would pass connections on to itself"),
            "write the address at which the cluster's ingress is reached",
        );
    }
}

pub(super) fn listeners(check: &mut Check<'_>) {
    let Some(LoadBalancer { listeners, .. }) = &check.workspace.load_balancer else { return };
    let path = |index: usize, field: &str| format!("load_balancer.listeners[{index}].{field}");
    if listeners.is_empty() {
        let help = "name a port, as `listeners: [{ port: 443 }]`, or leave `listeners` out for 80 and 443";
        check.add("kthw::workspace::no_listener", "load_balancer.listeners", "empty", "nobody can connect to it", help);
    }
    let ports: Vec<u16> = listeners.iter().map(|listener| listener.port).collect();
    for (earlier, later) in repeated(&ports) {
        let (first, second) = (path(earlier, "port"), path(later, "port"));
        let message = format!("the port {} is listened on twice", ports[later]);
        check.add_pair(
            "kthw::workspace::written_twice",
            (&first, "the first"),
            (&second, "the second"),
            message,
            "leave one of the two out",
        );
    }
    let workspace = check.workspace;
    for (index, listener) in listeners.iter().enumerate() {
        let ssh = workspace.nodes.iter().find(|spec| spec.port.unwrap_or(workspace.ssh.port) == listener.port);
        if let Some(spec) = ssh {
            let message = format!("`{}` is logged in to at the port {}", spec.name, listener.port);
            check.add("kthw::workspace::listener", &path(index, "port"), "taken by SSH", message, "listen on another port");
        }
        for (field, _) in [("port", Some(listener.port)), ("target_port", listener.target_port)].iter().filter(|(_, port)| *port == Some(0))
        {
            check.add("kthw::workspace::listener", &path(index, field), "not a port", "there is no port 0", "use a port from 1 to 65535");
        }
    }
}

/// Numbers by which a cluster is judged.
pub(super) fn check(check: &mut Check<'_>) {
    let Some(LoadBalancer { check: settings, .. }) = &check.workspace.load_balancer else { return };
    let counts = [
        ("port", u32::from(settings.port), 1, 65_535),
        ("status", u32::from(settings.status), 100, 599),
        ("interval_ms", settings.interval_ms, 100, 3_600_000),
        ("timeout_ms", settings.timeout_ms, 10, 3_600_000),
        ("rise", settings.rise, 1, 100),
        ("fall", settings.fall, 1, 100),
    ];
    for (field, value, least, most) in counts {
        within(check, &format!("load_balancer.check.{field}"), value, least, most);
    }
    if settings.timeout_ms > settings.interval_ms {
        check.add_pair(
            "kthw::workspace::check",
            ("load_balancer.check.interval_ms", "the next request"),
            ("load_balancer.check.timeout_ms", "later than that"),
            format!("an answer may take {} ms, and the next request is sent after {} ms", settings.timeout_ms, settings.interval_ms),
            "make `timeout_ms` smaller, or `interval_ms` larger",
        );
    }
}

pub(super) fn timeouts(check: &mut Check<'_>) {
    const WEEK_S: u32 = 604_800;
    let Some(balancer) = &check.workspace.load_balancer else { return };
    within(check, "load_balancer.proxy_connect_timeout_s", balancer.proxy_connect_timeout_s, 1, 3600);
    within(check, "load_balancer.proxy_timeout_s", balancer.proxy_timeout_s, 1, WEEK_S);
    for (index, listener) in balancer.listeners.iter().enumerate() {
        let own = listener.proxy_timeout_s;
        own.into_iter().for_each(|own| within(check, &format!("load_balancer.listeners[{index}].proxy_timeout_s"), own, 1, WEEK_S));
    }
}

fn within(check: &mut Check<'_>, path: &str, value: u32, least: u32, most: u32) {
    if !(least..=most).contains(&value) {
        let field = path.rsplit('.').next().unwrap_or(path);
        let message = format!("`{field}` cannot be {value}");
        check.add("kthw::workspace::out_of_range", path, "not in this range", message, format!("use a number from {least} to {most}"));
    }
}
