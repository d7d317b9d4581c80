//! Where packages come from, and which updates are installed.
use super::super::json_schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[serde(default = "super::yes")]
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
