//! What a node itself says of its start: which boot it is in, and whether that has come to its end.
use crate::ssh::{has_started, restart_query};
use kthw_engine::{
    Error, Peers, Poll, Result,
    node::{Finding, Probe},
};

/// Its kubelet has credentials of a cluster when this is there.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// For which kernels a node was restarted in vain; one line for each.
pub(super) const IN_VAIN: &str = "/var/lib/kthw/restarted-in-vain";
const BOOT_ID: [&str; 2] = ["cat", "/proc/sys/kernel/random/boot_id"];
/// How old a start may be that explains why an API server does not answer yet.
const JUST_STARTED_S: f64 = 600.0;

/// What is looked at on the node itself.
pub(super) fn query() -> Vec<Probe> {
    [Probe::run(BOOT_ID), Probe::path(KUBELET_CONF), Probe::run(["cat", IN_VAIN])].into_iter().chain(restart_query()).collect()
}

/// The boot that a node is in, when it is another one than `before` and its system has finished its start; else what is still missing.
pub(super) fn back(findings: &[Finding], before: &str) -> Result<Poll<String>> {
    let [boot_id, _, _, system @ ..] = findings else { return Ok(Poll::Pending("it gave no answer".into())) };
    let boot_id = printed(boot_id);
    Ok(match boot_id.is_empty() || boot_id == before {
        true => Poll::Pending("it has not gone down yet".into()),
        false if !has_started(system)? => Poll::Pending("cloud-init is still running".into()),
        false => Poll::Ready(boot_id),
    })
}

/// What a command printed, without its line ending.
pub(super) fn printed(finding: &Finding) -> String {
    if let Finding::Run(output) = finding { output.stdout.trim().to_owned() } else { String::new() }
}

/// Whether a machine was started a moment ago.
pub(super) async fn was_just_started(node: &str, peers: &Peers) -> bool {
    let Ok(findings) = peers.nodes().read(node, &[Probe::run(["cat", "/proc/uptime"])]).await else { return false };
    let uptime = findings.first().map(printed).and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    uptime.is_some_and(|seconds| seconds < JUST_STARTED_S)
}

/// The code of an error's diagnostic.
pub(super) fn code(error: &Error) -> String {
    error.diagnostic().code().map(|code| code.to_string()).unwrap_or_default()
}

/// Whether a machine that goes down or comes up explains why it does not answer; while it does, its sshd may also refuse everybody.
pub(super) fn is_away(error: &Error) -> bool {
    let passing = ["unreachable", "no_answer", "handshake", "turned_away", "hung_up", "through_jump_host", "broken", "timeout", "refused"];
    code(error).strip_prefix("kthw::ssh::").is_some_and(|code| passing.contains(&code))
}
