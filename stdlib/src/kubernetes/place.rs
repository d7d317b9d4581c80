//! Where a cluster's API is reached: the first control-plane node, once it runs one.
use crate::workspace::{Role, Workspace};
use kthw_engine::Id;
use miette::Diagnostic;

/// A cluster's API, as the resources in it name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The cluster's name.
    pub cluster: String,
    /// The node through which the API is reached.
    pub node: String,
}

impl Place {
    /// The API of this workspace's cluster.
    ///
    /// # Errors
    /// When the workspace has no control plane.
    pub fn of(workspace: &Workspace) -> Result<Self, NoControlPlane> {
        let first = workspace.with_role(Role::ControlPlane).next().ok_or_else(|| NoControlPlane::of(workspace))?;
        Ok(Self { cluster: workspace.name.clone(), node: first.name.to_string() })
    }

    /// The identity of the control plane that everything in the cluster needs.
    pub fn control_plane(&self) -> Id {
        Id::new("kubeadm.control_plane", &self.cluster)
    }
}

/// A workspace without a control plane.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the workspace `{name}` has no node with `role: control_plane`")]
#[diagnostic(code(kthw::kubernetes::no_control_plane), help("{next}"))]
pub struct NoControlPlane {
    name: String,
    next: String,
}

impl NoControlPlane {
    fn of(workspace: &Workspace) -> Self {
        let next = match workspace.versions() {
            Ok(_) => "give one of its `nodes` the role `control_plane`".into(),
            Err(edge) => format!("{edge}"),
        };
        Self { name: workspace.name.clone(), next }
    }
}
