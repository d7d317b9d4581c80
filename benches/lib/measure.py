"""One run of one command: wall time, CPU of the command and what it waited for, output. Medians over runs."""
import os
import signal
import statistics
import time


class Failed(Exception):
    """A measured command did not end with status 0."""


def run(command, environment, log):
    """Runs `command` once. The clock starts at the fork and ends when the process is collected."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    begun = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
    try:
        _, status, used = os.wait4(pid, 0)
    except BaseException:  # an interrupt or the time limit: the command ends with us
        os.kill(pid, signal.SIGKILL)
        os.wait4(pid, 0)
        raise
    wall = time.perf_counter() - begun
    if status != 0:
        with open(log, errors="replace") as file:
            raise Failed(f"{' '.join(command)}: status {os.waitstatus_to_exitcode(status)}\n{file.read()[-4000:]}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "rss_kib": used.ru_maxrss}


def busy_seconds():
    """CPU seconds that this machine has worked since it started."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Samples:
    """All runs, by tool, number of hosts, phase and path."""

    def __init__(self):
        self.rows = {}

    def add(self, key, sample):
        self.rows.setdefault(key, []).append(sample)

    def median(self, key, field="wall"):
        """The median in the field's unit, or None when there was no such run."""
        rows = self.rows.get(key)
        return statistics.median(row[field] for row in rows) if rows else None

    def least(self, key, field="wall"):
        rows = self.rows.get(key)
        return min(row[field] for row in rows) if rows else None

    def count(self, key):
        return len(self.rows.get(key, []))
