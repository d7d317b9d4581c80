//! The PROXY protocol is one setting with two sides: an edge that sends it, and Traefik that takes it from the edge's machines. One side alone
//! loses every connection, or the addresses of clients.
use super::Check;
use crate::workspace::{Role, Workspace};

/// Both sides say the same, whichever of them is looked at.
pub(super) fn agrees(check: &mut Check<'_>) {
    let own = check.workspace;
    let beside: Vec<&Workspace> = check.others.iter().map(|other| other.workspace()).filter(|other| other.name != own.name).collect();
    for other in beside {
        let (edge, cluster) = if own.is_edge() { (own, other) } else { (other, own) };
        let Some(difference) = difference(edge, cluster) else { continue };
        let path = if own.is_edge() { "load_balancer.proxy_protocol" } else { "traefik.proxy_protocol_from" };
        check.add("kthw::workspace::proxy_protocol", path, "the other side differs", difference.message, difference.help);
    }
}

struct Difference {
    message: String,
    help: String,
}

/// How an edge and a cluster that it serves differ.
fn difference(edge: &Workspace, cluster: &Workspace) -> Option<Difference> {
    let balancer = edge.load_balancer.as_ref()?;
    let traefik = cluster.traefik.as_ref()?;
    let serves = balancer.clusters.iter().any(|served| served.name == cluster.name && served.address == traefik.address);
    if !serves {
        return None;
    }
    let machines = edge.with_role(Role::LoadBalancer);
    let is_taken = |address| traefik.proxy_protocol_from.iter().any(|range| range.contains(address));
    let odd = machines.filter(|machine| is_taken(&machine.address) != balancer.proxy_protocol).collect::<Vec<_>>();
    let first = odd.first()?;
    let (name, address) = (&first.name, first.address);
    let ranges: Vec<String> = edge.with_role(Role::LoadBalancer).map(|machine| format!("{}/32", machine.address)).collect();
    let (edge_name, cluster_name) = (&edge.name, &cluster.name);
    Some(match balancer.proxy_protocol {
        true => Difference {
            message: format!(
                "`{edge_name}` sends the PROXY protocol, and Traefik of `{cluster_name}` does not take it from `{name}` ({address})"
            ),
            help: format!("write `proxy_protocol_from: [{}]` under `traefik` of `{cluster_name}`", ranges.join(", ")),
        },
        false => Difference {
            message: format!(
                "Traefik of `{cluster_name}` takes the PROXY protocol from `{name}` ({address}), and `{edge_name}` does not send it"
            ),
            help: format!(
                "write `proxy_protocol: true` under `load_balancer` of `{edge_name}`, or take {address} out of `proxy_protocol_from`"
            ),
        },
    })
}
