//! What the nodes of a cluster reach: names, services, each other's pods, Traefik at its address, and the registry.
use super::{
    api::{Seen, members},
    ask,
    checks::{Check, some},
    question::{Answer, Destination, Question},
    row::Found,
};
use crate::{kubeadm, proxy::Proxies, workspace::Workspace};
use kthw_engine::{Peers, Result};
use std::net::Ipv4Addr;
use url::Url;

/// The checks of every node that is asked, and of Traefik.
pub(super) fn checks<'a>(peers: &'a Peers, workspace: &'a Workspace, seen: &Seen) -> Vec<Check<'a>> {
    let all: Vec<String> = members(workspace).iter().map(|node| node.name.to_string()).collect();
    let asked = some(&all);
    let mut checks = Vec::new();
    if let Some(services) = workspace.network.services {
        let nth = |number: usize| services.hosts().nth(number - 1).unwrap_or(services.addr());
        // kubeadm gives the API server the first address, and cluster DNS the tenth.
        let (api, dns) = (nth(1), nth(10));
        for node in &asked {
            checks.push(from(
                node,
                seen,
                format!("DNS from {node}"),
                format!("{} is {api}", api_server()),
                resolves(peers, node.clone(), dns, api),
            ));
            let to = Destination::new(api, 443);
            checks.push(from(
                node,
                seen,
                format!("service from {node}"),
                format!("{to} answers"),
                connects(peers, node.clone(), to, SERVICES),
            ));
        }
    }
    checks.extend(pods(peers, &asked, seen));
    let registry = registry(workspace);
    for node in &asked {
        let to = registry.clone();
        checks.push(from(node, seen, format!("images from {node}"), format!("{to} answers"), connects(peers, node.clone(), to, OUTSIDE)));
    }
    checks.extend(traefik(peers, workspace, &all, seen));
    checks
}

/// What to do where a node does not reach services.
const SERVICES: &str = "on the node: `nft list ruleset` shows what kube-proxy keeps there; see the log of its pod";
/// What to do where a node does not reach pods of another.
const PODS: &str = "see that the firewalls between nodes let the pod network through (VXLAN: UDP 4789, BGP: TCP 179, IP in IP: protocol 4)";
/// What to do where a node does not reach what is outside.
const OUTSIDE: &str = "see the node's gateway, its name servers, and `proxy` of the workspace";

/// A check that `node` does, unless it is away.
fn from<'a>(node: &str, seen: &Seen, what: String, want: String, work: impl Future<Output = Result<Found>> + Send + 'a) -> Check<'a> {
    match seen.is_ready(node) {
        true => Check::new(what, want, work),
        false => Check::not_tried(what, want, format!("{node} is not Ready")),
    }
}

/// The name of the API server's service in a cluster.
fn api_server() -> String {
    format!("kubernetes.default.svc.{}", kubeadm::DNS_DOMAIN)
}

/// Whether cluster DNS knows the API server's service.
async fn resolves(peers: &Peers, node: String, dns: Ipv4Addr, api: Ipv4Addr) -> Result<Found> {
    let (to, name) = (Destination::new(dns, 53), api_server());
    let next = "see the pods of CoreDNS: `kubectl -n kube-system get pods -l k8s-app=kube-dns`, and their logs";
    Ok(match ask(peers, &node, &to, &Question::Name(name.clone())).await {
        Ok(Answer::Addresses(found)) if found == [api] => Found::Well(format!("{name} is {api}")),
        Ok(other) => Found::wrong(format!("{name} is {}", told(&other)), next),
        Err(error) => Found::wrong(error.to_string(), next),
    })
}

/// Whether somebody takes a connection there.
async fn connects(peers: &Peers, node: String, to: Destination, next: &str) -> Result<Found> {
    Ok(match ask(peers, &node, &to, &Question::Connect).await {
        Ok(_) => Found::Well(format!("{to} answers")),
        Err(error) => Found::wrong(error.to_string(), next),
    })
}

/// Whether pods of each node are reached from the node before it; the pods of a cluster of one node from itself.
fn pods<'a>(peers: &'a Peers, asked: &[String], seen: &Seen) -> Vec<Check<'a>> {
    let listeners = seen.listeners();
    let before = |number: usize| &asked[(number + asked.len() - 1) % asked.len()];
    let check = |(number, node): (usize, &String)| {
        let near = before(number).clone();
        let what = format!("pods of {node} from {near}");
        match listeners.get(node) {
            _ if !seen.is_ready(node) => Check::not_tried(what, "one answers", format!("{node} is not Ready")),
            None => Check::not_tried(what, "one answers", format!("no pod in the pod network listens on {node}")),
            Some(listener) => {
                let to = Destination::new(listener.address, listener.port);
                from(&near.clone(), seen, what, format!("{} answers", listener.pod), connects(peers, near, to, PODS))
            }
        }
    };
    asked.iter().enumerate().map(check).collect()
}

/// Whether Traefik says that it is well, at its address from outside. A node reaches that without the network: whether others do, an edge says.
fn traefik<'a>(peers: &'a Peers, workspace: &Workspace, all: &[String], seen: &Seen) -> Option<Check<'a>> {
    workspace.traefik.as_ref()?;
    let want = "/ping is answered with 200";
    let Some(address) = seen.ingress() else { return Some(Check::not_tried("Traefik", want, "its service has no address")) };
    let node = all.iter().rev().find(|node| seen.is_ready(node))?.clone();
    let work = async move {
        let next = "see the pods of Traefik: `kubectl -n traefik get pods`, and their logs";
        Ok(match ask(peers, &node, &Destination::new(address, 80), &Question::Get("/ping".into())).await {
            Ok(Answer::Status(200)) => Found::Well(format!("{address} from {node}: 200")),
            Ok(other) => Found::wrong(format!("{address} from {node}: {}", told(&other)), next),
            Err(error) => Found::wrong(format!("from {node}: {error}"), next),
        })
    };
    Some(Check::new("Traefik", want, work))
}

/// Where nodes get the images of the control plane from: a mirror, the registry by a proxy, or the registry.
fn registry(workspace: &Workspace) -> Destination {
    let registry = kubeadm::registry(workspace);
    let host = registry.split('/').next().unwrap_or_default();
    let containerd = &workspace.containerd;
    let own = containerd.registries.iter().find(|(name, _)| name.as_str() == host).and_then(|(_, own)| own.endpoints.first());
    let mirror = containerd.mirrors.iter().find(|(name, _)| name.as_str() == host).map(|(_, url)| url.as_str());
    let proxy = Proxies::of(workspace).and_then(|proxies| proxies.https);
    let of_url = |url: &str| {
        let url = Url::parse(url).ok()?;
        Some(Destination::new(url.host_str()?, url.port_or_known_default()?))
    };
    let on_the_way = own.map(|endpoint| endpoint.url.as_str()).or(mirror).map(str::to_owned).or(proxy);
    on_the_way.and_then(|url| of_url(&url)).unwrap_or_else(|| match host.rsplit_once(':') {
        Some((host, port)) => Destination::new(host, port.parse().unwrap_or(443)),
        None => Destination::new(host, 443),
    })
}

/// An answer that was not expected, in words.
pub(super) fn told(answer: &Answer) -> String {
    match answer {
        Answer::Connected => "a connection".into(),
        Answer::Addresses(none) if none.is_empty() => "no address".into(),
        Answer::Addresses(some) => some.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" and "),
        Answer::Status(status) => format!("status {status}"),
        Answer::Ends(when) => format!("a certificate until {when}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(more: &str) -> String {
        let text = include_str!("../workspace/example.yaml").to_owned() + more;
        registry(&Workspace::parse("workspace.yaml", &text).unwrap()).to_string()
    }

    #[test]
    fn images_come_from_who_is_asked_first() {
        assert_eq!(asked_for(""), "registry.k8s.io:443");
        assert_eq!(asked_for("kubeadm:\n  image_repository: registry.bevz.net:5000/k8s\n"), "registry.bevz.net:5000");
        assert_eq!(asked_for("containerd:\n  mirrors: { registry.k8s.io: http://10.10.10.5:5000 }\n"), "10.10.10.5:5000");
        assert_eq!(asked_for("containerd:\n  mirrors: { docker.io: http://10.10.10.5:5000 }\n"), "registry.k8s.io:443");
        let several = "containerd:\n  registries: { registry.k8s.io: { endpoints: [{ url: https://one.bevz.net }, { url: https://two.bevz.net }] } }\n";
        assert_eq!(asked_for(several), "one.bevz.net:443");
        let proxy = "proxy:\n  http: http://proxy.bevz.net:3128\n";
        assert_eq!(asked_for(proxy), "proxy.bevz.net:3128");
        assert_eq!(
            asked_for(&format!("{proxy}containerd:\n  mirrors: {{ registry.k8s.io: http://10.10.10.5:5000 }}\n")),
            "10.10.10.5:5000"
        );
    }
}
