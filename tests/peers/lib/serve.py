"""What a world's hosts reach at 10.77.0.1: an apt relay (3142), files (8080) and a container registry (5000).

Usage: serve.py MIRROR_HOST... The sockets listen inside the world's network namespace, which has no way out. The process itself
stays outside, so that the relay can fetch, and it fetches from the Debian mirror that apt is configured with and from nothing else.
"""
import http.server
import os
import shutil
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import common
from common import GATEWAY

INDEX_SECONDS = 6 * 3600


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world = None
    mirrors = ()

    def answer(self, status, body=b"", kind="text/plain", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, path, kind="application/octet-stream", **headers):
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            modified = self.date_time_string(int(status.st_mtime))
            if self.headers.get("If-Modified-Since") == modified:
                self.answer(304)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(status.st_size))
            self.send_header("Last-Modified", modified)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, form, *values):
        print(f"{time.strftime('%H:%M:%S')} {self.server.server_port} {self.client_address[0]} {form % values}", flush=True)


class Relay(Handler):
    """An HTTP proxy for apt: packages are kept for ever, indexes for hours (or for longer when the mirror is away)."""

    locks = {}
    guard = threading.Lock()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.scheme != "http" or url.hostname not in self.mirrors or ".." in url.path:
            self.answer(403, b"this relay serves the Debian mirror only\n")
            return
        path = self.world.peer("apt-cache", url.hostname, urllib.parse.unquote(url.path).lstrip("/"))
        with self.guard:
            lock = self.locks.setdefault(path, threading.Lock())
        with lock:
            status = self.fetch(path)
        if status == 200:
            self.send_file(path)
        else:
            self.answer(status, b"the mirror did not give this file\n")

    def fetch(self, path):
        """Brings the file into the cache; returns the HTTP status to answer with."""
        kept = os.path.exists(path)
        lasting = "/pool/" in path or "/by-hash/" in path
        if kept and (lasting or time.time() - os.stat(path).st_ctime < INDEX_SECONDS):
            return 200
        part = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with urllib.request.urlopen(self.path, timeout=60) as source, open(part, "wb") as out:
                shutil.copyfileobj(source, out)
            os.rename(part, path)
        except urllib.error.HTTPError as error:
            return 200 if kept else error.code
        except OSError as error:
            print(f"relay: {self.path}: {error}", flush=True)
            return 200 if kept else 504
        return 200


class Files(Handler):
    """Plain files: the apt repositories /kubernetes/ (everything), /core:/stable:/vX.Y/deb/ (one minor), /docker/; KTHW_TEST_DATA at /upstream/."""

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        apt = self.world.peer("kubernetes", "apt")
        roots = {"/kubernetes/": os.path.join(apt, "all"), "/docker/": os.path.join(apt, "docker")}
        for minor in (name for name in os.listdir(apt) if name.startswith("v")) if os.path.isdir(apt) else ():
            roots[f"/core:/stable:/{minor}/deb/"] = os.path.join(apt, minor)
        if self.world.data:
            roots["/upstream/"] = os.path.abspath(self.world.data)
        for prefix, root in roots.items():
            full = os.path.realpath(os.path.join(root, path[len(prefix):]))
            if path.startswith(prefix) and full.startswith(os.path.realpath(root) + "/") and os.path.isfile(full):
                self.send_file(full)
                return
        self.answer(404, b"no such file\n")


class Registry(Handler):
    """The reading half of the Docker registry API, version 2, over plain HTTP."""

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        version = {"Docker_Distribution_Api_Version": "registry/2.0"}
        if path.rstrip("/") == "/v2":
            self.answer(200, b"{}", "application/json", **version)
            return
        parts = path.split("/")
        root = self.world.peer("registry")
        if len(parts) >= 5 and parts[1] == "v2" and parts[-2] in ("manifests", "blobs") and ".." not in parts:
            name, kind, reference = "/".join(parts[2:-2]), parts[-2], parts[-1]
            if kind == "manifests" and not reference.startswith("sha256:"):
                tag = os.path.join(root, "tags", name, reference)
                reference = open(tag, encoding="utf-8").read() if os.path.isfile(tag) else ""
            blob = os.path.join(root, "blobs", reference)
            if reference and os.path.isfile(blob):
                media = "application/vnd.oci.image.manifest.v1+json" if kind == "manifests" else "application/octet-stream"
                self.send_file(blob, media, Docker_Content_Digest=reference, **version)
                return
        self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "application/json", **version)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self):
        # The base class looks the address up by name, and there is no name server.
        self.socket.setsockopt(1, 2, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]


def main():
    world = common.World()
    Handler.world, Handler.mirrors = world, frozenset(sys.argv[1:])
    with common.inside_netns(world.netns):
        servers = [Server((GATEWAY, port), handler) for port, handler in ((3142, Relay), (8080, Files), (5000, Registry))]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    with open(world.path("serve.ready"), "w", encoding="utf-8"):
        pass
    threading.Event().wait()


if __name__ == "__main__":
    common.main(main)
