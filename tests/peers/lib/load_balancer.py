"""NGINX on a host of its own, which passes connections on to the API servers of several control planes."""
import textwrap

from cluster_node import APT_INSTALL, Node

NUMBER = 9  # 10.77.0.19

# One after the other, because a server that hangs has the fewest connections and least_conn would ask it again and again.
# Taking the next server must not take NGINX's default of a minute, and a watch may be silent for long.
STREAM = """\
stream {{
    upstream kubernetes {{
{servers}
    }}
    server {{
        listen 6443;
        proxy_pass kubernetes;
        proxy_connect_timeout 1s;
        proxy_timeout 24h;
    }}
}}
"""


def configuration(addresses):
    servers = "\n".join(f"server {address}:6443 max_fails=3 fail_timeout=10s;" for address in addresses)
    return STREAM.format(servers=textwrap.indent(servers, " " * 8))


def bring_up(world, addresses):
    """Boots the host and starts NGINX on it; the servers need not be there yet. Returns the address to use."""
    node = Node(world, "lb", NUMBER)
    node.boot()
    node.run(f"apt-get update -qq && {APT_INSTALL} nginx libnginx-mod-stream", 180, "install nginx")
    node.host.write("etc/nginx/kubernetes.conf", configuration(addresses))
    node.run("rm -f /etc/nginx/sites-enabled/default\n"
             "grep -q kubernetes.conf /etc/nginx/nginx.conf || echo 'include /etc/nginx/kubernetes.conf;' >>/etc/nginx/nginx.conf\n"
             "nginx -t && systemctl restart nginx", 30, "start nginx")
    return node.address
