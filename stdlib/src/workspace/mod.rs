//! A workspace: the data of one cluster or one edge. Typed, strict, and what recipes see as `cluster`.

mod file;
mod json_schema;
mod kind;
mod load;
mod names;
mod numbers;
mod overrides;
mod ports;
mod problem;
mod reference;
mod schema;
mod script;
mod validate;
mod version;
mod warnings;

pub use file::WorkspaceFile;
pub use json_schema::json_schema;
pub use kind::NoCluster;
pub use names::{
    AddressRange, ApiEndpoint, CertSan, DnsName, ImageRepository, NetworkName, NodeName, ObjectName, RegistryHost, TimeServer, UrlPath,
};
pub use ports::{Ports, Protocol};
pub use problem::{Problem, WorkspaceError};
pub use reference::reference;
pub use schema::*;
pub use script::{Cluster, Node, register};
