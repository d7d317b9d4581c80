//! The `firewall` module: which connections machines take, generated from what their workspace needs.

mod host;
mod live;
mod login;
mod opening;
mod ruleset;

pub use host::{HostFirewall, PROGRAM, RULES, TRIAL_S, UNIT};
pub use live::LiveHost;
pub use opening::{From, IP_IN_IP, OWN_NAMES, Opening, VRRP, What, openings};
pub use ruleset::ruleset;

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::HostFirewall;
    use crate::{calico::Encapsulation, workspace::Node};
    use kthw_engine::{Id, Options, Rhai, declare_on_node};
    use rhai::Map;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct HostSpec {
        #[serde(default)]
        encapsulation: Encapsulation,
    }

    /// Keeps the rules of nftables on a machine: it takes connections on what its role in the cluster or the edge needs and on what
    /// `firewall` of the workspace says, and on nothing else. What is for pods passes by these rules.
    ///
    /// New rules are on trial: kthw logs in anew, and where that fails the machine takes them back by itself, 60 s after they came. They are a table of their
    /// own (`inet kthw`); Kubernetes' and Calico's stay as they are. With `present: false` the table goes.
    ///
    /// Options: `encapsulation`, as `calico::installation` has it (`"VXLAN"` by default).
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     let nftables = ssh::package(node, "nftables");
    ///     firewall::host(node, #{ needs: [nftables] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn host(cx: NativeCallContext, node: Node, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<HostSpec>::parse(&cx, "firewall::host", options)?;
        declare_on_node(&cx, HostFirewall::new(&node, spec.encapsulation), common)
    }
}
