"""What kubeadm is told: configurations of version v1beta4, the first control plane, those that join, the workers."""
import json
import secrets

from cluster_node import REGISTRY
from common import run

API = "kubeadm.k8s.io/v1beta4"
SOCKET = "unix:///run/containerd/containerd.sock"
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/12"
FILE = "/root/kubeadm.yaml"
NODE_MEMORY_KIB = 2 * 1024**2


def new_secrets():
    """A bootstrap token and a key for the certificates of further control planes, as kubeadm makes them up itself."""
    return {"token": f"{secrets.token_hex(3)}.{secrets.token_hex(8)}", "certificate_key": secrets.token_hex(32)}


def documents(*values):
    """JSON is YAML: kubeadm reads it as it is."""
    return "---\n".join(json.dumps(value, indent=1) + "\n" for value in values)


def registration(node):
    # The hosts' kernel has no cgroup controllers of version 2, which is what SystemVerification complains about.
    return {"criSocket": SOCKET, "name": node.name, "ignorePreflightErrors": ["SystemVerification"],
            "kubeletExtraArgs": [{"name": "node-ip", "value": node.address}]}


def endpoint(node):
    return {"advertiseAddress": node.address, "bindPort": 6443}


def init_configuration(node, version, control_plane_endpoint, made_up):
    return documents(
        {"apiVersion": API, "kind": "InitConfiguration", "localAPIEndpoint": endpoint(node), "nodeRegistration": registration(node),
         "bootstrapTokens": [{"token": made_up["token"], "ttl": "24h0m0s"}], "certificateKey": made_up["certificate_key"]},
        {"apiVersion": API, "kind": "ClusterConfiguration", "kubernetesVersion": f"v{version}", "imageRepository": REGISTRY,
         "controlPlaneEndpoint": f"{control_plane_endpoint}:6443", "networking": {"podSubnet": PODS, "serviceSubnet": SERVICES}},
        kubelet_configuration())


def kubelet_configuration():
    """Keeps a node from judging by the machine, which is not its own: how full the disk is, and how much memory there is.

    By itself the kubelet evicts every pod where less than 15 % of the disk is free, and allows the tmpfs of a pod to be as large as the memory.
    """
    with open("/proc/meminfo", encoding="utf-8") as file:
        machine = int(next(line for line in file if line.startswith("MemTotal:")).split()[1])
    return {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd",
            "systemReserved": {"memory": f"{max(0, machine - NODE_MEMORY_KIB)}Ki"},
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "500Mi", "imagefs.available": "500Mi", "nodefs.inodesFree": "1%"},
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99}


def join_configuration(node, control_plane_endpoint, made_up, control_plane):
    discovery = {"apiServerEndpoint": f"{control_plane_endpoint}:6443", "token": made_up["token"], "caCertHashes": [made_up["ca_hash"]]}
    value = {"apiVersion": API, "kind": "JoinConfiguration", "discovery": {"bootstrapToken": discovery}, "nodeRegistration": registration(node)}
    if control_plane:
        value["controlPlane"] = {"localAPIEndpoint": endpoint(node), "certificateKey": made_up["certificate_key"]}
    return documents(value)


def ca_hash(node):
    """The hash of the cluster CA's public key, by which a joining node knows the cluster."""
    path = node.host.world.path("cluster", "ca.crt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(node.read("/etc/kubernetes/pki/ca.crt"))
    digest = run("sh", "-c", 'openssl x509 -pubkey -noout -in "$0" | openssl pkey -pubin -outform der | sha256sum', path)
    return f"sha256:{digest.split()[0]}"


def init(node, version, control_plane_endpoint, made_up):
    """Makes the first control plane; adds the CA's hash to what joining nodes are told."""
    node.host.write(FILE.lstrip("/"), init_configuration(node, version, control_plane_endpoint, made_up))
    node.run(f"kubeadm init --upload-certs --config {FILE}", 300, "kubeadm init")
    made_up["ca_hash"] = ca_hash(node)


def join(node, control_plane_endpoint, made_up, control_plane):
    node.host.write(FILE.lstrip("/"), join_configuration(node, control_plane_endpoint, made_up, control_plane))
    node.run(f"kubeadm join --config {FILE}", 300, "kubeadm join")
