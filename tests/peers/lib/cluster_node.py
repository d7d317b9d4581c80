"""One host of a cluster: booted, with containerd and the Kubernetes packages from the world's repositories."""
import os
import shlex
import subprocess

import host as hosts
from common import GATEWAY, Failure
from steps import wait

REGISTRY = f"{GATEWAY}:5000"
# Every registry that manifests name is answered by the world's one.
MIRRORED = (REGISTRY, "registry.k8s.io", "docker.io", "quay.io", "ghcr.io")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
USER = "kthw"
CONTAINERD = {"io": "containerd.io", "debian": "containerd"}

APT_INSTALL = "apt-get install -y -qq --no-install-recommends -o APT::Keep-Downloaded-Packages=false"
REPOSITORY = f"""
install -d -m 755 /etc/apt/keyrings
curl -fsS http://{GATEWAY}:8080/kubernetes/Release.key | gpg --batch --yes --dearmor -o /etc/apt/keyrings/kubernetes.gpg
echo 'deb [signed-by=/etc/apt/keyrings/kubernetes.gpg] http://{GATEWAY}:8080/kubernetes/ /' >/etc/apt/sources.list.d/kubernetes.list
apt-get update -qq
"""
KERNEL = r"""
printf 'overlay\nbr_netfilter\n' >/etc/modules-load.d/kubernetes.conf
printf 'net.bridge.bridge-nf-call-iptables=1\nnet.bridge.bridge-nf-call-ip6tables=1\nnet.ipv4.ip_forward=1\n' >/etc/sysctl.d/kubernetes.conf
modprobe overlay
modprobe br_netfilter
sysctl --quiet --system
"""
# Neither a package nor a layer is kept once it is unpacked: a world's hosts have one disk. A configuration's version follows
# the program's; 1.6 keeps everything of the CRI in one section.
CONTAINERD_1 = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    discard_unpacked_layers = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
CONTAINERD_2 = """version = {version}
[plugins."io.containerd.cri.v1.images"]
  discard_unpacked_layers = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = true
"""


class Node:
    """A host under its node name."""

    def __init__(self, world, name, number):
        self.name, self.host = name, hosts.Host(world, number)
        self.address = self.host.address
        self.log = world.path("cluster", f"{name}.log")

    def run(self, script, seconds, what):
        """Runs a bash script in the host, with a limit of time; its output goes to the node's log and is returned."""
        argv = self.host.inside("timeout", "--kill-after=5", str(seconds), "bash", "-euo", "pipefail", "-c", script)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=ENVIRONMENT, check=False)
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(f"--- {what}: exit {done.returncode}\n{done.stdout}")
        if done.returncode != 0:
            why = f"waited {seconds} s" if done.returncode in (124, 137) else f"exit {done.returncode}"
            raise Failure(f"{self.name}: {what}: {why}; all of it is in {self.log}, the end is:\n" + "\n".join(done.stdout.splitlines()[-25:]))
        return done.stdout

    def read(self, path):
        """A file of the host."""
        with open(os.path.join(self.host.root, path.lstrip("/")), encoding="utf-8") as file:
            return file.read()

    def boot(self):
        """Boots the host and waits until cloud-init is done with it."""
        with open(self.host.world.path("key.pub"), encoding="utf-8") as file:
            keys = [line.strip() for line in file if line.strip()]
        if not self.host.running():
            self.host.start(self.name, hosts.seed(self.name, USER, keys))
        wait(60, f"{self.name} to boot", self.host.booted, 0.1)
        self.run("cloud-init status --wait", 120, "wait for cloud-init")

    def install(self, containerd, packages, pause):
        """Installs containerd and the packages, and configures what a node needs before kubeadm."""
        self.run(REPOSITORY + KERNEL, 120, "add the package repository")
        names = " ".join(map(shlex.quote, [CONTAINERD[containerd], *packages]))
        self.run(f"{APT_INSTALL} {names}", 300, f"install {names}")
        for registry in MIRRORED:
            self.host.write(f"etc/containerd/certs.d/{registry}/hosts.toml",
                            f'server = "http://{REGISTRY}"\n\n[host."http://{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n')
        self.run("containerd --version", 10, "ask containerd its version")
        version = int(self.run("containerd config default | sed -n 's/^version = //p'", 10, "ask containerd its configuration version"))
        text = CONTAINERD_1 if version < 3 else CONTAINERD_2
        self.host.write("etc/containerd/config.toml", text.format(pause=pause, version=version))
        self.host.write("etc/crictl.yaml", "runtime-endpoint: unix:///run/containerd/containerd.sock\n")
        self.run("systemctl restart containerd && systemctl enable --quiet kubelet", 60, "start containerd")
        self.run("crictl info >/dev/null", 30, "ask containerd whether it is ready")


def kubernetes_packages(version):
    return [f"{name}={version}-1.1" for name in ("kubelet", "kubeadm", "kubectl")]
