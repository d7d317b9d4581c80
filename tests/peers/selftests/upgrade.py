"""Upgrade from 1.36 to 1.37 of three control planes and a worker, while a client writes through NGINX all the time."""
import checks
import three
from cluster import Cluster
from common import Failure
from writer import Writer

# NGINX learns only from connections that fail, and an API server that starts refuses writes for some seconds.
LONGEST_GAP_SECONDS = 20


def prove(test):
    try:
        cluster = Cluster.load(test.world)
    except Failure:
        cluster = three.build(test)
    before = checks.versions(cluster, "1.36.3", "3.6")
    writer = Writer(test.world, cluster).start()
    try:
        cluster = test.cluster("upgrade", "--version", "1.37.2")
    finally:
        writer.end()
    print(writer.report(), flush=True)
    after = checks.versions(cluster, "1.37.2", "3.7")
    checks.web(cluster)
    test.say(f"etcd {'/'.join(sorted(set(before.values())))} -> {'/'.join(sorted(set(after.values())))}; pods, CoreDNS, a service, exec")
    if writer.longest > LONGEST_GAP_SECONDS:
        raise Failure(f"nothing could be written for {writer.longest:.1f} s, longer than {LONGEST_GAP_SECONDS}")
