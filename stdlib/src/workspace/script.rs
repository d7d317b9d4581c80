//! What recipes see of a workspace: `cluster`, its nodes, and every field of `workspace.yaml` under its own name.
use super::{
    kind::OF_CLUSTERS,
    schema::{LoadBalancer, NodeSpec, Role, Workspace},
};
use crate::add_ons::Facts;
use kthw_engine::{Rhai, nearest};
use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, Position};
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

/// The cluster, or the edge, that a recipe declares things for.
#[derive(Clone, Debug)]
pub struct Cluster {
    workspace: Arc<Workspace>,
    fields: Arc<Map>,
}

/// One node of a cluster or an edge.
#[derive(Clone, Debug)]
pub struct Node {
    workspace: Arc<Workspace>,
    index: usize,
    fields: Arc<Map>,
}

impl Cluster {
    /// The script's view of `workspace`.
    ///
    /// # Errors
    /// Never for a workspace that was read from YAML.
    pub fn new(workspace: Arc<Workspace>) -> Result<Self, Box<EvalAltResult>> {
        Self::with_optional(workspace, &BTreeSet::new())
    }

    /// As [`new`](Self::new); of `optional` names, those that `values` has not are `()`.
    ///
    /// # Errors
    /// Never for a workspace that was read from YAML.
    pub fn with_optional(workspace: Arc<Workspace>, optional: &BTreeSet<String>) -> Result<Self, Box<EvalAltResult>> {
        let mut fields = to_map(&*workspace)?;
        fill(&mut fields, optional);
        let of_nodes = workspace.nodes.iter().flat_map(|node| node.values.keys());
        let value_names: BTreeSet<String> = of_nodes.chain(optional).cloned().collect();
        let nodes = (0..workspace.nodes.len()).map(|index| Node::new(workspace.clone(), index, &value_names));
        let nodes: Vec<Node> = nodes.collect::<Result<_, Box<EvalAltResult>>>()?;
        let with_role = |role: Option<Role>| -> Array {
            nodes.iter().filter(|node| role.is_none_or(|role| node.spec().role == role)).cloned().map(Dynamic::from).collect()
        };
        fields.insert("nodes".into(), with_role(None).into());
        fields.insert("control_planes".into(), with_role(Some(Role::ControlPlane)).into());
        fields.insert("workers".into(), with_role(Some(Role::Worker)).into());
        let members: Array = nodes.iter().filter(|node| node.spec().role != Role::Other).cloned().map(Dynamic::from).collect();
        fields.insert("load_balancers".into(), with_role(Some(Role::LoadBalancer)).into());
        fields.insert("members".into(), members.into());
        // All that kthw knows, so that a recipe can say of each that it is not wanted.
        let version = |facts: &Facts| facts.wanted(&workspace).map_or(Dynamic::UNIT, |version| version.to_string().into());
        let add_ons: Map = Facts::without_settings().map(|facts| (facts.project.into(), version(facts))).collect();
        fields.insert("add_ons".into(), add_ons.into());
        fields.insert("endpoint".into(), workspace.endpoint().into());
        fields.insert("os".into(), crate::distribution::facts(crate::distribution::release(&workspace), &workspace).into());
        if let Some(balancer) = &workspace.load_balancer {
            as_edge(&mut fields, balancer);
        }
        Ok(Self { workspace, fields: Arc::new(fields) })
    }

    /// The typed data.
    pub fn workspace(&self) -> &Arc<Workspace> {
        &self.workspace
    }
}

impl Node {
    /// `value_names` are those of all nodes: a value that others have and this one has not is `()` here.
    fn new(workspace: Arc<Workspace>, index: usize, value_names: &BTreeSet<String>) -> Result<Self, Box<EvalAltResult>> {
        let spec = &workspace.nodes[index];
        let mut fields = to_map(spec)?;
        fill(&mut fields, value_names);
        fields.insert("fqdn".into(), workspace.fqdn(spec).into());
        fields.insert("cores".into(), Dynamic::from(i64::from(spec.cores.unwrap_or(workspace.machine.cores))));
        fields.insert("memory_mib".into(), Dynamic::from(i64::from(spec.memory_mib.unwrap_or(workspace.machine.memory_mib))));
        fields.insert("disk_gib".into(), Dynamic::from(i64::from(spec.disk_gib.unwrap_or(workspace.machine.disk_gib))));
        Ok(Self { workspace, index, fields: Arc::new(fields) })
    }

    /// The typed data.
    pub fn spec(&self) -> &NodeSpec {
        &self.workspace.nodes[self.index]
    }

    /// The short host name, which is also the node's name for [`Nodes`](kthw_engine::node::Nodes).
    pub fn name(&self) -> &str {
        &self.spec().name
    }

    /// The workspace that it belongs to.
    pub fn workspace(&self) -> &Arc<Workspace> {
        &self.workspace
    }
}

impl Workspace {
    /// A node's full name: `cu1.bevz.net`.
    pub fn fqdn(&self, node: &NodeSpec) -> String {
        format!("{}.{}", node.name, self.domain)
    }

    /// The domains in which nodes look for short names, with blanks between.
    pub fn search_domains(&self) -> String {
        match self.network.dns_search.as_slice() {
            [] => self.domain.clone(),
            domains => domains.iter().map(|domain| domain.as_str()).collect::<Vec<_>>().join(" "),
        }
    }

    /// `host:port` of the API server.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| {
            let first = self.nodes.iter().find(|node| node.role == Role::ControlPlane);
            first.map_or_else(String::new, |node| format!("{}:6443", self.fqdn(node)))
        })
    }

    /// Where a machine is reached over SSH: a node, or [what a template is built on](Self::build_machine). `None` for any other name. The port is
    /// that of a node that has its own.
    pub fn place(&self, name: &str) -> Option<(Ipv4Addr, Option<u16>)> {
        if let Some(node) = self.nodes.iter().find(|node| node.name == name) {
            return Some((node.address, node.port));
        }
        let (template, address) = self.template.as_ref().and_then(|template| Some((template, template.build_address?)))?;
        let host = name.strip_prefix(template.name.as_str())?.strip_prefix('@')?;
        self.template_hosts().any(|(known, _)| known == host).then_some((address, None))
    }

    /// The name, for SSH, of the machine that the template is built on at a Proxmox node: no node of a cluster can be called so.
    pub fn build_machine(template: &str, host: &str) -> String {
        format!("{template}@{host}")
    }

    /// The Proxmox nodes that have the template, each with its VM id there.
    pub fn template_hosts(&self) -> impl Iterator<Item = (&str, u32)> {
        let own = self.template.iter().zip(&self.proxmox).map(|(template, proxmox)| (proxmox.node.as_str(), template.vmid));
        own.chain(self.template.iter().flat_map(|template| template.replicas.iter().map(|(host, vmid)| (host.as_str(), *vmid))))
    }

    /// The nodes with this role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &NodeSpec> {
        self.nodes.iter().filter(move |node| node.role == role)
    }
}

/// Makes `cluster` and its nodes known to scripts.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Cluster>("Cluster").register_type_with_name::<Node>("Node");
    engine.register_indexer_get(|cluster: &mut Cluster, name: &str| property("cluster", &cluster.fields, name));
    engine.register_indexer_get(|node: &mut Node, name: &str| property("node", &node.fields, name));
    engine.register_indexer_set(|cluster: &mut Cluster, name: &str, value: Dynamic| unchanged("cluster", &cluster.fields, name, &value));
    engine.register_indexer_set(|node: &mut Node, name: &str, value: Dynamic| unchanged("node", &node.fields, name, &value));
    engine.register_fn("to_string", |node: &mut Node| node.name().to_owned());
    engine.register_fn("to_string", |cluster: &mut Cluster| cluster.workspace.name.clone());
    engine.register_fn("to_string", |id: &mut kthw_engine::Id| id.to_string());
}

/// Takes out what clusters alone have, and fills in what listeners go by unless they say otherwise.
fn as_edge(fields: &mut Map, balancer: &LoadBalancer) {
    fields.retain(|name, _| !OF_CLUSTERS.contains(&name.as_str()));
    let listeners: Array = balancer
        .listeners
        .iter()
        .map(|listener| {
            let numbers = [
                ("port", i64::from(listener.port)),
                ("target_port", i64::from(balancer.target_port(listener))),
                ("proxy_timeout_s", i64::from(balancer.proxy_timeout_s(listener))),
            ];
            Dynamic::from_map(numbers.into_iter().map(|(name, number)| (name.into(), number.into())).collect())
        })
        .collect();
    if let Some(mut block) = fields.get_mut("load_balancer").and_then(|block| block.write_lock::<Map>()) {
        block.insert("listeners".into(), listeners.into());
    }
}

fn property(of: &str, fields: &Map, name: &str) -> Rhai<Dynamic> {
    fields.get(name).cloned().ok_or_else(|| {
        if OF_CLUSTERS.contains(&name) {
            let text = format!("this workspace is an edge and has no `{name}`: the recipe is for clusters; run it on the workspace of one");
            return EvalAltResult::ErrorRuntime(text.into(), Position::NONE).into();
        }
        let guess =
            nearest(name, fields.keys().map(|key| key.as_str())).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        EvalAltResult::ErrorRuntime(format!("a {of} has no `{name}`{guess}").into(), Position::NONE).into()
    })
}

/// Refuses to change what is in `workspace.yaml`. Rhai also writes a value back that a function only looked at.
fn unchanged(of: &str, fields: &Map, name: &str, value: &Dynamic) -> Rhai<()> {
    if fields.get(name).is_some_and(|known| is_same(known, value)) {
        return Ok(());
    }
    let text = format!("a {of} is as workspace.yaml says: its `{name}` cannot be changed by a recipe; use a variable (`let {name} = …`)");
    Err(EvalAltResult::ErrorRuntime(text.into(), Position::NONE).into())
}

/// Whether two values of a workspace are the same.
fn is_same(one: &Dynamic, other: &Dynamic) -> bool {
    if let (Ok(one), Ok(other)) = (one.as_map_ref(), other.as_map_ref()) {
        return one.len() == other.len() && one.iter().all(|(key, value)| other.get(key).is_some_and(|found| is_same(value, found)));
    }
    if let (Ok(one), Ok(other)) = (one.as_array_ref(), other.as_array_ref()) {
        return one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| is_same(one, other));
    }
    if let (Some(one), Some(other)) = (one.read_lock::<Node>(), other.read_lock::<Node>()) {
        return Arc::ptr_eq(&one.fields, &other.fields);
    }
    one.type_name() == other.type_name() && one.to_string() == other.to_string()
}

/// Gives the `values` among the fields each of the names that they lack, as `()`.
fn fill(fields: &mut Map, names: &BTreeSet<String>) {
    if let Some(mut values) = fields.get_mut("values").and_then(|values| values.write_lock::<Map>()) {
        for name in names {
            values.entry(name.as_str().into()).or_insert(Dynamic::UNIT);
        }
    }
}

/// A map of the fields; absent options are left out, whole numbers are integers.
fn to_map(value: &impl serde::Serialize) -> Result<Map, Box<EvalAltResult>> {
    let dynamic = rhai::serde::to_dynamic(value)?;
    Ok(dynamic.try_cast::<Map>().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script about the example workspace returns, or why it does not.
    fn told(script: &str) -> String {
        let text =
            include_str!("example.yaml").replace(", address: 10.10.10.130 }", ", address: 10.10.10.130, values: { rack: a, tags: [x] } }");
        assert!(text.contains("rack"), "the example changed");
        told_of(&text, script)
    }

    fn told_of(text: &str, script: &str) -> String {
        let workspace = Workspace::parse("w.yaml", text).expect("a workspace");
        let mut engine = crate::script_engine();
        engine.set_max_operations(0);
        let mut scope = rhai::Scope::new();
        let optional = BTreeSet::from(["room".to_owned()]);
        scope.push("cluster", Cluster::with_optional(Arc::new(workspace), &optional).expect("a cluster"));
        engine.eval_with_scope::<Dynamic>(&mut scope, script).map_or_else(|error| error.to_string(), |value| value.to_string())
    }

    #[test]
    fn a_value_that_only_some_nodes_have_is_nothing_on_the_others() {
        assert_eq!(told(r#"let all = ""; for n in cluster.nodes { all += n.values?.rack ?? "none"; all += " "; } all"#), "a none ");
        assert_eq!(told(r#"`${cluster.values?.room ?? "none"} ${cluster.nodes[0].values?.room ?? "none"}`"#), "none none");
        assert!(told("cluster.nodes[0].values.rak").contains("rak"), "a name that no node has is a slip");
    }

    /// What a script about an edge returns, or why it does not.
    fn told_of_edge(script: &str) -> String {
        let text = "name: edge\ndomain: bevz.net\nrelease_letter: e\ndistribution: debian\nnetwork: { nodes: 10.10.10.0/24, gateway: 10.10.10.1 }\n\
                    nodes: [{ name: le1, role: load_balancer, address: 10.10.10.101 }, { name: oe1, role: other, address: 10.10.10.102 }]\n\
                    load_balancer:\n  clusters: [{ name: blue, address: 10.10.10.200 }]\n  listeners: [{ port: 443 }, { port: 8443, target_port: 6443 }]\n";
        told_of(text, script)
    }

    #[test]
    fn an_edge_shows_its_clusters_and_nothing_of_kubernetes() {
        assert_eq!(told_of_edge("cluster.load_balancer.clusters.map(|c| `${c.name} ${c.address}`)"), r#"["blue 10.10.10.200"]"#);
        assert_eq!(
            told_of_edge("cluster.load_balancer.listeners.map(|l| [l.port, l.target_port, l.proxy_timeout_s])"),
            "[[443, 443, 30], [8443, 6443, 3600]]"
        );
        assert_eq!(told_of_edge("`${cluster.load_balancer.check.path} ${cluster.load_balancer.proxy_connect_timeout_s}`"), "/ping 5");
        assert_eq!(
            told_of_edge("[cluster.load_balancers.len(), cluster.members.len(), cluster.nodes.len(), cluster.workers.len()]"),
            "[1, 1, 2, 0]"
        );
        for field in ["versions", "endpoint", "kubeadm", "containerd", "metallb"] {
            assert!(told_of_edge(&format!("cluster.{field}")).contains("the recipe is for clusters"), "{field}");
        }
        assert_eq!(told_of_edge("cluster.network.pods == ()"), "true");
        assert_eq!(told("cluster.load_balancer == ()"), "true", "a cluster has none");
    }

    #[test]
    fn what_the_workspace_says_cannot_be_changed() {
        for changes in [
            r#"cluster.values.name = "a""#,
            r#"cluster.nodes[0].name = "a""#,
            "cluster.nodes.push(1)",
            r#"cluster.nodes[0].values.rack = "b""#,
            r#"cluster.nodes[0].values.tags.push("y")"#,
            r#"cluster.name = "x""#,
        ] {
            assert!(told(changes).contains("cannot be changed by a recipe"), "{changes}: {}", told(changes));
        }
        for reads in [
            "cluster.nodes.len()",
            "cluster.nodes.filter(|n| n.role == \"worker\").len()",
            "cluster.values.keys().len()",
            "let v = cluster.values; v.x = 1; v.x",
        ] {
            assert!(told(reads).parse::<i64>().is_ok(), "{reads}: {}", told(reads));
        }
    }
}
