//! The `metallb` module: addresses for services of type `LoadBalancer`.

mod addresses;

pub use addresses::AddressesSpec;

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::AddressesSpec;
    use crate::{
        add_ons::{METALLB, NoVersion},
        kubernetes::{AddOn, Place},
        workspace::Cluster,
    };
    use kthw_engine::{BadOption, Id, Options, Rhai, declare, throw};
    use rhai::Map;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ControllerSpec {
        version: Option<String>,
    }

    /// Keeps MetalLB in the cluster: upstream's manifest, checked by its digest, and its pods running.
    ///
    /// Options: `version`, such as `0.14.8`. A version of which kthw has no digest is refused until `kthw artifacts pin` has recorded one.
    /// With `present: false` it goes, with its definitions; pools that somebody else made keep it.
    ///
    /// ```rhai
    /// metallb::controller(cluster, #{ version: "0.14.8" });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn controller(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<ControllerSpec>::parse(&cx, "metallb::controller", options)?;
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        let version = match options.spec.version {
            Some(version) => version,
            None if options.common.present => return throw(&cx, NoVersion::of("metallb::controller", &METALLB)),
            None => String::new(),
        };
        let id = Id::new("metallb.controller", &place.cluster);
        let controller = match options.common.present {
            true => METALLB.install(id, place, &version, &cluster.workspace().artifacts.pins),
            false => Ok(AddOn::of_documents(id, place, Vec::new())),
        };
        match controller {
            Ok(controller) => declare(&cx, controller, options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps the addresses that services get: one pool of MetalLB for each, and no others of kthw's. They are told by ARP in the nodes' network, or to routers
    /// by BGP.
    ///
    /// Before anything changes, MetalLB's own webhook looks at all of them. A service asks for a pool by the annotation
    /// `metallb.universe.tf/address-pool` (from 0.15 on also `metallb.io/address-pool`). Options: `pools`, a list of maps with `name`, `addresses` (ranges such as `10.10.10.200-10.10.10.220` or
    /// `10.10.10.200/29`), `auto_assign` (`true` by default) and `advertise` (`["l2"]` by default, or `"bgp"`, or both); `bgp`, a map with `asn`, the nodes' own, and `peers`, each
    /// with `name`, `address` and `asn`.
    ///
    /// ```rhai
    /// let controller = metallb::controller(cluster, #{ version: "0.14.8" });
    /// metallb::addresses(cluster, #{ pools: [#{ name: "lan", addresses: ["10.10.10.200-10.10.10.220"] }], needs: [controller] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn addresses(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<AddressesSpec>::parse(&cx, "metallb::addresses", options)?;
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        if let Some(fault) = options.spec.fault() {
            return throw(&cx, BadOption::new("metallb::addresses", fault));
        }
        match options.spec.documents() {
            Ok(documents) => {
                let addresses = AddOn::of_documents(Id::new("metallb.addresses", &place.cluster), place, documents);
                declare(&cx, addresses, options.common)
            }
            Err(error) => throw(&cx, error),
        }
    }
}
