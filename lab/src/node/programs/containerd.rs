//! containerd and its clients, as far as recipes look at them.
use super::super::host::{Host, failed, printed};
use kthw_engine::node::Output;

/// Runs containerd: `--version` and `config default`.
pub(crate) fn containerd(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["--version" | "-v"] => {
            let version = host.machine.packages.get("containerd").map(|package| package.version.clone()).unwrap_or_default();
            printed(format!("containerd github.com/containerd/containerd {} \n", version.split('-').next().unwrap_or_default()))
        }
        ["config", "default"] => {
            printed("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n  SystemdCgroup = false\n")
        }
        ["config", "dump"] => printed(host.machine.files.text("/etc/containerd/config.toml")),
        _ => failed(1, "containerd: the lab does not play this"),
    }
}

/// Runs crictl: answers while containerd runs.
pub(crate) fn crictl(host: &mut Host, arguments: &[&str]) -> Output {
    match (host.machine.runs("containerd.service"), arguments.last()) {
        (false, _) => failed(1, "validate service connection: connect: no such file or directory"),
        (true, Some(&"info")) => printed("{\"status\":{\"conditions\":[{\"type\":\"RuntimeReady\",\"status\":true}]}}\n"),
        (true, _) => printed(""),
    }
}

/// Runs ctr: answers while containerd runs.
pub(crate) fn ctr(host: &mut Host, _: &[&str]) -> Output {
    if host.machine.runs("containerd.service") { printed("") } else { failed(1, "ctr: failed to dial \"/run/containerd/containerd.sock\"") }
}
