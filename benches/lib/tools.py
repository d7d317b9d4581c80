"""What is measured: kthw, the floors and pyinfra, as commands with their environment."""
import os
import subprocess

from workload import HERE, NODES


class Tools:
    """The programs, and one home folder for all of them."""

    def __init__(self, scratch, kthw, floor, venv):
        self.scratch, self.kthw, self.floor, self.venv = scratch, kthw, floor, venv
        self.home = os.path.join(scratch, "controller-home")
        os.makedirs(self.home, exist_ok=True)

    def environment(self, **more):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.home, "LC_ALL": "C.UTF-8", **more}

    def command(self, tool, phase, hosts, workload, count):
        """The command line and environment of `tool` for the first `count` hosts. `phase` is first, settled or plan."""
        inventory = hosts.inventory(count)
        if tool == "kthw":
            how = "--dry-run" if phase == "plan" else "--yes"
            folder = workload.workspace(hosts, count)
            command = [self.kthw, "run", f"{NODES}/recipe.rhai", "-w", f"{folder}/workspace.yaml", how]
            return hosts.enter + command, self.environment()
        if tool in ("apply", "batch"):
            command = [self.floor, inventory, os.path.join(workload.scripts, tool), hosts.key, hosts.known_hosts]
            return hosts.enter + command, self.environment()
        how = ["--dry", "--diff"] if phase == "plan" else ["-y"]
        command = [f"{self.venv}/bin/pyinfra", *how, f"{NODES}/inventory.py", f"{NODES}/deploy.py"]
        given = dict(INVENTORY=inventory, KEY=hosts.key, KNOWN_HOSTS=hosts.known_hosts, ROOTS=workload.roots, WORKLOAD=NODES)
        return hosts.enter + command, self.environment(**given)


def build(name, folder, *arguments):
    """Builds one binary in release mode and returns its path."""
    command = ["cargo", "build", "--release", "--quiet", "--message-format", "short", *arguments]
    subprocess.run(command, cwd=folder, check=True)
    described = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=folder, check=True, capture_output=True)
    import json

    return os.path.join(json.loads(described.stdout)["target_directory"], "release", name)


def pyinfra_venv(scratch):
    """A Python environment with pyinfra: the test peers' one, else one made here."""
    peers = os.environ.get("KTHW_PEERS", "/var/cache/kthw-peers")
    for venv in (os.environ.get("KTHW_BENCH_VENV", ""), f"{peers}/venv", f"{scratch}/venv"):
        if venv and os.path.exists(f"{venv}/bin/pyinfra"):
            return venv
    subprocess.run(["python3", "-m", "venv", f"{scratch}/venv"], check=True)
    subprocess.run([f"{scratch}/venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "pyinfra==3.10.0"], check=True)
    return f"{scratch}/venv"


ROOT = os.path.dirname(HERE)
