//! Which connections machines take.
use super::{
    super::{
        json_schema,
        names::NetworkName,
        ports::{Ports, Protocol},
    },
    Role, yes,
};
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which connections machines take: what the cluster or the edge needs passes, and what is said here. Without this block their firewalls are not
/// kthw's business.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// Whether every machine gets rules of nftables. `false` takes those away that an earlier `true` brought.
    #[serde(default = "yes")]
    pub host: bool,
    /// Who may log in by SSH; everybody when empty. kthw has to be among them: rules under which it cannot log in are taken back.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::ipv4_ranges")]
    pub ssh_from: Vec<Ipv4Net>,
    /// Who may ask the API server, beside the cluster's own machines and pods; everybody when empty.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::ipv4_ranges")]
    pub api_from: Vec<Ipv4Net>,
    /// Further ports.
    #[serde(default)]
    pub allow: Vec<AllowedPorts>,
}

/// Ports that machines take connections on, beside those that the cluster or the edge needs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowedPorts {
    /// What they are for, such as `node-exporter`: it stands beside the rule.
    pub name: NetworkName,
    /// The ports: numbers, or ranges such as `8000-8100`.
    #[schemars(length(min = 1))]
    pub ports: Vec<Ports>,
    /// `tcp` (default) or `udp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Who may connect; everybody when empty.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::ipv4_ranges")]
    pub from: Vec<Ipv4Net>,
    /// On which machines, by their roles; on all when empty.
    #[serde(default)]
    pub on: Vec<Role>,
}
