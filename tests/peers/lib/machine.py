"""The machine behind a virtual machine of the fake Proxmox VE: a host of the world that boots and stops with it, and its guest agent."""
import asyncio
import json
import os
import re
import urllib.parse

import common
import guest_agent
import host as hosts
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from disk import Disk
from guest_agent import AgentError


class Machine:
    """One VM's machine: its disk, a host of the world while it runs, or (without hosts) a plausible agent only. `pve` gives `world`, `with_hosts`,
    `bare_image`, `machines`."""

    def __init__(self, pve, vm, disk=None):
        self.pve, self.vm = pve, vm
        self.disk = disk or Disk(pve.world, vm.vmid)
        self.host = None
        self.booted_for = None
        self.pull_the_plug = False
        self.work = None
        self.programs = {}
        key = ed25519.Ed25519PrivateKey.generate().public_key()
        self.made_up_key = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode() + f" root@{vm.name}\n"

    def then(self, deed):
        """Does the deed after what is under way for this machine."""
        before = self.work

        async def go():
            if before:
                await asyncio.wait([before])
            try:
                await deed()
            except common.Failure as failure:
                print(f"VM {self.vm.vmid}: {failure}", flush=True)

        self.work = asyncio.ensure_future(go())

    async def settled(self):
        """Comes back when nothing is under way."""
        while self.work and not self.work.done():
            await asyncio.wait([self.work])

    def follow(self):
        wanted = self.vm.started_at if self.vm.status == "running" else None
        if wanted != self.booted_for:
            if self.booted_for is not None:
                self.then(self.off)
            if wanted is not None:
                self.then(self.boot)
            self.booted_for = wanted
        elif self.host and wanted is not None and (self.work is None or self.work.done()) and not self.host.running():
            # The guest powered itself off.
            self.vm.status = self.vm.qmpstatus = "stopped"

    def network(self):
        """(address, prefix length) of ipconfig0, or None."""
        found = re.search(r"(?:^|,)ip=([\d.]+)/(\d+)", str(self.vm.config.get("ipconfig0", "")))
        return (found.group(1), int(found.group(2))) if found else None

    def mac(self, card="net0"):
        found = re.search(r"((?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})", str(self.vm.config.get(card, "")))
        return found.group(1).lower() if found else None

    def more_cards(self):
        """Options of `world host start` for the cards beside the first that have an address."""
        for number in range(1, 9):
            found = re.search(r"(?:^|,)ip=([\d.]+/\d+)", str(self.vm.config.get(f"ipconfig{number}", "")))
            if found and self.mac(f"net{number}"):
                yield from ("--card", f"{self.mac(f'net{number}')},{found.group(1)}")

    async def world(self, *argv):
        process = await asyncio.create_subprocess_exec(os.path.join(common.HERE, "world"), *argv, stdin=asyncio.subprocess.DEVNULL,
                                                       stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise common.Failure(f"world {' '.join(argv)}: {said.decode().strip()}")

    async def boot(self):
        network = self.network()
        self.pull_the_plug = False
        if not self.pve.with_hosts or network is None or not network[0].startswith(common.PREFIX):
            return
        number = int(network[0].rsplit(".", 1)[1]) - common.FIRST_HOST
        for other in list(self.pve.machines.values()):
            if other is not self and other.host and other.host.number == number:
                if other.booted_for is not None:
                    raise common.Failure(f"{network[0]} is in use by VM {other.vm.vmid}: no machine was booted")
                await other.settled()
        host = hosts.Host(self.pve.world, number)
        if os.path.exists(host.folder) and not self.has(host):
            await self.world("host", "wipe", str(number))
        config = self.vm.config
        keys = [key for key in urllib.parse.unquote(str(config.get("sshkeys", ""))).splitlines() if key.strip()]
        upgrade = str(config.get("ciupgrade", 1)) == "1"
        seed = self.pve.world.path("pve", f"seed-{self.vm.vmid}")
        os.makedirs(seed, mode=0o700, exist_ok=True)
        for name, text in hosts.seed(self.vm.name, config.get("ciuser"), keys, upgrade, config.get("cipassword")).items():
            with open(os.path.join(seed, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.host = host
        options = ["--seed", seed, "--disk", self.disk.folder]
        # A new machine's id is made of this one, as under KVM (systemd's src/libsystemd/sd-id128/id128-util.c).
        uuid = re.search(r"uuid=([0-9a-f-]{36})", str(config.get("smbios1", "")))
        for option, value in (("--mac", self.mac()), ("--uuid", uuid and uuid.group(1))):
            options += [option, value] if value else []
        options += self.more_cards()
        await self.world("host", "start", str(number), self.vm.name, *options, *(["--port"] if self.pve.bare_image else []))

    def has(self, host):
        """Whether the host at that address is this machine, and not one that had it before or has it now."""
        return host.disk() == self.disk.folder

    async def off(self):
        if self.host and self.has(self.host):
            await self.world("host", "stop", str(self.host.number), *(["--force"] if self.pull_the_plug else []))

    async def go_off(self):
        """Off, and nothing is left to do about it."""
        self.then(self.off)
        await self.settled()
        self.booted_for = None

    async def wipe(self):
        if self.host and self.has(self.host):
            await self.world("host", "wipe", str(self.host.number))
        self.disk.remove()

    # ---------------------------------------------------------------- agent

    async def agent_runs(self):
        if self.host is None:
            return not self.pve.with_hosts
        return await guest_agent.runs(self.host) if self.pve.bare_image else self.host.booted()

    async def inside(self, *argv, data=None):
        """Runs a command in the host; returns (exit code, stdout, stderr)."""
        process = await asyncio.create_subprocess_exec(*self.host.inside(*argv), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                                                       stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate(data)
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    async def agent(self, command, values):
        """The answer to an agent command, or None to leave it to fakepve. Of an image that has an agent in it, we play that."""
        if self.host and self.pve.bare_image:
            return await guest_agent.call(self.host, command, values)
        if command == "network-get-interfaces":
            return {"result": await self.interfaces()}
        if command == "file-read":
            return await self.file_read(values["file"])
        if self.host is None:
            return None
        if command == "get-host-name":
            return {"result": {"host-name": (await self.inside("hostname"))[1].strip()}}
        if command == "get-osinfo":
            return {"result": await self.osinfo()}
        if command == "exec":
            pid = 1000 + len(self.programs)
            data = values.get("input-data")
            self.programs[pid] = asyncio.ensure_future(self.inside(*values["command"], data=data.encode() if data else None))
            return {"pid": pid}
        if command == "exec-status":
            program = self.programs.get(int(values["pid"]))
            if program is None:
                raise AgentError(f"PID {values['pid']} does not exist")
            if not program.done():
                return {"exited": 0}
            code, out, err = program.result()
            return {"exited": 1, "exitcode": code, "out-data": out, "err-data": err}
        return None

    async def interfaces(self):
        if self.host is None:
            address, prefix = self.network() or ("192.0.2.10", 24)
            cards = [("lo", "00:00:00:00:00:00", [("127.0.0.1", 8)]), ("eth0", self.mac(), [(address, prefix)])]
        else:
            listed = json.loads((await self.inside("ip", "-j", "address"))[1] or "[]")
            cards = [(c["ifname"], c.get("address"), [(a["local"], a["prefixlen"]) for a in c["addr_info"]]) for c in listed]
        return [{"name": name, "hardware-address": mac, "ip-addresses": [
            {"ip-address": address, "ip-address-type": "ipv6" if ":" in address else "ipv4", "prefix": prefix} for address, prefix in addresses]}
            for name, mac, addresses in cards]

    async def file_read(self, path):
        if self.host is None:
            text = self.made_up_key if path == "/etc/ssh/ssh_host_ed25519_key.pub" else None
        else:
            code, text, _ = await self.inside("cat", "--", path)
            text = text if code == 0 else None
        if text is None:
            raise AgentError(f"failed to open file '{path}' (mode: 'r'): No such file or directory")
        return {"content": text, "bytes-read": len(text.encode()), "truncated": False}

    async def osinfo(self):
        lines = (await self.inside("cat", "/etc/os-release"))[1].splitlines()
        found = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
        return {"id": found.get("ID"), "name": found.get("NAME"), "pretty-name": found.get("PRETTY_NAME"), "version": found.get("VERSION"),
                "version-id": found.get("VERSION_ID"), "kernel-release": os.uname().release, "kernel-version": os.uname().version, "machine": "x86_64"}
