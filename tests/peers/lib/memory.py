"""How much memory a world takes: what its processes hold (proportional set size) and what lies in its hosts' tmpfs, and the peak of it."""
import contextlib
import os
import threading
import time

import common
import host as hosts

# What a world may take at most; a machine that runs the tests has 8 GB.
LIMIT_MIB = 6 * 1024
EVERY_SECONDS = 3


def running_hosts(world):
    """The hosts of a world that run."""
    with contextlib.suppress(FileNotFoundError):
        numbers = sorted(int(entry) for entry in os.listdir(world.path("hosts")) if entry.isdigit())
        return [host for host in (hosts.Host(world, number) for number in numbers) if host.running()]
    return []


def pids(world):
    """Every process of the world: those in its hosts' cgroups, and its own daemons."""
    found = set()
    for host in running_hosts(world):
        for folder, _, _ in os.walk(host.cgroup):
            with contextlib.suppress(OSError):
                with open(os.path.join(folder, "cgroup.procs"), encoding="utf-8") as file:
                    found |= {int(line) for line in file}
        found.add(common.read_pid(host.path("supervisor.pid")))
    found |= {common.read_pid(world.path(f"{name}.pid")) for name in ("serve", "pve")}
    return found - {None}


def proportional_kib(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    return 0


def tmpfs_kib(host):
    """What the host's own tmpfs hold; those of its pods are bounded by the kubelet."""
    total = 0
    for point in ("run", "dev/shm"):
        with contextlib.suppress(OSError):
            state = os.statvfs(f"/proc/{host.leader()}/root/{point}")
            total += (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
    return total


def now_mib(world):
    """What the world takes now."""
    total = sum(proportional_kib(pid) for pid in pids(world)) + sum(tmpfs_kib(host) for host in running_hosts(world))
    return total // 1024


class Peak:
    """Looks every few seconds, in a thread of its own, until `end`. `mib` is the highest that it saw."""

    def __init__(self, world):
        self.world, self.mib = world, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.ended.is_set():
            begin = time.monotonic()
            with contextlib.suppress(common.Failure):
                self.mib = max(self.mib, now_mib(self.world))
            # A machine under load is asked less often: the look itself costs a little.
            self.ended.wait(EVERY_SECONDS + 5 * (time.monotonic() - begin))

    def end(self):
        self.ended.set()
        self.thread.join()
        return self.mib
