//! The shape of `workspace.yaml`. Every field is listed here and in the files beside this one; an unknown one is an error with its line.
mod access;
mod add_ons;
mod dns;
mod firewall;
mod kubernetes;
mod load_balancer;
mod machines;
mod network;
mod nodes;
mod packages;

pub use access::*;
pub use add_ons::*;
pub use dns::*;
pub use firewall::*;
pub use kubernetes::*;
pub use load_balancer::*;
pub use machines::*;
pub use network::*;
pub use nodes::*;
pub use packages::*;

use super::{json_schema, names::ApiEndpoint};
use crate::{artifact::Pins, distribution::Distribution};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The data of one cluster, or of one edge: of machines in front of clusters. What has `load_balancer` is an edge.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The cluster's or edge's name: lower-case letters, digits and dashes.
    #[schemars(schema_with = "json_schema::dns_label")]
    pub name: String,
    /// The DNS domain of its nodes, such as `bevz.net`.
    #[schemars(schema_with = "json_schema::dns_name")]
    pub domain: String,
    /// The letter in its nodes' names (`<role letter><release letter><number>`), unique among workspaces.
    #[schemars(schema_with = "json_schema::letter")]
    pub release_letter: char,
    /// The operating system of its nodes.
    pub distribution: Distribution,
    /// Its release, such as `"24.04"`. When absent: Ubuntu 24.04, Debian 12, Rocky Linux 9, openSUSE Leap 15.6.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::text_or_number")]
    pub release: Option<String>,
    /// What the cluster is for: `development` (the default), `staging` or `production`. In production `kthw destroy` asks twice, and a run
    /// removes nothing unless `--max-destroy` says how much it may.
    #[serde(default)]
    pub environment: Environment,
    /// What is installed, by version. A cluster has to say it, and an edge cannot.
    #[serde(default)]
    pub versions: Option<Versions>,
    /// Address ranges and name servers.
    pub network: Network,
    /// `host:port` under which the API server is reached; the first control plane's full name and port 6443 by default.
    #[serde(default)]
    #[schemars(with = "Option<ApiEndpoint>")]
    pub endpoint: Option<String>,
    /// Where the machines are made. Without it the nodes are taken as they are, over SSH.
    #[serde(default)]
    pub proxmox: Option<Proxmox>,
    /// The template that machines are cloned from.
    #[serde(default)]
    pub template: Option<Template>,
    /// What machines are like unless a node says otherwise.
    #[serde(default)]
    pub machine: Machine,
    /// The machines. Of a cluster, an odd number are control planes; of an edge, one at least is a load balancer.
    pub nodes: Vec<NodeSpec>,
    /// How nodes are reached.
    #[serde(default)]
    pub ssh: Ssh,
    /// When secrets are rotated by `recipes/operations/rotate-secrets.rhai`.
    #[serde(default)]
    pub rotation: Rotation,
    /// Package repositories and versions.
    #[serde(default)]
    pub packages: Packages,
    /// Updates of the nodes' operating systems. When absent, what the distribution does by itself stays as it is.
    #[serde(default)]
    pub updates: Option<Updates>,
    /// The container runtime.
    #[serde(default)]
    pub containerd: Containerd,
    /// How nodes reach what is outside. An empty block takes away what an earlier one brought.
    #[serde(default)]
    pub proxy: Option<Proxy>,
    /// The DNS that the nodes' names are kept in. Without it they are in the `/etc/hosts` of the nodes alone, as far as nodes need them.
    #[serde(default)]
    pub dns: Option<Dns>,
    /// Which connections machines take.
    #[serde(default)]
    pub firewall: Option<Firewall>,
    /// Settings handed to kubeadm and the kubelet.
    #[serde(default)]
    pub kubeadm: Kubeadm,
    /// What the API server writes down of requests. Without it nothing.
    #[serde(default)]
    pub audit: Option<Audit>,
    /// What pods may be in namespaces that do not say it themselves. Without it Kubernetes takes every pod there.
    #[serde(default)]
    pub pod_security: Option<PodSecurity>,
    /// Addresses for services of type `LoadBalancer`, by MetalLB. Without it there are none.
    #[serde(default)]
    pub metallb: Option<MetalLb>,
    /// HTTP and HTTPS from outside, by Traefik.
    #[serde(default)]
    pub traefik: Option<Traefik>,
    /// Further add-ons, by their names and versions, such as `{ local-path-provisioner: 0.0.30 }`: `cert-manager`, `metrics-server`,
    /// `local-path-provisioner`. What is not named here is not installed, and goes.
    #[serde(default, deserialize_with = "super::version::full_by_name")]
    #[schemars(schema_with = "json_schema::versions_of_add_ons")]
    pub add_ons: BTreeMap<String, semver::Version>,
    /// Makes this workspace an edge, and says which clusters it serves. An edge has no `versions`, no ranges of pods and services, and no other
    /// setting of Kubernetes.
    #[serde(default)]
    pub load_balancer: Option<LoadBalancer>,
    /// Where pinned upstream files come from.
    #[serde(default)]
    pub artifacts: Artifacts,
    /// Further values for recipes of one's own; kthw does not look at them. A name that may be missing is read with `?.`: `values?.rack`.
    #[serde(default)]
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// What a cluster is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Environment {
    #[default]
    Development,
    Staging,
    Production,
}

/// What is installed. Full versions; a leading `v` may be written or left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Kubernetes, such as `1.31.9`.
    #[serde(deserialize_with = "super::version::full")]
    #[schemars(schema_with = "json_schema::version")]
    pub kubernetes: semver::Version,
    /// Calico, such as `3.28.0`.
    #[serde(deserialize_with = "super::version::full")]
    #[schemars(schema_with = "json_schema::version")]
    pub calico: semver::Version,
    /// Says "I know that upstream does not list these versions together": a Kubernetes and a Calico version that upstream does
    /// not test with each other are then accepted. A version that kthw does not know stays an error.
    #[serde(default)]
    pub unsupported: bool,
}

/// Where pinned upstream files come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Artifacts {
    /// A folder (absolute path) or `http(s)` URL that serves upstream's files as `<project>/<version>/<file>`; each
    /// file's digest is checked all the same. Upstream's own addresses when absent. The cloud image comes from a web server alone, because Proxmox
    /// fetches it: `images/<distribution>-<release>/<file>`.
    pub mirror: Option<String>,
    /// What stands in `artifacts.lock.yaml` beside it: a person's consent, not a setting.
    #[serde(skip)]
    pub pins: Pins,
}

/// What is on unless it is said otherwise.
fn yes() -> bool {
    true
}
