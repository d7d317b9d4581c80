//! The `dns` module: names of nodes in a Pi-hole.
//!
//! A Pi-hole holds the names of a whole house. So what is not declared is never touched and keeps its order, a name to which somebody gave two
//! addresses is refused, and a session is closed again after every look and every write: Pi-hole 6 has sixteen of them for everybody.

mod access;
mod client;
mod error;
mod five;
mod hosts;
mod records;
mod six;

pub use access::Access;
pub use client::Client;
pub use error::NoPiHole;
pub use records::{BadRecords, Records, RecordsSpec};

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::{Records, RecordsSpec};
    use crate::workspace::Cluster;
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
}
