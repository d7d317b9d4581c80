"""Add-ons of a cluster: manifests of tests/peers/add-ons, and upstream's own out of the Go module that the program was built from."""
import json
import os
import sys

import steps
import versions
from common import HERE, Failure

FOLDER = os.path.join(HERE, "add-ons")
# What is applied, in this order. MODULE:PATH is a file or folder of that module of tests/peers/go, the rest lies in tests/peers/add-ons.
MANIFESTS = {
    "metallb": ("metallb-0.14.8:config/manifests/metallb-native.yaml", "metallb-pool.yaml"),
    "traefik": ("traefik.yaml",),
    "cert-manager": ("cert-manager:deploy/crds", "cert-manager.yaml"),
    "metrics-server": ("metrics-server.yaml",),
    "local-path": ("local-path.yaml",),
}
GO_MODULES = {"metallb-0.14.8": "go.universe.tf/metallb", "cert-manager": "github.com/cert-manager/cert-manager"}


def manifests(world, name):
    """The paths of an add-on's manifests, all of which exist."""
    if name not in MANIFESTS:
        raise Failure(f"no add-on `{name}`: use {', '.join(MANIFESTS)}")
    found = []
    for manifest in MANIFESTS[name]:
        module, colon, inner = manifest.partition(":")
        if colon:
            path = world.peer("go", "mod", f"{GO_MODULES[module]}@v{versions.version_of(module)}", inner)
            missing = f"{path} is missing: run tests/peers/build {module}, which fetches the module that it lies in"
        else:
            path = own(manifest)
            missing = f"{path} is missing"
        if not os.path.exists(path):
            raise Failure(f"add-on {name}: {missing}")
        found.append(path)
    return found


def own(name):
    """A manifest of tests/peers/add-ons."""
    return os.path.join(FOLDER, name)


def bring(cluster, wanted, say):
    """Applies the add-ons one after the other and waits until their pods run; `say` is told after each."""
    for name in wanted:
        for path in manifests(cluster.world, name):
            apply(cluster, path)
            wait_for_workloads(cluster, path)
        if name == "cert-manager":
            wait_for_injection(cluster)
        if name not in cluster.add_ons:
            cluster.add_ons.append(name)
            cluster.save()
        say(f"add-on {name}")


def apply(cluster, path):
    """Applies a manifest or a folder of them. Kinds are known, and webhooks answer, a little after they were made: so it is tried for a while."""
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
    if os.path.isdir(path):
        return
    found = json.loads(cluster.kubectl("get", "-f", path, "-o", "json"))
    for item in found["items"] if found["kind"] == "List" else [found]:
        if item["kind"] in ("Deployment", "DaemonSet"):
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            steps.wait(seconds, f"{item['kind']} {namespace}/{name} to run", lambda item=item: rolled_out(cluster, item), 1)


def wait_for_injection(cluster):
    """Waits until the API server trusts cert-manager's webhook. The injector may miss a Secret that is made while it starts (seen once in
    ten times), and only looks again when something changes or it starts anew: so it is started anew once."""
    def injected():
        text = cluster.kubectl("get", "validatingwebhookconfiguration", "cert-manager-webhook", "-o", "json", check=False)
        return bool(text) and all(webhook["clientConfig"].get("caBundle") for webhook in json.loads(text)["webhooks"])
    what = "cert-manager's injector to give the webhook's CA to the API server"
    try:
        steps.wait(15, what, injected)
    except Failure:
        print("        cert-manager's injector missed the webhook's CA and is started anew", file=sys.stderr, flush=True)
        cluster.kubectl("rollout", "restart", "deployment", "cert-manager-cainjector", "-n", "cert-manager")
        steps.wait(60, what, injected)


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
