//! containerd with its registries, and kubeadm.
use super::super::{
    json_schema,
    names::{CertSan, ImageRepository, RegistryHost},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The container runtime.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Containerd {
    /// The package's name; `containerd` by default.
    pub package: String,
    /// Registry mirrors: registry host to the URL that serves it.
    pub mirrors: BTreeMap<RegistryHost, String>,
    /// Registries of which more is to be said than one mirror: several endpoints, authorities of one's own, credentials. By their hosts.
    pub registries: BTreeMap<RegistryHost, Registry>,
}

/// A registry: who is asked for its images, and how. Credentials, authority and client certificate beside `endpoints` are for the registry itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Registry {
    /// Who is asked before the registry itself, in this order.
    pub endpoints: Vec<RegistryEndpoint>,
    /// Whether the registry itself is asked for what none of them has; `true` by default.
    pub upstream: bool,
    /// PEM certificates of the authority that vouches for it; the system's authorities when absent.
    pub ca: Option<String>,
    /// Who logs in.
    pub username: Option<String>,
    /// The name of the password in `secrets.sops.yaml`, such as `registry.password`. On a node it is in files that root alone reads.
    pub password_secret: Option<String>,
    /// PEM certificate to show to it.
    pub client_certificate: Option<String>,
    /// The name of that certificate's key in `secrets.sops.yaml`.
    pub client_key_secret: Option<String>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            upstream: true,
            ca: None,
            username: None,
            password_secret: None,
            client_certificate: None,
            client_key_secret: None,
        }
    }
}

/// Another server that has a registry's images.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryEndpoint {
    /// Its URL; below a path, it is asked at that path and nowhere else.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub url: String,
    /// What it is asked for: `pull` images by digest, `resolve` tags to digests; both by default.
    #[serde(default = "pull_and_resolve")]
    pub capabilities: Vec<Capability>,
    /// As of the registry itself.
    pub ca: Option<String>,
    /// As of the registry itself.
    pub username: Option<String>,
    /// As of the registry itself.
    pub password_secret: Option<String>,
    /// As of the registry itself.
    pub client_certificate: Option<String>,
    /// As of the registry itself.
    pub client_key_secret: Option<String>,
}

impl RegistryEndpoint {
    /// One that is asked for everything, without credentials.
    pub fn plain(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            capabilities: pull_and_resolve(),
            ca: None,
            username: None,
            password_secret: None,
            client_certificate: None,
            client_key_secret: None,
        }
    }
}

fn pull_and_resolve() -> Vec<Capability> {
    vec![Capability::Pull, Capability::Resolve]
}

/// What a server of images is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Capability {
    Pull,
    Resolve,
}

impl Capability {
    /// As containerd spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Resolve => "resolve",
        }
    }
}

impl Default for Containerd {
    fn default() -> Self {
        Self { package: "containerd".into(), mirrors: BTreeMap::new(), registries: BTreeMap::new() }
    }
}

/// Settings handed to kubeadm and the kubelet, under upstream's names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kubeadm {
    /// The registry of the control plane's images; upstream's when absent.
    pub image_repository: Option<ImageRepository>,
    /// `systemd` (default) or `cgroupfs`, for the kubelet and for containerd.
    pub cgroup_driver: CgroupDriver,
    /// Whether the kubelet refuses to start with swap on.
    pub fail_swap_on: bool,
    /// Further arguments of the kubelet.
    #[schemars(schema_with = "json_schema::map_of_texts")]
    pub kubelet_extra_args: BTreeMap<String, String>,
    /// Phases of `kubeadm init` to leave out, such as `addon/kube-proxy`. What one of them made already stays, for somebody may have put their own in
    /// its place.
    pub skip_phases: Vec<String>,
    /// Preflight errors of kubeadm to ignore, such as `NumCPU` or `Mem`; kthw's own checks of those sizes are left out too.
    pub ignore_preflight_errors: Vec<String>,
    /// Further names and addresses in the API server's certificate.
    pub cert_sans: Vec<CertSan>,
    /// Whether kubelets serve with certificates of the cluster's authority, which each run of kthw approves, and not with ones that they sign
    /// themselves. metrics-server wants it. When absent it stays as it is.
    pub kubelet_serving_certificates: Option<bool>,
}

impl Default for Kubeadm {
    fn default() -> Self {
        Self {
            image_repository: None,
            cgroup_driver: CgroupDriver::Systemd,
            fail_swap_on: true,
            kubelet_extra_args: BTreeMap::new(),
            skip_phases: Vec::new(),
            ignore_preflight_errors: Vec::new(),
            cert_sans: Vec::new(),
            kubelet_serving_certificates: None,
        }
    }
}

/// Who manages control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum CgroupDriver {
    Systemd,
    Cgroupfs,
}
