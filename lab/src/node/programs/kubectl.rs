//! kubectl on a node: raw requests with the node's own kubeconfig.
use super::super::host::{Host, failed, printed};
use super::option;
use crate::kubernetes;
use kthw_engine::node::Output;

/// Runs kubectl.
pub(crate) fn kubectl(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += 50;
    if arguments.first() == Some(&"version") {
        let version =
            host.machine.packages.get("kubectl").map(|package| super::kubeadm::without_revision(&package.version)).unwrap_or_default();
        return printed(format!("Client Version: v{version}\n"));
    }
    let file = option(arguments, "--kubeconfig").unwrap_or("/root/.kube/config");
    if !host.machine.files.exists(file) {
        return failed(1, format!("error: stat {file}: no such file or directory"));
    }
    let server = host
        .machine
        .files
        .text(file)
        .lines()
        .find_map(|line| line.trim().strip_prefix("server: https://").map(str::to_owned))
        .unwrap_or_default();
    let up = host.machine.cluster.filter(|number| kubernetes::answers_on(host.state, *number, &host.key, &host.machine));
    let Some(number) = up else {
        return failed(1, format!("The connection to the server {server} was refused - did you specify the right host or port?"));
    };
    if let Some(path) = option(arguments, "--raw").filter(|_| arguments.contains(&"get")) {
        let (status, body) = kubernetes::get(host.state, number, path);
        return if status < 300 { printed(body) } else { failed(1, format!("Error from server (status {status}): {body}")) };
    }
    host.state.cannot_play(format!("{} $ kubectl {}", host.name, arguments.join(" ")));
    failed(1, "error: the lab does not play this")
}
