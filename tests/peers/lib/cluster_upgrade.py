"""Upgrade of a cluster to the next minor version, as kubeadm's own guide does it: control planes one by one, then the workers."""
import time

import steps
from cluster import nodes_settled
from cluster_node import APT_INSTALL, kubernetes_packages
from common import Failure

INSTALL = f"apt-get update -qq\n{APT_INSTALL} {{packages}}\n"
RESTART = "systemctl daemon-reload\nsystemctl restart kubelet\n"
# Why SystemVerification is left out: see kubeadm.py.
IGNORE = "--ignore-preflight-errors=SystemVerification"
# kubeadm waits at most five minutes for each of four static pods; here a node takes three minutes under load.
NODE_SECONDS = 900


def upgrade(cluster, version, say):
    """Upgrades every node; `say` is told the seconds of each. Returns node name -> seconds."""
    check_skew(cluster.version, version)
    before = cluster.version
    kubelet, kubeadm, kubectl = kubernetes_packages(version)
    seconds = {}
    for number, node in enumerate(cluster.nodes):
        begin = time.monotonic()
        verb = f"apply v{version} --yes" if number == 0 else "node"
        node.run(INSTALL.format(packages=kubeadm), 180, f"install {kubeadm}")
        node.run(f"kubeadm upgrade {verb} {IGNORE}", NODE_SECONDS, f"kubeadm upgrade {verb}")
        node.run(INSTALL.format(packages=f"{kubelet} {kubectl}") + RESTART, 180, f"install {kubelet}")
        wait_for_node(cluster, node, version)
        seconds[node.name] = time.monotonic() - begin
        say(f"{node.name}: {before} -> {version}")
    cluster.version = version
    cluster.save()
    cluster.wait_until_settled()
    say("every node and the system's pods are Ready")
    return seconds


def wait_for_node(cluster, node, version):
    def settled():
        found = cluster.objects("nodes", "--field-selector", f"metadata.name={node.name}")
        return nodes_settled(found, 1, version)
    steps.wait(120, f"{node.name} to be Ready with {version}", settled, 1)


def check_skew(before, after):
    """kubeadm goes up one minor version at a time."""
    old, new = ([int(part) for part in text.split(".")] for text in (before, after))
    if old[0] != new[0] or new[1] not in (old[1], old[1] + 1) or new <= old:
        raise Failure(f"{before} cannot be upgraded to {after}: use a later patch, or the next minor version")
