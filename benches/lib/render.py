"""Renders nodes/templates for hosts 1..N into DIR/<host>/ (run with the Python that has Jinja, which is pyinfra's).

The floors send these results, so that their timings hold no template engine at all.
Usage: render.py TEMPLATES DIR N
"""
import os
import sys

import jinja2

templates, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
environment = jinja2.Environment(loader=jinja2.FileSystemLoader(templates), trim_blocks=True, keep_trailing_newline=True)
for number in range(1, count + 1):
    name = f"h{number:02d}"
    values = dict(
        node_name=name,
        node_ip=f"10.20.0.{number}",
        pod_cidr=f"10.244.{number}.0/24",
        cluster_dns="10.96.0.10",
        cluster_domain="cluster.local",
        pause_image="registry.k8s.io/pause:3.10",
        kernel_modules=["overlay", "br_netfilter", "nf_conntrack", "ip_vs"],
        sysctls=[
            ["net.bridge.bridge-nf-call-iptables", 1],
            ["net.bridge.bridge-nf-call-ip6tables", 1],
            ["net.ipv4.ip_forward", 1],
            ["vm.overcommit_memory", 1],
            ["kernel.panic", 10],
            ["fs.inotify.max_user_watches", 524288],
        ],
        mirrors=[
            dict(name=host, url="https://mirror.lan/" + path)
            for host, path in (("docker.io", "docker"), ("registry.k8s.io", "k8s"), ("quay.io", "quay"))
        ],
    )
    os.makedirs(f"{target}/{name}", exist_ok=True)
    for template in environment.list_templates():
        with open(f"{target}/{name}/{template[:-3]}", "w") as file:
            file.write(environment.get_template(template).render(**values))
