//! kubeadm's checks before it changes anything, in its own words.
use super::{config::Documents, numbers, without_revision};
use crate::node::{
    host::Host,
    programs::containerd::{understands_its_file, uses_systemd},
};
use kthw_engine::node::Output;

/// What kubeadm is about to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Init,
    JoinWorker,
    JoinControlPlane,
}

/// Checks the machine.
///
/// # Errors
/// Everything that is wrong and not ignored by `--ignore-preflight-errors`.
pub(super) fn check(host: &Host, deed: Deed, documents: &Documents, ignored: &str) -> Result<(), Output> {
    let ignored: Vec<String> = ignored.split(',').map(str::to_lowercase).collect();
    let errors: Vec<(String, String)> = problems(host, deed, documents)
        .into_iter()
        .filter(|(name, _)| !ignored.iter().any(|one| one == "all" || *one == name.to_lowercase()))
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    let lines: String = errors.iter().map(|(name, text)| format!("\t[ERROR {name}]: {text}\n")).collect();
    let stderr = format!(
        "error execution phase preflight: [preflight] Some fatal errors occurred:\n{lines}[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`\n"
    );
    Err(Output { status: 1, stdout: "[preflight] Running pre-flight checks\n".into(), stderr })
}

fn problems(host: &Host, deed: Deed, documents: &Documents) -> Vec<(String, String)> {
    let machine = &host.machine;
    let mut found: Vec<(String, String)> = Vec::new();
    let mut problem = |name: &str, text: String| found.push((name.to_owned(), text));
    let control_plane = deed != Deed::JoinWorker;
    if control_plane && machine.cores < 2 {
        problem("NumCPU", format!("the number of available CPUs {} is less than the required 2", machine.cores));
    }
    if control_plane && machine.memory_mib < 1700 {
        problem("Mem", format!("the system RAM ({} MB) is less than the minimum 1700 MB", machine.memory_mib));
    }
    if !machine.runs("containerd.service") || !understands_its_file(machine) {
        problem("CRI", "container runtime is not running: connect: no such file or directory \"/run/containerd/containerd.sock\"".into());
    }
    for (path, name) in [
        ("/proc/sys/net/bridge/bridge-nf-call-iptables", "net.bridge.bridge-nf-call-iptables"),
        ("/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"),
    ] {
        let check = format!("FileContent-{}", path.replace('/', "-"));
        match machine.sysctls.get(name).map(String::as_str) {
            Some("1") => {}
            Some(_) => problem(&check, format!("{path} contents are not set to 1")),
            None => problem(&check, format!("{path} does not exist")),
        }
    }
    let swap_allowed = documents.get("KubeletConfiguration", "/failSwapOn").as_bool() == Some(false);
    if !machine.swaps.is_empty() && !swap_allowed {
        problem("Swap", "running with swap on is not supported. Please disable swap".into());
    }
    if !["conntrack", "conntrack-tools"].iter().any(|name| machine.packages.contains_key(*name)) {
        problem("FileExisting-conntrack", "conntrack not found in system path".into());
    }
    let kubelet = machine.packages.get("kubelet").map(|package| without_revision(&package.version));
    match &kubelet {
        None => problem("FileExisting-kubelet", "kubelet not found in system path".into()),
        Some(kubelet) if deed == Deed::Init => {
            let wanted = documents.text("ClusterConfiguration", "/kubernetesVersion");
            if !wanted.is_empty() && numbers(kubelet) > numbers(&wanted) {
                problem(
                    "KubeletVersion",
                    format!(
                        "the kubelet version is higher than the control plane version. This is not a supported version skew and may lead to a malfunctional cluster. Kubelet version: \"{kubelet}\" Control plane version: \"{}\"",
                        wanted.trim_start_matches('v')
                    ),
                );
            }
        }
        Some(_) => {}
    }
    let files: &[&str] = match deed {
        Deed::Init => &["/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/manifests/etcd.yaml"],
        Deed::JoinWorker | Deed::JoinControlPlane => {
            &["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/bootstrap-kubelet.conf", "/etc/kubernetes/pki/ca.crt"]
        }
    };
    for path in files.iter().filter(|path| machine.files.exists(path)) {
        problem(&format!("FileAvailable-{}", path.replace('/', "-")), format!("{path} already exists"));
    }
    if machine.runs("kubelet.service") {
        problem("Port-10250", "Port 10250 is in use".into());
    }
    if deed == Deed::Init && !machine.files.names("/var/lib/etcd").is_empty() {
        problem("DirAvailable--var-lib-etcd", "/var/lib/etcd is not empty".into());
    }
    found
}

/// Whether the container runtime and the kubelet manage control groups the same way.
///
/// containerd has read its file only if it was restarted since the file was written.
pub(super) fn cgroups_agree(host: &Host, wanted: &str) -> bool {
    let loaded = host.machine.units.get("containerd.service").map(|unit| unit.configuration.clone()).unwrap_or_default();
    let is_current = loaded == host.machine.configuration_of("containerd.service");
    let systemd = is_current && uses_systemd(&host.machine);
    systemd == (wanted != "cgroupfs")
}
