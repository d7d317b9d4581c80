//! Addresses in a cluster: of services, of what stands behind them, and those that MetalLB gives.
//!
//! Pods have addresses only where somebody asks for endpoints: nothing else in the lab needs them.
use super::{
    cluster::{Cluster, Object, has_condition, key},
    controllers::{NODES, is_running, on_host_network, set_status},
};
use kthw_stdlib::workspace::AddressRange;
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// How the keys of services begin.
const SERVICES: &str = "|services|";
const POOLS: &str = "metallb.io|ipaddresspools|metallb-system|";

/// The workload whose pods a service selects, if they run.
pub(crate) fn behind<'c>(cluster: &'c Cluster, service: &Value, now_ms: u64) -> Option<&'c Object> {
    let (selector, namespace) = (service["spec"]["selector"].as_object()?, &service["metadata"]["namespace"]);
    cluster.beginning("apps|").map(|(_, object)| object).find(|workload| {
        let labels = &workload.value["spec"]["template"]["metadata"]["labels"];
        let selected = workload.value["metadata"]["namespace"] == *namespace && selector.iter().all(|(name, value)| labels[name] == *value);
        selected && workload.value["spec"]["replicas"] != 0 && is_running(cluster, workload, now_ms)
    })
}

/// The service with this address, inside of the cluster or from outside.
pub(crate) fn service_at<'c>(cluster: &'c Cluster, address: &str) -> Option<&'c Value> {
    let has = |service: &&Value| service["spec"]["clusterIP"] == address;
    cluster.beginning(SERVICES).map(|(_, object)| &object.value).find(has).or_else(|| shown_at(cluster, address))
}

/// The service that a cluster shows to the network at an address.
pub(crate) fn shown_at<'c>(cluster: &'c Cluster, address: &str) -> Option<&'c Value> {
    let is_there = |service: &&Value| service["status"]["loadBalancer"]["ingress"][0]["ip"] == address;
    cluster.beginning(SERVICES).map(|(_, object)| &object.value).find(is_there)
}

/// Gives services of type `LoadBalancer` their addresses, where MetalLB runs and its pools have one.
pub(super) fn give(cluster: &mut Cluster, now_ms: u64, unix_s: u64) {
    let controller = cluster.objects.get(&key("apps", "deployments", "metallb-system", "controller"));
    if !controller.is_some_and(|controller| is_running(cluster, controller, now_ms)) {
        return;
    }
    let of_type = |(_, object): &(&String, &Object)| object.value["spec"]["type"] == "LoadBalancer";
    let address = |value: &Value| value["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().and_then(|text| text.parse().ok());
    let services: Vec<(String, Value)> =
        cluster.beginning(SERVICES).filter(of_type).map(|(key, object)| (key.clone(), object.value.clone())).collect();
    let mut taken: BTreeSet<Ipv4Addr> = services.iter().filter_map(|(_, service)| address(service)).collect();
    for (key, service) in services.into_iter().filter(|(_, service)| address(service).is_none()) {
        let asked: Option<Ipv4Addr> = service["spec"]["loadBalancerIP"].as_str().and_then(|text| text.parse().ok());
        let found = pooled(cluster).find(|free| !taken.contains(free) && asked.is_none_or(|asked| asked == *free));
        match found {
            Some(free) => {
                taken.insert(free);
                set_status(cluster, &key, |service| {
                    service["status"]["loadBalancer"] = json!({ "ingress": [{ "ip": free, "ipMode": "VIP" }] })
                });
            }
            None => tell(cluster, &service, unix_s),
        }
    }
}

/// The addresses of all pools.
fn pooled(cluster: &Cluster) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let texts = cluster.beginning(POOLS).flat_map(|(_, pool)| pool.value["spec"]["addresses"].as_array().into_iter().flatten());
    let ranges = texts.filter_map(|text| text.as_str()?.parse::<AddressRange>().ok());
    ranges.flat_map(|range| {
        let (first, last) = range.ends();
        (u32::from(first)..=u32::from(last)).map(Ipv4Addr::from)
    })
}

/// MetalLB's event about a service that gets no address.
fn tell(cluster: &mut Cluster, service: &Value, unix_s: u64) {
    let [namespace, name] = ["namespace", "name"].map(|field| service["metadata"][field].as_str().unwrap_or_default().to_owned());
    let event = format!("{name}.allocation-failed");
    if cluster.has("events", &namespace, &event) {
        return;
    }
    let involved = json!({ "kind": "Service", "namespace": namespace, "name": name });
    let message = format!("Failed to allocate IP for \"{namespace}/{name}\": no available IPs");
    let object = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": event, "namespace": namespace }, "involvedObject": involved,
        "type": "Warning", "reason": "AllocationFailed", "message": message });
    cluster.insert("", "events", object, unix_s);
}

/// Brings the EndpointSlices of services up to now: an endpoint for each pod that would be Ready.
pub(super) fn endpoints(cluster: &mut Cluster, now_ms: u64, unix_s: u64) {
    let services: Vec<Value> = cluster.beginning(SERVICES).map(|(_, object)| object.value.clone()).collect();
    for service in services.iter().filter(|service| service["spec"]["selector"].is_object()) {
        let [namespace, name] = ["namespace", "name"].map(|field| service["metadata"][field].as_str().unwrap_or_default());
        let slice = format!("{name}-lab");
        let found = behind(cluster, service, now_ms).map(|workload| pods(cluster, workload)).unwrap_or_default();
        let shown: Vec<Value> = found
            .iter()
            .map(|(node, address)| {
                json!({ "addresses": [address], "nodeName": node, "conditions": { "ready": true }, "targetRef": { "kind": "Pod", "name": format!("{name}-{node}") } })
            })
            .collect();
        let ports: Vec<Value> = service["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| json!({ "port": port["port"], "protocol": port["protocol"].as_str().unwrap_or("TCP") }))
            .collect();
        let path = key("discovery.k8s.io", "endpointslices", namespace, &slice);
        if cluster.objects.get(&path).is_none_or(|there| there.value["endpoints"] != json!(shown)) {
            let object = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": { "name": slice, "namespace": namespace, "labels": { "kubernetes.io/service-name": name } }, "endpoints": shown, "ports": ports });
            cluster.insert("discovery.k8s.io", "endpointslices", object, unix_s);
        }
    }
}

/// Where the pods of a workload are, and their addresses: on the nodes that are Ready, workers first.
fn pods(cluster: &Cluster, workload: &Object) -> Vec<(String, String)> {
    let nodes = cluster.beginning(NODES).enumerate();
    let mut ready: Vec<(bool, usize, String)> = nodes
        .filter(|(_, (_, node))| has_condition(&node.value, "Ready"))
        .map(|(place, (key, _))| (place, key[NODES.len()..].to_owned()))
        .map(|(place, name)| (cluster.members.get(&name).is_some_and(|member| member.control_plane), place, name))
        .collect();
    ready.sort();
    let wanted = workload.value["spec"]["replicas"].as_u64().map_or(ready.len(), |wanted| usize::try_from(wanted).unwrap_or(0));
    let of_kind = cluster.beginning("apps|").position(|(_, other)| other.value["metadata"]["uid"] == workload.value["metadata"]["uid"]);
    let on_host = on_host_network(&workload.value);
    let address = |place: usize, name: &str| match cluster.objects.get(&key("", "nodes", "", name)) {
        Some(node) if on_host => node.value["status"]["addresses"][0]["address"].as_str().unwrap_or_default().to_owned(),
        _ => pod_address(cluster, place, of_kind.unwrap_or(0)),
    };
    ready.iter().take(wanted).map(|(_, place, name)| (name.clone(), address(*place, name))).collect()
}

/// An address in the pod network: each node has a /24 of it.
fn pod_address(cluster: &Cluster, node: usize, pod: usize) -> String {
    numbered(&cluster.pod_subnet().unwrap_or_default(), node * 256 + 2 + pod % 200)
}

/// The address with this number in a range, which is counted from its beginning.
pub(super) fn numbered(range: &str, number: usize) -> String {
    let begin: Ipv4Addr = range.split('/').next().and_then(|text| text.parse().ok()).unwrap_or(Ipv4Addr::new(10, 96, 0, 0));
    Ipv4Addr::from(u32::from(begin).saturating_add(u32::try_from(number).unwrap_or(0))).to_string()
}

impl Cluster {
    /// The address of cluster DNS: the tenth, where that of the API server is the first.
    pub(super) fn dns_address(&self) -> String {
        let first = self.objects.get(&key("", "services", "default", "kubernetes"));
        numbered(first.and_then(|service| service.value["spec"]["clusterIP"].as_str()).unwrap_or_default(), 9)
    }

    /// The range of pods, as kubeadm was told.
    fn pod_subnet(&self) -> Option<String> {
        let configuration = self.objects.get(&key("", "configmaps", "kube-system", "kubeadm-config"))?;
        let configuration: Value = serde_saphyr::from_str(configuration.value["data"]["ClusterConfiguration"].as_str()?).ok()?;
        Some(configuration["networking"]["podSubnet"].as_str()?.to_owned())
    }
}
