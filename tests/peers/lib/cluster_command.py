"""`world cluster …`: the commands that make a cluster, look at it and upgrade it."""
import subprocess
import sys

import cluster_add_ons
import memory
from cluster import Cluster
from cluster_upgrade import upgrade
from cluster_node import CONTAINERD
from common import Failure
from steps import Steps


def up(world, options):
    """Makes a cluster of new hosts with kubeadm"""
    add_ons = [name for name in options.add_ons.split(",") if name]
    for name in add_ons:
        cluster_add_ons.manifests(world, name)
    cluster = Cluster(world, options.control_planes, options.workers, options.version, options.containerd)
    with measured(world) as step:
        cluster.up(step.say)
        cluster_add_ons.bring(cluster, add_ons, step.say)
    print(f"KUBECONFIG={cluster.kubeconfig}\nENDPOINT={cluster.endpoint}:6443")


def to_version(world, options):
    """Upgrade the cluster with kubeadm, node after node"""
    cluster = Cluster.load(world)
    print_etcd(cluster, "BEFORE")
    with measured(world) as step:
        seconds = upgrade(cluster, options.version, step.say)
    print_etcd(cluster, "AFTER")
    print("UPGRADE_SECONDS=" + " ".join(f"{name}:{number:.0f}" for name, number in seconds.items()))


def print_etcd(cluster, when):
    print(f"ETCD_{when}=" + " ".join(f"{name}:{version}" for name, version in cluster.etcd_versions().items()), flush=True)


def add_ons(world, options):
    """Install add-ons on the cluster"""
    with measured(world) as step:
        cluster_add_ons.bring(Cluster.load(world), options.names, step.say)


def status(world, _):
    """Show versions, nodes, pods and what the world's memory is"""
    cluster = Cluster.load(world)
    print(f"VERSION={cluster.version}\nENDPOINT={cluster.endpoint}:6443\nADD_ONS={','.join(cluster.add_ons)}\nKUBECONFIG={cluster.kubeconfig}")
    print(f"ETCD={' '.join(f'{name}:{version}' for name, version in cluster.etcd_versions().items())}\nMEMORY_MIB={memory.now_mib(world)}", flush=True)
    sys.exit(subprocess.run(cluster.kubectl_argv("--request-timeout=20s", "get", "nodes,pods", "-A", "-o", "wide"), check=False).returncode)


def kubectl(world, options):
    """Run kubectl of the cluster's version inside the world, as its administrator"""
    sys.exit(subprocess.run(Cluster.load(world).kubectl_argv(*options.command), check=False).returncode)


class measured:  # noqa: N801: used like a function
    """Steps with their seconds, and at the end the sum and the peak of the world's memory."""

    def __init__(self, world):
        self.world = world

    def __enter__(self):
        self.steps, self.peak = Steps(), memory.Peak(self.world)
        return self.steps

    def __exit__(self, kind, *_):
        mib = self.peak.end()
        print(f"SECONDS={self.steps.seconds():.0f}\nPEAK_MEMORY_MIB={mib}", flush=True)
        if kind is None and mib > memory.LIMIT_MIB:
            raise Failure(f"the world took {mib} MiB of memory, more than the {memory.LIMIT_MIB} that it may take")


def add_arguments(verbs):
    """Adds `cluster` and its verbs to the command line."""
    parts = verbs.add_parser("cluster", help="a Kubernetes cluster of the world's hosts").add_subparsers(dest="part", required=True)
    make = parts.add_parser("up", help=up.__doc__)
    make.add_argument("--control-planes", type=int, default=1, help="with more than one, NGINX on a host of its own stands in front")
    make.add_argument("--workers", type=int, default=1)
    make.add_argument("--version", default="1.36.3", help="1.36.3 or 1.37.2")
    make.add_argument("--containerd", choices=sorted(CONTAINERD), default="io", help="io: containerd.io from the world's repository; debian: Debian's own")
    make.add_argument("--add-ons", default="", metavar="NAME,…", help=f"any of {', '.join(cluster_add_ons.MANIFESTS)}")
    make.set_defaults(deed=up)
    step = parts.add_parser("upgrade", help=to_version.__doc__)
    step.add_argument("--version", required=True)
    step.set_defaults(deed=to_version)
    more = parts.add_parser("add-ons", help=add_ons.__doc__)
    more.add_argument("names", nargs="+", metavar="NAME")
    more.set_defaults(deed=add_ons)
    parts.add_parser("status", help=status.__doc__).set_defaults(deed=status)
    run = parts.add_parser("kubectl", help=kubectl.__doc__)
    run.add_argument("command", nargs="...", metavar="-- ARGUMENT")
    run.set_defaults(deed=kubectl)
