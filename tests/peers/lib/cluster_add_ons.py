"""Add-ons of a cluster: the manifests of tests/peers/add-ons, applied and waited for. MetalLB also gets addresses of the world's network."""
import json
import os

import steps
from common import HERE, Failure

FOLDER = os.path.join(HERE, "add-ons")
# What MetalLB gives out: above the hosts, which end at 10.77.0.210.
POOL = "10.77.0.220-10.77.0.229"
UPSTREAM_METALLB = "manifests/metallb/v0.14.8/metallb-native.yaml"


def names():
    """The add-ons that there are."""
    found = {entry[:-len(".yaml")] for entry in os.listdir(FOLDER) if entry.endswith(".yaml")} if os.path.isdir(FOLDER) else set()
    return sorted(found | {"metallb"})


def manifest(world, name):
    """The add-on's manifest: one of ours, or upstream's own from KTHW_TEST_DATA."""
    candidates = [os.path.join(FOLDER, f"{name}.yaml")]
    if name == "metallb" and world.data:
        candidates.insert(0, os.path.join(world.data, UPSTREAM_METALLB))
    for path in candidates:
        if os.path.exists(path):
            return path
    raise Failure(f"no manifest for the add-on `{name}`: looked for {', '.join(candidates)}; there are {', '.join(names())}")


def bring(cluster, wanted, say):
    """Applies the add-ons one after the other and waits until their pods run; `say` is told after each."""
    for name in wanted:
        path = manifest(cluster.world, name)
        apply(cluster, path)
        wait_for_workloads(cluster, path)
        if name == "metallb":
            give_addresses(cluster)
        if name not in cluster.add_ons:
            cluster.add_ons.append(name)
            cluster.save()
        say(f"add-on {name}")


def apply(cluster, path):
    """Applies a manifest. Its first objects may be the kinds of its last ones, so it is tried again for a while."""
    last = ""

    def applied():
        nonlocal last
        try:
            cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", path, seconds=90)
            return True
        except Failure as failure:
            last = str(failure).strip().splitlines()[-1]
            return last
    steps.wait(60, f"{os.path.basename(path)} to be accepted", applied, 2)


def wait_for_workloads(cluster, path, seconds=180):
    """Waits until every Deployment and DaemonSet of a manifest has its pods ready."""
    found = json.loads(cluster.kubectl("get", "-f", path, "-o", "json"))
    items = found["items"] if found["kind"] == "List" else [found]
    for item in items:
        if item["kind"] in ("Deployment", "DaemonSet"):
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            steps.wait(seconds, f"{item['kind']} {namespace}/{name} to run", lambda item=item: rolled_out(cluster, item), 1)


def rolled_out(cluster, item):
    """True, or a text with how many pods are ready."""
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    text = cluster.kubectl("get", item["kind"].lower(), name, "-n", namespace, "-o", "json", check=False)
    if not text:
        return "no answer"
    now = json.loads(text)
    status = now["status"]
    if item["kind"] == "DaemonSet":
        ready, wanted = status.get("numberReady", 0), status.get("desiredNumberScheduled", 0)
    else:
        ready, wanted = status.get("readyReplicas", 0), now["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= now["metadata"]["generation"]
    return True if seen and wanted and ready == wanted else f"{ready} of {wanted} pods ready"


def give_addresses(cluster):
    """A pool and layer 2; MetalLB's webhook answers a little after its pod is ready."""
    meta = {"name": "world", "namespace": "metallb-system"}
    objects = [{"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": meta, "spec": {"addresses": [POOL]}},
               {"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": meta, "spec": {"ipAddressPools": ["world"]}}]
    path = cluster.world.path("cluster", "pool.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": objects}, file)
    apply(cluster, path)
