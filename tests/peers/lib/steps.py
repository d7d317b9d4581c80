"""Progress of long deeds: a line with its seconds for each step, deeds side by side, waits that say what they wait for."""
import concurrent.futures
import sys
import time

import common
from common import Failure

# A wait that takes longer than this says so, with what it saw last.
QUIET_SECONDS = 15


class Steps:
    """Prints one line for each step: the seconds since the step before."""

    def __init__(self):
        self.begin = self.last = time.monotonic()

    def say(self, text):
        now = time.monotonic()
        print(f"{now - self.last:6.1f}s  {text}", flush=True)
        self.last = now

    def seconds(self):
        return time.monotonic() - self.begin


def side_by_side(deeds):
    """Does all deeds at the same time, each in a thread; returns their results in order. Names every deed that failed."""
    with concurrent.futures.ThreadPoolExecutor(max(1, len(deeds))) as pool:
        running = [pool.submit(deed) for deed in deeds]
        concurrent.futures.wait(running)
    failures = [str(one.exception()) for one in running if isinstance(one.exception(), Failure)]
    if failures:
        raise Failure("\n".join(failures))
    return [one.result() for one in running]


def wait(seconds, what, ready, every=0.5):
    """Waits like common.wait, and says on standard error what it waits for when that takes long, and when what it sees has changed."""
    begin = time.monotonic()
    said, before = begin, None

    def look():
        nonlocal said, before
        seen = ready()
        now = time.monotonic()
        if seen is not True and now - said > (QUIET_SECONDS if seen != before else 4 * QUIET_SECONDS):
            said, before = now, seen
            print(f"        waiting for {what}, {now - begin:.0f} of {seconds} s" + (f": {seen}" if isinstance(seen, str) else ""), file=sys.stderr, flush=True)
        return seen
    common.wait(seconds, what, look, every)
