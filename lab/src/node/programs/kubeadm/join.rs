//! `kubeadm join`: a token and the digest of the CA are checked, then the machine is a node.
use super::{
    init::{kubeconfig, node_name, read, resolve},
    kubelet::{downloaded, write_kubelet},
    preflight::{Deed, cgroups_agree, check},
    start_kubelet,
};
use crate::{
    kubernetes,
    node::{
        host::{Host, failed, printed},
        programs::{has, option, plain},
    },
    state::State,
};
use kthw_engine::node::Output;

/// Runs `kubeadm join`.
pub(super) fn join(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += 2_000;
    let documents = match read(host, arguments) {
        Ok(documents) => documents,
        Err(text) => return failed(1, text),
    };
    let control_plane = has(arguments, &["--control-plane"]) || !documents.get("JoinConfiguration", "/controlPlane").is_null();
    let deed = if control_plane { Deed::JoinControlPlane } else { Deed::JoinWorker };
    if let Err(output) = check(host, deed, &documents, option(arguments, "--ignore-preflight-errors").unwrap_or_default()) {
        return output;
    }
    let discovery = |name: &str| documents.text("JoinConfiguration", &format!("/discovery/bootstrapToken/{name}"));
    let endpoint = match discovery("apiServerEndpoint") {
        text if text.is_empty() => plain(arguments).get(1).map(|word| (*word).to_owned()).unwrap_or_default(),
        text => text,
    };
    let token = option(arguments, "--token").map_or_else(|| discovery("token"), str::to_owned);
    let hashes = documents.get("JoinConfiguration", "/discovery/bootstrapToken/caCertHashes").clone();
    let hash = option(arguments, "--discovery-token-ca-cert-hash")
        .or_else(|| hashes.pointer("/0").and_then(|hash| hash.as_str()))
        .unwrap_or_default();
    let Some(number) = find(host, &endpoint) else {
        host.took_ms += 300_000;
        return failed(
            1,
            format!(
                "error execution phase preflight: couldn't validate the identity of the API Server: failed to request the cluster-info ConfigMap: Get \"https://{endpoint}/api/v1/namespaces/kube-public/configmaps/cluster-info\": dial tcp: connect: connection refused"
            ),
        );
    };
    let cluster = &host.state.clusters[number];
    if !cluster.has("configmaps", "kube-public", "cluster-info") {
        host.took_ms += 300_000;
        return failed(
            1,
            "error execution phase preflight: couldn't validate the identity of the API Server: failed to request the cluster-info ConfigMap: configmaps \"cluster-info\" not found",
        );
    }
    if let Some(name) = ["kubeadm-config", "kubelet-config"].into_iter().find(|name| !cluster.has("configmaps", "kube-system", name)) {
        return failed(1, format!("error execution phase preflight: unable to fetch the configuration: configmaps \"{name}\" not found"));
    }
    let now_ms = host.now_ms();
    let id = token.split('.').next().unwrap_or_default();
    if cluster.tokens.get(id).is_none_or(|known| format!("{id}.{}", known.secret) != token || known.ends_ms <= now_ms) {
        return failed(
            1,
            format!(
                "error execution phase preflight: couldn't validate the identity of the API Server: could not find a JWS signature in the cluster-info ConfigMap for token ID \"{id}\""
            ),
        );
    }
    if !hash.is_empty() && hash != format!("sha256:{}", cluster.ca_hash) {
        return failed(
            1,
            "error execution phase preflight: couldn't validate the identity of the API Server: cluster CA found in cluster-info ConfigMap is invalid: none of the public keys are pinned",
        );
    }
    let configuration = downloaded(&host.state.clusters[number]);
    let driver = configuration.lines().find_map(|line| line.strip_prefix("cgroupDriver: ")).unwrap_or_default();
    if !cgroups_agree(host, driver) {
        host.took_ms += 240_000;
        return failed(
            1,
            "error execution phase kubelet-start: the kubelet is not healthy: the kubelet and the container runtime disagree about the cgroup driver",
        );
    }
    let name = node_name(host, &documents, "JoinConfiguration");
    kubernetes::run_node_controllers(host.state, number, &name);
    if host.state.clusters[number].is_node_ready(&name) {
        return failed(
            1,
            format!(
                "error execution phase kubelet-start: a Node with name \"{name}\" and status \"Ready\" already exists in the cluster. You must delete the existing Node or change the name of this new joining Node"
            ),
        );
    }
    let (now_s, ca, version) = (host.now_s(), ca_of(host.state, number), host.state.clusters[number].version.clone());
    let flags = [("advertise-address", host.machine.ip().to_owned())];
    let api_server = kubernetes::static_pod("kube-apiserver", &format!("registry.k8s.io/kube-apiserver:v{version}"), &flags);
    let files = &mut host.machine.files;
    files.put("/etc/kubernetes/pki/ca.crt", &ca, 0o644, now_s);
    files.put("/etc/kubernetes/kubelet.conf", &kubeconfig(&endpoint, &format!("system:node:{name}"), &ca), 0o600, now_s);
    if control_plane {
        files.put("/etc/kubernetes/admin.conf", &kubeconfig(&endpoint, "kubernetes-admin", &ca), 0o600, now_s);
        files.put("/etc/kubernetes/manifests/kube-apiserver.yaml", &api_server, 0o600, now_s);
        files.make_directory("/var/lib/etcd/member", 0o700, now_s);
    }
    write_kubelet(host, &documents, "JoinConfiguration", &configuration);
    start_kubelet(host);
    host.took_ms += 10_000;
    let joined_ms = host.now_ms();
    host.state.clusters[number].join(&name, &host.key, &host.machine, control_plane, joined_ms, now_s);
    if control_plane {
        host.state.clusters[number].mark_control_plane(&name);
    }
    host.machine.cluster = Some(number);
    printed("[preflight] Running pre-flight checks\n\nThis node has joined the cluster\n")
}

/// The cluster behind an endpoint, as this machine finds it.
fn find(host: &Host, endpoint: &str) -> Option<usize> {
    let address = resolve(host, endpoint.split(':').next().unwrap_or_default())?;
    let state = &*host.state;
    let direct = crate::node::key_of(state, &address).and_then(|key| state.machines[&key].cluster);
    let behind = || (0..state.clusters.len()).find(|number| state.clusters[*number].endpoint == endpoint);
    direct.or_else(behind).filter(|number| kubernetes::is_up(state, *number))
}

fn ca_of(state: &State, number: usize) -> String {
    let control_plane = state.clusters[number].members.control_planes().next();
    let machine = control_plane.and_then(|member| state.machines.get(&member.machine));
    machine.map(|machine| machine.files.text("/etc/kubernetes/pki/ca.crt")).unwrap_or_default()
}
