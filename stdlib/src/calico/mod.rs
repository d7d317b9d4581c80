//! The `calico` module: the pod network, through its operator.

mod installation;

pub use installation::{Encapsulation, InstallationSpec};

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::InstallationSpec;
    use crate::{
        add_ons::CALICO,
        kubernetes::{Fixed, Manifest, Place},
        workspace::Cluster,
    };
    use kthw_engine::{Id, Options, Rhai, declare, throw};
    use rhai::Map;
    use serde::Deserialize;

    /// Pods have addresses of the pool from the beginning
    /// (<https://docs.tigera.io/calico/latest/networking/ipam/migrate-pools>, <https://docs.tigera.io/calico/latest/networking/ipam/change-block-size>).
    const POOL: Fixed = Fixed {
        endings: &[".cidr", ".blockSize"],
        why: "the pods of this cluster have addresses of the pool that it was made with",
        next: "set `network.pods` (and `block_size`) back; upstream says how to move pods to another pool by hand: \
               https://docs.tigera.io/calico/latest/networking/ipam/migrate-pools",
    };

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OperatorSpec {
        version: String,
    }

    /// Keeps the Tigera operator, which installs and runs Calico: upstream's manifests, checked by their digests.
    ///
    /// Options: `version`, such as `3.28.0`. A version of which kthw has no digest is refused until `kthw artifacts pin` has recorded one.
    ///
    /// ```rhai
    /// calico::operator(cluster, #{ version: cluster.versions.calico });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn operator(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<OperatorSpec>::parse(&cx, "calico::operator", options)?;
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        match CALICO.install(Id::new("calico.operator", &place.cluster), place, &options.spec.version, &cluster.workspace().artifacts.pins)
        {
            Ok(operator) => declare(&cx, operator, options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps Calico's installation: the pod network and Calico's API server. The operator does what it says.
    ///
    /// Options: `pod_subnet`; `node_subnet` (the nodes' network: on a machine with several network cards Calico could take the address of another
    /// one); `encapsulation` (`"VXLAN"`, `"VXLANCrossSubnet"`, `"IPIP"`, `"IPIPCrossSubnet"` or `"None"`),
    /// `block_size` (a prefix length, 26), `registry` (of Calico's images, with a trailing `/`).
    ///
    /// ```rhai
    /// let operator = calico::operator(cluster, #{ version: cluster.versions.calico });
    /// calico::installation(cluster, #{ pod_subnet: cluster.network.pods, node_subnet: cluster.network.nodes, needs: [operator] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn installation(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<InstallationSpec>::parse(&cx, "calico::installation", options)?;
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        match options.spec.documents() {
            Ok(documents) => {
                let installation = Manifest::new(Id::new("calico.installation", &place.cluster), place, documents);
                declare(&cx, installation.with_fixed(POOL), options.common)
            }
            Err(error) => throw(&cx, error),
        }
    }
}
