//! The `nginx` module: a machine that passes TCP connections on to several clusters, and checks which of them are well.

mod configuration;
mod listener;
mod load_balancer;
mod program;

pub use configuration::{CHECKER_JSON, STATUS_FILE};
pub use load_balancer::LoadBalancer;
pub use program::PROGRAM;

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::{LoadBalancer, NoLoadBalancer, load_balancer::Spec, program::Program};
    use crate::{
        distribution::release,
        ssh::{Package, Service},
        validation::Validated,
        workspace::{Cluster, Node},
    };
    use kthw_engine::{Common, Id, Options, Rhai, declare, declare_on_node, throw};
    use rhai::Map;

    /// Keeps NGINX on a node as a load balancer of TCP connections, and beside it the checker that takes sick servers out.
    ///
    /// A node has one declaration, with all of its `listeners`; what it does not name is not listened on. Of each:
    ///
    /// - `name`, a plain word; `listen`, a port or an address with a port;
    /// - `servers`, each with its `name`, its `address` with a port, and its `check`;
    /// - `max_fails` (3) and `fail_timeout_s` (10): after so many failed connections NGINX itself leaves a server out for so long;
    /// - `proxy_connect_timeout_s` (5) and `proxy_timeout_s` (30): how long a connection may take to be made, and then be silent. Give an API server and
    ///   websockets an hour (3600), with `so_keepalive: true`;
    /// - `proxy_protocol` (false): tells servers the client's address; they have to expect it.
    ///
    /// A `check` asks `url` by `GET` every `interval_ms` (500) and takes `expected_status` (200) within `timeout_ms` (500) as a good answer. `fall` (2) bad
    /// answers in a row take the server out, `rise` (3) good ones bring it back. By `https` it verifies the server by the authorities in `ca_file`, a file on
    /// the node, for the address or for `server_name`. `host` is the `Host` header. If no server is well, all of them get connections.
    ///
    /// Further options: `worker_shutdown_timeout_s` (3600), how long connections live on after NGINX was told something new; `worker_connections` (16384).
    ///
    /// The checker is a file of its own (`kthw-checker-x86_64-linux`), refused until `kthw artifacts pin` has recorded its digest.
    ///
    /// ```rhai
    /// let node = cluster.nodes[0];
    /// nginx::load_balancer(node, #{ listeners: [
    ///     #{ name: "https", listen: 443, servers: [
    ///         #{ name: "alpha", address: "10.10.10.200:443", check: #{ url: "http://10.10.10.200/ping" } },
    ///         #{ name: "beta", address: "10.10.20.200:443", check: #{ url: "http://10.10.20.200/ping" } },
    ///     ] },
    /// ] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_balancer(cx: NativeCallContext, node: Node, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<Spec>::parse(&cx, "nginx::load_balancer", options)?;
        let (balancer, program) = (LoadBalancer::new(&node, spec), Program::new(&node));
        let balancer = match balancer {
            Ok(balancer) => balancer,
            Err(error) => return throw(&cx, error),
        };
        if !common.present {
            // It says itself that it cannot be removed.
            return declare_on_node(&cx, balancer, common);
        }
        let needs_also = |ids: Vec<Id>| Common { needs: [common.needs.clone(), ids].concat(), ..common.clone() };
        let mut first = vec![declare(&cx, program, common.clone())?];
        for name in release(node.workspace()).nginx.packages {
            match Package::installed(&node, name) {
                Ok(package) => first.push(declare_on_node(&cx, package, common.clone())?),
                Err(error) => return throw(&cx, error),
            }
        }
        let balancer = declare_on_node(&cx, balancer, needs_also(first))?;
        for name in ["nginx", "kthw-checker"] {
            match Service::kept(&node, name) {
                Ok(service) => declare_on_node(&cx, service, needs_also(vec![balancer.clone()]))?,
                Err(error) => return throw(&cx, error),
            };
        }
        Ok(balancer)
    }

    /// Waits until the load balancers of an edge do what they are for, and says what keeps them: the checker, each cluster as it shows from there,
    /// and each port.
    ///
    /// Nothing is changed for it. It is looked at when all that comes before it is done, for five minutes at most; `kthw validate` shows the same checks by
    /// themselves.
    ///
    /// ```rhai
    /// if cluster.load_balancer != () {
    ///     nginx::validated(cluster);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn validated(cx: NativeCallContext, cluster: Cluster) -> Rhai<Id> {
        let workspace = cluster.workspace().clone();
        if !workspace.is_edge() {
            return throw(&cx, NoLoadBalancer { name: workspace.name.clone() });
        }
        let id = Id::new("nginx.validated", &workspace.name);
        declare(&cx, Validated::new(id, workspace, Vec::new()), Vec::new())
    }
}

/// A cluster was given where only an edge has what is asked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the workspace `{name}` is a cluster, which has no load balancer of its own")]
#[diagnostic(code(kthw::nginx::no_load_balancer), help("`kubernetes::validated` is for clusters"))]
struct NoLoadBalancer {
    name: String,
}
