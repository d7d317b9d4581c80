"""A client that writes to the API server all the time, each time over a new connection, and knows the longest time without success."""
import base64
import collections
import http.client
import json
import os
import re
import ssl
import threading
import time

import common
import steps
from common import Failure

NAME = "kthw-writer"
PATH = f"/api/v1/namespaces/default/configmaps/{NAME}"
EVERY_SECONDS = 0.1
TIMEOUT_SECONDS = 2


class Writer:
    """Writes a growing number into one ConfigMap, from `start` to `end`."""

    def __init__(self, world, cluster):
        self.world, self.endpoint = world, cluster.endpoint
        self.context = identity(world, cluster.kubeconfig)
        self.tried = self.acknowledged = self.writes = 0
        self.longest = 0.0
        self.refusals = collections.Counter()
        self.ended, self.broken = threading.Event(), None
        self.thread = threading.Thread(target=self._write_all_the_time, daemon=True)

    def start(self):
        cluster_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"number": "0"}}
        with common.inside_netns(self.world.netns):
            status, said = self._request("POST", PATH.rsplit("/", 1)[0], cluster_map, "application/json")
        if status != 201:
            raise Failure(f"the writer's ConfigMap was not created: {status} {said}")
        self.thread.start()
        return self

    def _request(self, method, path, body, kind):
        connection = http.client.HTTPSConnection(self.endpoint, 6443, context=self.context, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind, "Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def _write_all_the_time(self):
        try:
            with common.inside_netns(self.world.netns):
                last = time.monotonic()
                while not self.ended.wait(EVERY_SECONDS):
                    last = self._write_once(last)
                self.longest = max(self.longest, time.monotonic() - last)
        except Exception as error:  # noqa: BLE001: whatever it is, a writer that stopped must not count as one that wrote
            self.broken = error

    def _write_once(self, last):
        self.tried += 1
        try:
            status, _ = self._request("PATCH", PATH, {"data": {"number": str(self.tried)}}, "application/merge-patch+json")
        except (OSError, http.client.HTTPException) as error:
            self.refusals[type(error).__name__] += 1
            return last
        if status != 200:
            self.refusals[f"HTTP {status}"] += 1
            return last
        now = time.monotonic()
        self.writes += 1
        self.acknowledged = self.tried
        self.longest = max(self.longest, now - last)
        return now

    def end(self):
        """Stops, and fails if the number that the cluster holds is older than the last one that it acknowledged."""
        self.ended.set()
        self.thread.join()
        if self.broken:
            raise Failure(f"the writer broke: {self.broken!r}")
        kept = None

        def read():
            nonlocal kept
            try:
                with common.inside_netns(self.world.netns):
                    status, said = self._request("GET", PATH, None, "application/json")
            except (OSError, http.client.HTTPException) as error:
                return repr(error)
            kept = int(json.loads(said)["data"]["number"]) if status == 200 else None
            return kept is not None or f"HTTP {status}"
        steps.wait(60, "the API server to say what was written last", read)
        if not self.acknowledged <= kept <= self.tried:
            raise Failure(f"write {self.acknowledged} of {self.tried} was acknowledged, but the cluster holds {kept}")

    def report(self):
        odd = ", ".join(f"{count} x {what}" for what, count in sorted(self.refusals.items())) or "none"
        return f"WRITES={self.writes} LONGEST_GAP_SECONDS={self.longest:.2f} REFUSED={odd}"


def identity(world, kubeconfig):
    """The TLS context of the kubeconfig's own certificate, which trusts the cluster's CA alone."""
    with open(kubeconfig, encoding="utf-8") as file:
        text = file.read()
    paths = {}
    for name in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
        paths[name] = world.path("cluster", f"{name}.pem")
        with open(paths[name], "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(base64.b64decode(re.search(rf"{name}: (\S+)", text).group(1)))
    context = ssl.create_default_context(cafile=paths["certificate-authority-data"])
    context.load_cert_chain(paths["client-certificate-data"], paths["client-key-data"])
    return context
