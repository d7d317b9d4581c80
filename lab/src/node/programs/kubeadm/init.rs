//! `kubeadm init`: files on the machine, and a new cluster.
use super::{
    certificates::{self, PKI, pem},
    config::Documents,
    kubelet::{self, write_kubelet},
    numbers, phases,
    preflight::{Deed, cgroups_agree, check},
    start_kubelet, version,
};
use crate::{
    kubernetes::Cluster,
    node::{
        host::{Host, failed, killed, printed},
        programs::option,
    },
    state::fingerprint,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use kthw_engine::node::Output;
use serde_json::{Value, json};

/// Runs `kubeadm init`.
pub(super) fn init(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += 2_000;
    let documents = match read(host, arguments) {
        Ok(documents) => documents,
        Err(text) => return failed(1, text),
    };
    let kubeadm = version(host);
    let wanted = documents.text("ClusterConfiguration", "/kubernetesVersion");
    let wanted = if wanted.is_empty() { format!("v{kubeadm}") } else { wanted };
    if numbers(&wanted).1 > numbers(&kubeadm).1 {
        return failed(
            1,
            format!(
                "this version of kubeadm only supports deploying clusters with the control plane version <= {kubeadm}. Current version: {wanted}"
            ),
        );
    }
    if let Err(output) = check(host, Deed::Init, &documents, option(arguments, "--ignore-preflight-errors").unwrap_or_default()) {
        return output;
    }
    let name = node_name(host, &documents, "InitConfiguration");
    let endpoint = endpoint(host, &documents);
    write_credentials(host, &documents, &name, &endpoint);
    start_kubelet(host);
    if let Err(text) = comes_up(host, &documents, &endpoint) {
        host.took_ms += 240_000;
        return failed(1, text);
    }
    host.took_ms += 45_000;
    let number = host.state.clusters.len();
    let ca = host.machine.files.text("/etc/kubernetes/pki/ca.crt");
    let mut cluster = Cluster::new(&fingerprint(ca), wanted.trim_start_matches('v'), &endpoint);
    let unix_s = host.now_s();
    cluster.begin(&documents.text("ClusterConfiguration", "/networking/serviceSubnet"), unix_s);
    cluster.join(&name, &host.key, &host.machine, true, host.now_ms(), unix_s);
    host.state.clusters.push(cluster);
    host.machine.cluster = Some(number);
    let skipped = option(arguments, "--skip-phases").unwrap_or_default();
    for phase in phases::LATE.iter().filter(|phase| !skipped.split(',').any(|skipped| phases::is_part(phase, skipped))) {
        if host.dies_during(phase) {
            return killed();
        }
        phases::make(host, number, &documents, phase);
    }
    printed(format!(
        "[init] Using Kubernetes version: {wanted}\n[preflight] Running pre-flight checks\n\nYour Kubernetes control-plane has initialized successfully!\n"
    ))
}

/// Runs `kubeadm init phase certs apiserver`: an existing certificate stays, and the authority is looked for beside it.
pub(super) fn certificate(host: &mut Host, arguments: &[&str]) -> Output {
    host.took_ms += 500;
    let documents = match read(host, arguments) {
        Ok(documents) => documents,
        Err(text) => return failed(1, text),
    };
    let folder = match documents.text("ClusterConfiguration", "/certificatesDir") {
        folder if folder.is_empty() => PKI.to_owned(),
        folder => folder,
    };
    if host.machine.files.exists(&format!("{folder}/apiserver.crt")) {
        return printed("[certs] Using existing apiserver certificate and key on disk\n");
    }
    if ["ca.crt", "ca.key"].iter().any(|name| host.machine.files.content(&format!("{folder}/{name}")).is_none()) {
        return failed(1, format!("couldn't load CA certificate ca: couldn't load the certificate file {folder}/ca.crt"));
    }
    if host.dies_during("certs/apiserver") {
        return killed();
    }
    let name = node_name(host, &documents, "InitConfiguration");
    let endpoint = endpoint(host, &documents);
    certificates::write_apiserver(host, &documents, &folder, &name, &endpoint);
    printed("[certs] Generating \"apiserver\" certificate and key\n")
}

/// The configuration file that `--config` names; standard input when that is `-` or `/dev/stdin`.
pub(super) fn read(host: &Host, arguments: &[&str]) -> Result<Documents, String> {
    let text = match option(arguments, "--config") {
        None => return Ok(Documents::default()),
        Some("-" | "/dev/stdin") => String::from_utf8_lossy(&host.stdin).into_owned(),
        Some(path) => match host.machine.files.content(path) {
            Some(content) => String::from_utf8_lossy(content).into_owned(),
            None => return Err(format!("unable to read config from \"{path}\": open {path}: no such file or directory")),
        },
    };
    Documents::parse(&text, &version(host))
}

/// The node's name: the configuration's, else the host name.
pub(super) fn node_name(host: &Host, documents: &Documents, kind: &str) -> String {
    let name = documents.text(kind, "/nodeRegistration/name");
    if name.is_empty() { host.machine.hostname.clone() } else { name }
}

fn endpoint(host: &Host, documents: &Documents) -> String {
    let endpoint = documents.text("ClusterConfiguration", "/controlPlaneEndpoint");
    match endpoint.as_str() {
        "" => format!("{}:6443", host.machine.ip()),
        _ if endpoint.contains(':') => endpoint,
        _ => format!("{endpoint}:6443"),
    }
}

/// The address behind a host name as this machine finds it.
pub(super) fn resolve(host: &Host, name: &str) -> Option<String> {
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Some(name.to_owned());
    }
    let hosts = host.machine.files.text("/etc/hosts");
    // The Pi-hole is the name server of every machine.
    hosts.lines().chain(host.state.pihole.hosts.iter().map(String::as_str)).find_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?;
        words.any(|known| known == name).then(|| address.to_owned())
    })
}

/// Why the control plane would not come up.
fn comes_up(host: &Host, documents: &Documents, endpoint: &str) -> Result<(), String> {
    let late = "error execution phase wait-control-plane: could not initialize a Kubernetes cluster\n";
    if !cgroups_agree(host, &documents.text("KubeletConfiguration", "/cgroupDriver")) {
        return Err(format!(
            "{late}[kubelet-check] The kubelet is not healthy after 4m0.000s: the kubelet and the container runtime disagree about the cgroup driver\n"
        ));
    }
    let name = endpoint.split(':').next().unwrap_or_default();
    let Some(address) = resolve(host, name) else { return Err(format!("{late}lookup {name} on 127.0.0.53:53: no such host\n")) };
    let own = address == host.machine.ip() || address.starts_with("127.");
    let balanced = crate::node::key_of(host.state, &address).is_some_and(|key| {
        let machine = &host.state.machines[&key];
        machine.runs("nginx.service") || machine.runs("haproxy.service")
    });
    if own || balanced {
        Ok(())
    } else {
        Err(format!("{late}Get \"https://{endpoint}/healthz\": dial tcp {address}: connect: connection refused\n"))
    }
}

fn write_credentials(host: &mut Host, documents: &Documents, name: &str, endpoint: &str) {
    let (now_s, number) = (host.now_s(), host.state.made_up_number("authority"));
    let dns_domain = documents.text("ClusterConfiguration", "/networking/dnsDomain");
    let ca = pem("CERTIFICATE", &json!({ "subject": "kubernetes", "serial": number, "domain": dns_domain }).to_string());
    let files = &mut host.machine.files;
    for (path, subject) in [
        ("ca", ""),
        ("front-proxy-ca", "front"),
        ("etcd/ca", "etcd"),
        ("apiserver-kubelet-client", "client"),
        ("front-proxy-client", "client"),
        ("apiserver-etcd-client", "client"),
        ("etcd/server", "etcd"),
        ("etcd/peer", "etcd"),
        ("etcd/healthcheck-client", "etcd"),
    ] {
        let certificate = if subject.is_empty() {
            ca.clone()
        } else {
            pem("CERTIFICATE", &json!({ "subject": subject, "serial": number, "path": path }).to_string())
        };
        files.put(&format!("/etc/kubernetes/pki/{path}.crt"), &certificate, 0o644, now_s);
        files.put(&format!("/etc/kubernetes/pki/{path}.key"), &pem("RSA PRIVATE KEY", "the lab keeps no private keys"), 0o600, now_s);
    }
    certificates::write_apiserver(host, documents, PKI, name, endpoint);
    let files = &mut host.machine.files;
    files.put("/etc/kubernetes/pki/sa.pub", &pem("PUBLIC KEY", "lab"), 0o600, now_s);
    files.put("/etc/kubernetes/pki/sa.key", &pem("RSA PRIVATE KEY", "the lab keeps no private keys"), 0o600, now_s);
    for (file, user) in [
        ("admin", "kubernetes-admin"),
        ("super-admin", "kubernetes-super-admin"),
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
        ("kubelet", &format!("system:node:{name}")),
    ] {
        files.put(&format!("/etc/kubernetes/{file}.conf"), &kubeconfig(endpoint, user, &ca), 0o600, now_s);
    }
    files.make_directory("/var/lib/etcd/member", 0o700, now_s);
    write_static_pods(host, documents);
    write_kubelet(host, documents, "InitConfiguration", &kubelet::configuration(documents));
}

fn write_static_pods(host: &mut Host, documents: &Documents) {
    for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        write_static_pod(host, documents, component);
    }
}

fn write_static_pod(host: &mut Host, documents: &Documents, component: &str) {
    let of_cluster = |pointer: &str| documents.text("ClusterConfiguration", pointer);
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let (version, registry) = (of_cluster("/kubernetesVersion"), or(of_cluster("/imageRepository"), "registry.k8s.io"));
    let services = ("service-cluster-ip-range", or(of_cluster("/networking/serviceSubnet"), "10.96.0.0/12"));
    let more = arguments(documents.get("ClusterConfiguration", "/apiServer/extraArgs"));
    let flags = match component {
        "kube-apiserver" => {
            let address = or(documents.text("InitConfiguration", "/localAPIEndpoint/advertiseAddress"), host.machine.ip());
            let own = [("advertise-address", address), services].into_iter();
            own.chain(more.iter().map(|(name, value)| (name.as_str(), value.clone()))).collect()
        }
        "kube-controller-manager" => {
            let name = ("cluster-name", or(of_cluster("/clusterName"), "kubernetes"));
            vec![("cluster-cidr", of_cluster("/networking/podSubnet")), name, services]
        }
        _ => Vec::new(),
    };
    let text = crate::kubernetes::static_pod(component, &format!("{registry}/{component}:{version}"), &flags);
    let now_s = host.now_s();
    host.machine.files.put(&format!("/etc/kubernetes/manifests/{component}.yaml"), &text, 0o600, now_s);
}

/// Arguments as v1beta3 writes them, a map, or as v1beta4 does, a list of names and values.
fn arguments(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Value::Array(list) => list.iter().map(|one| (text(&one["name"]), text(&one["value"]))).collect(),
        _ => Vec::new(),
    }
}

/// Runs `kubeadm init phase control-plane apiserver`: the manifest is written anew, and the kubelet starts what is in it.
pub(super) fn api_server(host: &mut Host, words: &[&str]) -> Output {
    host.took_ms += 500;
    match read(host, words) {
        Ok(_) if host.dies_during("control-plane/apiserver") => killed(),
        Ok(documents) => {
            write_static_pod(host, &documents, "kube-apiserver");
            printed("[control-plane] Creating static Pod manifest for \"kube-apiserver\"\n")
        }
        Err(text) => failed(1, text),
    }
}

pub(super) fn kubeconfig(endpoint: &str, user: &str, ca: &str) -> String {
    let (ca, key) = (STANDARD.encode(ca), STANDARD.encode(pem("RSA PRIVATE KEY", "the lab keeps no private keys")));
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: https://{endpoint}\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: {user}\n  name: {user}@kubernetes\ncurrent-context: {user}@kubernetes\nkind: Config\npreferences: {{}}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {ca}\n    client-key-data: {key}\n"
    )
}
