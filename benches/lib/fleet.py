"""The hosts: real sshds in a mount and process namespace of their own, on loopback or behind a delayed path.

Everything ends with the process that started it, even when that is killed: each child asks the kernel for that (--pdeathsig,
--kill-child), and namespaces and mounts end with their last process.
"""
import contextlib
import os
import shutil
import subprocess
import time

SSHD = """\
Port {port}
ListenAddress {address}
HostKey {key}
PidFile none
AuthorizedKeysFile {authorized}
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxSessions 1000
MaxStartups 1000:30:1000
LogLevel ERROR
Subsystem sftp internal-sftp
"""

# The first process of the hosts' namespace. What tools leave in /tmp goes with it, and /root is a clean home, so that nobody's shell start-up files slow the remote shells.
INIT = """\
set -eu
mount -t tmpfs -o size=16m none /run && mkdir /run/sshd
mount -t tmpfs -o size=512m none /tmp
mount --bind {home} /root
mount --bind {passwd} /etc/passwd
for configuration in {folder}/*.conf; do /usr/sbin/sshd -D -f "$configuration" -E "${{configuration%.conf}}.log" & done
wait
"""


def host_name(number):
    return f"h{number:02d}"


class Fleet:
    """Hosts that run: their inventory, host keys and how the controller's side is entered."""

    def __init__(self, folder, address, count):
        self.folder, self.count = folder, count
        self.key = os.path.join(folder, "id_ed25519")
        self.known_hosts = os.path.join(folder, "known_hosts")
        self.hosts = [(host_name(n), address.format(10 + n), 2200 + n) for n in range(1, count + 1)]
        self.enter = []
        self.init = None

    def inventory(self, count):
        """A file with a `name address port` line for each of the first `count` hosts."""
        path = os.path.join(self.folder, f"inventory-{count}")
        with open(path, "w") as file:
            file.writelines(f"{name} {address} {port}\n" for name, address, port in self.hosts[:count])
        return path

    def cpu_seconds(self):
        """CPU time of the sshds and of everything that they ran and that has ended."""
        total = 0
        for pid in children(self.init):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/stat") as file:
                    total += sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:15])
        return total / os.sysconf("SC_CLK_TCK")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def spawn(*command, **options):
    """Starts a process that is ended when this one is."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, **options)


@contextlib.contextmanager
def fleet(scratch, count, rtt_ms=None, shell=None):
    """Starts `count` hosts, on 127.0.0.x, or with `rtt_ms` on 198.18.0.x behind a path with that round-trip time.

    root's login shell there is `shell`, or what it is on this machine.
    """
    delayed = rtt_ms is not None
    folder = os.path.join(scratch, f"fleet-{'delayed' if delayed else 'loopback'}")
    os.makedirs(folder, exist_ok=True)
    one = Fleet(folder, "198.18.0.{}" if delayed else "127.0.0.{}", count)
    configure(one, scratch)
    with contextlib.ExitStack() as stack:
        network = ["--net"] if delayed else []
        script = INIT.format(home=os.path.join(scratch, "root-home"), passwd=accounts(folder, shell), folder=folder)
        sshds = spawn("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *network, "sh", "-c", script)
        stack.callback(end, sshds)
        one.init = until(lambda: next(iter(children(sshds.pid)), None), "the hosts' first process")
        if delayed:
            stack.enter_context(delayed_path(one, scratch, rtt_ms))
        until(lambda: all(answers(one, host) for host in one.hosts), "sshd on every host")
        yield one
    shutil.rmtree(folder)


def accounts(folder, shell):
    """This machine's accounts, where root's login shell is `shell`."""
    path = os.path.join(folder, "passwd")
    with open("/etc/passwd") as there, open(path, "w") as file:
        for line in there:
            fields = line.rstrip("\n").split(":")
            if fields[0] == "root" and shell:
                fields[-1] = shutil.which(shell)
            file.write(":".join(fields) + "\n")
    return path


def configure(one, scratch):
    keys = os.path.join(scratch, "keys")
    os.makedirs(keys, exist_ok=True)
    user = os.path.join(keys, "id_ed25519")
    for path in [user, *(os.path.join(keys, name) for name, _, _ in one.hosts)]:
        if not os.path.exists(path):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path], check=True)
    for suffix in ("", ".pub"):
        shutil.copy(user + suffix, one.key + suffix)
    os.makedirs(os.path.join(scratch, "root-home"), exist_ok=True)
    with open(one.known_hosts, "w") as known:
        for name, address, port in one.hosts:
            key = os.path.join(keys, name)
            with open(key + ".pub") as file:
                known.write(f"[{address}]:{port} " + " ".join(file.read().split()[:2]) + "\n")
            with open(os.path.join(one.folder, name + ".conf"), "w") as file:
                file.write(SSHD.format(port=port, address=address, key=key, authorized=one.key + ".pub"))


@contextlib.contextmanager
def delayed_path(one, scratch, rtt_ms):
    """Joins a namespace for the controller with the hosts' namespace. Neither has a way out."""
    holder = spawn("unshare", "--net", "sh", "-c", "echo ready && exec sleep 3600", stdout=subprocess.PIPE)
    carrier = None
    try:
        holder.stdout.readline()
        near, far = f"/proc/{holder.pid}/ns/net", f"/proc/{one.init}/ns/net"
        carrier = spawn(os.environ["TUNDELAY"], near, "near0", far, "far0", str(int(rtt_ms * 500)), stdout=subprocess.PIPE)
        if carrier.stdout.readline() != b"ready\n":
            raise SystemExit("tundelay did not start")
        one.enter = ["nsenter", f"--net={near}"]
        batch(near, ["link set lo up", "addr add 198.18.0.1/32 dev near0", "link set near0 mtu 1500 txqueuelen 10000 up",
                     "route add 198.18.0.0/24 dev near0"])
        batch(far, ["link set lo up", *(f"addr add {address}/32 dev lo" for _, address, _ in one.hosts),
                    "link set far0 mtu 1500 txqueuelen 10000 up", "route add 198.18.0.1/32 dev far0"])
        yield
    finally:
        for process in (carrier, holder):
            if process:
                end(process)


def batch(namespace, lines):
    subprocess.run(["nsenter", f"--net={namespace}", "ip", "-batch", "-"], input="\n".join(lines).encode(), check=True)


def answers(one, host):
    """Whether sshd sends its banner."""
    _, address, port = host
    command = [*one.enter, "timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port} && head -c 4 <&3"]
    return subprocess.run(command, capture_output=True).stdout == b"SSH-"


def until(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise SystemExit(f"gave up after {seconds} s waiting for {what}")


def end(process):
    process.kill()
    process.wait(timeout=20)
