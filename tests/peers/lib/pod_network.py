"""The bridge plugin as a host's pod network, for clusters that nobody brings a network to. It takes the place of a real data plane.

Pods have the addresses of their node's podCIDR, as the cluster gave it out: whoever routes by node.spec.podCIDR agrees with it.
"""
import json

from common import run

FILE = "etc/cni/net.d/10-bridge.conflist"


def configuration(pods):
    """The plugin's configuration for a host whose pods are in the network `pods`."""
    return json.dumps({
        "cniVersion": "0.4.0", "name": "bridge", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
             "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}}]}, indent=1)


def bring(host, pods):
    """Gives a running host the bridge, and the world's namespace, over which hosts reach each other's pods, the route to it."""
    host.write(FILE, configuration(pods))
    run("ip", "-n", host.world.netns, "route", "replace", pods, "via", host.address)
