//! Rules about Traefik: its address is one that services can get, and it runs somewhere.
use super::Check;

pub(super) fn address(check: &mut Check<'_>) {
    let workspace = check.workspace;
    let Some(address) = workspace.traefik.as_ref().and_then(|traefik| traefik.address) else { return };
    let Some(metallb) = &workspace.metallb else {
        return check.add(
            "kthw::workspace::no_pool",
            "traefik.address",
            "of no pool",
            "nobody gives services their addresses in this cluster",
            "add a block `metallb` with a pool that holds it, or take the address away",
        );
    };
    if !metallb.pools.iter().flat_map(|pool| &pool.addresses).any(|range| range.meets((address, address))) {
        let ranges: Vec<String> = metallb.pools.iter().flat_map(|pool| &pool.addresses).map(ToString::to_string).collect();
        check.add(
            "kthw::workspace::no_pool",
            "traefik.address",
            "of no pool",
            format!("{address} is in none of the pools of `metallb`"),
            format!("choose one of {}", ranges.join(", ")),
        );
    }
}

pub(super) fn replicas(check: &mut Check<'_>) {
    if check.workspace.traefik.as_ref().is_some_and(|traefik| traefik.replicas == 0) {
        check.add(
            "kthw::workspace::no_replica",
            "traefik.replicas",
            "none",
            "Traefik would run nowhere",
            "write 1 or more; without the block `traefik` it is not installed",
        );
    }
    if check.workspace.traefik.as_ref().is_some_and(|traefik| traefik.providers.is_empty()) {
        check.add(
            "kthw::workspace::no_provider",
            "traefik.providers",
            "empty",
            "nothing would say where requests go",
            "leave the field out for `[ingress, crd]`",
        );
    }
}
