//! The `dns` module: names of nodes in a Pi-hole, and zones that cluster DNS asks others for.
//!
//! A Pi-hole holds the names of a whole house. So what is not declared is never touched and keeps its order, a name to which somebody gave two
//! addresses is refused, and a session is closed again after every look and every write: Pi-hole 6 has sixteen of them for everybody.

mod access;
mod client;
mod corefile;
mod error;
mod five;
mod forward;
mod hosts;
mod records;
mod six;

pub use access::Access;
pub use client::Client;
pub use error::NoPiHole;
pub use forward::{Forward, ForwardSpec, LiveForward};
pub use records::{BadRecords, Records, RecordsSpec};

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::{Forward, ForwardSpec, Records, RecordsSpec};
    use crate::{kubernetes::Place, workspace::Cluster};
    use kthw_engine::{Id, Options, Rhai, SecretRef, declare, note_secret, throw};
    use rhai::Map;

    /// Keeps records in the Pi-hole that the workspace names under `dns.pihole`: each name at one address.
    ///
    /// Names that are not declared are left alone, in the order that they have. A declared name that has two addresses there is refused. All
    /// names of Pi-hole 6 are written at once, after which its resolver may restart; that is waited for. With `present: false` those records go
    /// that are as declared.
    ///
    /// Options: `records`, a map of names and addresses.
    ///
    /// ```rhai
    /// let records = #{};
    /// for node in cluster.nodes {
    ///     records[node.fqdn] = node.address;
    /// }
    /// dns::records(cluster, #{ records: records });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn records(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<RecordsSpec>::parse(&cx, "dns::records", options)?;
        let records = match Records::new(cluster.workspace(), spec) {
            Ok(records) => records,
            Err(error) => return throw(&cx, error),
        };
        note_secret(&cx, &SecretRef { name: records.secret().to_owned() });
        declare(&cx, records, common)
    }

    /// Has cluster DNS ask other name servers for some zones: a block in CoreDNS's Corefile, between two comments.
    ///
    /// What stands around the block is somebody else's and stays as it is; a block that somebody edited is put back. A zone that the rest of the
    /// Corefile serves already is refused, because CoreDNS refuses one that stands twice. CoreDNS sees the change within two minutes. With `present: false`
    /// the block goes.
    ///
    /// Options: `zones`, a map of zones and of the addresses of those who serve each.
    ///
    /// ```rhai
    /// kubeadm::control_plane(cluster, #{ version: cluster.versions.kubernetes, endpoint: cluster.endpoint,
    ///     pod_subnet: cluster.network.pods, service_subnet: cluster.network.services });
    /// let zones = #{};
    /// zones[cluster.domain] = cluster.network.dns;
    /// dns::forward(cluster, #{ zones: zones });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn forward(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<ForwardSpec>::parse(&cx, "dns::forward", options)?;
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        match Forward::new(place, spec) {
            Ok(forward) => declare(&cx, forward, common),
            Err(error) => throw(&cx, error),
        }
    }
}
