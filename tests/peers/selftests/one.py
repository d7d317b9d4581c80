"""One node made by kubeadm: it runs pods, CoreDNS resolves, a service balances."""
import checks


def prove(test):
    cluster = test.cluster("up", "--control-planes", "1", "--workers", "0", "--version", "1.36.3")
    etcd = checks.versions(cluster, "1.36.3", "3.6")
    checks.web(cluster)
    test.say(f"etcd {etcd['cp1']}, pods, CoreDNS, a service, exec")
    checks.sizes_of_tmpfs(cluster)
    test.say("every tmpfs has a size")
