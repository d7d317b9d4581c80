"""The workload's data: fresh trees of the hosts, what each tool is given, and the digest of what it made."""
import os
import shutil
import subprocess

import fleet

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NODES = os.path.join(HERE, "nodes")

WORKSPACE = """\
# {count} machines for benches/run.
name: nodes
domain: bench.test
release_letter: b
distribution: debian

versions:
  kubernetes: 1.30.8
  calico: 3.28.0

network:
  nodes: {network}
  gateway: {gateway}
  pods: 10.244.0.0/16
  services: 10.96.0.0/12

ssh:
  user: root
  key_file: {key}

values:
  roots: {roots}

nodes:
"""
NODE = "  - {{ name: {name}, role: {role}, address: {address}, port: {port}, values: {{ number: {number} }} }}\n"


class Workload:
    """The trees and scripts of one benchmark, below one scratch folder."""

    def __init__(self, scratch, count, python):
        self.scratch, self.count = scratch, count
        self.roots = os.path.join(scratch, "hosts")
        self.scripts = os.path.join(scratch, "scripts")
        rendered = os.path.join(scratch, "rendered")
        subprocess.run([python, f"{HERE}/lib/render.py", f"{NODES}/templates", rendered, str(count)], check=True)
        subprocess.run([f"{HERE}/lib/floor-scripts.sh", self.roots, rendered, self.scripts, str(count)], check=True)

    def reset(self, count):
        """Gives the first `count` hosts a fresh tree."""
        for number in range(1, count + 1):
            root = os.path.join(self.roots, fleet.host_name(number))
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(f"{NODES}/skel", root)
            for folder in ("etc/modules-load.d", "etc/sysctl.d", "etc/containerd", "etc/systemd/system/kubelet.service.d",
                           "var/lib/kubelet", "var/lib/kthw", "usr/local/bin", "opt/k8s/v1.34"):
                os.makedirs(f"{root}/{folder}")
            for program in ("kubeadm", "kubelet", "kubectl"):
                with open(f"{root}/opt/k8s/v1.34/{program}", "w") as file:
                    file.write((program * 65536)[:65536])

    def digest(self, count, times=False):
        """What verify.sh says about the first `count` hosts."""
        command = [f"{HERE}/lib/verify.sh", self.roots, str(count), *(["times"] if times else [])]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def workspace(self, hosts, count):
        """A folder with a workspace.yaml that names the first `count` hosts."""
        # Alone in its parent folder: workspaces side by side must not share addresses.
        folder = os.path.join(self.scratch, f"workspaces-{hosts.hosts[0][1]}-{count}", "nodes")
        os.makedirs(folder, exist_ok=True)
        network = hosts.hosts[0][1].rsplit(".", 1)[0]
        text = WORKSPACE.format(count=count, network=f"{network}.0/24", gateway=f"{network}.1", key=hosts.key, roots=self.roots)
        for number, (name, address, port) in enumerate(hosts.hosts[:count], 1):
            role = "control_plane" if number == 1 else "worker"
            text += NODE.format(name=name, role=role, address=address, port=port, number=number)
        with open(f"{folder}/workspace.yaml", "w") as file:
            file.write(text)
        return folder
