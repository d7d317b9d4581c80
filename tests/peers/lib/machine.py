"""The machine behind a virtual machine of the fake Proxmox VE: a host of the world that boots and stops with it, and its guest agent."""
import asyncio
import json
import os
import re
import urllib.parse

import common
import host as hosts
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519


class AgentError(Exception):
    """What the guest agent answers instead of a result."""


class Machine:
    """One VM's machine: a host of the world, or (without hosts) a plausible agent only. `pve` gives `world`, `with_hosts`, `machines`."""

    def __init__(self, pve, vm):
        self.pve, self.vm = pve, vm
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
            if other is not self and other.host and other.host.number == number and other.booted_for is not None:
                raise common.Failure(f"{network[0]} is in use by VM {other.vm.vmid}: no machine was booted")
        host = hosts.Host(self.pve.world, number)
        owner = host.path("vm")
        mine = f"{self.vm.vmid} {self.vm.config.get('smbios1', '')}"
        if os.path.exists(host.folder) and (not os.path.exists(owner) or open(owner, encoding="utf-8").read() != mine):
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
        await self.world("host", "start", str(number), self.vm.name, "--seed", seed, *(["--mac", self.mac()] if self.mac() else []), *self.more_cards())
        with open(owner, "w", encoding="utf-8") as file:
            file.write(mine)

    async def off(self):
        if self.host:
            await self.world("host", "stop", str(self.host.number), *(["--force"] if self.pull_the_plug else []))

    async def wipe(self):
        if self.host:
            await self.world("host", "wipe", str(self.host.number))

    # ---------------------------------------------------------------- agent

    def agent_runs(self):
        return not self.pve.with_hosts if self.host is None else self.host.booted()

    async def inside(self, *argv, data=None):
        """Runs a command in the host; returns (exit code, stdout, stderr)."""
        process = await asyncio.create_subprocess_exec(*self.host.inside(*argv), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                                                       stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate(data)
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    async def agent(self, command, values):
        """The answer to an agent command, or None to leave it to fakepve."""
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
