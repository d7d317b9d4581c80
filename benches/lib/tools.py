"""What is measured: kthw, the floors and pyinfra, as commands with their environment."""
import json
import os
import subprocess

from workload import HERE, NODES

ROOT = os.path.dirname(HERE)


class Tools:
    """The programs, and one home folder for all of them."""

    def __init__(self, scratch, kthw, floor, venv):
        self.scratch, self.kthw, self.floor, self.venv = scratch, kthw, floor, venv
        self.home = os.path.join(scratch, "controller-home")
        os.makedirs(self.home, exist_ok=True)

    def environment(self, **more):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.home, "LC_ALL": "C.UTF-8", **more}

    def command(self, tool, hosts, workload, count):
        """The command line and environment of `tool` for the first `count` hosts."""
        inventory = hosts.inventory(count)
        if tool == "kthw":
            folder = workload.workspace(hosts, count)
            command = [self.kthw, "run", f"{NODES}/recipe.rhai", "-w", f"{folder}/workspace.yaml", "--yes"]
            return hosts.enter + command, self.environment()
        if tool in ("apply", "batch"):
            command = [self.floor, inventory, os.path.join(workload.scripts, tool), hosts.key, hosts.known_hosts]
            return hosts.enter + command, self.environment()
        command = [f"{self.venv}/bin/pyinfra", "-y", f"{NODES}/inventory.py", f"{NODES}/deploy.py"]
        given = dict(INVENTORY=inventory, KEY=hosts.key, KNOWN_HOSTS=hosts.known_hosts, ROOTS=workload.roots, WORKLOAD=NODES)
        return hosts.enter + command, self.environment(**given)


def build(name, folder, *arguments):
    """Builds one binary in release mode and returns its path."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *arguments], cwd=folder, check=True)
    described = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=folder, check=True, capture_output=True)
    return os.path.join(json.loads(described.stdout)["target_directory"], "release", name)


def pyinfra_venv():
    """A Python environment with pyinfra: the one that KTHW_BENCH_VENV names, else the test peers' one; None where neither has it."""
    peers = os.environ.get("KTHW_PEERS", "/var/cache/kthw-peers")
    places = (os.environ.get("KTHW_BENCH_VENV", ""), f"{peers}/venv")
    return next((venv for venv in places if venv and os.path.exists(f"{venv}/bin/pyinfra")), None)
