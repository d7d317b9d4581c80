"""A Kubernetes cluster of a world's hosts, made by kubeadm: control planes are hosts 1 to N, workers come after them.

With several control planes NGINX stands in front, on host 9. What the cluster is made of lies in the world's folder, so that later commands
find it again.
"""
import json
import os
import subprocess

import common
import kubeadm
import load_balancer
import pod_network
import steps
import versions
from cluster_node import CONTAINERD, REGISTRY, Node, kubernetes_packages
from common import Failure

MOST_HOSTS = load_balancer.NUMBER - 1


class Cluster:
    """The nodes, the version that they run, and the way to the API server."""

    def __init__(self, world, control_planes, workers, version, containerd="io", add_ons=()):
        if control_planes < 1 or control_planes + workers > MOST_HOSTS:
            raise Failure(f"{control_planes} control planes and {workers} workers: a cluster has at least one control plane and at most {MOST_HOSTS} nodes")
        if containerd not in CONTAINERD:
            raise Failure(f"containerd `{containerd}`: use one of {', '.join(CONTAINERD)}")
        self.world, self.version, self.containerd, self.add_ons = world, version, containerd, list(add_ons)
        self.control_planes = [Node(world, f"cp{number}", number) for number in range(1, control_planes + 1)]
        self.workers = [Node(world, f"w{number}", control_planes + number) for number in range(1, workers + 1)]
        balanced = control_planes > 1
        self.endpoint = f"{common.PREFIX}{common.FIRST_HOST + load_balancer.NUMBER}" if balanced else self.control_planes[0].address

    @property
    def nodes(self):
        return self.control_planes + self.workers

    # ---------------------------------------------------------------- kept in the world's folder

    @staticmethod
    def load(world):
        """The cluster that was made in this world before."""
        try:
            with open(world.path("cluster", "cluster.json"), encoding="utf-8") as file:
                return Cluster(world, **json.load(file))
        except FileNotFoundError:
            raise Failure(f"the world `{world.name}` has no cluster: run `world cluster up`") from None

    def save(self):
        kept = {"control_planes": len(self.control_planes), "workers": len(self.workers), "version": self.version,
                "containerd": self.containerd, "add_ons": self.add_ons}
        with open(self.world.path("cluster", "cluster.json"), "w", encoding="utf-8") as file:
            json.dump(kept, file)

    # ---------------------------------------------------------------- making it

    def up(self, say):
        """Makes the cluster. `say` is told after each step."""
        if not os.path.exists(f"/run/netns/{self.world.netns}"):
            raise Failure(f"the world `{self.world.name}` is not up: run `world up` first")
        on_disk(self.world.folder)
        os.makedirs(self.world.path("cluster"), exist_ok=True)
        balanced = [lambda: load_balancer.bring_up(self.world, [node.address for node in self.control_planes])] if len(self.control_planes) > 1 else []
        steps.side_by_side(balanced + [lambda node=node: self.prepare(node) for node in self.nodes])
        say(f"{len(self.nodes)} hosts booted, packages {self.version} and containerd ({CONTAINERD[self.containerd]}) installed"
            + (", NGINX in front" if balanced else ""))
        made_up = kubeadm.new_secrets()
        first, *others = self.control_planes
        kubeadm.init(first, self.version, self.endpoint, made_up)
        self.keep_kubeconfig()
        self.save()
        self.connect(first)
        say(f"kubeadm init on {first.name}")
        if self.workers:
            steps.side_by_side([lambda node=node: self.add(node, made_up, False) for node in self.workers])
            say(f"kubeadm join of {', '.join(node.name for node in self.workers)}")
        else:
            # A cluster of control planes alone runs pods on them.
            self.kubectl("taint", "nodes", first.name, "node-role.kubernetes.io/control-plane:NoSchedule-")
        for node in others:
            self.add(node, made_up, True)
            say(f"kubeadm join of control plane {node.name}")
        self.wait_until_settled()
        say(f"{len(self.nodes)} nodes and the system's pods are Ready")

    def prepare(self, node):
        node.boot()
        pause = next(f"{REGISTRY}/{image.reference}" for image in versions.images() if image.repository == "pause")
        node.install(self.containerd, kubernetes_packages(self.version), pause)

    def add(self, node, made_up, control_plane):
        kubeadm.join(node, self.endpoint, made_up, control_plane)
        self.connect(node)

    def connect(self, node):
        """Gives the node the pod network that the cluster planned for it."""
        pods = ""

        def planned():
            nonlocal pods
            pods = self.kubectl("get", "node", node.name, "-o", "jsonpath={.spec.podCIDR}", check=False).strip()
            return pods.endswith("/24") or (pods or "no podCIDR")
        steps.wait(60, f"the controller manager to give {node.name} a pod network", planned)
        pod_network.bring(node.host, pods)

    def keep_kubeconfig(self):
        path = self.world.path("cluster", "admin.conf")
        with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(self.control_planes[0].read("/etc/kubernetes/admin.conf"))

    # ---------------------------------------------------------------- asking it

    @property
    def kubeconfig(self):
        return self.world.path("cluster", "admin.conf")

    def program(self, name):
        """A program of the cache's `bin`."""
        path = self.world.peer("bin", name)
        if not os.path.exists(path):
            raise Failure(f"{path} is missing: run tests/peers/install kubernetes")
        return path

    def inside(self, *argv):
        """The argv that runs a command in the world's network namespace."""
        return ["nsenter", f"--net=/run/netns/{self.world.netns}", *argv]

    def kubectl_argv(self, *arguments):
        minor = self.version.rsplit(".", 1)[0]
        return self.inside(self.program(f"kubectl-{minor}"), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.world.path('cluster', 'cache')}", *arguments)

    def kubectl(self, *arguments, check=True, seconds=60, data=None):
        """Runs kubectl and returns what it printed; without `check` nothing when it failed."""
        try:
            done = subprocess.run(self.kubectl_argv(*arguments), input=data, stdin=None if data else subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            if check:
                raise Failure(f"kubectl {' '.join(arguments)}: waited {seconds} s") from None
            return ""
        if done.returncode != 0:
            if check:
                raise Failure(f"kubectl {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
            return ""
        return done.stdout

    def objects(self, *arguments):
        """What `kubectl get … -o json` lists, or None when the API server did not answer."""
        text = self.kubectl("get", *arguments, "-o", "json", check=False)
        return json.loads(text)["items"] if text else None

    def etcd_versions(self):
        """Node name -> the version that its etcd says it has."""
        pki = os.path.join(self.control_planes[0].host.root, "etc/kubernetes/pki/etcd")
        found = {}
        for node in self.control_planes:
            said = common.run(*self.inside(self.program("etcdctl"), f"--endpoints=https://{node.address}:2379", f"--cacert={pki}/ca.crt",
                                           f"--cert={pki}/healthcheck-client.crt", f"--key={pki}/healthcheck-client.key", "--command-timeout=10s",
                                           "endpoint", "status", "-w", "json"))
            found[node.name] = json.loads(said)[0]["Status"]["version"]
        return found

    def wait_until_settled(self, seconds=180):
        """Waits until every node runs this version and is Ready, and every pod of kube-system too."""
        steps.wait(seconds, f"{len(self.nodes)} nodes to be Ready with {self.version}", lambda: nodes_settled(self.objects("nodes"), len(self.nodes), self.version), 1)
        # CoreDNS comes last, and a list of pods without it looks complete.
        steps.wait(seconds, "CoreDNS to run", lambda: self.kubectl("get", "deployment", "coredns", "-n", "kube-system", "-o", "jsonpath={.status.readyReplicas}", check=False) == "2", 1)
        steps.wait(seconds, "the pods of kube-system to be Ready", lambda: pods_ready(self.objects("pods", "-n", "kube-system")), 1)

    def wait_for_pods(self, namespace, seconds, selector=None):
        chosen = ["-l", selector] if selector else []
        what = f"the pods {selector or ''} of {namespace} to be Ready".replace("  ", " ")
        steps.wait(seconds, what, lambda: pods_ready(self.objects("pods", "-n", namespace, *chosen)), 1)


def condition(thing, kind):
    return any(one["type"] == kind and one["status"] == "True" for one in thing.get("status", {}).get("conditions", []))


def nodes_settled(nodes, count, version):
    """True, or a text that says which nodes are not yet as they should be."""
    if nodes is None:
        return "no answer"
    odd = [f"{node['metadata']['name']} {node['status']['nodeInfo']['kubeletVersion']}" + ("" if condition(node, "Ready") else " not Ready") for node in nodes
           if not condition(node, "Ready") or node["status"]["nodeInfo"]["kubeletVersion"] != f"v{version}"]
    if odd or len(nodes) != count:
        return f"{len(nodes)} nodes" + (": " + ", ".join(odd) if odd else "")
    return True


def pods_ready(pods):
    """True, or a text that names the pods that are not Ready; pods that have done their work count as ready."""
    if pods is None:
        return "no answer"
    odd = [f"{pod['metadata']['name']} {pod['status'].get('phase')}" for pod in pods if pod["status"].get("phase") != "Succeeded" and not condition(pod, "Ready")]
    return ", ".join(odd) or (True if pods else "no pods")


def on_disk(folder):
    """Refuses a world whose disks would be memory."""
    kind = common.run("stat", "--file-system", "--format=%T", folder).strip()
    if kind in ("tmpfs", "ramfs"):
        raise Failure(f"{folder} lies in memory ({kind}), and a cluster's hosts write gigabytes: set KTHW_WORLD or TMPDIR to a folder on disk")
