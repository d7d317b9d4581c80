//! kubeadm and the kubelet: what they check, write and change in the cluster.
mod certificates;
mod config;
mod init;
mod join;
mod kubelet;
mod phases;
mod preflight;
mod tokens;

use super::super::{
    host::{Host, failed, printed},
    machine::Unit,
};
use super::option;
use kthw_engine::node::Output;

pub(crate) use certificates::Certificate;
pub(super) use certificates::public_key;
pub(crate) use phases::LATE as INIT_PHASES;

/// Runs kubeadm.
pub(crate) fn kubeadm(host: &mut Host, arguments: &[&str]) -> Output {
    match arguments {
        ["init", "phase", "certs", "apiserver", ..] => init::certificate(host, arguments),
        ["init", "phase", "control-plane", "apiserver", ..] => init::api_server(host, arguments),
        ["init", "phase", rest @ ..] => phases::run(host, rest).unwrap_or_else(|| printed("")),
        ["init", ..] => init::init(host, arguments),
        ["join", ..] => join::join(host, arguments),
        ["reset", ..] => reset(host),
        ["token", "create", ..] => tokens::create(host, &arguments[2..]),
        ["token", "delete", ids @ ..] => tokens::delete(host, ids),
        ["token", "list", ..] => tokens::list(host, &arguments[2..]),
        ["version", rest @ ..] => {
            let version = version(host);
            match option(rest, "-o").or_else(|| option(rest, "--output")) {
                Some("short") => printed(format!("v{version}\n")),
                Some("json") => printed(format!("{{\"clientVersion\":{{\"gitVersion\":\"v{version}\"}}}}\n")),
                _ => printed(format!("kubeadm version: &version.Info{{GitVersion:\"v{version}\"}}\n")),
            }
        }
        ["certs", "check-expiration", ..] | ["config", ..] => printed(""),
        _ => {
            host.state.cannot_play(format!("{} $ kubeadm {}", host.name, arguments.join(" ")));
            failed(1, format!("unknown command {:?} for \"kubeadm\"", arguments.join(" ")))
        }
    }
}

/// Runs the kubelet as far as somebody asks its version.
pub(crate) fn kubelet(host: &mut Host, arguments: &[&str]) -> Output {
    let version = host.machine.packages.get("kubelet").map(|package| package.version.clone()).unwrap_or_default();
    match arguments {
        ["--version"] => printed(format!("Kubernetes v{}\n", without_revision(&version))),
        _ => host.does_not_play("kubelet", arguments),
    }
}

/// Runs pgrep as far as somebody asks with which arguments the API server runs: with those in its manifest.
pub(crate) fn pgrep(host: &mut Host, arguments: &[&str]) -> Output {
    if arguments != ["-a", "-x", "kube-apiserver"] {
        return host.does_not_play("pgrep", arguments);
    }
    let manifest = host.machine.files.text("/etc/kubernetes/manifests/kube-apiserver.yaml");
    let flags: Vec<&str> = manifest.lines().filter_map(|line| line.trim().strip_prefix("- --")).collect();
    if !host.machine.runs("kubelet.service") || flags.is_empty() {
        return failed(1, "");
    }
    printed(format!("812 kube-apiserver{}\n", flags.iter().map(|flag| format!(" --{flag}")).collect::<String>()))
}

/// The installed version of kubeadm, without `v` and without the package's revision.
fn version(host: &Host) -> String {
    host.machine.packages.get("kubeadm").map(|package| without_revision(&package.version)).unwrap_or_default()
}

pub(super) fn without_revision(version: &str) -> String {
    version.split('-').next().unwrap_or_default().to_owned()
}

/// Major, minor and patch of a version, with or without `v`.
fn numbers(version: &str) -> (u64, u64, u64) {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// Starts the kubelet with the configuration that was just written.
fn start_kubelet(host: &mut Host) {
    let now_ms = host.now_ms();
    host.machine.units.entry("kubelet.service".into()).or_insert_with(|| Unit { enabled: true, ..Unit::default() });
    host.machine.start_unit("kubelet.service", now_ms);
}

fn reset(host: &mut Host) -> Output {
    host.took_ms += 5_000;
    if let Some(number) = host.machine.cluster.take()
        && let Some(cluster) = host.state.clusters.get_mut(number)
    {
        cluster.members.remove_machine(&host.key);
    }
    for path in [
        "/etc/kubernetes/admin.conf",
        "/etc/kubernetes/super-admin.conf",
        "/etc/kubernetes/kubelet.conf",
        "/etc/kubernetes/bootstrap-kubelet.conf",
        "/etc/kubernetes/controller-manager.conf",
        "/etc/kubernetes/scheduler.conf",
        "/etc/kubernetes/pki",
        "/var/lib/etcd",
        "/var/lib/kubelet",
    ] {
        host.machine.files.remove_tree(path);
    }
    let manifests: Vec<String> =
        host.machine.files.names("/etc/kubernetes/manifests").iter().map(|name| format!("/etc/kubernetes/manifests/{name}")).collect();
    for path in manifests {
        host.machine.files.remove_tree(&path);
    }
    let now_s = host.now_s();
    host.machine.files.make_directory("/var/lib/kubelet", 0o755, now_s);
    if let Some(unit) = host.machine.units.get_mut("kubelet.service") {
        unit.started = false;
    }
    printed("[reset] Stopping the kubelet service\n[reset] Deleting contents of directories\n")
}
