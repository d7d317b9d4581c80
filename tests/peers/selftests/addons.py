"""What runs on a cluster: an address of MetalLB answered by ARP, Traefik behind it, TLS with a certificate of cert-manager's own CA."""
import base64
import json
import subprocess

import checks
import cluster_add_ons
import steps
from common import Failure, run

NAME = "web.example.net"
# Without metrics-server: it is Ready only once it knows the memory of pods, which kubelets learn from a cgroup controller that hosts lack.
ADD_ONS = ("metallb", "traefik", "cert-manager")


def prove(test):
    cluster = test.cluster("up", "--control-planes", "1", "--workers", "1", "--version", "1.36.3", "--add-ons", ",".join(ADD_ONS))
    checks.web(cluster)
    test.say("pods, CoreDNS, a service, exec")
    address = traefik_address(cluster)
    answered = who_answers(cluster, address)
    test.say(f"MetalLB gave Traefik {address}; ARP is answered by {answered}")
    steps.wait(60, "Traefik's /ping", lambda: curl(cluster, f"http://{address}/ping") == "OK")
    cluster_add_ons.apply(cluster, cluster_add_ons.own("issuer.yaml"))
    authority = certificate_authority(cluster)
    test.say("Traefik answers /ping; cert-manager issued a certificate of a CA of its own")
    through_tls(cluster, address, authority)
    test.say(f"https://{NAME}/ through Ingress, the certificate verified with that CA; both pods answered")
    checks.sizes_of_tmpfs(cluster)
    test.say("every tmpfs has a size, those of pods too")


def curl(cluster, *arguments):
    """The answer's body; on a failure a text that begins with `curl:`."""
    done = subprocess.run(cluster.inside("curl", "-sS", "--fail", "--max-time", "5", *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def traefik_address(cluster):
    """The address of the only service of type LoadBalancer."""
    found = ""

    def given():
        nonlocal found
        services = cluster.objects("services", "-A") or []
        given = [entry.get("ip") for service in services if service["spec"]["type"] == "LoadBalancer" for entry in service["status"]["loadBalancer"].get("ingress", [])]
        found = given[0] if len(given) == 1 else ""
        return bool(found) or f"addresses {given}"
    steps.wait(60, "MetalLB to give Traefik an address", given)
    return found


def who_answers(cluster, address):
    """The node whose network card answers ARP requests for the address, as the world's namespace sees it."""
    world = cluster.world
    cards = {json.loads(run("ip", "-n", node.host.netns, "-j", "link", "show", "eth0"))[0]["address"]: node.name for node in cluster.nodes}
    name = ""

    def answered():
        nonlocal name
        run("ip", "-n", world.netns, "neighbour", "flush", "to", address, check=False)
        curl(cluster, f"http://{address}/")
        entries = json.loads(run("ip", "-n", world.netns, "-j", "neighbour", "show", "to", address) or "[]")
        name = next((cards.get(entry.get("lladdr"), "") for entry in entries), "")
        return bool(name) or f"neighbours {entries}"
    steps.wait(60, f"a node to answer ARP for {address}", answered)
    return name


def certificate_authority(cluster):
    """The file of the CA that cert-manager made, once the certificate for the name is there."""
    found = ""

    def issued():
        nonlocal found
        text = cluster.kubectl("get", "secret", "web-tls", "-n", "web", "-o", "json", check=False)
        found = json.loads(text)["data"].get("ca.crt", "") if text else ""
        return bool(found)
    steps.wait(90, f"cert-manager to issue a certificate for {NAME}", issued, 1)
    path = cluster.world.path("cluster", "authority.pem")
    with open(path, "wb") as file:
        file.write(base64.b64decode(found))
    return path


def through_tls(cluster, address, authority):
    """Both web servers answer through Traefik under their name, and nothing answers under another."""
    pods = {pod["metadata"]["name"] for pod in cluster.objects("pods", "-n", "web", "-l", "app=web")}
    seen = set()

    def both():
        seen.add(curl(cluster, "--cacert", authority, "--resolve", f"{NAME}:443:{address}", f"https://{NAME}/").strip())
        return pods <= seen or f"answers {seen}"
    steps.wait(60, f"both pods to answer at https://{NAME}/", both)
    other = curl(cluster, "--insecure", "--resolve", f"other.example.net:443:{address}", "https://other.example.net/")
    if "404" not in other:
        raise Failure(f"https://other.example.net/ should be unknown to Traefik, but it answered {other!r}")
