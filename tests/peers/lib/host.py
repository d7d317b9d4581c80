"""A test host: an overlay over a base image, booted by systemd-nspawn in its own network namespace, with real systemd and sshd."""
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid

import common
import disk as disks
from common import FIRST_HOST, GATEWAY, HERE, LAST_HOST, PREFIX, Failure, run

# systemd-nspawn's exit status when the host asked to be rebooted.
REBOOT = 133

# systemd-nspawn sizes these by the machine's memory; a host remounts them with the options that it finds here. /tmp is on disk.
FSTAB = """\
tmpfs /run tmpfs nosuid,nodev,mode=755,size=128m 0 0
tmpfs /dev/shm tmpfs nosuid,nodev,size=64m 0 0
"""

# The stand-in for the virtio-serial port: file in `agent`, where it goes, mode.
PORT = (
    ("virtio-port", "usr/local/sbin/virtio-port", 0o755),
    ("virtio-port.service", "etc/systemd/system/virtio-port.service", 0o644),
    ("qemu-guest-agent.conf", "etc/systemd/system/qemu-guest-agent.service.d/peers.conf", 0o644),
    ("apt.conf", "etc/apt/apt.conf.d/91peers-port", 0o644),
)


class Host:
    """Host number N of a world, at 10.77.0.(10+N)."""

    def __init__(self, world, number):
        if not 1 <= number <= LAST_HOST:
            raise Failure(f"host {number}: the number must be between 1 and {LAST_HOST}")
        self.world, self.number = world, number
        self.address = f"{PREFIX}{FIRST_HOST + number}"
        self.netns = f"{world.name}-h{number}"
        self.folder = world.path("hosts", str(number))
        self.root = os.path.join(self.folder, "root")
        self.cgroups = [os.path.join(root, f"{world.name}-h{number}") for root in common.cgroup_roots()]
        self.cgroup = self.cgroups[0]

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def disk(self, *parts):
        """A path on its disk: in the host's own folder, or where the virtual machine keeps it (lib/disk.py)."""
        link = self.path("disk")
        return os.path.join(os.readlink(link) if os.path.islink(link) else self.folder, *parts)

    @contextlib.contextmanager
    def lock(self):
        """One start, stop or wipe of this host at a time, across processes."""
        os.makedirs(self.world.path("hosts"), exist_ok=True)
        with open(self.folder + ".lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def running(self):
        return common.read_pid(self.path("supervisor.pid")) is not None

    def leader(self):
        """The pid of the host's own systemd as this machine sees it, or None."""
        nspawn = common.read_pid(self.path("nspawn.pid"))
        if nspawn is None:
            return None
        try:
            with open(f"/proc/{nspawn}/task/{nspawn}/children", encoding="utf-8") as file:
                children = file.read().split()
        except FileNotFoundError:
            return None
        for child in children:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/ns/pid") != os.readlink(f"/proc/{nspawn}/ns/pid"):
                    return int(child)
        return None

    def booted(self):
        """Whether the host's systemd runs: from here on its agent would answer."""
        leader = self.leader()
        return leader is not None and os.path.exists(f"/proc/{leader}/root/run/systemd/private")

    def inside(self, *argv):
        """The argv that runs a command in the host."""
        leader = self.leader()
        if leader is None:
            raise Failure(f"host {self.number} does not run")
        return ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "--", *argv]

    # ---------------------------------------------------------------- power

    def start(self, name, seed, mac=None, base="base", disk=None, machine=None, port=False, cards=()):
        """Boots it, from the peer `base` where it never ran. `disk` is the folder of a virtual machine's disk, `machine` its UUID; with a `port` a
        guest agent that is installed in it can be asked. Each of `cards` is the (MAC, ADDRESS/LENGTH) of one more network card."""
        with self.lock():
            if self.running():
                raise Failure(f"host {self.number} ({self.address}) already runs")
            self._clear()
            if not os.path.islink(self.path("base")):
                os.makedirs(self.folder, exist_ok=True)
                os.symlink(self.world.peer(base), self.path("base"))
            if disk and not os.path.islink(self.path("disk")):
                os.symlink(disk, self.path("disk"))
            layers = disks.below(self.disk())
            fresh = not layers and not os.path.isdir(self.disk("upper"))
            for part in (self.disk("upper"), self.disk("work"), self.disk("containerd"), self.root):
                os.makedirs(part, exist_ok=True)
            lower = ":".join([*layers, os.readlink(self.path("base"))])
            run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={self.disk('upper')},workdir={self.disk('work')}", self.root)
            if fresh:
                self.write("etc/hostname", name.split(".")[0] + "\n")
                self.write("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name} {name.split('.')[0]}\n")
                self.write("etc/fstab", FSTAB)
                self.write("etc/systemd/logind.conf.d/sizes.conf", "[Login]\nRuntimeDirectorySize=16M\n")
            if not os.path.exists(self.path("machine.uuid")):
                with open(self.path("machine.uuid"), "w", encoding="utf-8") as file:
                    file.write(machine or str(uuid.uuid4()))
            if port:
                self._plug_in_port()
            with open(self.path("name"), "w", encoding="utf-8") as file:
                file.write(name)
            for part, text in seed.items():
                self.write(f"var/lib/cloud/seed/nocloud/{part}", text)
            self._network(mac, cards)
            os.makedirs(self.cgroup, exist_ok=True)
            common.daemon([sys.executable, os.path.join(HERE, "lib", "host.py"), str(self.number), name],
                          self.path("console.log"), self.path("supervisor.pid"), env=self.world.environment())

    def write(self, path, text):
        """Writes a file of the host, as seen by the host itself; the path has no slash in front."""
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def _plug_in_port(self):
        """Gives it the port by which a guest agent is asked; see agent/virtio-port."""
        for name, path, mode in PORT:
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            shutil.copyfile(os.path.join(HERE, "agent", name), full)
            os.chmod(full, mode)
        wanted = os.path.join(self.root, "etc/systemd/system/multi-user.target.wants/virtio-port.service")
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        if not os.path.islink(wanted):
            os.symlink("/etc/systemd/system/virtio-port.service", wanted)

    def _network(self, mac, cards):
        ours = ("ip", "-n", self.netns)
        run("ip", "netns", "add", self.netns)
        run(*ours, "link", "set", "lo", "up")
        for index, (card_mac, address) in enumerate(cards, 1):
            self._card(index, card_mac, address)
        run("ip", "-n", self.world.netns, "link", "add", f"h{self.number}", "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        run("ip", "-n", self.world.netns, "link", "set", f"h{self.number}", "master", "br0", "up")
        if mac:
            run(*ours, "link", "set", "eth0", "address", mac)
        # A new machine at an old address says so (gratuitous ARP), or the others would keep the old machine's MAC for a minute.
        run("ip", "netns", "exec", self.netns, "sysctl", "-qw", "net.ipv4.conf.all.arp_notify=1", "net.ipv4.conf.eth0.arp_notify=1")
        run("ip", "-n", self.world.netns, "neighbour", "flush", "to", self.address, check=False)
        run(*ours, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run(*ours, "link", "set", "eth0", "up")
        run(*ours, "route", "add", "default", "via", GATEWAY)

    def _card(self, index, mac, address):
        """One more card, in a network of its own. It comes before eth0: who takes the first address that he finds takes the wrong one."""
        bridge, cable, card = f"br{index}", f"h{self.number}c{index}", f"ens{18 + index}"
        theirs, ours = ("ip", "-n", self.world.netns), ("ip", "-n", self.netns)
        run(*theirs, "link", "add", bridge, "type", "bridge", check=False)
        run(*theirs, "link", "set", bridge, "up")
        run(*theirs, "link", "add", cable, "type", "veth", "peer", "name", card, "netns", self.netns)
        run(*theirs, "link", "set", cable, "master", bridge, "up")
        run(*ours, "link", "set", card, "address", mac)
        run(*ours, "addr", "add", address, "dev", card)
        run(*ours, "link", "set", card, "up")

    def supervise(self, name):
        """Boots the host, and again each time that it asks for a reboot. Returns when it powered off."""
        with open(self.path("machine.uuid"), encoding="utf-8") as file:
            machine = file.read()
        argv = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "-D", self.root, "-M", name, f"--uuid={machine}",
                f"--network-namespace-path=/run/netns/{self.netns}", "--capability=all", "--system-call-filter=add_key keyctl bpf",
                f"--bind={self.disk('containerd')}:/var/lib/containerd", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--boot"]
        env = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1", SYSTEMD_NSPAWN_API_VFS_WRITABLE="network",
                   SYSTEMD_NSPAWN_TMPFS_TMP="0")
        status = REBOOT
        while status == REBOOT:
            # Each host has a cgroup of its own, or all of them would share one `payload`.
            nspawn = subprocess.Popen(["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', self.cgroup, *argv], stdin=subprocess.DEVNULL, env=env)
            common.write_pid(self.path("nspawn.pid"), nspawn.pid)
            status = nspawn.wait()
            print(f"-- systemd-nspawn of host {self.number} ended with {status}", flush=True)

    def stop(self, force=False):
        with self.lock():
            self._stop(force)

    def _stop(self, force):
        nspawn = common.read_pid(self.path("nspawn.pid"))
        if nspawn and not force:
            os.kill(nspawn, signal.SIGTERM)
            deadline = time.monotonic() + 15
            while self.running() and time.monotonic() < deadline:
                time.sleep(0.05)
        self._clear()

    def _clear(self):
        """Leaves no process, mount, namespace or cgroup of this host; its overlay stays."""
        common.end(self.path("supervisor.pid"), signal.SIGKILL)
        with contextlib.suppress(OSError):
            with open(os.path.join(self.cgroup, "cgroup.kill"), "w", encoding="utf-8") as file:
                file.write("1")
        common.end(self.path("nspawn.pid"), signal.SIGKILL)
        self._remove_cgroups()
        self._remove_traces()
        for point in common.mounts_below(self.folder):
            if subprocess.run(["umount", point], stderr=subprocess.DEVNULL, check=False).returncode != 0:
                run("umount", "--lazy", point)
        if os.path.exists(f"/run/netns/{self.netns}"):
            run("ip", "netns", "del", self.netns)
            # The namespace, and with it our end of the cable, goes in the background: take it away now.
            for cable in (f"h{self.number}", *(f"h{self.number}c{index}" for index in range(1, 9))):
                run("ip", "-n", self.world.netns, "link", "del", cable, check=False)

    def _remove_traces(self):
        """Deletes what systemd-nspawn keeps outside of the host and forgets when it is killed: a lock on the root, an exchange folder."""
        with contextlib.suppress(OSError):
            root = os.stat(self.root)
            os.unlink(f"/run/systemd/nspawn/locks/inode-{root.st_dev}:{root.st_ino}")
        with contextlib.suppress(OSError), open(self.path("name"), encoding="utf-8") as file:
            os.rmdir(f"/run/systemd/nspawn/propagate/{file.read()}")

    def _remove_cgroups(self):
        deadline = time.monotonic() + 5
        while any(os.path.isdir(cgroup) for cgroup in self.cgroups):
            for folder in (folder for cgroup in self.cgroups for folder, _, _ in os.walk(cgroup, topdown=False)):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            if time.monotonic() > deadline:
                raise Failure(f"processes stay in {self.cgroup}")
            time.sleep(0.02)

    def wipe(self):
        """Destroys the host: the next start begins from the base image, or from the disk that it is given."""
        with self.lock():
            self._stop(force=True)
            shutil.rmtree(self.folder, ignore_errors=True)


def seed(name, user, keys, upgrade=False, password=None):
    """A NoCloud seed with the same fields that PVE writes for a cloud-init drive."""
    short, _, domain = name.partition(".")
    lines = ["#cloud-config", f"hostname: {short}", "manage_etc_hosts: true"]
    if domain:
        lines.append(f"fqdn: {name}")
    if user:
        lines.append(f"user: {user}")
        if user == "root":
            lines.append("disable_root: False")
    if password:
        lines.append(f"password: {password}")
    if keys:
        lines.append("ssh_authorized_keys:")
        lines += [f"  - {key}" for key in keys]
    lines += ["chpasswd:", "  expire: False"]
    if user != "root":
        lines += ["users:", "  - default"]
    if upgrade:
        lines.append("package_upgrade: true")
    text = "\n".join(lines) + "\n"
    instance = uuid.uuid5(uuid.NAMESPACE_OID, text)
    return {"user-data": text, "meta-data": f"instance-id: {instance}\n"}


if __name__ == "__main__":
    common.main(lambda: Host(common.World(), int(sys.argv[1])).supervise(sys.argv[2]))
