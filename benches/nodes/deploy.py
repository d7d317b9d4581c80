# The workload for pyinfra: the same 20 tasks per host as recipe.rhai.
import os
from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import files, server

root, number = host.data.r, host.data.idx
templates = os.environ["WORKLOAD"] + "/templates/"
values = dict(
    node_name=host.name,
    node_ip=f"10.20.0.{number}",
    pod_cidr=f"10.244.{number}.0/24",
    cluster_dns="10.96.0.10",
    cluster_domain="cluster.local",
    pause_image="registry.k8s.io/pause:3.10",
    kernel_modules=["overlay", "br_netfilter", "nf_conntrack", "ip_vs"],
    sysctls=[
        ["net.bridge.bridge-nf-call-iptables", 1],
        ["net.bridge.bridge-nf-call-ip6tables", 1],
        ["net.ipv4.ip_forward", 1],
        ["vm.overcommit_memory", 1],
        ["kernel.panic", 10],
        ["fs.inotify.max_user_watches", 524288],
    ],
    mirrors=[
        dict(name=name, url="https://mirror.lan/" + path)
        for name, path in (("docker.io", "docker"), ("registry.k8s.io", "k8s"), ("quay.io", "quay"))
    ],
)
for path, mode in (("etc/kubernetes", "755"), ("etc/kubernetes/pki", "700"), ("var/lib/etcd", "700")):
    files.directory(name=f"directory {path}", path=f"{root}/{path}", mode=mode)
for template, path, mode in (
    ("k8s-modules.conf", "etc/modules-load.d/k8s.conf", "644"),
    ("99-kubernetes.conf", "etc/sysctl.d/99-kubernetes.conf", "644"),
    ("config.toml", "etc/containerd/config.toml", "644"),
    ("crictl.yaml", "etc/crictl.yaml", "644"),
    ("kubelet-config.yaml", "var/lib/kubelet/config.yaml", "600"),
    ("10-kubeadm.conf", "etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "644"),
):
    files.template(
        name=f"template {path}", src=f"{templates}{template}.j2", dest=f"{root}/{path}", mode=mode,
        jinja_env_kwargs={"trim_blocks": True}, **values,
    )
for path, line in (
    ("etc/sysctl.conf", "net.ipv4.ip_forward=1"),
    ("etc/hosts", "10.20.0.250 api.cluster.local"),
    ("etc/security/limits.conf", "root soft nofile 65536"),
    ("etc/environment", "KUBECONFIG=/etc/kubernetes/admin.conf"),
):
    files.line(name=f"line {path}", path=f"{root}/{path}", line=f"^{line}$")
for program in ("kubeadm", "kubelet", "kubectl"):
    files.link(name=f"link {program}", path=f"{root}/usr/local/bin/{program}", target=f"{root}/opt/k8s/v1.34/{program}")
for program in ("kubeadm", "kubelet", "kubectl"):
    # pyinfra has no `creates`; asking the File fact is its idiom.
    if not host.get_fact(File, path=f"{root}/var/lib/kthw/{program}.sum"):
        server.shell(name=f"sum {program}", commands=[f"cksum < {root}/opt/k8s/v1.34/{program} > {root}/var/lib/kthw/{program}.sum"])
if not host.get_fact(File, path=f"{root}/var/lib/kthw/preflight"):
    server.shell(name="preflight", commands=[f"test -d {root}/etc/kubernetes/pki && echo ok > {root}/var/lib/kthw/preflight"])
