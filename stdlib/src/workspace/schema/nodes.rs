//! Nodes, and how they are reached.
use super::super::{
    names::{NetworkName, NodeName},
    validate::VM_IDS,
};
use crate::proxmox::names::PveNode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::Ipv4Addr};

/// One node. Cores, memory and disk default to the workspace's `machine`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Short host name, such as `cu1`: role letter, release letter, number.
    pub name: NodeName,
    /// What it does in the cluster, or in front of it.
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

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the API server, etcd, scheduler and controllers.
    ControlPlane,
    /// Runs workloads.
    Worker,
    /// Passes connections on to clusters; machines of an edge alone.
    LoadBalancer,
    /// Not part of the cluster or the edge; recipes of one's own use it.
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
