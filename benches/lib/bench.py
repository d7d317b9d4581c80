"""kthw beside the floor and pyinfra on 20 node-preparation tasks, at 1, 3 and 10 nodes; benches/run starts it with `quick` or `full`.

Builds what it needs, starts real sshds, measures in turns, compares every byte, prints Markdown, and leaves nothing behind.
Nothing leaves the machine: hosts are on 127.0.0.x, and on 198.18.0.x in network namespaces without a way out.
"""
import os
import shutil
import signal
import sys
import tempfile
import time

import measure
from fleet import fleet
from table import FLOOR_OF, SHELLS, Report, in_shell
from tools import ROOT, Tools, build, pyinfra_venv
from workload import HERE, Workload

PLANS = {  # rounds of the fast tools, rounds of pyinfra, sizes, round-trip times in ms, rounds on each path
    "quick": dict(rounds=7, slow=2, sizes=(1, 3, 10), paths=(0, 20), path_rounds=3),
    "full": dict(rounds=25, slow=5, sizes=(1, 3, 10), paths=(0, 20, 50), path_rounds=15),
}
LONGEST_S = 1800


class Bench:
    """One benchmark: its tools, its trees and what was measured."""

    def __init__(self, scratch, plan):
        self.plan, self.samples, self.log = plan, measure.Samples(), os.path.join(scratch, "log")
        venv = pyinfra_venv()
        floor = build("floor", f"{HERE}/floor")
        os.environ["TUNDELAY"] = os.path.join(os.path.dirname(floor), "tundelay")
        kthw = os.environ.get("KTHW") or build("kthw", ROOT, "--bin", "kthw")
        self.tools = Tools(scratch, os.path.abspath(kthw), floor, venv)
        self.workload = Workload(scratch, max(plan["sizes"]), f"{venv}/bin/python")
        self.expected = {}

    def one(self, tool, count, phase, hosts, path=None):
        """Measures one run and checks what it left behind."""
        if phase == "first":
            self.workload.reset(count)
        before = self.workload.digest(count, times=True) if phase != "first" else None
        command, environment = self.tools.command(tool.split()[0], hosts, self.workload, count)
        nodes = hosts.cpu_seconds()
        sample = measure.run(command, environment, self.log)
        sample["node_cpu"] = hosts.cpu_seconds() - nodes
        self.samples.add((tool, count, phase, path), sample)
        if before and before != self.workload.digest(count, times=True):
            raise SystemExit(f"{tool}: a {phase} run wrote to a host")
        digest = self.workload.digest(count)
        if digest != self.expected.setdefault(count, digest):
            raise SystemExit(f"{tool}: {count} hosts end as {digest}, others made {self.expected[count]}; see verify.sh")

    def turns(self, phase, count, hosts, rounds, slow, path=None):
        """All tools in turns, so that whatever else the machine does hits them alike."""
        for turn in range(-1, rounds):
            for tool in (FLOOR_OF[phase], "kthw", *(["pyinfra"] if turn < slow else [])):
                self.one(tool, count, phase, hosts, path if turn >= 0 else "warm-up")

    def loopback(self):
        with fleet(self.workload.scratch, max(self.plan["sizes"])) as hosts:
            for count in self.plan["sizes"]:
                for phase in ("first", "settled"):
                    note(f"{count} nodes, {phase} run")
                    self.turns(phase, count, hosts, self.plan["rounds"], self.plan["slow"])

    def delayed(self):
        for path in self.plan["paths"]:
            with fleet(self.workload.scratch, 1, rtt_ms=path) as hosts:
                for phase in ("first", "settled"):
                    note(f"1 node behind {path} ms, {phase} run")
                    self.turns(phase, 1, hosts, self.plan["path_rounds"], 1, path)

    def shells(self):
        """The same behind the shortest and the longest path, on a host whose login shell is none of POSIX's."""
        for shell in SHELLS:
            for path in (min(self.plan["paths"]), max(self.plan["paths"])):
                with fleet(self.workload.scratch, 1, rtt_ms=path, shell=shell) as hosts:
                    for phase in ("first", "settled"):
                        note(f"1 node whose login shell is {shell} behind {path} ms, {phase} run")
                        for turn in range(-1, self.plan["path_rounds"]):
                            self.one(in_shell(shell), 1, phase, hosts, path if turn >= 0 else "warm-up")

    def start_up(self):
        for command in (["true"], [self.tools.kthw, "--version"]):
            for _ in range(30):
                self.samples.add((command[-1], 0, "start", None), measure.run(command, self.tools.environment(), self.log))

    def report(self, foreign):
        report = Report(self.samples)
        report.walls(self.plan["sizes"])
        report.round_trips(self.plan["paths"])
        version, nothing = (1000 * self.samples.median((name, 0, "start", None)) for name in ("--version", "true"))
        report.say("", f"`kthw --version` takes {version:.1f} ms; `true` takes {nothing:.1f} ms under the same clock.")
        report.bar("`kthw --version`", version, 10, " ms")
        print(report.text(foreign))
        return all(met for _, met in report.bars)


def note(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def give_up(number, _):
    raise SystemExit(f"gave up after {LONGEST_S} s" if number == signal.SIGALRM else "asked to end")


def main():
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, give_up)
    signal.alarm(LONGEST_S)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/var/tmp"
    scratch = tempfile.mkdtemp(prefix="kthw-bench.", dir=memory)
    try:
        note("building")
        bench = Bench(scratch, PLANS[sys.argv[1]])
        begun, busy = time.monotonic(), measure.busy_seconds()
        bench.start_up()
        bench.loopback()
        bench.delayed()
        bench.shells()
        ours = sum(row["cpu"] + row.get("node_cpu", 0) for rows in bench.samples.rows.values() for row in rows)
        spent = (time.monotonic() - begun) * os.cpu_count()
        met = bench.report(max(0, measure.busy_seconds() - busy - ours) / spent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(0 if met else 3)


try:
    main()
except measure.Failed as failed:
    sys.exit(f"error: {failed}")
