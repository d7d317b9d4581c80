"""The boot disk of a virtual machine, as far as hosts have disks: an overlay's upper layer above those that it was cloned from."""
import itertools
import os
import shutil

import common

# Two VMs of one id, one after the other, have disks of different names.
_numbers = itertools.count(1)


class Disk:
    """A folder with `upper` (what was written), `work`, `containerd` (no overlay may lie there) and `below` (the layers under it, nearest first)."""

    def __init__(self, world, vmid):
        self.world, self.vmid = world, vmid
        self.folder = world.path("disks", f"{vmid}-{next(_numbers)}")

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def copy(self, vmid):
        """A full clone: everything is its own."""
        new = Disk(self.world, vmid)
        if os.path.isdir(self.folder):
            os.makedirs(new.folder)
            for part in ("upper", "containerd", "below"):
                if os.path.exists(self.path(part)):
                    common.run("cp", "-a", "--reflink=auto", self.path(part), new.folder)
        return new

    def over(self, vmid):
        """A linked clone: ours lies below it, and is not written to any more."""
        new = Disk(self.world, vmid)
        if os.path.isdir(self.path("upper")):
            os.makedirs(new.folder)
            with open(new.path("below"), "w", encoding="utf-8") as file:
                file.writelines(f"{layer}\n" for layer in [self.path("upper"), *below(self.folder)])
        return new

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def below(folder):
    """The layers under a disk, nearest first; under all of them is a base image."""
    try:
        with open(os.path.join(folder, "below"), encoding="utf-8") as file:
            return file.read().split("\n")[:-1]
    except FileNotFoundError:
        return []
