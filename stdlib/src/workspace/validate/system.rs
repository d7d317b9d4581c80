//! Rules about the operating system: a release that is known, a CPU that it starts on, and a container runtime that it has.
use super::Check;
use crate::{
    distribution::release,
    workspace::{UpdatePolicy, Updates},
};
use kthw_engine::nearest;

pub(super) fn known(check: &mut Check<'_>) {
    let workspace = check.workspace;
    let Some(named) = workspace.release.as_deref() else { return };
    let versions: Vec<&str> = workspace.distribution.releases().iter().map(|release| release.version).collect();
    if !versions.contains(&named) {
        let guess = nearest(named, versions.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        check.add(
            "kthw::workspace::release",
            "release",
            "not known",
            format!("kthw does not know release {named} of {}", workspace.distribution.word()),
            format!("{guess}it knows {}", versions.join(", ")),
        );
    }
}

/// CPU types of QEMU without the instructions of x86-64-v2 (SSE4.2, POPCNT):
/// <https://www.qemu.org/docs/master/system/i386/cpu.html>.
const BELOW_V2: &[&str] = &[
    "486",
    "pentium",
    "pentium2",
    "pentium3",
    "athlon",
    "coreduo",
    "core2duo",
    "kvm32",
    "kvm64",
    "qemu32",
    "qemu64",
    "phenom",
    "Conroe",
    "Penryn",
    "Opteron_G1",
    "Opteron_G2",
    "Opteron_G3",
];

/// The level of `x86-64-vN` that a CPU type has at least; `None` for one that depends on the host, or is a model of its own.
fn level(cpu_type: &str) -> Option<u8> {
    if BELOW_V2.contains(&cpu_type) {
        return Some(1);
    }
    cpu_type.strip_prefix("x86-64-v")?.get(..1)?.parse().ok()
}

pub(super) fn cpu_type(check: &mut Check<'_>) {
    let (system, cpu_type) = (release(check.workspace), check.workspace.machine.cpu_type.as_str());
    if level(cpu_type).is_some_and(|level| level < system.cpu_level) {
        let needed = if system.cpu_level == 2 { "x86-64-v2-AES".to_owned() } else { format!("x86-64-v{}", system.cpu_level) };
        check.add(
            "kthw::workspace::cpu_type",
            "machine.cpu_type",
            "too old",
            format!("{} does not start on a CPU of type `{cpu_type}`", system.title),
            format!("it needs x86-64-v{}: use `{needed}`, or `host` when all Proxmox nodes have the same CPU", system.cpu_level),
        );
    }
}

pub(super) fn containerd(check: &mut Check<'_>) {
    let (system, workspace) = (release(check.workspace), check.workspace);
    if !workspace.is_edge() && system.containerd.is_none() && workspace.packages.containerd_repository.is_none() {
        check.add(
            "kthw::workspace::containerd",
            "distribution",
            "has no containerd",
            format!("{} has no package of containerd", system.title),
            "name a repository that has one in `packages.containerd_repository`, and its package in `containerd.package`; \
             workspaces/rocky/workspace.yaml shows Docker's",
        );
    }
}

pub(super) fn updates(check: &mut Check<'_>) {
    let contradicts = |updates: &Updates| updates.policy == UpdatePolicy::None && updates.unattended;
    if check.workspace.updates.as_ref().is_some_and(contradicts) {
        check.add_pair(
            "kthw::workspace::updates",
            ("updates.policy", "no updates"),
            ("updates.unattended", "which nodes install"),
            "`unattended` installs updates, and the policy is to install none",
            "write `policy: security` or `policy: all`, or leave `unattended` out",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn a_cpu_type_tells_its_level_where_it_can() {
        for (cpu_type, expected) in
            [("kvm64", Some(1)), ("x86-64-v2-AES", Some(2)), ("x86-64-v3", Some(3)), ("host", None), ("Haswell", None), ("x86-64-v", None)]
        {
            assert_eq!(level(cpu_type), expected, "{cpu_type}");
        }
    }
}
