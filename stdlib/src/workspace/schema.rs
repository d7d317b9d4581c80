//! The shape of `workspace.yaml`. Every field is listed here; an unknown one is an error with its line.
use super::{
    json_schema,
    names::{ApiEndpoint, CertSan, DnsName, ImageRepository, NetworkName, NodeName, RegistryHost, TimeServer},
    validate::{MTUS, VLANS, VM_IDS},
};
use crate::{
    artifact::Pins,
    checked::{Checked, Rule},
    distribution::Distribution,
    proxmox::names::{Bridge, CpuType, ImageFile, PoolId, PveNode, StorageId, TemplateName},
};
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::Ipv4Addr};

/// One cluster's data.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The cluster's name: lower-case letters, digits and dashes.
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
    /// What is installed, by version.
    pub versions: Versions,
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
    /// The machines. An odd number of them are control planes.
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
    /// Settings handed to kubeadm and the kubelet.
    #[serde(default)]
    pub kubeadm: Kubeadm,
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

/// Address ranges of a cluster. They must not overlap.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The nodes' network, such as `10.10.10.0/24`. Every node's address is inside it.
    #[schemars(schema_with = "json_schema::ipv4_range")]
    pub nodes: Ipv4Net,
    /// The nodes' gateway, an address inside their network.
    pub gateway: Ipv4Addr,
    /// Name servers of the nodes, best first.
    #[serde(default)]
    pub dns: Vec<Ipv4Addr>,
    /// Domains in which nodes look for short names, first one first; the cluster's `domain` when empty.
    #[serde(default)]
    pub dns_search: Vec<DnsName>,
    /// Time servers of the nodes, as addresses or names; those of the distribution when empty.
    #[serde(default)]
    pub ntp: Vec<TimeServer>,
    /// Pod addresses, such as `192.168.0.0/16`. Every node takes a /24 of it.
    #[schemars(schema_with = "json_schema::ipv4_range")]
    pub pods: Ipv4Net,
    /// Service addresses, such as `10.96.0.0/12`; from /12 to /28.
    #[schemars(schema_with = "json_schema::ipv4_range")]
    pub services: Ipv4Net,
    /// Networks beside the nodes' own, such as one for storage: the first is at the second network card of a machine, and so on, so new ones
    /// belong at the end. A node is on those that its `networks` names.
    #[serde(default)]
    pub more: Vec<MoreNetwork>,
}

/// A network beside the nodes' own: static addresses and no gateway.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoreNetwork {
    /// Its name, such as `storage`.
    pub name: NetworkName,
    /// Its addresses, such as `10.30.0.0/24`.
    #[schemars(schema_with = "json_schema::ipv4_range")]
    pub range: Ipv4Net,
    /// The bridge that its network cards are plugged into.
    pub bridge: Bridge,
    /// VLAN tag, 1 to 4094.
    #[serde(default)]
    #[schemars(range(min = *VLANS.start(), max = *VLANS.end()))]
    pub vlan: Option<u16>,
    /// Bytes of its largest packet, such as 9000; no more than the bridge's. The bridge's or 1500 when absent, as Proxmox has it.
    #[serde(default)]
    #[schemars(range(min = *MTUS.start(), max = *MTUS.end()))]
    pub mtu: Option<u32>,
}

/// Where machines are made. The endpoint and its credentials are secrets or environment, never here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxmox {
    /// The Proxmox node that machines are placed on unless they say otherwise.
    pub node: PveNode,
    /// Storage of disks, such as `local-lvm`.
    pub storage: StorageId,
    /// Storage with content type `import`, where cloud images are kept; `local` by default.
    #[serde(default = "default_image_storage")]
    pub image_storage: StorageId,
    /// Bridge of the machines' network; `vmbr0` by default.
    #[serde(default = "default_bridge")]
    pub bridge: Bridge,
    /// VLAN tag, 1 to 4094.
    #[serde(default)]
    #[schemars(range(min = *VLANS.start(), max = *VLANS.end()))]
    pub vlan: Option<u16>,
    /// Resource pool that machines are put in.
    #[serde(default)]
    pub pool: Option<PoolId>,
    /// Whether machines are full copies of the template (`full`) or share its disk (`linked`).
    #[serde(default)]
    pub clone: CloneMode,
}

/// How a machine is cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloneMode {
    /// A full copy.
    #[default]
    Full,
    /// A linked clone on the template's storage.
    Linked,
}

/// The template that machines are cloned from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its VM id, which no node has.
    #[schemars(range(min = *VM_IDS.start(), max = *VM_IDS.end()))]
    pub vmid: u32,
    /// Its name, to which the digest of image and steps is added.
    pub name: TemplateName,
    /// The cloud image.
    pub image: Image,
    /// A free address inside `network.nodes` for the machine that the template is built on: the image is started there once, gets the guest agent
    /// and the packages of its release, and is cleaned. Without it the image is taken as it is, and a machine whose image has no guest agent is
    /// trusted at first sight.
    #[serde(default)]
    pub build_address: Option<Ipv4Addr>,
    /// The same template on further Proxmox nodes, by the VM id that it has there: where machines are placed on a node that does not reach the
    /// template's storage. Such as `{ pve2: 9421 }`.
    #[serde(default)]
    pub replicas: BTreeMap<PveNode, u32>,
}

/// A pinned cloud image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Where Proxmox downloads it from.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub url: String,
    /// Lower-case hex SHA-256 of the file. Without it no template is made of it, other than in the lab.
    #[serde(default)]
    #[schemars(regex(pattern = json_schema::SHA256))]
    pub sha256: Option<String>,
    /// The name under which the storage keeps it; it must end in `.qcow2`, `.raw` or `.vmdk` for import. The digest is put before that
    /// end, so that a file is never taken for another one of the same name.
    pub file: ImageFile,
}

/// What a machine is like.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// CPU cores. A control plane needs 2.
    pub cores: u32,
    /// Memory in MiB. A control plane needs 1700, and 4096 is comfortable.
    pub memory_mib: u32,
    /// System disk in GiB, at least 10.
    pub disk_gib: u32,
    /// CPU type as Proxmox names it; `x86-64-v2-AES` runs every supported distribution. Rocky Linux does not start on `kvm64`.
    pub cpu_type: CpuType,
    /// Whether it starts with its host.
    pub on_boot: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self { cores: 2, memory_mib: 4096, disk_gib: 20, cpu_type: sure("x86-64-v2-AES"), on_boot: true }
    }
}

/// One node. Cores, memory and disk default to the workspace's `machine`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Short host name, such as `cu1`: role letter, release letter, number.
    pub name: NodeName,
    /// What it does in the cluster.
    pub role: Role,
    /// Its VM id, from 100. Written down where there is a `proxmox` block, and never picked by position.
    #[serde(default)]
    #[schemars(range(min = *VM_IDS.start(), max = *VM_IDS.end()))]
    pub vmid: Option<u32>,
    /// Its address, static and used by no other node.
    pub address: Ipv4Addr,
    /// Its addresses in the networks of `network.more`, by their names, such as `{ storage: 10.30.0.116 }`.
    #[serde(default)]
    pub networks: BTreeMap<NetworkName, Ipv4Addr>,
    /// SSH port, when not the workspace's.
    #[serde(default)]
    pub port: Option<u16>,
    /// CPU cores, when not the workspace's.
    #[serde(default)]
    pub cores: Option<u32>,
    /// Memory in MiB, when not the workspace's.
    #[serde(default)]
    pub memory_mib: Option<u32>,
    /// System disk in GiB, when not the workspace's.
    #[serde(default)]
    pub disk_gib: Option<u32>,
    /// The Proxmox node that it is placed on, when not the workspace's.
    #[serde(default)]
    pub proxmox_node: Option<PveNode>,
    /// Further values for recipes of one's own; kthw does not look at them. A name that may be missing is read with `?.`: `values?.rack`.
    #[serde(default)]
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// What a node does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the API server, etcd, scheduler and controllers.
    ControlPlane,
    /// Runs workloads.
    Worker,
    /// Not part of the cluster; recipes of one's own use it.
    Other,
}

/// How nodes are reached.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// The user that logs in; everything runs through `sudo -n` unless it is root.
    pub user: String,
    /// TCP port.
    pub port: u16,
    /// Private key file; `IdentityFile` of `~/.ssh/config` and the agent are asked when absent. `~` is the home directory.
    pub key_file: Option<String>,
    /// The name of the private key in `secrets.sops.yaml`, such as `ssh.private_key`, in place of `key_file`. kthw can rotate it.
    pub key_secret: Option<String>,
    /// Public keys that machines are made with. The public half of `key_file` or `key_secret` is added.
    pub authorized_keys: Vec<String>,
    /// `user@host:port` of a host to go through, or its alias in `~/.ssh/config`.
    pub jump_host: Option<String>,
    /// Errors of cloud-init that do not matter here, each by the module that made it, such as `scripts_user`; any other keeps a machine from being
    /// used. Names: `v1.errors` in /run/cloud-init/result.json.
    pub accepted_cloud_init_errors: Vec<String>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            user: "kthw".into(),
            port: 22,
            key_file: None,
            key_secret: None,
            authorized_keys: Vec::new(),
            jump_host: None,
            accepted_cloud_init_errors: Vec::new(),
        }
    }
}

/// When secrets are rotated: credentials that kthw makes carry a generation and the day on which they were made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// The generation that credentials have at least; raise it by one to have all of them made anew.
    pub generation: u32,
    /// Credentials older than so many days are made anew; none are by age when absent.
    pub max_age_days: Option<u32>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { generation: 1, max_age_days: None }
    }
}

/// Where packages come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Packages {
    /// The repository with kubelet, kubeadm and kubectl; the community's (`pkgs.k8s.io`) for the minor version when absent.
    pub kubernetes: Option<Repository>,
    /// The keys of the community's repository, in place of the one that kthw knows: a successor beside it, and alone once it signs.
    pub kubernetes_keys: Vec<SigningKey>,
    /// Package revision behind the Kubernetes version; `1.1` with apt when absent, and none with dnf and zypper, which take the newest.
    #[schemars(schema_with = "json_schema::text_or_number")]
    pub kubernetes_revision: Option<String>,
    /// Version of the containerd package as the package manager spells it; the distribution's newest when absent.
    #[schemars(schema_with = "json_schema::text_or_number")]
    pub containerd: Option<String>,
    /// The repository with containerd's package, such as Docker's with `containerd.io`; the distribution's own when absent.
    pub containerd_repository: Option<Repository>,
    /// Repositories with the distribution's own packages, beside those that the nodes' image names: for sites from where those cannot be reached.
    /// A bundle takes what it needs of the distribution from them.
    pub distribution: Vec<Repository>,
}

/// Updates of the nodes' operating systems. What kthw holds (the packages of Kubernetes and containerd) stays, and no machine is restarted by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Updates {
    /// Which updates nodes may get.
    pub policy: UpdatePolicy,
    /// Whether nodes install them by themselves, once a day. Otherwise whatever installs updates by itself is turned off.
    #[serde(default)]
    pub unattended: bool,
}

/// Which updates are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdatePolicy {
    /// None.
    None,
    /// Those that the distribution gives out for security.
    Security,
    /// All of the configured repositories.
    All,
}

/// A package repository.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Its URL, with a trailing `/` for a flat repository.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub url: String,
    /// The ASCII-armored public key that signs it.
    pub key: Option<String>,
    /// A URL to fetch the key from, with its digest, instead of `key`.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub key_url: Option<String>,
    /// Lower-case hex SHA-256 of what `key_url` serves.
    #[schemars(regex(pattern = json_schema::SHA256))]
    pub key_sha256: Option<String>,
    /// Its keys, in place of the three above, where there are several: a successor is added before the old one goes.
    #[serde(default)]
    pub keys: Vec<SigningKey>,
    /// Whether its index is signed, and not its packages alone; `true` by default. apt takes no other.
    #[serde(default = "yes")]
    pub signed_index: bool,
    /// The suite of a repository that is not flat, such as `noble`.
    pub suite: Option<String>,
    /// The suite's components, such as `stable`.
    #[serde(default)]
    pub components: Vec<String>,
}

/// One of the keys that sign a repository: as text, or by address and digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// The ASCII-armored public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A URL to fetch it from, instead of `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = json_schema::WEB))]
    pub url: Option<String>,
    /// Lower-case hex SHA-256 of what `url` serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = json_schema::SHA256))]
    pub sha256: Option<String>,
}

impl Repository {
    /// Its keys, in whichever form they were given.
    pub fn signing_keys(&self) -> Vec<SigningKey> {
        let single = SigningKey { key: self.key.clone(), url: self.key_url.clone(), sha256: self.key_sha256.clone() };
        (single != SigningKey::default()).then_some(single).into_iter().chain(self.keys.iter().cloned()).collect()
    }
}

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

/// How package managers, containerd and the kubelet of the nodes reach what is outside. kthw itself goes by the variables of its own environment
/// (`HTTPS_PROXY`, `NO_PROXY`).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// The proxy for `http://`, such as `http://proxy.bevz.net:3128`.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub http: Option<String>,
    /// The proxy for `https://`; that for `http://` when absent.
    #[schemars(regex(pattern = json_schema::WEB))]
    pub https: Option<String>,
    /// What is reached without it: names, `.domain`s, addresses and ranges. The cluster's own networks and names, and registry mirrors, are added.
    pub no_proxy: Vec<String>,
    /// Who logs in at the proxy.
    pub username: Option<String>,
    /// The name of the password in `secrets.sops.yaml`, such as `proxy.password`. On a node it is in files that root alone reads.
    pub password_secret: Option<String>,
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

fn yes() -> bool {
    true
}

fn default_image_storage() -> StorageId {
    sure("local")
}

fn default_bridge() -> Bridge {
    sure("vmbr0")
}

/// A value of our own.
fn sure<R: Rule>(text: &str) -> Checked<R> {
    text.parse().expect("a default is as its rule wants it")
}
