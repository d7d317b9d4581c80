"""The report: medians as Markdown tables with ratios, and whether the bars are met."""
import os
import platform

FLOOR_OF = {"first": "apply", "settled": "batch"}
# Login shells that read a line otherwise than POSIX's; kthw has to need no more round trips there.
SHELLS = ("fish", "tcsh")
NAMES = {"apply": "floor (one script)", "batch": "floor (folded checks)", "pyinfra": "pyinfra 3.10.0", "kthw": "kthw"}


def in_shell(shell):
    return f"kthw in {shell}"


def milliseconds(seconds):
    return "–" if seconds is None else f"{1000 * seconds:.0f}" if seconds >= 0.1 else f"{1000 * seconds:.1f}"


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {kernel}"


class Report:
    """Builds the text and notes which bars are met."""

    def __init__(self, samples):
        self.samples, self.lines, self.bars = samples, [], []

    def say(self, *lines):
        self.lines.extend(lines)

    def bar(self, what, value, limit, unit):
        """Notes a bar: `value` at most `limit`."""
        if value is not None:
            self.bars.append((f"{what}: {value:.3g}{unit} (at most {limit:g}{unit})", value <= limit))

    def walls(self, sizes):
        """Wall time and ratios, one row per phase and number of nodes."""
        median = self.samples.median
        self.say("| run | nodes | floor ms | kthw ms | kthw / floor | pyinfra / kthw | kthw CPU ms per node | floor CPU ms per node | runs |",
                 "|---|---|---|---|---|---|---|---|---|")
        for phase in ("settled", "first"):
            for count in sizes:
                keys = {tool: (tool, count, phase, None) for tool in ("kthw", FLOOR_OF[phase], "pyinfra")}
                kthw, floor, pyinfra = (median(key) for key in keys.values())
                cpu = median(keys["kthw"], "cpu")
                floor_cpu = median(keys[FLOOR_OF[phase]], "cpu")
                times = "–" if pyinfra is None else f"{pyinfra / kthw:.1f}"
                runs = "/".join(str(self.samples.count(keys[tool])) for tool in (FLOOR_OF[phase], "kthw", "pyinfra"))
                self.say(f"| {phase} | {count} | {milliseconds(floor)} | {milliseconds(kthw)} | {kthw / floor:.2f} | {times} "
                         f"| {1000 * cpu / count:.1f} | {1000 * floor_cpu / count:.1f} | {runs} |")
                limit = 1.5 if phase == "settled" else 2
                self.bar(f"{phase} run of {count} nodes against its floor", kthw / floor, limit, " x")
        smallest, largest = min(sizes), max(sizes)
        cpu = {count: median(("kthw", count, "settled", None), "cpu") for count in sizes}
        if largest > smallest:
            slope = 1000 * (cpu[largest] - cpu[smallest]) / (largest - smallest)
            fixed = 1000 * cpu[smallest] - slope * smallest
            self.say("", f"CPU of a settled run: {fixed:.1f} ms for the program itself and {slope:.2f} ms for every node.")
            self.bar("our CPU for every node of a settled run", slope, 3, " ms")
        self.bar(f"our CPU per node of a settled run, start-up included, {largest} nodes", 1000 * cpu[largest] / largest, 3, " ms")

    def round_trips(self, paths):
        """Sequential round trips: how much longer the quickest run takes behind a path of so many ms, divided by them."""
        longer = [path for path in paths if path > 0]
        head = [*(f"{path} ms path" for path in paths), *(f"round trips ({path} ms)" for path in longer)]
        self.say("", "| run, 1 node | tool | " + " | ".join(head) + " |", "|---" * (len(head) + 2) + "|")
        for phase in ("settled", "first"):
            for tool in ("kthw", FLOOR_OF[phase], "pyinfra"):
                walls = {path: self.samples.least((tool, 1, phase, path)) for path in paths}
                trips = [1000 * (walls[path] - walls[0]) / path for path in longer]
                cells = [*(milliseconds(walls[path]) for path in paths), *(f"{trip:.1f}" for trip in trips)]
                self.say(f"| {phase} | {NAMES[tool]} | " + " | ".join(cells) + " |")
                if tool == "kthw":
                    # Other work on the machine only adds time, so the smaller figure is the truer one; trips are whole.
                    limit = 11 if phase == "settled" else 14
                    self.bar(f"round trips of a {phase} run", round(min(trips)), limit, "")
        self.shells(min(paths), max(paths))

    def shells(self, near, far):
        """Round trips where root's login shell is another one."""
        self.say("", f"| run, 1 node | login shell | {near} ms path | {far} ms path | round trips |", "|---|---|---|---|---|")
        for phase in ("settled", "first"):
            for tool, shell in (("kthw", "this machine's"), *((in_shell(shell), shell) for shell in SHELLS)):
                walls = [self.samples.least((tool, 1, phase, path)) for path in (near, far)]
                trips = 1000 * (walls[1] - walls[0]) / (far - near)
                self.say(f"| {phase} | {shell} | " + " | ".join(milliseconds(wall) for wall in walls) + f" | {trips:.1f} |")
                if tool != "kthw":
                    limit = 11 if phase == "settled" else 14
                    self.bar(f"round trips of a {phase} run, login shell {shell}", round(trips), limit, "")

    def text(self, foreign):
        lines = [*self.lines, "", *(f"- {'met' if met else '**not met**'}: {what}" for what, met in self.bars), "",
                 f"Machine: {machine()}; other work took {100 * foreign:.0f} % of it meanwhile."]
        return "\n".join(lines)
