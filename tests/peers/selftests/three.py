"""Three control planes behind NGINX on a host of its own, and a worker; one control plane may vanish."""
import checks
import steps


def build(test):
    return test.cluster("up", "--control-planes", "3", "--workers", "1", "--version", "1.36.3")


def prove(test):
    cluster = build(test)
    etcd = checks.versions(cluster, "1.36.3", "3.6")
    checks.web(cluster)
    checks.sizes_of_tmpfs(cluster)
    test.say(f"etcd on {', '.join(etcd)}; pods, CoreDNS, a service, exec")
    # With its network gone NGINX must find out by itself; two of three are enough for etcd.
    last = cluster.control_planes[-1]
    network(last, "down")
    try:
        steps.wait(60, f"the API server to answer ten times without {last.name}", lambda: all(cluster.kubectl("get", "--raw", "/readyz", check=False) == "ok" for _ in range(10)))
        cluster.kubectl("create", "configmap", "without-one", "-n", "default")
    finally:
        network(last, "up")
    test.say(f"reads and writes through NGINX without {last.name}")
    cluster.wait_until_settled()
    checks.versions(cluster, "1.36.3", "3.6")
    test.say(f"{last.name} is back, its etcd answers")


def network(node, state):
    """Pulls the host's cable, or puts it back: the port of the world's bridge."""
    world = node.host.world
    steps.common.run("ip", "-n", world.netns, "link", "set", f"h{node.host.number}", state)
