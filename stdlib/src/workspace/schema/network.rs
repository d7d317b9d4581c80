//! Networks, and the way to what is outside of them.
use super::super::{
    json_schema,
    names::{DnsName, NetworkName, TimeServer},
    validate::{MTUS, VLANS},
};
use crate::proxmox::names::Bridge;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Address ranges of a cluster or an edge. They must not overlap.
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
    /// Pod addresses, such as `192.168.0.0/16`. Every node takes a /24 of it. A cluster has to say it, and an edge cannot.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::optional_ipv4_range")]
    pub pods: Option<Ipv4Net>,
    /// Service addresses, such as `10.96.0.0/12`; from /12 to /28. A cluster has to say it, and an edge cannot.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::optional_ipv4_range")]
    pub services: Option<Ipv4Net>,
    /// Networks beside the nodes' own, such as one for storage: the first is at the second network card of a machine, and so on, so new ones
    /// belong at the end. A node is on those that its `networks` names.
    #[serde(default)]
    pub more: Vec<MoreNetwork>,
}

impl Network {
    /// The ranges that are a cluster's own, by the names of their fields; an edge has none.
    pub fn of_cluster(&self) -> impl Iterator<Item = (&'static str, Ipv4Net)> {
        [("pods", self.pods), ("services", self.services)].into_iter().filter_map(|(name, range)| Some((name, range?)))
    }

    /// All ranges: the nodes' first, then those of the cluster.
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, Ipv4Net)> {
        [("nodes", self.nodes)].into_iter().chain(self.of_cluster())
    }
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
