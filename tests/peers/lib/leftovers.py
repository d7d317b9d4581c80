"""What a world that was taken down may have left behind: processes, mounts, namespaces, cgroups, files."""
import os

import common
from common import run


def found(world):
    """A text for each thing that is still there; empty when all is gone."""
    prefix = f"{world.name}-h"
    ours = [entry for entry in listed("/run/netns") if entry == world.netns or entry.startswith(prefix)]
    left = [f"namespace {entry}" for entry in ours]
    for root in common.cgroup_roots():
        left += [f"cgroup {root}/{entry}" for entry in listed(root) if entry.startswith(prefix)]
    left += [f"mount {line.split()[4]}" for line in lines("/proc/self/mountinfo") if world.folder in line or f"/netns/{world.name}" in line]
    left += [f"process {pid} {command}" for pid, command in processes(world)]
    if os.path.exists(world.folder):
        left.append(f"folder {world.folder}: {', '.join(listed(world.folder))}")
    # The world's side of a host's cable would be here if its namespace went first.
    left += [f"link {entry}" for entry in run("ip", "-o", "link").splitlines() if f"link-netns {world.name}" in entry]
    return left


def listed(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def processes(world):
    """Processes that were started for this world: its folder is in their environment or on their command line."""
    marks = (f"KTHW_WORLD={world.folder}\0".encode(), f"{world.folder}/".encode())
    for entry in listed("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                environ = file.read() + b"\0"
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read()
        except OSError:
            continue
        if marks[0] in environ or marks[1] in command:
            yield int(entry), command.replace(b"\0", b" ").decode(errors="replace").strip()
