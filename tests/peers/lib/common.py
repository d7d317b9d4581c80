"""Shared by the Python scripts of tests/peers: the world's settings, commands with clear failures, processes by pid file."""
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

GATEWAY = "10.77.0.1"
PREFIX = "10.77.0."
FIRST_HOST = 10  # host N has the address 10.77.0.(10+N)
LAST_HOST = 200
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLONE_NEWNET = 0x40000000


class Failure(Exception):
    """A deed that could not be done; its text goes to the user."""


class World:
    """Where a world lives: its name (prefix of every namespace), its scratch folder, the cache of peers."""

    def __init__(self, environ=os.environ):
        self.name = environ.get("KTHW_WORLD_NAME", "kthw")
        if not self.name.replace("-", "").isalnum() or len(self.name) > 20:
            raise Failure(f"KTHW_WORLD_NAME={self.name}: use at most 20 letters, digits and dashes")
        default = os.path.join(environ.get("TMPDIR", "/tmp"), f"kthw-world-{self.name}")
        self.folder = os.path.abspath(environ.get("KTHW_WORLD") or default)
        self.peers = os.path.abspath(environ.get("KTHW_PEERS", "/var/cache/kthw-peers"))
        self.data = environ.get("KTHW_TEST_DATA", "")

    @property
    def netns(self):
        return self.name

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def peer(self, *parts):
        return os.path.join(self.peers, *parts)

    def environment(self):
        """The variables that a child process finds this world by."""
        return dict(os.environ, KTHW_WORLD=self.folder, KTHW_WORLD_NAME=self.name, KTHW_PEERS=self.peers)


def run(*argv, check=True, **options):
    """Runs a command; raises Failure with what it printed."""
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def inside_netns(name):
    """Moves this thread into a network namespace and back; os.setns exists only from Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    def enter(file):
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise Failure(f"setns {name}: {os.strerror(ctypes.get_errno())}")

    with open("/proc/thread-self/ns/net", "rb") as own, open(f"/run/netns/{name}", "rb") as other:
        enter(other)
        try:
            yield
        finally:
            enter(own)


def started_at(pid):
    """The start time of a process in clock ticks, or None when it is gone (a zombie counts as gone)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def write_pid(path, pid):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{pid} {started_at(pid)}\n")


def read_pid(path):
    """The pid of a process that we started and that still runs, or None. The start time guards against a reused pid."""
    try:
        with open(path, encoding="utf-8") as file:
            pid, start = file.read().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if start != "None" and started_at(int(pid)) == int(start) else None


def end(path, number=signal.SIGTERM, seconds=5):
    """Ends the process of a pid file: the signal, SIGKILL after the given seconds, then what is left of its process group."""
    pid = read_pid(path)
    for sign, limit in ((number, seconds), (signal.SIGKILL, 5)):
        deadline = time.monotonic() + limit
        if pid and read_pid(path) == pid:
            os.kill(pid, sign)
        while pid and read_pid(path) == pid and time.monotonic() < deadline:
            time.sleep(0.02)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    if os.path.exists(path):
        os.unlink(path)


def daemon(argv, log, pid_file, env=None):
    """Starts a process in a session of its own, with its output in a file; returns its pid."""
    with open(log, "ab") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=env)
    write_pid(pid_file, child.pid)
    return child.pid


def wait(seconds, what, ready, every=0.05):
    """Waits until ready() is true; raises Failure naming what did not happen. A text means "not yet", and says what was seen instead."""
    deadline = time.monotonic() + seconds
    while True:
        seen = ready()
        if seen and not isinstance(seen, str):
            return
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s for {what}" + (f"; last seen: {seen}" if isinstance(seen, str) else ""))
        time.sleep(every)


def mounts_below(folder):
    """Mount points at or below the folder, deepest first."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            point = line.split()[4].replace("\\040", " ")
            if point == folder or point.startswith(folder + "/"):
                found.append(point)
    return sorted(found, key=len, reverse=True)


def cgroup_roots():
    """The mount points of the cgroup trees: version 2 first, then any of version 1 (systemd-nspawn makes folders in both)."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            head, tail = line.split(" - ")
            if tail.split()[0] in ("cgroup", "cgroup2"):
                found.append((tail.split()[0] != "cgroup2", head.split()[4]))
    found.sort()
    if not found or found[0][0]:
        raise Failure("no cgroup v2 tree is mounted: systemd-nspawn needs one")
    return [point for _, point in found]


def main(deed):
    """Runs a script's main function and turns a Failure into a message and exit 1."""
    try:
        deed()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)
