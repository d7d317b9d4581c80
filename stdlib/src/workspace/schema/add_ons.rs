//! What is installed in the cluster beside its network. Nothing of it is, unless it is named.
use super::super::{
    json_schema,
    names::{AddressRange, ObjectName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// MetalLB, which gives services of type `LoadBalancer` their addresses.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetalLb {
    /// Its version, such as `0.14.8`.
    #[serde(deserialize_with = "crate::workspace::version::full")]
    #[schemars(schema_with = "json_schema::version")]
    pub version: semver::Version,
    /// The addresses that services get. A cluster has its own: no other machine, pool or cluster may have one of them.
    pub pools: Vec<AddressPool>,
}

/// Addresses for services.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressPool {
    /// Its name; services ask for it by the annotation `metallb.io/address-pool`.
    pub name: ObjectName,
    /// Ranges such as `10.10.10.200-10.10.10.220` or `10.10.10.200/29`.
    pub addresses: Vec<AddressRange>,
    /// Whether a service that asks for no pool may get an address of it.
    #[serde(default = "super::yes")]
    pub auto_assign: bool,
}
