//! kubectl on a node: raw requests with the node's own kubeconfig.
use super::super::host::{Host, failed, printed};
use super::{has, option};
use crate::kubernetes::{self, key};
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
    if let ["get", names @ ..] = words_of(arguments).as_slice()
        && option(arguments, "-o") == Some("name")
        && let Some(output) = list(host, number, names, arguments)
    {
        return output;
    }
    host.state.cannot_play(format!("{} $ kubectl {}", host.name, arguments.join(" ")));
    failed(1, "error: the lab does not play this")
}

/// The arguments that are neither options nor their values.
fn words_of<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let valued = |at: usize| at > 0 && matches!(arguments[at - 1], "-n" | "-l" | "-o" | "--kubeconfig");
    arguments.iter().enumerate().filter(|(at, word)| !valued(*at) && !word.starts_with('-')).map(|(_, word)| *word).collect()
}

/// Runs `kubectl get -o name`: of objects that are named, or of one node with a label.
fn list(host: &mut Host, number: usize, names: &[&str], arguments: &[&str]) -> Option<Output> {
    let objects = &host.state.clusters[number].objects;
    if let (["nodes"], Some(label)) = (names, option(arguments, "-l")) {
        let name = option(arguments, "--field-selector")?.strip_prefix("metadata.name=")?;
        let node = objects.get(&key("", "nodes", "", name)).filter(|node| node.value["metadata"]["labels"].get(label).is_some());
        return Some(printed(node.map(|_| format!("node/{name}\n")).unwrap_or_default()));
    }
    let namespace = option(arguments, "-n").unwrap_or("default");
    let mut stdout = String::new();
    for word in names {
        let (kind, name) = word.split_once('/')?;
        let (plural, group) = match kind {
            "configmap" => ("configmaps", ""),
            "service" => ("services", ""),
            "deployment.apps" => ("deployments", "apps"),
            "daemonset.apps" => ("daemonsets", "apps"),
            _ => return None,
        };
        if objects.contains_key(&key(group, plural, namespace, name)) {
            stdout += &format!("{word}\n");
        } else if !has(arguments, &["--ignore-not-found"]) {
            return Some(failed(1, format!("Error from server (NotFound): {plural} \"{name}\" not found")));
        }
    }
    Some(printed(stdout))
}
