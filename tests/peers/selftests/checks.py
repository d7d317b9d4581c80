"""What every cluster of the self-test must do: run pods, resolve names in them, balance a service, execute commands."""
import json

import cluster_add_ons
import steps
from common import Failure

# The first address of the service network is the API server's own.
API_SERVICE = "10.96.0.1"


def want(what, found, wanted):
    """Fails unless both are the same."""
    if found != wanted:
        raise Failure(f"{what}: found {found!r}, wanted {wanted!r}")


def versions(cluster, version, etcd_minor):
    """The API server, the kubelets and etcd say that they have this version."""
    want("version of the API server", json.loads(cluster.kubectl("get", "--raw", "/version"))["gitVersion"], f"v{version}")
    kubelets = {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in cluster.objects("nodes")}
    want("versions of the kubelets", kubelets, {node.name: f"v{version}" for node in cluster.nodes})
    etcd = cluster.etcd_versions()
    want("minor version of etcd", {name: found.rsplit(".", 1)[0] for name, found in etcd.items()}, {node.name: etcd_minor for node in cluster.control_planes})
    return etcd


def sizes_of_tmpfs(cluster):
    """Every tmpfs of every host, those of pods included, has a size, and none is as large as the machine's memory allows by itself."""
    for node in cluster.nodes:
        said = node.run("findmnt --list --noheadings --types tmpfs --output TARGET,OPTIONS", 20, "list tmpfs mounts")
        for line in said.splitlines():
            target, options = line.split(None, 1)
            if not any(option.startswith("size=") for option in options.split(",")):
                raise Failure(f"{node.name}: the tmpfs {target} has no size: {options}")


def web(cluster):
    """Two web servers run; one of them resolves names, reaches both through their service, and answers exec."""
    path = cluster_add_ons.own("web.yaml")
    cluster_add_ons.apply(cluster, path)
    cluster_add_ons.wait_for_workloads(cluster, path)
    pods = sorted(pod["metadata"]["name"] for pod in cluster.objects("pods", "-n", "web", "-l", "app=web"))
    inside = ("exec", "-n", "web", pods[0], "--")
    want("exec", cluster.kubectl(*inside, "busybox", "hostname").strip(), pods[0])
    service = json.loads(cluster.kubectl("get", "service", "web", "-n", "web", "-o", "json"))["spec"]["clusterIP"]
    for name, address in (("kubernetes.default", API_SERVICE), ("web.web", service)):
        said = cluster.kubectl(*inside, "busybox", "nslookup", f"{name}.svc.cluster.local")
        if address not in said.split():
            raise Failure(f"CoreDNS does not resolve {name}.svc.cluster.local to {address} from a pod: {said}")
    # Without wget's own limit of time: Debian's static busybox crashes on -T.
    script = "for i in $(busybox seq 20); do busybox wget -q -O - http://web.web.svc.cluster.local/; done"

    def both_answer():
        seen = sorted(set(cluster.kubectl(*inside, "sh", "-c", script, check=False).split()))
        return seen == pods or f"answers of {seen}"
    steps.wait(30, f"{' and '.join(pods)} to answer behind their service", both_answer)
