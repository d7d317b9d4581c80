//! The load balancer of an edge: the clusters that it serves, where it listens, and when a cluster counts as well.
use super::super::{json_schema, names::UrlPath};
use crate::proxmox::names::Bridge;
use schemars::{JsonSchema, Schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, net::Ipv4Addr};

/// The port of API servers, whose watches are silent for long.
const API_SERVER: u16 = 6443;
/// Seconds for connections that are silent for long: API servers close a watch after half an hour to an hour (`--min-request-timeout`,
/// <https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/>), and what is cut before is begun anew at once.
const LONG_S: u32 = 3600;

/// What stands in front of several clusters, outside of all of them: connections are passed on as they are, to clusters whose ingress answers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// The clusters that it serves: names of workspaces beside this one, or `{ name: other, address: 10.10.10.210 }` for clusters that kthw does
    /// not run. Their workspaces are only read.
    pub clusters: Vec<ServedCluster>,
    /// Where it listens; 80 and 443 by default.
    #[serde(default = "web")]
    pub listeners: Vec<Listener>,
    /// When a cluster counts as well.
    #[serde(default)]
    pub check: HealthCheck,
    /// Whether it tells clusters by the PROXY protocol who is connecting. Their ingress has to expect it, or it takes no connection.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// How long a cluster may take to accept a connection, in seconds.
    #[serde(default = "connect_timeout_s")]
    #[schemars(range(min = 1, max = 3600))]
    pub proxy_connect_timeout_s: u32,
    /// How long a connection may be silent before it is closed, in seconds. Half a minute is right for HTTP; for websockets a listener says more.
    #[serde(default = "proxy_timeout_s")]
    #[schemars(range(min = 1, max = 604_800))]
    pub proxy_timeout_s: u32,
    /// An address that one of its machines has at a time, and another takes over when that one ends: what names of services lead to.
    #[serde(default)]
    pub virtual_address: Option<VirtualAddress>,
}

/// An address that several machines share by VRRP (RFC 9568), with keepalived.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualAddress {
    /// The address, in the nodes' network and nobody's own.
    pub address: Ipv4Addr,
    /// By which routers of one network tell each other apart: no other pair there has this number.
    #[serde(default = "router_id")]
    #[schemars(range(min = 1, max = 255))]
    pub router_id: u8,
    /// The network card of the nodes' network, as the system calls it; `eth0`, which is what cloud-init calls it on Proxmox VE.
    #[serde(default = "eth0")]
    pub interface: Bridge,
}

/// A cluster that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = or_its_name_alone)]
pub struct ServedCluster {
    /// The name of its workspace, or any other name for a cluster that kthw does not run.
    #[schemars(schema_with = "json_schema::dns_label")]
    pub name: String,
    /// Where its ingress is reached; what its workspace says when absent.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

/// A port on which connections are taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The port, on every machine of the edge.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The port of the clusters' ingress; the same when absent.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub target_port: Option<u16>,
    /// How long a connection may be silent, in seconds. When absent: an hour for the port of API servers, 6443, and `load_balancer.proxy_timeout_s`
    /// for any other. Websockets want 3600.
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    pub proxy_timeout_s: Option<u32>,
}

/// How a cluster is asked whether it is well: a plain HTTP request to its ingress.
///
/// Pace and counts are those of the field, such as HAProxy's `inter`, `rise` and `fall`
/// (<https://docs.haproxy.org/3.0/configuration.html#5.2-inter>).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// The port that is asked.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The path that is asked for; Traefik's own by default (<https://doc.traefik.io/traefik/operations/ping/>).
    pub path: UrlPath,
    /// The status that a cluster answers with when it is well.
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// How long it is from one request to the next, in milliseconds.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub interval_ms: u32,
    /// How long an answer may take, in milliseconds; no longer than `interval_ms`.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub timeout_ms: u32,
    /// After how many right answers in a row a cluster is taken in again.
    #[schemars(range(min = 1, max = 100))]
    pub rise: u32,
    /// After how many wrong ones in a row it is taken out.
    #[schemars(range(min = 1, max = 100))]
    pub fall: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        let path = "/ping".parse().expect("a default is as its rule wants it");
        Self { port: 80, path, status: 200, interval_ms: 500, timeout_ms: 500, rise: 3, fall: 2 }
    }
}

impl LoadBalancer {
    /// The port that a listener passes connections on to.
    pub fn target_port(&self, listener: &Listener) -> u16 {
        listener.target_port.unwrap_or(listener.port)
    }

    /// How long a connection of a listener may be silent, in seconds.
    pub fn proxy_timeout_s(&self, listener: &Listener) -> u32 {
        let of_all = if self.target_port(listener) == API_SERVER { LONG_S } else { self.proxy_timeout_s };
        listener.proxy_timeout_s.unwrap_or(of_all)
    }
}

fn web() -> Vec<Listener> {
    [80, 443].map(|port| Listener { port, target_port: None, proxy_timeout_s: None }).into()
}

fn router_id() -> u8 {
    51
}

fn eth0() -> Bridge {
    "eth0".parse().expect("a default is as its rule wants it")
}

fn connect_timeout_s() -> u32 {
    5
}

fn proxy_timeout_s() -> u32 {
    30
}

/// A cluster that is beside this workspace needs no more than its name.
fn or_its_name_alone(schema: &mut Schema) {
    let block = std::mem::take(schema.ensure_object());
    let words = block.get("description").cloned().unwrap_or_default();
    let name = block.get("properties").and_then(|fields| fields.get("name")).cloned().unwrap_or_default();
    schema.insert("description".into(), words);
    schema.insert("anyOf".into(), vec![block.into(), name].into());
}

impl<'de> Deserialize<'de> for ServedCluster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrBlock;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Block {
            name: String,
            #[serde(default)]
            address: Option<Ipv4Addr>,
        }

        impl<'de> Visitor<'de> for NameOrBlock {
            type Value = ServedCluster;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a workspace, or a block with `name` and `address`")
            }

            fn visit_str<E>(self, name: &str) -> Result<ServedCluster, E> {
                Ok(ServedCluster { name: name.to_owned(), address: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ServedCluster, A::Error> {
                let Block { name, address } = Block::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ServedCluster { name, address })
            }
        }

        deserializer.deserialize_any(NameOrBlock)
    }
}
