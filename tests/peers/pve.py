# Copyright (C) the kthw authors. SPDX-License-Identifier: AGPL-3.0-or-later
#
# This one file imports fakepve, which is licensed under the GNU Affero General Public License, version 3 or later, and so carries
# that licence itself. It is a test process of its own: nothing of kthw is linked with it.
"""A fake Proxmox VE (fakepve over TLS, with an API token) whose virtual machines are the hosts of a test world.

Adds to fakepve: what its model leaves out of disks (resize, cloud-init drives, imported images, storages that are a node's own), machines that
boot from disks which are kept and cloned, guest agents that answer from inside them, and a control port. Started by `world pve`; the control port takes
  POST /  {"call": NAME, "args": [...], "kwargs": {...}} | {"set": {ATTRIBUTE: VALUE}} | {"eval": EXPRESSION}   (names: pve, hosts)
  GET /requests   every API request as [{"method", "path", "body"}], secrets redacted; DELETE /requests forgets them
  GET /requests/count   {"GET": n, "POST": n, ..., "writes": n}
"""
import argparse
import asyncio
import contextvars
import os
import re
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import certificates  # noqa: E402
import common  # noqa: E402
import control  # noqa: E402
import guest_agent  # noqa: E402
from aiohttp import web  # noqa: E402
from fakepve import FakePve  # noqa: E402
from fakepve.lxc import SIZE_UNITS, format_size  # noqa: E402
from fakepve.model import PveError, TaskError  # noqa: E402
from fakepve.qemu import DRIVE_KEY, NEW_DISK, is_cdrom, join_drive, split_drive, volume_ref, with_mac  # noqa: E402
from fakepve.storage import _is_file  # noqa: E402
from machine import Machine  # noqa: E402

# What a downloaded cloud image unpacks to: not a whole number of GiB, as Ubuntu's.
IMAGE_BYTES = 3584 * 1024**2
SECRET = re.compile(rb"(?<![^&])(cipassword=)[^&]*")
# The Proxmox node that the request under way names.
NODE = contextvars.ContextVar("node", default=None)


class WorldPve(FakePve):
    """fakepve with disks that keep their promises and agents that look into real hosts."""

    def __init__(self, host, port, with_hosts, bare_image, world):
        super().__init__(user="root@pam", password=str(uuid.uuid4()), host=host, port=port)
        self.world, self.with_hosts, self.bare_image = world, with_hosts, bare_image
        self.machines, self.cloning = {}, set()
        self.max_requests = 1_000_000
        self.storages["local"]["content"] = "iso,vztmpl,backup,snippets,import"

    def _record(self, request, body):
        super()._record(request, SECRET.sub(rb"\g<1>***", body))

    # ---------------------------------------------------------------- disks

    def _routes_world(self):
        return [("PUT", "/nodes/{node}/qemu/{vmid}/resize", self._resize)]

    async def _resize(self, values, user):
        vm = self.find(values["node"], values["vmid"])
        self.require(user, f"/vms/{vm.vmid}", "VM.Config.Disk")
        self.need_quorum()
        self._check_lock(vm)
        if values.get("digest") and values["digest"] != vm.digest():
            raise PveError(500, "checksum mismatch (file change by other user?)")
        disk, text = values["disk"], str(values["size"])
        amount, unit = re.fullmatch(r"\+?(\d+(?:\.\d+)?)([KMGT]?)", text).groups()
        asked = int(float(amount) * (SIZE_UNITS[unit] if unit else 1))

        async def body():
            if disk not in vm.config:
                raise TaskError(f"disk '{disk}' does not exist")
            volume, props = split_drive(vm.config[disk])
            if is_cdrom(volume, props):
                raise TaskError("you can't resize a cdrom")
            kept = self._qm_volume(volume)
            if kept is None:
                raise TaskError(f"volume '{volume}' does not exist")
            now = int(kept.get("size") or 0)
            new = now + asked if text.startswith("+") else asked
            if new < now:
                raise TaskError("shrinking disks is not supported")
            kept["size"], props["size"] = new, format_size(new)
            vm.config[disk] = join_drive(volume, props)

        return await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm)

    def _cloudinit_drive(self, storage, vmid):
        """Allocates the volume of a cloud-init drive under PVE's own name for it."""
        volume, _ = self._qm_alloc(storage, vmid, None, 4 * 1024**2)
        volumes = self.storages[storage]["volumes"]
        name = volume.split(":", 1)[1]
        new = f"{vmid}/vm-{vmid}-cloudinit.qcow2" if _is_file(self.storages[storage]) else f"vm-{vmid}-cloudinit"
        volumes[new] = volumes.pop(name)
        return f"{storage}:{new}"

    def _qm_check_drive(self, user, vmid, pool, key, value, default):
        volume, props = split_drive(value)
        source = props.get("import-from")
        if source:
            storage, name = volume_ref(source)
            if storage is None or not self._lies_here(storage, name, NODE.get()):
                raise PveError(500, f"volume '{source}' does not exist")
            if not (NEW_DISK.match(volume) and float(NEW_DISK.match(volume).group(2)) == 0):
                raise PveError(400, "Parameter verification failed.", {key: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"})
        super()._qm_check_drive(user, vmid, pool, key, value, default)

    def _qm_new_drive(self, vmid, key, value, default):
        volume, props = split_drive(value)
        if volume.endswith(":cloudinit"):
            made = self._cloudinit_drive(volume_ref(volume)[0] or default, vmid)
            return join_drive(made, {**{k: v for k, v in props.items() if k != "format"}, "media": "cdrom", "size": "4M"}), [made]
        source = props.pop("import-from", None)
        if not source:
            return super()._qm_new_drive(vmid, key, value, default)
        made, _ = self._qm_alloc(NEW_DISK.match(volume).group(1) or default, vmid, props.pop("format", None), IMAGE_BYTES)
        return join_drive(made, {**props, "size": format_size(IMAGE_BYTES)}), [made]

    async def _qm_create(self, values, user):
        NODE.set(values["node"])
        return await super()._qm_create(values, user)

    async def _qm_clone(self, values, user):
        source = self.find(values["node"], values["vmid"])
        await self.machine(source).settled()
        newid = int(values["newid"])
        self.cloning.add(newid)
        try:
            upid = await super()._qm_clone(values, user)
            new = self.vm(newid)
            if new:
                disk, (volume, _) = self.machine(source).disk, split_drive(source.config.get("scsi0", ""))
                # On LVM-thin a linked clone is of its own from the beginning.
                lies_on = not values.get("full") and "/base-" in volume
                self.machine(new, await asyncio.to_thread(disk.over if lies_on else disk.copy, newid))
        finally:
            self.cloning.discard(newid)
        for key in [k for k in new.config if DRIVE_KEY.match(k)] if new else []:
            volume, props = split_drive(new.config[key])
            if is_cdrom(volume, props) and "-cloudinit" in volume:
                new.config[key] = join_drive(self._cloudinit_drive(values.get("storage") or volume_ref(volume)[0], new.vmid), props)
        # Proxmox reads a description back without the white space at its end.
        if new and "description" in new.config:
            new.config["description"] = new.config["description"].rstrip()
        return upid

    async def _apply_config(self, vm, user, values):
        NODE.set(vm.node)
        values = dict(values)
        for key, value in values.items():
            if re.fullmatch(r"net\d+", key):
                values[key] = with_mac(value)
            elif key == "description":
                values[key] = value.rstrip()
            elif DRIVE_KEY.match(key) and (NEW_DISK.match(split_drive(value)[0]) or split_drive(value)[0].endswith(":cloudinit")):
                self._qm_check_drive(user, vm.vmid, None, key, value, None)
                values[key], _ = self._qm_new_drive(vm.vmid, key, value, None)
        await super()._apply_config(vm, user, values)

    async def _download_url(self, request):
        from fakepve.server import params
        asked = await params(request)
        wanted = {"iso": r"\.(iso|img)$", "import": r"\.(ova|ovf|qcow2|raw|vmdk)$"}.get(asked.get("content"), "")
        if not re.search(wanted, str(asked.get("filename", ""))):
            raise PveError(400, "Parameter verification failed.", {"filename": "wrong file extension"})
        NODE.set(request.match_info["node"])
        return await super()._download_url(request)

    # Storages of one name that are not shared: each node has its own files and disks there.

    def store_file(self, storage, name, size, content="iso"):
        kept = self.storages[storage].get("volumes", {}).get(f"{content}/{name}", {}).get("nodes", set())
        super().store_file(storage, name, size, content)
        if NODE.get():
            self.storages[storage]["volumes"][f"{content}/{name}"]["nodes"] = kept | {NODE.get()}

    def _lies_here(self, storage, name, node):
        volume = self._volumes(storage).get(name)
        owner = self.vm(volume["vmid"]) if volume and volume.get("vmid") else None
        return volume is not None and (self.storages[storage].get("shared") or node in volume.get("nodes", {owner.node if owner else node}))

    async def _content_list(self, values, user):
        listed = await super()._content_list(values, user)
        return [item for item in listed if self._lies_here(*item["volid"].split(":", 1), values["node"])]

    async def _content_delete(self, values, user):
        storage, name = values["storage"], values["volume"].split(":", 1)[-1]
        nodes = self.storages[storage].get("volumes", {}).get(name, {}).get("nodes", set())
        if self.storages[storage].get("shared") or nodes <= {values["node"]}:
            return await super()._content_delete(values, user)

        async def body():
            nodes.discard(values["node"])
        return await self.task(values["node"], "imgdel", storage, user, body, lock=False)

    async def _qm_destroy(self, values, user):
        vm = self.find(values["node"], values["vmid"])
        storage, name = volume_ref(split_drive(vm.config.get("scsi0", ""))[0])

        async def in_use():
            # PVE::QemuServer::destroy_vm; storages of files name a linked clone's volume after its base.
            raise TaskError(f"base volume '{storage}:{name}' is still in use by linked cloned")
        if vm.template and any(other.startswith(f"{name}/") for other in self.storages.get(storage, {}).get("volumes", {})):
            return await self.task(vm.node, "qmdestroy", vm.vmid, user, in_use, vm=vm)
        return await super()._qm_destroy(values, user)

    def destroy(self, vmid):
        """What someone else does behind kthw's back: the VM and its disks are gone at once."""
        vm = self.vm(vmid)
        for key in [k for k in vm.config if DRIVE_KEY.match(k)]:
            self._qm_free(split_drive(vm.config[key])[0])
        self.vms.remove(vm)
        self._pool_leave(vmid)

    # ------------------------------------------------------------- machines

    def machine(self, vm, disk=None):
        """The machine of a VM; a new one has an empty disk above the image, or the one given."""
        known = self.machines.get(vm.vmid)
        if known and known.vm is not vm:
            self.machines.pop(vm.vmid)
            known.then(known.wipe)
            known = None
        if known is None:
            known = self.machines[vm.vmid] = Machine(self, vm, disk)
        return known

    async def task(self, node, kind, ident, user, body, **options):
        async def until_off():
            said, vm, machine = await body(), self.vm(ident), self.machines.get(ident)
            if vm and machine and machine.host and vm.status == "stopped":
                # Like QEMU's process, it runs until the machine is off.
                vm.status = vm.qmpstatus = "running"
                await machine.go_off()
                vm.status = vm.qmpstatus = "stopped"
            return said
        return await super().task(node, kind, ident, user, until_off if kind in ("qmstop", "qmshutdown") else body, **options)

    async def _do_stop(self, vm, user, p):
        if vm.vmid in self.machines:
            self.machines[vm.vmid].pull_the_plug = True
        return await super()._do_stop(vm, user, p)

    async def follow(self):
        """Keeps every machine as its VM is: running, stopped or gone."""
        while True:
            for vmid, machine in list(self.machines.items()):
                if self.vm(vmid) is not machine.vm:
                    del self.machines[vmid]
                    machine.then(machine.wipe)
            for vm in self.vms:
                # A clone's disk is made of its template's by the request.
                if vm.vmid not in self.cloning:
                    self.machine(vm).follow()
            await asyncio.sleep(0.05)

    async def _agent_call(self, match, values):
        vm = self.find(values["node"], values["vmid"])
        command = match.template.rsplit("/", 1)[1]
        if not str(vm.config.get("agent", "0")).replace("enabled=", "").startswith("1"):
            raise PveError(500, "No QEMU guest agent configured")
        machine = self.machines.get(vm.vmid)
        vm.agent = {} if machine and await machine.agent_runs() else None
        if vm.status == "running" and vm.agent is not None and not vm.agent_hangs:
            try:
                answer = await machine.agent(command, values)
            except guest_agent.AgentError as error:
                raise PveError(500, f"Agent error: {error}") from error
            except guest_agent.Silent as silence:
                raise PveError(500, f"VM {vm.vmid} qmp command 'guest-{command}' failed - got timeout") from silence
            if answer is not None:
                return answer
        return await super()._agent_call(match, values)


async def serve(options):
    world = common.World()
    pve = WorldPve(options.host, options.port, not options.no_hosts, options.bare_image, world)
    pve.time_scale = options.time_scale
    names = options.nodes.split(",")
    pve.nodes = {name: {"online": True} for name in names}
    secret = str(uuid.uuid4())
    pve.apitokens[options.token_id] = secret
    root, chain, key, fingerprint = certificates.make(world.path("pve"), options.host, names)
    await pve.start(chain, key)
    runner = web.AppRunner(control.control(pve))
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port + 1).start()
    values = {"PVE_ENDPOINT": pve.url, "PVE_CA_FILE": root, "PVE_FINGERPRINT": fingerprint, "PVE_TOKEN_ID": options.token_id, "PVE_TOKEN_SECRET": secret,
              "PVE_TOKEN": f"{options.token_id}={secret}", "PVE_USER": pve.user, "PVE_PASSWORD": pve.password, "PVE_NODE": names[0],
              "PVE_CONTROL": f"http://{options.host}:{options.port + 1}"}
    with os.fdopen(os.open(world.path("pve.env"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    with open(world.path("pve.ready"), "w", encoding="utf-8"):
        pass
    await pve.follow()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=8006)
    parser.add_argument("--time-scale", type=float, default=0.02)
    parser.add_argument("--token-id", default="root@pam!kthw")
    parser.add_argument("--nodes", default="pve1", help="names of the Proxmox nodes, separated by commas")
    parser.add_argument("--no-hosts", action="store_true")
    parser.add_argument("--bare-image", action="store_true", help="the imported image has no guest agent")
    asyncio.run(serve(parser.parse_args()))
