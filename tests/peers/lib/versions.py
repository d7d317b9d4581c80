"""Reads tests/peers/versions: which programs are built from which module, and which images are made of them."""
import hashlib
import os
import re
from dataclasses import dataclass

from common import HERE, Failure

TABLE = os.path.join(HERE, "versions")
IMPORT = re.compile(r'^\s*(?:import\s+)?_\s+"([^"]+)"', re.M)
# Kubernetes keeps its version in two packages; the values that its own build script sets.
KUBERNETES = [f"{package}.{name}" for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
              for name in ("gitVersion=v{version}", "gitMajor={major}", "gitMinor={minor}", "gitTreeState=clean")]

# runc is the one program that is partly in C. It is linked statically, as upstream's own builds are, so that the C library of the machine
# that builds it need not be the hosts'; without the tag it would refuse every pod that asks for a seccomp profile.
C_TAGS = {"runc": "seccomp netgo osusergo"}

# How a manifest comes out of a module: as it is there, or made of a chart or of manifests that kustomize puts together.
WAYS = ("manifest", "chart", "kustomization")


@dataclass(frozen=True)
class Module:
    """One folder of tests/peers/go and the programs that it makes."""

    name: str
    version: str
    toolchain: str
    seconds: int
    variables: tuple

    @property
    def folder(self):
        return os.path.join(HERE, "go", self.name)

    def packages(self):
        """The main packages to build: what tools.go imports, or the folder's own."""
        tools = os.path.join(self.folder, "tools.go")
        if not os.path.exists(tools):
            return ["."]
        with open(tools, encoding="utf-8") as file:
            return IMPORT.findall(file.read())

    def programs(self):
        """Binary name -> name in the cache's `bin`. One program has its module's name; several keep theirs, with the module's version."""
        packages = self.packages()
        if len(packages) == 1:
            return {None: self.name}
        _, dash, version = self.name.partition("-")
        return {package.rsplit("/", 1)[1]: package.rsplit("/", 1)[1] + dash + version for package in packages}

    def linker_flags(self):
        static = ["-extldflags -static"] if self.tags else []
        return " ".join(["-s", "-w", *(f"-X {variable}" for variable in self.variables), *static])

    @property
    def tags(self):
        """Build tags of a program that is partly in C; none for the others."""
        return C_TAGS.get(self.name, "")

    def key(self):
        """Changes whenever the programs could: version, toolchain, flags, and every file of the module."""
        digest = hashlib.sha256(repr((self.version, self.toolchain, self.linker_flags(), *([self.tags] if self.tags else []))).encode())
        for folder, folders, files in sorted(os.walk(self.folder)):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                digest.update(os.path.relpath(path, self.folder).encode())
                with open(path, "rb") as file:
                    digest.update(hashlib.sha256(file.read()).digest())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Image:
    """One image of the test registry."""

    reference: str
    program: str
    name: str
    ask: str

    @property
    def repository(self):
        return self.reference.rsplit(":", 1)[0]

    @property
    def tag(self):
        return self.reference.rsplit(":", 1)[1]


def rows(keyword):
    with open(TABLE, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.split("#", 1)[0].split()
            if words and words[0] not in ("program", "image", *WAYS):
                raise Failure(f"{TABLE}:{number}: a line begins with `program`, `image`, `{'`, `'.join(WAYS)}`, not `{words[0]}`")
            if words and words[0] == keyword:
                yield number, words[1:]


def modules():
    """Every module, in the order of the table."""
    found = []
    for number, words in rows("program"):
        if len(words) < 4 or not words[3].isdigit():
            raise Failure(f"{TABLE}:{number}: use `program MODULE VERSION TOOLCHAIN SECONDS [VARIABLE=VALUE]...`")
        name, version, toolchain, seconds, *variables = words
        variables = [each for variable in variables for each in (KUBERNETES if variable == "{kubernetes}" else [variable])]
        major, minor = version.split(".")[:2]
        filled = tuple(variable.format(version=version, major=major, minor=minor) for variable in variables)
        module = Module(name, version, toolchain, int(seconds), filled)
        if not os.path.exists(os.path.join(module.folder, "go.mod")):
            raise Failure(f"{TABLE}:{number}: there is no {module.folder}/go.mod")
        found.append(module)
    return found


def images():
    """Every image, in the order of the table."""
    found = []
    for number, words in rows("image"):
        if len(words) != 4 or ":" not in words[0]:
            raise Failure(f"{TABLE}:{number}: use `image REFERENCE PROGRAM NAME ASK`")
        found.append(Image(*words))
    return found


def version_of(name):
    """The version of a module."""
    for module in modules():
        if module.name == name:
            return module.version
    raise Failure(f"{TABLE} has no module {name}")


@dataclass(frozen=True)
class Manifest:
    """One file for a mirror: its place there, and how it comes out of which release of a module."""

    place: str
    way: str
    module: Module
    version: str
    path: str
    sha256: str

    @property
    def release(self):
        return self.place.split("/")[1]


def manifests():
    """Every manifest, in the order of the table."""
    by_name = {module.name: module for module in modules()}
    found = []
    for way in WAYS:
        for number, words in rows(way):
            wanted = 3 if way == "manifest" else 4
            name, _, version = words[1].partition("@") if len(words) == wanted else ("", "", "")
            if name not in by_name or words[0].count("/") != 2:
                raise Failure(f"{TABLE}:{number}: use `{way} PROJECT/VERSION/FILE MODULE[@VERSION] PATH{' SHA256' if wanted == 4 else ''}`")
            found.append(Manifest(words[0], way, by_name[name], version, words[2], words[3] if wanted == 4 else ""))
    return found
