//! The `kubernetes` module: objects in a cluster, and waits for it.

mod access;
mod add_on;
mod admin_conf;
mod boot;
mod client;
mod compare;
pub mod credential;
mod document;
pub(crate) mod drain;
mod error;
mod inventory;
pub mod kubeconfig;
mod kubelet_certificates;
pub(crate) mod listing;
mod manifest;
pub(crate) mod membership;
mod node_ready;
mod node_restarted;
pub(crate) mod objects;
mod place;
mod rights;
pub(crate) mod rollout;
mod serving_request;
mod starting;
mod stragglers;
mod strangers;
mod takes_pods;

pub use access::{Duplex, FileAccess, NodeAccess, Tunnel, admin_conf};
pub use add_on::{AddOn, LiveAddOn};
pub use admin_conf::{AdminConf, NotAdminConf};
pub use client::{At, Client, FIELD_MANAGER};
pub use compare::APPLIED;
pub use document::{BadManifest, Document};
pub use drain::{CORDONED, DrainOptions};
pub(crate) use kubelet_certificates::shown_by;
pub use kubelet_certificates::{KUBELET_PORT, KubeletCertificates, LiveCertificates};
pub use manifest::{Fixed, Manifest};
pub(crate) use node_ready::look;
pub use node_ready::{LiveNode, NodeReady};
pub use node_restarted::{LiveRestart, LiveUpdate, NodeRestarted, NodeUpdated};
pub use place::{NoControlPlane, Place};
pub use serving_request::{Member, SIGNER};
pub use takes_pods::TakesPods;

pub(crate) use error::{ReadObject, in_words, is_conflict, is_passing};

use rhai::{Module, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    let mut module = exported_module!(api);
    module.combine(exported_module!(rights::api));
    module
}

#[export_module]
mod api {
    use super::{
        AddOn, BadManifest, Document, DrainOptions, KubeletCertificates, Manifest, Member, NodeReady, NodeRestarted, NodeUpdated, Place,
        TakesPods,
    };
    use crate::add_ons::{Facts, NoVersion};
    use crate::proxmox::HostKeys;
    use crate::validation::Validated;
    use crate::workspace::{Cluster, Node};
    use kthw_engine::{Id, Options, Rhai, declare, throw};
    use rhai::Map;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ManifestSpec {
        yaml: Option<String>,
        documents: Option<Vec<serde_json::Value>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct UpstreamSpec {
        version: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoSpec {}

    /// Keeps Kubernetes objects in a cluster by server-side apply.
    ///
    /// Custom resource definitions are applied first, then namespaces, then the rest in the order given. A plan compares the declared
    /// fields with the live ones and sends nothing but reads. Options: `yaml` (a text of one or more documents) or `documents` (a list
    /// of maps).
    ///
    /// ```rhai
    /// kubernetes::manifest(cluster, "motd", #{ documents: [#{
    ///     apiVersion: "v1",
    ///     kind:       "ConfigMap",
    ///     metadata:   #{ name: "motd", namespace: "default" },
    ///     data:       #{ text: `welcome to ${cluster.name}` },
    /// }] });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn manifest(cx: NativeCallContext, cluster: Cluster, name: &str, options: Map) -> Rhai<Id> {
        let options = Options::<ManifestSpec>::parse(&cx, "kubernetes::manifest", options)?;
        let documents = match (options.spec.yaml, options.spec.documents) {
            (Some(yaml), None) => Document::parse(&yaml),
            (None, Some(values)) => Document::from_values(values),
            _ => Err(BadManifest("give either `yaml` or `documents`".into())),
        };
        let documents = match documents {
            Ok(documents) if documents.is_empty() => return throw(&cx, BadManifest("the manifest holds no object".into())),
            Ok(documents) => documents,
            Err(error) => return throw(&cx, error),
        };
        match Place::of(cluster.workspace()) {
            Ok(place) => declare(&cx, Manifest::new(Id::new("kubernetes.manifest", name), place, documents), options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps the serving certificate of every kubelet one of the cluster's authority: what their kubelets ask for is approved.
    ///
    /// `kubeadm.kubelet_serving_certificates` of the workspace has kubelets ask. Approved is a request of a node of this cluster for its own names and
    /// addresses, to serve with; any other is named with what is against it, and never approved. A kubelet asks anew some weeks before the end, and
    /// the next run approves that. No options of its own.
    ///
    /// ```rhai
    /// kubernetes::kubelet_certificates(cluster, #{});
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn kubelet_certificates(cx: NativeCallContext, cluster: Cluster, options: Map) -> Rhai<Id> {
        let options = Options::<NoSpec>::parse(&cx, "kubernetes::kubelet_certificates", options)?;
        match Place::of(cluster.workspace()) {
            Ok(place) => declare(&cx, KubeletCertificates { place, members: Member::all(cluster.workspace()) }, options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps an add-on of upstream's in the cluster: its manifest, checked by its digest, and its pods running.
    ///
    /// `project` is one of those that `add_ons` of a workspace may name. Custom resource definitions come first; what an earlier version had and this one
    /// has not goes. Options: `version`. A version of which kthw has no digest is refused until `kthw artifacts pin` has recorded one. With
    /// `present: false` it goes, whatever its version; what others made of its kinds keeps it.
    ///
    /// ```rhai
    /// kubernetes::upstream(cluster, "local-path-provisioner", #{ version: "0.0.30" });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn upstream(cx: NativeCallContext, cluster: Cluster, project: &str, options: Map) -> Rhai<Id> {
        let options = Options::<UpstreamSpec>::parse(&cx, "kubernetes::upstream", options)?;
        let facts = match Facts::named(project) {
            Ok(facts) => facts,
            Err(error) => return throw(&cx, error),
        };
        let place = match Place::of(cluster.workspace()) {
            Ok(place) => place,
            Err(error) => return throw(&cx, error),
        };
        let id = Id::new("kubernetes.upstream", project);
        if !options.common.present {
            return declare(&cx, AddOn::of_documents(id, place, Vec::new()), options.common);
        }
        let Some(version) = options.spec.version else { return throw(&cx, NoVersion::of("kubernetes::upstream", facts)) };
        match facts.install(id, place, &version, &cluster.workspace().artifacts.pins) {
            Ok(add_on) => declare(&cx, add_on, options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Waits until a node reports Ready, and says what it waits for.
    ///
    /// ```rhai
    /// for node in cluster.members {
    ///     kubernetes::node_ready(cluster, node);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node_ready")]
    pub fn node_ready(cx: NativeCallContext, cluster: Cluster, node: Node) -> Rhai<Id> {
        node_ready_with(cx, cluster, node, Map::new())
    }

    /// Waits until a node reports Ready, and says what it waits for.
    ///
    /// The options map can be left out; it takes `needs` only. Name a worker's join there: a machine that was made anew is otherwise
    /// taken for its predecessor, which the cluster may still call Ready.
    ///
    /// ```rhai
    /// for node in cluster.workers {
    ///     let joined = kubeadm::worker(cluster, node);
    ///     kubernetes::node_ready(cluster, node, #{ needs: [joined] });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node_ready")]
    pub fn node_ready_with(cx: NativeCallContext, cluster: Cluster, node: Node, options: Map) -> Rhai<Id> {
        let options = Options::<NoSpec>::parse(&cx, "kubernetes::node_ready", options)?;
        match Place::of(cluster.workspace()) {
            Ok(place) => declare(&cx, NodeReady { place, node: node.name().to_owned() }, options.common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Waits until the cluster does what it is for, and says what keeps it: nodes, control planes and their certificates, what Kubernetes, Calico
    /// and the add-ons run, addresses of services, and from each node cluster DNS, services, pods of other nodes, Traefik and the registry.
    ///
    /// Nothing is changed for it, and no program is run in a pod. It is looked at when all that comes before it is done, for five minutes at most;
    /// `kthw validate` shows the same checks by themselves.
    ///
    /// ```rhai
    /// kubernetes::validated(cluster);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn validated(cx: NativeCallContext, cluster: Cluster) -> Rhai<Id> {
        let workspace = cluster.workspace().clone();
        match Place::of(&workspace) {
            Ok(place) => {
                let id = Id::new("kubernetes.validated", &place.cluster);
                declare(&cx, Validated::new(id, workspace, vec![place.control_plane()]), Vec::new())
            }
            Err(error) => throw(&cx, error),
        }
    }

    /// Lets pods and load balancers use a control plane, as a cluster of one node has to: takes away the taint and the label by which kubeadm
    /// keeps them from it.
    ///
    /// ```rhai
    /// for node in cluster.control_planes {
    ///     kubernetes::takes_pods(cluster, node);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn takes_pods(cx: NativeCallContext, cluster: Cluster, node: Node) -> Rhai<Id> {
        match Place::of(cluster.workspace()) {
            Ok(place) => declare(&cx, TakesPods { place, node: node.name().to_owned() }, Vec::new()),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps a node from needing a restart: where one is needed, it is drained, restarted, and takes pods again when it is Ready.
    ///
    /// One node of the cluster at a time, and none after the first failure. A restart is needed when hardware waits for it in Proxmox, when
    /// the system asks for it, or when a newer kernel is installed. The options map can be left out; see the other form.
    ///
    /// ```rhai
    /// for node in cluster.workers {
    ///     kubernetes::node_restarted(cluster, node);
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node_restarted")]
    pub fn node_restarted(cx: NativeCallContext, cluster: Cluster, node: Node) -> Rhai<Id> {
        node_restarted_with(cx, cluster, node, Map::new())
    }

    /// Keeps a node from needing a restart: where one is needed, it is drained, restarted, and takes pods again when it is Ready.
    ///
    /// It is cordoned under a mark of kthw's own, and only what carries that mark is uncordoned. Its pods are evicted, so that disruption
    /// budgets hold; pods of DaemonSets, those that the node runs by itself and those that come in spite of the cordon stay. What kubectl
    /// drain refuses is refused in the plan, and is not evicted when it comes later either. A node that is in no cluster is restarted without
    /// that. Options, named as those of kubectl drain: `delete_emptydir_data` and `force` (pods that no controller starts again), both `false`
    /// by default; `timeout_s`, how long the pods may take to leave (600; at most a day).
    ///
    /// ```rhai
    /// for node in cluster.workers {
    ///     kubernetes::node_restarted(cluster, node, #{ delete_emptydir_data: true, timeout_s: 900 });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node_restarted")]
    pub fn node_restarted_with(cx: NativeCallContext, cluster: Cluster, node: Node, options: Map) -> Rhai<Id> {
        let options = Options::<DrainOptions>::parse(&cx, "kubernetes::node_restarted", options)?;
        let workspace = cluster.workspace().clone();
        let place = Place::of(&workspace).ok();
        if workspace.proxmox.is_some() {
            declare(&cx, HostKeys { node: node.spec().clone(), workspace: workspace.clone() }, Vec::new())?;
        }
        declare(&cx, NodeRestarted { workspace, place, node: node.spec().clone(), options: options.spec }, options.common)
    }

    /// Keeps the operating system of a node up to date under the workspace's `updates.policy`, and the node from needing a restart.
    ///
    /// What the package manager has and the policy allows is installed one package after the other, after the node was drained as by
    /// `kubernetes::node_restarted`, whose options it takes; then it is restarted if something asks for that, and takes pods again when it is Ready. What is held
    /// stays. Package lists older than a day are fetched first, so a plan made with old ones cannot name packages yet. Without a policy nothing is
    /// installed.
    ///
    /// ```rhai
    /// for node in cluster.workers {
    ///     kubernetes::node_updated(cluster, node, #{ delete_emptydir_data: true });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile, name = "node_updated")]
    pub fn node_updated(cx: NativeCallContext, cluster: Cluster, node: Node, options: Map) -> Rhai<Id> {
        let options = Options::<DrainOptions>::parse(&cx, "kubernetes::node_updated", options)?;
        let workspace = cluster.workspace().clone();
        let place = Place::of(&workspace).ok();
        if workspace.proxmox.is_some() {
            declare(&cx, HostKeys { node: node.spec().clone(), workspace: workspace.clone() }, Vec::new())?;
        }
        let restarted = NodeRestarted { workspace, place, node: node.spec().clone(), options: options.spec };
        declare(&cx, NodeUpdated { restarted }, options.common)
    }
}
