//! What is installed in the cluster beside its network. Nothing of it is, unless it is named.
use super::super::{
    json_schema,
    names::{AddressRange, ObjectName},
};
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// MetalLB, which gives services of type `LoadBalancer` their addresses.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetalLb {
    /// Its version, such as `0.14.8`.
    #[serde(deserialize_with = "crate::workspace::version::full")]
    #[schemars(schema_with = "json_schema::version")]
    pub version: semver::Version,
    /// The addresses that services get. A cluster has its own: no other machine, pool or cluster may have one of them.
    #[schemars(length(min = 1))]
    pub pools: Vec<AddressPool>,
    /// Routers that are told by BGP where the addresses are, for pools that say so.
    #[serde(default)]
    pub bgp: Option<Bgp>,
}

/// BGP: who the nodes are, and which routers they talk to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bgp {
    /// The number of the nodes' autonomous system; 64512 to 65534 are for private use (RFC 6996).
    #[schemars(range(min = 1))]
    pub asn: u32,
    /// The routers.
    #[schemars(length(min = 1))]
    pub peers: Vec<BgpPeer>,
}

/// A router that speaks BGP with every node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BgpPeer {
    /// Its name.
    pub name: ObjectName,
    /// Its address.
    pub address: Ipv4Addr,
    /// The number of its autonomous system.
    #[schemars(range(min = 1))]
    pub asn: u32,
}

/// How the network learns at which node an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Advertise {
    /// One node answers for it by ARP, in the nodes' own network.
    L2,
    /// Every node with a pod of the service tells the routers.
    Bgp,
}

fn by_l2() -> Vec<Advertise> {
    vec![Advertise::L2]
}

/// Addresses for services.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressPool {
    /// Its name; services ask for it by the annotation `metallb.universe.tf/address-pool`, from 0.15 on also `metallb.io/address-pool`.
    pub name: ObjectName,
    /// Ranges such as `10.10.10.200-10.10.10.220` or `10.10.10.200/29`.
    pub addresses: Vec<AddressRange>,
    /// Whether a service that asks for no pool may get an address of it.
    #[serde(default = "super::yes")]
    pub auto_assign: bool,
    /// How the network learns at which node an address is: `[l2]` (default), `[bgp]`, or both.
    #[serde(default = "by_l2")]
    #[schemars(length(min = 1))]
    pub advertise: Vec<Advertise>,
}

/// Traefik, which takes HTTP and HTTPS from outside and passes it to the services that routes name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traefik {
    /// Its version, such as `3.6.12`; not that of its chart.
    #[serde(deserialize_with = "crate::workspace::version::full")]
    #[schemars(schema_with = "json_schema::version")]
    pub version: semver::Version,
    /// The address of its service, out of a pool of `metallb`; any free one when absent.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// How many pods, each on a node of its own where there are enough; 2 by default.
    #[serde(default = "two")]
    #[schemars(range(min = 1))]
    pub replicas: u32,
    /// What says where requests go; `[ingress, crd]` by default.
    #[serde(default = "ingress_and_crd")]
    #[schemars(length(min = 1))]
    pub providers: Vec<RouteProvider>,
    /// Load balancers in front of it that say by the PROXY protocol whom a connection is from, as ranges such as `10.10.10.100/32`. Anybody
    /// else's word is not taken.
    #[serde(default)]
    #[schemars(schema_with = "json_schema::ipv4_ranges")]
    pub proxy_protocol_from: Vec<Ipv4Net>,
}

/// A kind of objects that say where requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteProvider {
    /// Ingresses of class `traefik`, which is the default class.
    Ingress,
    /// Traefik's own kinds: IngressRoute, Middleware, TLSStore and the others.
    Crd,
}

fn two() -> u32 {
    2
}

fn ingress_and_crd() -> Vec<RouteProvider> {
    vec![RouteProvider::Ingress, RouteProvider::Crd]
}
