//! Rules about machines: how many, how large, and what their CPU can do.
use super::{Check, node};
use crate::workspace::{NodeSpec, Role};

/// kubeadm's preflight checks of a control plane: `ControlPlaneNumCPU` and `ControlPlaneMem` in
/// <https://github.com/kubernetes/kubernetes/blob/v1.31.0/cmd/kubeadm/app/constants/constants.go>.
const CONTROL_PLANE_CORES: u32 = 2;
const CONTROL_PLANE_MEMORY_MIB: u32 = 1700;
/// A kubelet, a container runtime and Calico do not run in less.
const WORKER_MEMORY_MIB: u32 = 1024;
const OTHER_MEMORY_MIB: u32 = 256;
/// The largest cloud image has 10 GiB (Rocky Linux 9), and a disk cannot be smaller than its image.
const DISK_GIB: u32 = 10;

pub(super) fn control_planes(check: &mut Check<'_>) {
    let workspace = check.workspace;
    if workspace.is_edge() {
        return;
    }
    let planes: Vec<usize> = (0..workspace.nodes.len()).filter(|index| workspace.nodes[*index].role == Role::ControlPlane).collect();
    match planes.as_slice() {
        [] => check.add(
            "kthw::workspace::no_control_plane",
            "nodes",
            "no node has `role: control_plane`",
            "a cluster needs a control plane",
            "give one node, or three, `role: control_plane`",
        ),
        [.., last] if planes.len().is_multiple_of(2) => check.add(
            "kthw::workspace::even_control_planes",
            &node(*last, "role"),
            "the last of them",
            format!("{} control planes: etcd needs an odd number of members", planes.len()),
            format!(
                "{} of them bear the loss of no more nodes than {} would: use {} or {}",
                planes.len(),
                planes.len() - 1,
                planes.len() - 1,
                planes.len() + 1
            ),
        ),
        _ => {}
    }
}

pub(super) fn sizes(check: &mut Check<'_>) {
    let workspace = check.workspace;
    // Machines that are taken as they are have the size that they have; kubeadm's own checks look at it.
    if workspace.proxmox.is_none() {
        return;
    }
    let ignored =
        |check: &str| workspace.kubeadm.ignore_preflight_errors.iter().any(|name| name.eq_ignore_ascii_case(check) || name == "all");
    for (index, spec) in workspace.nodes.iter().enumerate() {
        let plane = spec.role == Role::ControlPlane;
        let cores = if plane && !ignored("NumCPU") { CONTROL_PLANE_CORES } else { 1 };
        let memory = match spec.role {
            Role::ControlPlane if !ignored("Mem") => CONTROL_PLANE_MEMORY_MIB,
            Role::ControlPlane | Role::Worker => WORKER_MEMORY_MIB,
            Role::LoadBalancer | Role::Other => OTHER_MEMORY_MIB,
        };
        size(check, index, spec, "cores", spec.cores, workspace.machine.cores, cores);
        size(check, index, spec, "memory_mib", spec.memory_mib, workspace.machine.memory_mib, memory);
        size(check, index, spec, "disk_gib", spec.disk_gib, workspace.machine.disk_gib, DISK_GIB);
    }
}

fn size(check: &mut Check<'_>, index: usize, spec: &NodeSpec, field: &str, own: Option<u32>, common: u32, least: u32) {
    let value = own.unwrap_or(common);
    if value >= least {
        return;
    }
    let path = if own.is_some() { node(index, field) } else { format!("machine.{field}") };
    let what = match spec.role {
        Role::ControlPlane => "a control plane",
        Role::Worker => "a worker",
        Role::LoadBalancer => "a load balancer",
        Role::Other => "a machine",
    };
    check.add(
        "kthw::workspace::too_small",
        &path,
        "too small",
        format!("node `{}` has `{field}: {value}`, and {what} needs at least {least}", spec.name),
        format!("write {least} or more, under `machine` for all nodes or in the node for it alone"),
    );
}
