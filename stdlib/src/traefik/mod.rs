//! The `traefik` module: HTTP and HTTPS from outside, and where they go.

mod controller;
mod permissions;

pub use controller::{ControllerSpec, image};

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::ControllerSpec;
    use crate::{
        add_ons::{NoVersion, TRAEFIK},
        kubernetes::{AddOn, Place},
        workspace::Cluster,
    };
    use kthw_engine::{Id, Options, Rhai, declare, throw};
    use rhai::Map;

    /// Keeps Traefik in the cluster, behind a service of type `LoadBalancer`: `web` at port 80, where `/ping` answers, and `websecure` at 443.
    ///
    /// `/ping` answers 200 once the routes of all providers are known (with `crd` among them; else as soon as Traefik listens).
    /// A pod that ends says so at `/ping` first (503) and takes connections for ten more seconds, so that a load balancer in front of the cluster
    /// loses none. The class `traefik` is the default one of Ingresses. Options: `version`, such as `3.6.12` (of Traefik, not of its chart); `replicas` (2);
    /// `address`, out of a pool of MetalLB; `providers` (`["ingress", "crd"]`); `proxy_protocol_from`, the ranges of load balancers that send the
    /// PROXY protocol (none). With `present: false` it goes, with the definitions of its kinds.
    ///
    /// ```rhai
    /// traefik::controller(cluster, #{ version: "3.6.12", address: "10.10.10.200" });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn controller(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<ControllerSpec>::parse(&cx, "traefik::controller", options)?;
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        let id = Id::new("traefik.controller", &place.cluster);
        if !options.common.present {
            return declare(&cx, AddOn::of_documents(id, place, Vec::new()), options.common);
        }
        let Some(version) = options.spec.version.clone() else { return throw(&cx, NoVersion::of("traefik::controller", &TRAEFIK)) };
        let pins = &cluster.workspace().artifacts.pins;
        let controller = match TRAEFIK.install(id, place, &version, pins) {
            Ok(controller) => controller,
            Err(error) => return throw(&cx, error),
        };
        match options.spec.documents(version.trim_start_matches('v')) {
            Ok(documents) => declare(&cx, controller.with(documents), options.common),
            Err(error) => throw(&cx, error),
        }
    }
}
