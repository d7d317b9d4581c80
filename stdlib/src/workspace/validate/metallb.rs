//! Rules about the addresses of services: nobody else may have one of them.
use super::{Check, others::named_addresses, repeated};
use crate::workspace::{AddressRange, Advertise, MetalLb, Workspace, WorkspaceFile};
use semver::Version;
use std::net::Ipv4Addr;

/// The pools by themselves: names, ranges, and one beside the other.
pub(super) fn pools(check: &mut Check<'_>) {
    let Some(metallb) = &check.workspace.metallb else { return };
    if metallb.pools.is_empty() {
        check.add(
            "kthw::workspace::no_pool",
            "metallb.pools",
            "empty",
            "without a pool no service gets an address",
            "name one: `pools: [{ name: lan, addresses: [10.10.10.200-10.10.10.220] }]`; without the block `metallb` it is not installed",
        );
    }
    let names: Vec<&str> = metallb.pools.iter().map(|pool| pool.name.as_str()).collect();
    for (earlier, later) in repeated(&names) {
        check.add_pair(
            "kthw::workspace::written_twice",
            (&format!("metallb.pools[{earlier}].name"), "the first"),
            (&format!("metallb.pools[{later}].name"), "the second"),
            format!("two pools are called `{}`", names[later]),
            "give every pool a name of its own",
        );
    }
    let all = ranges(metallb);
    for (path, range) in &all {
        let (first, last) = range.ends();
        if first > last {
            let help = format!("write `{last}-{first}`");
            check.add("kthw::workspace::range", path, "backwards", format!("`{range}` ends before it begins"), help);
        }
    }
    for (index, (later, range)) in all.iter().enumerate() {
        if let Some((earlier, _)) = all[..index].iter().find(|(_, other)| range.meets(other.ends())) {
            check.add_pair(
                "kthw::workspace::overlapping_ranges",
                (earlier, "this range"),
                (later, "and this one"),
                "two ranges of addresses for services share some",
                "MetalLB refuses pools that overlap: give each its own addresses",
            );
        }
    }
}

/// Who is told of the pools by BGP: each router once, and none without a pool.
pub(super) fn bgp(check: &mut Check<'_>) {
    let Some(metallb) = &check.workspace.metallb else { return };
    let by_bgp = metallb.pools.iter().position(|pool| pool.advertise.contains(&Advertise::Bgp));
    match (&metallb.bgp, by_bgp) {
        (None, Some(pool)) => check.add(
            "kthw::workspace::bgp",
            &format!("metallb.pools[{pool}].advertise"),
            "told to whom?",
            "no router is named that could learn of these addresses",
            "add `bgp: { asn: 64512, peers: [{ name: router, address: 10.10.10.1, asn: 64513 }] }` under `metallb`, or write `[l2]`",
        ),
        (Some(_), None) => check.add(
            "kthw::workspace::bgp",
            "metallb.bgp",
            "with nothing to tell",
            "no pool is told by BGP",
            "write `advertise: [bgp]` at a pool, or leave `bgp` out",
        ),
        _ => {}
    }
    let Some(bgp) = &metallb.bgp else { return };
    // Its definition of routers says `int32` and allows more, which API servers refuse since 1.36 (https://github.com/metallb/metallb/issues/3034).
    let kubernetes = check.versions().map(|versions| &versions.kubernetes);
    let (strict, mended) = (Version::new(1, 36, 0), Version::new(0, 16, 0));
    if let Some(kubernetes) = kubernetes.filter(|kubernetes| **kubernetes >= strict && metallb.version < mended) {
        check.add_pair(
            "kthw::workspace::bgp",
            ("metallb.version", "before 0.16"),
            ("metallb.bgp", "no router can be named"),
            format!("Kubernetes {kubernetes} refuses every router of MetalLB {}", metallb.version),
            "take MetalLB 0.16.1 or newer: https://github.com/metallb/metallb/issues/3034",
        );
    }
    let names: Vec<&str> = bgp.peers.iter().map(|peer| peer.name.as_str()).collect();
    for (earlier, later) in repeated(&names) {
        check.add_pair(
            "kthw::workspace::written_twice",
            (&format!("metallb.bgp.peers[{earlier}].name"), "the first"),
            (&format!("metallb.bgp.peers[{later}].name"), "the second"),
            format!("two routers are called `{}`", names[later]),
            "give each a name of its own",
        );
    }
}

/// The pools beside everything else that has addresses: ranges of the cluster, machines, other clusters.
pub(super) fn apart(check: &mut Check<'_>) {
    let Some(metallb) = &check.workspace.metallb else { return };
    let network = &check.workspace.network;
    let services_of = ranges(metallb);
    for (name, range) in network.of_cluster() {
        for (path, _) in services_of.iter().filter(|(_, pool)| pool.meets((range.network(), range.broadcast()))) {
            check.add_pair(
                "kthw::workspace::overlapping_ranges",
                (&format!("network.{name}"), "this range"),
                (path, "and this one"),
                format!("addresses for services are in the range of {name}"),
                "these are reached from outside of the cluster: take free addresses of the nodes' network, or of one that is routed to the nodes",
            );
        }
    }
    let others = check.others.iter().copied().filter(|other| other.label() != check.file.label());
    let taken: Vec<Taken> = taken(check.workspace, None).chain(others.flat_map(|other| taken_there(other).collect::<Vec<_>>())).collect();
    for (path, range) in &services_of {
        for Taken { whose, ends } in taken.iter().filter(|taken| range.meets(taken.ends)) {
            let shared = if ends.0 == ends.1 { ends.0.to_string() } else { format!("{}-{}", ends.0, ends.1) };
            check.add(
                "kthw::workspace::shared_address",
                path,
                "taken",
                format!("`{range}` has addresses of {whose} ({shared})"),
                "two machines would answer for one address: choose others for services",
            );
        }
    }
}

/// Addresses that somebody has.
struct Taken {
    whose: String,
    ends: (Ipv4Addr, Ipv4Addr),
}

/// What the machines of a workspace, its gateway and its name servers have; `place` says where it stands, if in another one.
fn taken<'a>(workspace: &'a Workspace, other: Option<&'a WorkspaceFile>) -> impl Iterator<Item = Taken> + 'a {
    let of = move |path: &str, what: String| match other {
        Some(file) => format!("{what} of `{}` ({})", file.workspace().name, file.line(path)),
        None => what,
    };
    let machines = named_addresses(workspace).into_iter().map(move |(path, name, address)| (of(&path, format!("`{name}`")), address));
    let gateway = [("the gateway".to_owned(), workspace.network.gateway)];
    let dns = workspace.network.dns.iter().map(|server| ("a name server".to_owned(), *server));
    // Clusters of one network have the same gateway and name servers.
    let shared = gateway.into_iter().chain(dns).filter(move |_| other.is_none());
    machines.chain(shared).map(|(whose, address)| Taken { whose, ends: (address, address) })
}

/// What another workspace has: its machines, and its own pools.
fn taken_there(other: &WorkspaceFile) -> impl Iterator<Item = Taken> + '_ {
    let theirs = other.workspace();
    let pools = theirs
        .metallb
        .iter()
        .flat_map(ranges)
        .map(|(path, range)| Taken { whose: format!("the services of `{}` ({})", theirs.name, other.line(&path)), ends: range.ends() });
    taken(theirs, Some(other)).chain(pools)
}

/// Every range with its path.
fn ranges(metallb: &MetalLb) -> Vec<(String, AddressRange)> {
    let of_pool = |(pool, at): (usize, &crate::workspace::AddressPool)| {
        let path = move |index: usize| format!("metallb.pools[{pool}].addresses[{index}]");
        at.addresses.iter().enumerate().map(|(index, range)| (path(index), range.clone())).collect::<Vec<_>>()
    };
    metallb.pools.iter().enumerate().flat_map(of_pool).collect()
}
