//! The `kubeadm` module: a control plane, its workers, and what their packages and runtime must look like.

mod api_server;
mod config;
#[cfg(test)]
mod config_tests;
mod containerd;
mod containerd_config;
#[cfg(test)]
mod containerd_peer_tests;
mod control_plane;
mod fixed;
mod kubelet;
mod mirror;
mod outside;
mod packages;
#[cfg(test)]
mod peer_tests;
mod registry;
mod static_pod;
mod token;
mod worker;

pub use config::{ClusterSpec, ConfigApi, certificate_names};
pub(crate) use config::{DNS_DOMAIN, endpoint_host};
pub use containerd::WRITE_CONFIG as CONTAINERD_CONFIG;
pub use containerd_config::{ContainerdConfig, LiveConfig};
pub use control_plane::{ControlPlane, ControlPlanes, LatePhase, LiveCertificate, LiveControlPlane, LiveMachine};
pub use packages::{COMMUNITY_KEY, COMMUNITY_KEY_ENDS, COMMUNITY_KEY_SHA256, repository};
pub(crate) use packages::{package_version, registry};
pub(crate) use token::revoke_left as revoke_left_tokens;
pub use worker::{LiveWorker, Worker};

use crate::workspace::{Cluster, Kubeadm};
use kthw_engine::{Rhai, throw};
use miette::Diagnostic;
use rhai::{Module, plugin::*};

/// Where kthw keeps kubeadm's configuration on a node.
const FOLDER: &str = "/etc/kubernetes/kthw";

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

/// The flag that makes kubeadm go on in spite of some preflight errors.
fn ignored(settings: &Kubeadm) -> Option<String> {
    let ignored = &settings.ignore_preflight_errors;
    (!ignored.is_empty()).then(|| format!("--ignore-preflight-errors={}", ignored.join(",")))
}

/// The cluster's Kubernetes. A recipe that wants it of an edge is stopped.
fn kubernetes_of<'a>(cx: &NativeCallContext<'_>, cluster: &'a Cluster) -> Rhai<&'a semver::Version> {
    match cluster.workspace().versions() {
        Ok(versions) => Ok(&versions.kubernetes),
        Err(error) => throw(cx, error),
    }
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{node} did not answer what it was asked")]
#[diagnostic(code(kthw::kubeadm::no_answer), help("this is a mistake in kthw; please report it with the command that you ran"))]
struct NoAnswer {
    node: String,
}

#[export_module]
mod api {
    use super::{ClusterSpec, ContainerdConfig, ControlPlane, Worker, kubernetes_of, mirror, outside::Outside, packages, registry};
    use crate::{
        kubernetes::{DrainOptions, Place},
        workspace::{ApiEndpoint, Cluster, Node},
    };
    use kthw_engine::{Id, Options, Rhai, declare_on_node, note_secret, throw};
    use rhai::{Array, Dynamic, Map};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ControlPlaneSpec {
        version: semver::Version,
        endpoint: ApiEndpoint,
        pod_subnet: ipnet::Ipv4Net,
        service_subnet: ipnet::Ipv4Net,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoSpec {}

    /// Keeps a control plane on the cluster's control-plane node: `kubeadm init`, once.
    ///
    /// The API server's certificate holds every control plane's address, short and full name, the endpoint's host and
    /// `kubeadm.cert_sans`; a name that is missing later is added, one that nobody asks for any more removed. An API server that does not
    /// answer is waited for, never reset. Version, name, image repository, endpoint and ranges stay as the cluster was made: another one is
    /// refused. The kubelet's arguments and `fail_swap_on` are changed in place, its cgroup driver, labels and taints are not. `audit` and
    /// `pod_security` of the workspace are changed in place too, with one restart of the API server.
    /// Options: `version`, `endpoint` (`host:port`), `pod_subnet`, `service_subnet`.
    ///
    /// ```rhai
    /// kubeadm::control_plane(cluster, #{
    ///     version:        cluster.versions.kubernetes,
    ///     endpoint:       cluster.endpoint,
    ///     pod_subnet:     cluster.network.pods,
    ///     service_subnet: cluster.network.services,
    /// });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn control_plane(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<ControlPlaneSpec>::parse(&cx, "kubeadm::control_plane", options)?;
        let ControlPlaneSpec { version, endpoint, pod_subnet, service_subnet } = options.spec;
        let spec = ClusterSpec { version, endpoint: endpoint.into(), pod_subnet, service_subnet };
        match ControlPlane::new(cluster.workspace().clone(), spec) {
            Ok(resource) => declare_on_node(&cx, resource, options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps a worker in the cluster: `kubeadm join` with a token of its own, minted just before and revoked right after.
    ///
    /// The kubelet's arguments and `fail_swap_on` are changed in place later; another endpoint, cgroup driver, label or taint is refused.
    ///
    /// ```rhai
    /// for node in cluster.workers {
    ///     kubeadm::worker(cluster, node);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "worker")]
    pub fn worker(cx: NativeCallContext, cluster: Cluster, node: Node) -> Rhai<Id> {
        worker_with(cx, cluster, node, Map::new())
    }

    /// Keeps a worker in the cluster: `kubeadm join` with a token of its own, minted just before and revoked right after.
    ///
    /// The options map can be left out. With `present: false` the machine leaves the cluster: it is drained, its Node object removed, and
    /// `kubeadm reset` takes its credentials. What may be done to its pods then is said as to kubectl drain: `delete_emptydir_data` and
    /// `force` (pods that no controller starts again), both `false` by default, and `timeout_s`, how long the pods may take to leave (600).
    ///
    /// ```rhai
    /// for node in cluster.workers {
    ///     let label = ssh::file(node, "/etc/rack", #{ content: "a1\n" });
    ///     kubeadm::worker(cluster, node, #{ needs: [label] });
    /// }
    /// ```
    ///
    /// ```rhai
    /// let leaving = cluster.workers[cluster.workers.len() - 1];
    /// kubeadm::worker(cluster, leaving, #{ present: false, delete_emptydir_data: true });
    /// ```
    #[rhai_fn(return_raw, volatile, name = "worker")]
    pub fn worker_with(cx: NativeCallContext, cluster: Cluster, node: Node, options: Map) -> Rhai<Id> {
        let options = Options::<DrainOptions>::parse(&cx, "kubeadm::worker", options)?;
        match Place::of(cluster.workspace()) {
            Ok(place) => {
                let (workspace, node) = (cluster.workspace().clone(), node.spec().clone());
                let worker = Worker { workspace, place, node, drain: options.spec };
                declare_on_node(&cx, worker, options.common)
            }
            Err(error) => throw(&cx, error),
        }
    }

    /// Says that a machine is not part of the cluster.
    ///
    /// Nothing is ever done for that: a machine that has joined all the same, because its role was another one before, is refused, with the
    /// way to take it out.
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     if node.role == "other" {
    ///         kubeadm::outside(cluster, node);
    ///     }
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn outside(cx: NativeCallContext, _cluster: Cluster, node: Node) -> Rhai<Id> {
        declare_on_node(&cx, Outside { node: node.name().to_owned() }, Vec::new())
    }

    /// Keeps containerd's configuration on a node: CRI on, the pause image and cgroup driver of the cluster's Kubernetes version.
    ///
    /// The file `/etc/containerd/config.toml` is kept whole, in the newest format that the containerd on the node reads, so that it has
    /// nothing to migrate at its start. Its folder must be there; see `ssh::directory`.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::package(node, "containerd");
    ///     let configuration = kubeadm::containerd_config(cluster, node);
    ///     ssh::service(node, "containerd", #{ restarted_by: [configuration] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "containerd_config")]
    pub fn containerd_config(cx: NativeCallContext, cluster: Cluster, node: Node) -> Rhai<Id> {
        containerd_config_with(cx, cluster, node, Map::new())
    }

    /// Keeps containerd's configuration on a node: CRI on, the pause image and cgroup driver of the cluster's Kubernetes version.
    ///
    /// The options map can be left out; it takes `needs` only.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let package = ssh::package(node, "containerd");
    ///     kubeadm::containerd_config(cluster, node, #{ needs: [package] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "containerd_config")]
    pub fn containerd_config_with(cx: NativeCallContext, cluster: Cluster, node: Node, options: Map) -> Rhai<Id> {
        let options = Options::<NoSpec>::parse(&cx, "kubeadm::containerd_config", options)?;
        let kubernetes = kubernetes_of(&cx, &cluster)?.clone();
        let config = ContainerdConfig { workspace: cluster.workspace().clone(), kubernetes, node: node.name().to_owned() };
        declare_on_node(&cx, config, options.common)
    }

    /// Returns a `hosts.toml` that lets containerd pull a registry's images from a mirror.
    ///
    /// ```rhai
    /// let content = kubeadm::registry_mirror("docker.io", "https://mirror.example.com");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn registry_mirror(cx: NativeCallContext, host: &str, url: &str) -> Rhai<String> {
        mirror::registry_mirror(host, url).or_else(|error| throw(&cx, error))
    }

    /// Returns the hosts of the registries that the workspace says something about (`containerd.mirrors`, `containerd.registries`).
    ///
    /// ```rhai
    /// for host in kubeadm::registries(cluster) {
    ///     print(host);
    /// }
    /// ```
    pub fn registries(cluster: Cluster) -> Array {
        registry::registries(cluster.workspace()).into_keys().map(Dynamic::from).collect()
    }

    /// Returns the files that containerd reads of such a registry, by their names, each as options of `ssh::file`.
    ///
    /// Those with credentials hold secrets, so they are shown without them and are root's alone. containerd needs no restart to see them.
    ///
    /// ```rhai
    /// for host in kubeadm::registries(cluster) {
    ///     let files = kubeadm::registry_files(cluster, host);
    ///     for node in cluster.members {
    ///         let there = [ssh::directory(node, `/etc/containerd/certs.d/${host}`)];
    ///         for name in files.keys() {
    ///             let options = files[name];
    ///             options.needs = there;
    ///             ssh::file(node, `/etc/containerd/certs.d/${host}/${name}`, options);
    ///         }
    ///     }
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn registry_files(cx: NativeCallContext, cluster: Cluster, host: &str) -> Rhai<Map> {
        let Some(registry) = registry::registries(cluster.workspace()).remove(host) else { return Ok(Map::new()) };
        let files = registry::files(host, &registry).into_iter().map(|(name, registry::File { content, mode })| {
            content.secrets().for_each(|secret| note_secret(&cx, &secret));
            let options = [("content", content.into_dynamic()?), ("mode", mode.into())];
            let options: Map = options.into_iter().map(|(name, value)| (name.into(), value)).collect();
            Ok((name.into(), options.into()))
        });
        files.collect()
    }

    /// Returns the version of the kubelet, kubeadm and kubectl packages, such as `1.31.9-1.1`.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::repository(node, "kubernetes", kubeadm::repository(cluster));
    ///     ssh::package(node, "kubectl", #{ version: kubeadm::package_version(cluster), hold: true });
    /// }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn package_version(cx: NativeCallContext, cluster: Cluster) -> Rhai<String> {
        Ok(packages::package_version(cluster.workspace(), kubernetes_of(&cx, &cluster)?))
    }

    /// Returns the options of the repository with the Kubernetes packages: the workspace's, else the community's.
    ///
    /// On a node that has joined it is refused together with another version of the kubelet (`fixed_by`).
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     ssh::repository(node, "kubernetes", kubeadm::repository(cluster));
    /// }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn repository(cx: NativeCallContext, cluster: Cluster) -> Rhai<Map> {
        let kubernetes = kubernetes_of(&cx, &cluster)?;
        let repository = rhai::serde::to_dynamic(packages::repository(cluster.workspace(), kubernetes))?;
        let mut options = repository.try_cast::<Map>().unwrap_or_default();
        let fixed_by = packages::kubelet_in_use(cluster.workspace(), kubernetes);
        let fields = [("package", fixed_by.package), ("version", fixed_by.version), ("once", fixed_by.once)];
        let fixed_by: Map = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        options.insert("fixed_by".into(), fixed_by.into());
        Ok(options)
    }
}
