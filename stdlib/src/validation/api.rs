//! What a cluster's API says: its nodes, its control planes, what runs, addresses of services, and where endpoints are.
use super::row::{Found, Row};
use crate::{
    kubernetes::{
        Client,
        listing::{Kind, NODES, PODS, list},
        objects::condition,
        rollout::{WORKLOADS, behind, is_excused, of_pod, trouble},
    },
    workspace::{NodeSpec, Role, Workspace},
};
use futures::try_join;
use kthw_engine::{Error, Result};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// The namespaces of what Kubernetes, Calico and the add-ons run. Of what others run, their owners know how it should be.
const OURS: &[&str] = &[
    "kube-system",
    "tigera-operator",
    "calico-system",
    "calico-apiserver",
    "metallb-system",
    "traefik",
    "cert-manager",
    "local-path-storage",
];

const SERVICES: Kind = ("", "v1", "Service");
const EVENTS: Kind = ("", "v1", "Event");
const ENDPOINTS: Kind = ("discovery.k8s.io", "v1", "EndpointSlice");

/// What was read of a cluster.
pub(super) struct Seen {
    nodes: Vec<Value>,
    workloads: Vec<Value>,
    services: Vec<Value>,
    endpoints: Vec<Value>,
}

/// Somebody in the pod network who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub address: Ipv4Addr,
    pub port: u16,
    /// `kube-system/coredns-…`.
    pub pod: String,
}

impl Seen {
    /// Reads it.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn read(client: &Client) -> Result<Self> {
        let [deployments, daemon_sets, stateful_sets] = WORKLOADS.map(|kind| ("apps", "v1", kind));
        let (nodes, services, endpoints, mut workloads, daemons, stateful) = try_join!(
            list(client, &NODES, None, ""),
            list(client, &SERVICES, None, ""),
            list(client, &ENDPOINTS, None, ""),
            list(client, &deployments, None, ""),
            list(client, &daemon_sets, None, ""),
            list(client, &stateful_sets, None, ""),
        )?;
        workloads.extend(daemons.into_iter().chain(stateful));
        workloads.retain(|one| OURS.contains(&text(one, "namespace")));
        Ok(Self { nodes, workloads, services, endpoints })
    }

    /// The node of this name.
    fn node(&self, name: &str) -> Option<&Value> {
        self.nodes.iter().find(|node| text(node, "name") == name)
    }

    /// Whether it is there and Ready.
    pub fn is_ready(&self, name: &str) -> bool {
        self.node(name).is_some_and(|node| condition(node, "Ready").is_some_and(|(status, _)| status == "True"))
    }

    /// A row for each node that the workspace names.
    pub fn nodes(&self, members: &[&NodeSpec]) -> Vec<Row> {
        let row = |member: &&NodeSpec| {
            let found = match self.node(&member.name) {
                None => Found::wrong("the cluster knows no node of that name", "run the recipe that joins it"),
                Some(_) if self.is_ready(&member.name) => Found::Well("Ready".into()),
                Some(node) => {
                    let why = condition(node, "Ready").map_or_else(|| "its kubelet has not reported yet".to_owned(), |(_, why)| why);
                    Found::wrong(why, "on the node: `journalctl -u kubelet`")
                }
            };
            Row::of(format!("node {}", member.name), "Ready", found)
        };
        members.iter().map(row).collect()
    }

    /// A row for each workload. Pods on nodes that are away are these nodes' trouble.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn workloads(&self, client: &Client) -> Result<Vec<Row>> {
        let away: BTreeSet<String> =
            self.nodes.iter().map(|node| text(node, "name").to_owned()).filter(|name| !self.is_ready(name)).collect();
        let mut rows = Vec::new();
        for workload in &self.workloads {
            let (namespace, name) = (text(workload, "namespace"), text(workload, "name"));
            let what = format!("{} {namespace}/{name}", workload["kind"].as_str().unwrap_or_default());
            let found = match behind(workload) {
                None => Found::Well("runs".into()),
                Some(why) => {
                    let pods = list(client, &PODS, Some(namespace), "").await?;
                    if is_excused(workload, &pods, &away) {
                        Found::Well("runs on the nodes that are Ready".into())
                    } else {
                        let why = trouble(workload, &pods).map_or(why.clone(), |trouble| format!("{why}: {trouble}"));
                        Found::wrong(why, &format!("`kubectl -n {namespace} describe pods` says more"))
                    }
                }
            };
            rows.push(Row::of(what, "runs", found));
        }
        Ok(rows)
    }

    /// A row for each service that is to have an address from outside.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn addresses(&self, client: &Client, workspace: &Workspace) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for service in self.services.iter().filter(|service| service["spec"]["type"] == "LoadBalancer") {
            let (namespace, name) = (text(service, "namespace"), text(service, "name"));
            let asked =
                workspace.traefik.as_ref().and_then(|traefik| traefik.address).filter(|_| (namespace, name) == ("traefik", "traefik"));
            let want = asked.map_or_else(|| "an address".to_owned(), |address| address.to_string());
            let found = match address_of(service) {
                Some(address) if asked.is_none_or(|asked| asked == address) => Found::Well(address.to_string()),
                Some(other) => Found::wrong(other.to_string(), "somebody gave the service another address; run the recipe again"),
                None => {
                    let fields = format!("involvedObject.name={name},involvedObject.kind=Service,type=Warning");
                    let events = list(client, &EVENTS, Some(namespace), &fields).await?;
                    let said = events.last().and_then(|event| event["message"].as_str()).unwrap_or("no address, and no event says why");
                    Found::wrong(said, "see `metallb.pools` of the workspace, and who has their addresses: `kubectl get services -A`")
                }
            };
            rows.push(Row::of(format!("address of {namespace}/{name}"), want, found));
        }
        Ok(rows)
    }

    /// The address from outside of Traefik, if it has one.
    pub fn ingress(&self) -> Option<Ipv4Addr> {
        let is_traefik = |service: &&Value| (text(service, "namespace"), text(service, "name")) == ("traefik", "traefik");
        self.services.iter().find(is_traefik).and_then(address_of)
    }

    /// For each node, somebody there who listens in the pod network.
    pub fn listeners(&self) -> BTreeMap<String, Listener> {
        let own: BTreeSet<&str> = self.nodes.iter().flat_map(addresses_of_node).collect();
        let mut found = BTreeMap::new();
        for slice in &self.endpoints {
            let ports = slice["ports"].as_array().into_iter().flatten().filter(|port| port["protocol"] == "TCP");
            let Some(port) = ports.filter_map(|port| u16::try_from(port["port"].as_u64()?).ok()).min() else { continue };
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                let address = endpoint["addresses"][0].as_str().filter(|address| !own.contains(address));
                let (Some(address), Some(node)) = (address.and_then(|text| text.parse().ok()), endpoint["nodeName"].as_str()) else {
                    continue;
                };
                if endpoint["conditions"]["ready"] == Value::Bool(true) {
                    let pod = endpoint["targetRef"]["name"].as_str().unwrap_or("a pod");
                    let pod = format!("{}/{pod}", text(slice, "namespace"));
                    found.entry(node.to_owned()).or_insert(Listener { address, port, pod });
                }
            }
        }
        found
    }
}

/// Whether what kubeadm runs on a control plane is Ready there, as its API server sees it.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub(super) async fn control_plane(client: &Client, node: &str) -> Result<Found> {
    let pods = list(client, &PODS, Some("kube-system"), &format!("spec.nodeName={node}")).await?;
    let is_static = |pod: &&Value| pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string();
    let own: Vec<&Value> = pods.iter().filter(is_static).collect();
    let missing = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"].into_iter().find(|component| {
        let name = format!("{component}-{node}");
        own.iter().all(|pod| text(pod, "name") != name)
    });
    let next = "on the node: `crictl ps -a`, and `crictl logs` of the container";
    Ok(match (own.iter().find_map(|pod| of_pod(pod)), missing) {
        (Some(why), _) => Found::wrong(why, next),
        (None, Some(missing)) => Found::wrong(format!("there is no pod {missing}-{node}"), next),
        (None, None) => Found::Well(format!("{} pods are Ready", own.len())),
    })
}

/// Reads what a pod on `node` has written last.
///
/// # Errors
/// A server that cannot be reached or refuses, or does not reach the node's kubelet.
pub(super) async fn logs(client: &Client, node: &str) -> Result<Found> {
    let pods = list(client, &PODS, Some("kube-system"), &format!("spec.nodeName={node}")).await?;
    let Some(pod) = pods.iter().find(|pod| pod["status"]["phase"] == "Running") else {
        return Ok(Found::NotTried(format!("no pod of kube-system runs on {node}")));
    };
    let (name, container) = (text(pod, "name"), pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default());
    match client.last_line("kube-system", name, container).await {
        Ok(_) => Ok(Found::Well(format!("of {name} on {node}"))),
        Err(error) => Ok(Found::wrong(
            format!("of {name} on {node}: {}", crate::kubernetes::in_words(&error)),
            "API servers ask kubelets at port 10250: see the firewalls between them, and `journalctl -u kubelet` there",
        )),
    }
}

/// The nodes that a workspace says are in its cluster.
pub(super) fn members(workspace: &Workspace) -> Vec<&NodeSpec> {
    workspace.nodes.iter().filter(|node| matches!(node.role, Role::ControlPlane | Role::Worker)).collect()
}

fn address_of(service: &Value) -> Option<Ipv4Addr> {
    service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.parse().ok()
}

fn addresses_of_node(node: &Value) -> impl Iterator<Item = &str> {
    node["status"]["addresses"].as_array().into_iter().flatten().filter_map(|one| one["address"].as_str())
}

fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    object["metadata"][name].as_str().unwrap_or_default()
}

/// A row for a part of which nothing could be read.
pub(super) fn unread(what: &str, want: &str, error: &Error) -> Row {
    Row::of(what, want, Found::failed(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_listens_in_the_pod_network_is_found_and_nobody_else() {
        let node = |name: &str, address: &str| json!({ "metadata": { "name": name }, "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
        let slice = |name: &str, protocol: &str, endpoints: Value| {
            json!({ "metadata": { "name": name, "namespace": "kube-system" }, "endpoints": endpoints,
                "ports": [{ "port": 9153, "protocol": protocol }, { "port": 53, "protocol": protocol }] })
        };
        let endpoint = |node: &str, address: &str, ready: bool| json!({ "addresses": [address], "nodeName": node, "conditions": { "ready": ready }, "targetRef": { "name": format!("of-{node}") } });
        let seen = Seen {
            nodes: vec![node("cu1", "10.10.10.116"), node("wu1", "10.10.10.121")],
            workloads: Vec::new(),
            services: Vec::new(),
            endpoints: vec![
                slice("on-the-host", "TCP", json!([endpoint("cu1", "10.10.10.116", true)])),
                slice("not-ready", "TCP", json!([endpoint("cu1", "192.168.0.4", false)])),
                slice("udp-alone", "UDP", json!([endpoint("cu1", "192.168.0.5", true)])),
                slice("dns", "TCP", json!([endpoint("wu1", "192.168.1.2", true)])),
                json!({ "metadata": { "name": "nobody", "namespace": "kube-system" }, "endpoints": null, "ports": null }),
            ],
        };
        let found: Vec<(String, Listener)> = seen.listeners().into_iter().collect();
        let dns = Listener { address: Ipv4Addr::new(192, 168, 1, 2), port: 53, pod: "kube-system/of-wu1".into() };
        assert_eq!(found, [("wu1".to_owned(), dns)]);
    }
}
