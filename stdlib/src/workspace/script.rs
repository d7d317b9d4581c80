//! What recipes see of a workspace: `cluster`, its nodes, and every field of `workspace.yaml` under its own name.
use super::schema::{NodeSpec, Role, Workspace};
use kthw_engine::{Rhai, nearest};
use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, Position};
use std::sync::Arc;

/// The cluster that a recipe declares things for.
#[derive(Clone, Debug)]
pub struct Cluster {
    workspace: Arc<Workspace>,
    fields: Arc<Map>,
}

/// One node of a cluster.
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
        let mut fields = to_map(&*workspace)?;
        let nodes: Vec<Node> =
            (0..workspace.nodes.len()).map(|index| Node::new(workspace.clone(), index)).collect::<Result<_, Box<EvalAltResult>>>()?;
        let with_role = |role: Option<Role>| -> Array {
            nodes.iter().filter(|node| role.is_none_or(|role| node.spec().role == role)).cloned().map(Dynamic::from).collect()
        };
        fields.insert("nodes".into(), with_role(None).into());
        fields.insert("control_planes".into(), with_role(Some(Role::ControlPlane)).into());
        fields.insert("workers".into(), with_role(Some(Role::Worker)).into());
        let members: Array = nodes.iter().filter(|node| node.spec().role != Role::Other).cloned().map(Dynamic::from).collect();
        fields.insert("members".into(), members.into());
        fields.insert("endpoint".into(), workspace.endpoint().into());
        Ok(Self { workspace, fields: Arc::new(fields) })
    }

    /// The typed data.
    pub fn workspace(&self) -> &Arc<Workspace> {
        &self.workspace
    }
}

impl Node {
    fn new(workspace: Arc<Workspace>, index: usize) -> Result<Self, Box<EvalAltResult>> {
        let spec = &workspace.nodes[index];
        let mut fields = to_map(spec)?;
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

    /// `host:port` of the API server.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| {
            let first = self.nodes.iter().find(|node| node.role == Role::ControlPlane);
            first.map_or_else(String::new, |node| format!("{}:6443", self.fqdn(node)))
        })
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
    engine.register_fn("to_string", |node: &mut Node| node.name().to_owned());
    engine.register_fn("to_string", |cluster: &mut Cluster| cluster.workspace.name.clone());
    engine.register_fn("to_string", |id: &mut kthw_engine::Id| id.to_string());
}

fn property(of: &str, fields: &Map, name: &str) -> Rhai<Dynamic> {
    fields.get(name).cloned().ok_or_else(|| {
        let guess =
            nearest(name, fields.keys().map(|key| key.as_str())).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        EvalAltResult::ErrorRuntime(format!("a {of} has no `{name}`{guess}").into(), Position::NONE).into()
    })
}

/// A map of the fields; absent options are left out, whole numbers are integers.
fn to_map(value: &impl serde::Serialize) -> Result<Map, Box<EvalAltResult>> {
    let dynamic = rhai::serde::to_dynamic(value)?;
    Ok(dynamic.try_cast::<Map>().unwrap_or_default())
}
