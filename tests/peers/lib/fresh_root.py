"""A new machine for tests/fresh: a minimal Debian root. What runs in it has namespaces and cgroups of its own, so nothing of it can stay."""
import fcntl
import glob
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import time

from common import HERE, Failure, run

SUITE = "bookworm"
MARK = "etc/kthw-fresh"  # says that a folder is such a root, so that nothing else is ever reused or removed
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.S)
# How this machine's package clients reach their registries. No token: a new machine has none.
VARIABLES = re.compile(r"(https?|ftp|all|no)_proxy|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|KTHW_DEBIAN_MIRROR|KTHW_TEST_DATA"
                       r"|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|PROXY|DEFAULT_TIMEOUT|RETRIES)|CARGO_(HTTP|NET|SOURCE)_\w+"
                       r"|GO(PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE|FLAGS|TOOLCHAIN)", re.I)
APT_SETTINGS = re.compile(r"Acquire::((https?|ftp)::(Proxy|Timeout)\b|Check-|Retries|ForceIPv)[^;]*;")


class Root:
    """A root in a folder. `path` comes first in its PATH; `binds` are (source, target, read-only) of what is seen of this machine in it."""

    def __init__(self, folder, path, binds):
        self.folder, self.path, self.binds = os.path.abspath(folder), path, binds
        trees = [point for kind, options, point in cgroup_mounts() if kind == "cgroup2" or "name=" in options]
        self.cgroups = [os.path.join(tree, f"kthw-fresh-{os.getpid()}") for tree in trees]
        # A run that was killed could not remove its own, which are empty since.
        for stale in (path for tree in trees for path in glob.glob(f"{tree}/kthw-fresh-*")):
            if not os.path.exists(f"/proc/{stale.rpartition('-')[2]}"):
                remove_cgroup(stale)
        self.interfaces = set(os.listdir("/sys/class/net"))
        self.child = None

    def inside(self, path):
        return os.path.join(self.folder, path.lstrip("/"))

    # ---------------------------------------------------------------- making

    def claim(self):
        """Takes the folder for this run alone; returns whether an earlier run left a root in it."""
        kept = os.path.exists(self.inside(MARK))
        if not kept:
            if os.path.exists(self.folder):
                raise Failure(f"{self.folder} is there and is not a root that --keep left: name a folder that does not exist")
            self._write(MARK, "made by tests/fresh\n")
        self.lock = os.open(self.folder, os.O_RDONLY)  # and held until this script ends
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another run uses {self.folder}: name another folder with --root, or wait for it") from None
        return kept

    def make(self, base):
        """Makes the minimal root: out of the tar `base` if it is there, else by debootstrap (and into `base`, if it is named)."""
        if base and os.path.exists(base):
            run("tar", "-C", self.folder, "--numeric-owner", "-xpf", base)
            return f"unpacked from {base}"
        mirror = run("bash", "-c", '. "$0"; debian_mirror', os.path.join(HERE, "lib/common.sh")).strip()
        with tempfile.TemporaryDirectory() as scratch:
            # Not installed on this machine: debootstrap is a script, and runs from where it is unpacked.
            run("apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", "debootstrap", cwd=scratch)
            run("dpkg", "-x", *glob.glob(f"{scratch}/debootstrap_*.deb"), scratch)
            # A mount namespace of its own, so that its mounts end with it.
            run("unshare", "--mount", f"{scratch}/usr/sbin/debootstrap", "--variant=minbase", SUITE, self.folder, mirror,
                env=dict(os.environ, DEBOOTSTRAP_DIR=f"{scratch}/usr/share/debootstrap", **apt_proxy()))
        if base:
            run("tar", "-C", self.folder, "--numeric-owner", "-cpf", base + ".new", ".")
            os.rename(base + ".new", base)
        return f"debootstrap of {SUITE} from {mirror}"

    def settle(self, packages):
        """Carries over how this machine's package clients reach their registries, then installs the packages."""
        mirrors = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)").splitlines()
        security = next((line.split()[-1] for line in mirrors if re.match(r"Debian \S*-security ", line)), None)
        if security:
            self._write("etc/apt/sources.list.d/security.list", f"deb {security} {SUITE}-security main\n")
        settings = [line + "\n" for line in run("apt-config", "dump").splitlines() if APT_SETTINGS.match(line)]
        self._write("etc/apt/apt.conf.d/50machine", "".join(settings))
        # No service starts: the root has no init, and shares the network of this machine.
        self._write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        home = os.path.expanduser("~")
        cargo = os.environ.get("CARGO_HOME", f"{home}/.cargo")
        for source, target in (("/etc/resolv.conf", "etc/resolv.conf"), ("/etc/hosts", "etc/hosts"), ("/etc/pip.conf", "etc/pip.conf"),
                               (f"{home}/.config/pip/pip.conf", "root/.config/pip/pip.conf"), (f"{home}/.config/go/env", "root/.config/go/env"),
                               (f"{cargo}/config.toml", "root/.cargo/config.toml")):
            if os.path.exists(source):
                with open(source, encoding="utf-8") as file:
                    self._write(target, file.read())
        with open(self.inside("etc/hosts"), "a", encoding="utf-8") as file:
            file.write("127.0.1.1 fresh\n")
        for number, text in enumerate(own_authorities()):
            # Where an administrator puts them: the package ca-certificates takes them from here when it is installed.
            self._write(f"usr/local/share/ca-certificates/machine-{number}.crt", text)
        self._must("apt", f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {shlex.join(packages)} >/dev/null")

    def _write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.inside(path)), exist_ok=True)
        with open(self.inside(path), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, mode)

    def _must(self, label, command):
        if self.run(label, command, "/", 20) != 0:
            raise Failure(f"in {self.folder}: {command}: failed, see the lines above")

    # ---------------------------------------------------------------- running

    def run(self, label, command, folder, minutes, seen=lambda line: None):
        """Runs shell lines in a folder of the root and prints what they print; returns the exit status. All that they started ends with them."""
        env = {name: value for name, value in os.environ.items() if VARIABLES.fullmatch(name)}
        env.update(HOME="/root", USER="root", TERM="dumb", PATH=":".join([*self.path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]))
        # bash is the root's first process: it reaps what is orphaned, and the kernel ends everything when it ends.
        bash = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in env.items()),
                "/bin/bash", "-c", 'set -e; cd "$1"; eval "$2"; exit 0', "bash", folder, command]
        join = [f"echo $$ > {shlex.quote(cgroup)}/cgroup.procs" for cgroup in self.cgroups]
        namespaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
                      "sh", "-euc", "\n".join(self._mounts(bash))]
        for cgroup in self.cgroups:
            os.makedirs(cgroup, exist_ok=True)
        started = time.monotonic()
        # Ends also when this script is killed: the signal reaches unshare, and from there the first process of the root.
        self.child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "sh", "-euc", "\n".join([*join, "exec " + shlex.join(namespaces)])],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        limit = threading.Timer(minutes * 60, self.child.kill)
        limit.daemon = True  # this script may end before its time is over
        limit.start()
        for line in self.child.stdout:
            print(f"{label:5} {time.monotonic() - started:5.0f}s | {line.rstrip()}", flush=True)
            seen(line)
        status = self.child.wait()
        if not limit.is_alive():
            print(f"{label:5} ended after its limit of {minutes} minutes", flush=True)
        limit.cancel()
        self.end()
        return status

    def _mounts(self, bash):
        """The shell lines that make the folder a machine's root and go there. Every tmpfs has a size."""
        yield f"mount --bind {shlex.quote(self.folder)} {shlex.quote(self.folder)}; cd {shlex.quote(self.folder)}"
        yield "mount -t proc proc proc; mount -t sysfs sysfs sys; mount --bind /dev dev"
        yield "mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts; mount -t tmpfs -o size=1g,mode=1777 shm dev/shm"
        yield "mount -t tmpfs -o size=256m,mode=755 run run; mkdir -m 1777 run/lock; echo fresh >proc/sys/kernel/hostname"
        # The same cgroup trees as this machine has, each seen from a cgroup of its own, so that worlds here and there cannot meet.
        mounts = cgroup_mounts()
        if not any(point == "/sys/fs/cgroup" for _, _, point in mounts):
            yield "mount -t tmpfs -o size=1m,mode=755 cgroup sys/fs/cgroup"
        for kind, options, point in mounts:
            yield f"mkdir -p .{shlex.quote(point)}; mount -t {kind} -o {shlex.quote(options)} {kind} .{shlex.quote(point)}"
        for source, target, read_only in self.binds:
            yield f"mkdir -p .{shlex.quote(target)}; mount --bind {shlex.quote(source)} .{shlex.quote(target)}"
            if read_only:
                yield f"mount -o remount,bind,ro .{shlex.quote(target)}"
        yield "pivot_root . mnt; cd /; umount -l /mnt"
        yield "exec " + shlex.join(bash)

    # ---------------------------------------------------------------- ending

    def end(self):
        """Ends what runs in the root, and removes its cgroups."""
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        deadline = time.monotonic() + 10
        while any(os.path.isdir(cgroup) for cgroup in self.cgroups) and time.monotonic() < deadline:
            for cgroup in self.cgroups:
                remove_cgroup(cgroup)

    def remove(self, keep):
        """Ends all, removes the folder unless it is kept, and returns what stays although it should not."""
        self.end()
        left = [f"cgroup {cgroup}" for cgroup in self.cgroups if os.path.isdir(cgroup)]
        left += [f"network interface {name}" for name in set(os.listdir("/sys/class/net")) - self.interfaces]
        # A process that runs in the root, or holds a namespace of it, has the folder in its table of mounts.
        for path in glob.glob("/proc/[0-9]*/mountinfo"):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    if re.search(rf" {re.escape(self.folder)}[ /]", file.read()):
                        left.append(f"process {path.split('/')[2]} with mounts of the root")
            except OSError:
                pass  # it ended while we looked
        if not keep and not left and os.path.exists(self.inside(MARK)):
            shutil.rmtree(self.folder)
        if not keep and os.path.exists(self.folder):
            left.append(f"folder {self.folder}")
        return left


def cgroup_mounts():
    """(type, options, mount point) of each cgroup tree of this machine."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            head, tail = (part.split() for part in line.split(" - "))
            if tail[0] in ("cgroup", "cgroup2"):
                found.append((tail[0], tail[2], head[4]))
    return found


def remove_cgroup(path):
    """Removes what is empty of a cgroup and those in it."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            time.sleep(0.02)  # its last process is still on its way out


def own_authorities():
    """The certificate authorities that this machine trusts and Debian does not."""
    def certificates(paths):
        return [text for path in paths if os.path.exists(path) for text in CERTIFICATE.findall(open(path, encoding="utf-8").read())]

    debian = certificates(glob.glob("/usr/share/ca-certificates/**/*.crt", recursive=True))
    return [text for text in certificates(["/etc/ssl/certs/ca-certificates.crt"]) if text not in debian]


def apt_proxy():
    """The proxy of apt, for debootstrap, which asks the environment only."""
    proxy = run("apt-config", "shell", "P", "Acquire::http::Proxy").strip()
    return {"http_proxy": shlex.split(proxy)[0].partition("=")[2]} if proxy else {}
