//! kubeadm's configuration files, generated for the configuration API that a Kubernetes version reads. Pure.
use super::api_server::Settings;
use crate::workspace::{CgroupDriver, NodeSpec, Role, Workspace};
use ipnet::Ipv4Net;
use kthw_engine::node::Action;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The socket of containerd. The scheme belongs to it: without one, kubeadm and the kubelet warn.
const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// The domain of names inside of a cluster.
pub const DNS_DOMAIN: &str = "cluster.local";

/// The configuration APIs of kubeadm, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigApi {
    /// Written for Kubernetes up to 1.30; deprecated since 1.31, and not read any more by 1.37.
    V1Beta3,
    /// Read from 1.31: arguments are lists of name and value.
    V1Beta4,
}

impl ConfigApi {
    /// The newest API that this Kubernetes version reads.
    pub fn of(version: &semver::Version) -> Self {
        match (version.major, version.minor) {
            (0, _) | (1, ..=30) => Self::V1Beta3,
            _ => Self::V1Beta4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V1Beta3 => "kubeadm.k8s.io/v1beta3",
            Self::V1Beta4 => "kubeadm.k8s.io/v1beta4",
        }
    }

    fn arguments(self, arguments: &BTreeMap<String, String>) -> Value {
        match self {
            Self::V1Beta4 => arguments.iter().map(|(name, value)| json!({"name": name, "value": value})).collect(),
            Self::V1Beta3 => json!(arguments),
        }
    }
}

/// What `kubeadm init` is asked for.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// The Kubernetes version.
    pub version: semver::Version,
    /// `host:port` of the API server.
    pub endpoint: String,
    /// Pod addresses.
    pub pod_subnet: Ipv4Net,
    /// Service addresses.
    pub service_subnet: Ipv4Net,
}

/// The names and addresses that the API server's certificate has to hold: of every control plane, the endpoint and the loopback.
///
/// They are computed from the workspace, never from what a machine says of itself.
pub fn certificate_names(workspace: &Workspace, endpoint: &str) -> Vec<String> {
    let mut names = Vec::new();
    for node in workspace.with_role(Role::ControlPlane) {
        names.extend([node.address.to_string(), node.name.to_string(), workspace.fqdn(node)]);
    }
    names.push(endpoint_host(endpoint).to_owned());
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    names.extend(workspace.kubeadm.cert_sans.iter().map(ToString::to_string));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

/// The names and addresses that kubeadm itself adds (`GetAPIServerAltNames` in upstream's cmd/kubeadm/app/util/pkiutil/pki_helpers.go).
pub fn names_of_kubeadm(node: &NodeSpec, spec: &ClusterSpec) -> Vec<String> {
    let first = spec.service_subnet.hosts().next().unwrap_or(spec.service_subnet.addr());
    let service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
    let further = [format!("kubernetes.default.svc.{DNS_DOMAIN}"), node.name.to_string(), node.address.to_string(), first.to_string()];
    service.into_iter().chain(further).collect()
}

/// The host of `host:port`.
pub fn endpoint_host(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host)
}

/// Fails on a node that cannot resolve the endpoint's name; kubeadm would only find out after minutes. `None` for an address.
pub fn resolve_endpoint(endpoint: &str) -> Option<Action> {
    let host = endpoint_host(endpoint);
    host.parse::<std::net::IpAddr>().is_err().then(|| Action::run_for(30, ["getent", "ahosts", host]))
}

/// The file for `kubeadm init` on `node`.
///
/// kubeadm makes a bootstrap token of its own if it is given none, valid for a day; so it is given one that ends at once.
pub fn init(workspace: &Workspace, node: &NodeSpec, spec: &ClusterSpec) -> String {
    init_in(workspace, node, spec, None)
}

/// The same, for a phase that makes certificates in `folder` instead of kubeadm's own.
pub fn certificates(workspace: &Workspace, node: &NodeSpec, spec: &ClusterSpec, folder: &str) -> String {
    init_in(workspace, node, spec, Some(folder))
}

fn init_in(workspace: &Workspace, node: &NodeSpec, spec: &ClusterSpec, certificates: Option<&str>) -> String {
    let api = ConfigApi::of(&spec.version);
    let init = json!({
        "apiVersion": api.name(),
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"ttl": "1m0s", "description": "made by kubeadm init, not used"}],
        "localAPIEndpoint": {"advertiseAddress": node.address.to_string(), "bindPort": 6443},
        "nodeRegistration": registration(api, workspace, node),
    });
    let mut cluster = object(json!({
        "apiVersion": api.name(),
        "kind": "ClusterConfiguration",
        "clusterName": workspace.name,
        "kubernetesVersion": format!("v{}", spec.version),
        "controlPlaneEndpoint": spec.endpoint,
    }));
    if let Some(repository) = &workspace.kubeadm.image_repository {
        cluster.insert("imageRepository".into(), json!(repository));
    }
    if let Some(folder) = certificates {
        cluster.insert("certificatesDir".into(), json!(folder));
    }
    cluster.insert(
        "networking".into(),
        json!({
            "dnsDomain": DNS_DOMAIN,
            "podSubnet": spec.pod_subnet.to_string(),
            "serviceSubnet": spec.service_subnet.to_string(),
        }),
    );
    cluster.insert("apiServer".into(), api_server(api, workspace, &spec.endpoint));
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": cgroup_driver(workspace.kubeadm.cgroup_driver),
        "failSwapOn": workspace.kubeadm.fail_swap_on,
    });
    if let Some(of_cluster) = workspace.kubeadm.kubelet_serving_certificates {
        kubelet["serverTLSBootstrap"] = json!(of_cluster);
    }
    [init, Value::Object(cluster), kubelet].iter().map(yaml).collect::<Vec<_>>().join("---\n")
}

/// What kubeadm is told of the API server.
fn api_server(api: ConfigApi, workspace: &Workspace, endpoint: &str) -> Value {
    let settings = Settings::of(workspace);
    let mut server = object(json!({"certSANs": certificate_names(workspace, endpoint)}));
    if !settings.arguments.is_empty() {
        server.insert("extraArgs".into(), api.arguments(&settings.arguments));
        server.insert("extraVolumes".into(), settings.volumes().into());
    }
    Value::Object(server)
}

/// The file for `kubeadm join` of a worker. It holds a token: treat it as a secret.
pub fn join(workspace: &Workspace, node: &NodeSpec, version: &semver::Version, token: &str, ca_hash: &str) -> String {
    let api = ConfigApi::of(version);
    yaml(&json!({
        "apiVersion": api.name(),
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": workspace.endpoint(),
            "token": token,
            "caCertHashes": [ca_hash],
        }},
        "nodeRegistration": registration(api, workspace, node),
    }))
}

fn registration(api: ConfigApi, workspace: &Workspace, node: &NodeSpec) -> Value {
    json!({"name": node.name, "criSocket": CRI_SOCKET, "kubeletExtraArgs": api.arguments(&kubelet_arguments(workspace, node))})
}

/// The arguments of a node's kubelet, beside those that kubeadm adds.
pub fn kubelet_arguments(workspace: &Workspace, node: &NodeSpec) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::from([("node-ip".to_owned(), node.address.to_string())]);
    arguments.extend(workspace.kubeadm.kubelet_extra_args.clone());
    arguments
}

/// A cgroup driver as the kubelet's configuration spells it.
pub fn cgroup_driver(driver: CgroupDriver) -> &'static str {
    match driver {
        CgroupDriver::Systemd => "systemd",
        CgroupDriver::Cgroupfs => "cgroupfs",
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// A value as the text of a file.
pub(super) fn yaml(value: &Value) -> String {
    let text = serde_saphyr::to_string(value).expect("a JSON value can always be written as YAML");
    if text.ends_with('\n') { text } else { format!("{text}\n") }
}
