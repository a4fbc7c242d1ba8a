"""A recipe says how a component of the bundle is built: the data in recipes/NAME/, read into values and hashed."""

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from sandbox.config import yaml_text

RECIPES = Path(__file__).parent / "recipes"
# The checksums of all recipes' Go modules in one file, because recipes share many of them. A line is that of a go.sum
# after the names of the recipes that have it; `scripts/sums` extracts and inserts them.
SUMS = "go.sums"
# The versions of Kubernetes for nodes besides the default, and what is pulled where there is no bundle.
VERSIONS = "versions.yaml"

# The components that have other versions: the program and the node image made with it.
VERSIONED = ("kubernetes", "node")

# Seconds that another version of Kubernetes takes, which shares no packages with the other components.
ALONE = 540

# Change it when the builders make something else from the same recipe: every component is built again.
FORMAT = "3"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An architecture: `name` as in an image's platform (OCI image specification), `machine` as in kernels.

    `loader` is what loads the libraries of its programs, and `triplet` the name of Debian's folder for those (Debian's
    Multiarch specification).
    """

    name: str
    machine: str
    loader: str
    triplet: str


AMD64 = Architecture(name="amd64", machine="x86_64", loader="/lib64/ld-linux-x86-64.so.2", triplet="x86_64-linux-gnu")
ARM64 = Architecture(name="arm64", machine="aarch64", loader="/lib/ld-linux-aarch64.so.1", triplet="aarch64-linux-gnu")


def native() -> Architecture:
    """Return this machine's architecture, and its engine's; amd64 on one that no bundle is for."""
    return ARM64 if os.uname().machine in (ARM64.name, ARM64.machine) else AMD64


@dataclass(frozen=True, kw_only=True)
class GoBuild:
    """Programs built from Go modules; go.mod and go.sum pin every byte of their source.

    `packages` are those for `go build`. `rename` gives programs of the linker their names in the bundle, and
    `variables` are strings that the linker sets (-X). `replace` leaves out optional parts of a program: it names
    vendored source files, each with a file of the recipe to compile instead, or nothing. With `cgo` C code is compiled
    too and linked statically, with the C `libraries` of the Debian trees that the recipe needs.
    """

    programs: tuple[str, ...]
    packages: tuple[str, ...] = ("tool",)
    rename: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    replace: Mapping[str, str] = field(default_factory=dict)
    cgo: bool = False
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModuleFiles:
    """Files copied from a Go module unchanged; go.mod and go.sum pin every byte of them."""

    module: str
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DebianTree:
    """A Debian system in a folder or, if `configured` is false, packages that are only unpacked.

    Change `refreshed` to a later day to fetch the packages and their security updates again.
    """

    suite: str
    refreshed: str
    packages: tuple[str, ...]
    configured: bool = True
    prune: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of one layer made from files, without a Dockerfile and without a base image.

    `names` are references in the cluster, besides `Recipe.reference`. By its path in the image each of `programs` is
    one of this recipe, each of `files` a file of it, and each of `links` the target of a symbolic link. `copies` are
    paths to copy from the Debian tree `tree`, with the libraries they load. `preload` unpacks it into the node image.
    """

    names: tuple[str, ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    tree: str | None = None
    copies: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    preload: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One component: how it is built and, if it is an image, its content.

    `base` is the recipe of which this is another version, with the same files, `seconds` what a first build takes on
    two cores, only for the estimate; `node` tells that this is the node image, made from the other components.
    """

    name: str
    version: str
    base: str = ""
    seconds: int
    needs: tuple[str, ...] = ()
    go: GoBuild | None = None
    files: ModuleFiles | None = None
    debian: DebianTree | None = None
    image: Image | None = None
    node: bool = False

    @property
    def folder(self) -> Path:
        return RECIPES / (self.base or self.name)

    @property
    def go_mod(self) -> Path:
        return RECIPES / self.name / "go.mod"

    @functools.cached_property
    def go_sum(self) -> bytes:
        """Return its go.sum: the file next to go.mod while that is being changed, otherwise its lines of `SUMS`."""
        own = self.go_mod.with_name("go.sum")
        return own.read_bytes() if own.exists() else go_sum(RECIPES / SUMS, self.name)

    @functools.cached_property
    def digest(self) -> str:
        summed, folder = hashlib.sha256(FORMAT.encode()), self.folder
        files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        if self.go_sum:
            files[folder / "go.sum"] = self.go_sum
        if self.base:  # what the default's version is does not matter
            files[folder / "recipe.yaml"] = repr(self).encode()
            if self.go_mod.exists():
                files[folder / "go.mod"] = self.go_mod.read_bytes()
        for path, content in sorted(files.items()):
            # The other bits depend on the umask of the checkout or the installation.
            executable = path.exists() and path.stat().st_mode & 0o100
            summed.update(f"\0{path.relative_to(folder)}\0{'111' if executable else '0'}\0".encode())
            summed.update(content)
        for needed in self.needs:
            summed.update(recipes()[needed].digest.encode())
        return summed.hexdigest()[:12]

    @property
    def reference(self) -> str:
        return f"sandbox.dev/{self.base or self.name}:{self.version}-{self.digest}"


@functools.cache
def recipes() -> Mapping[str, Recipe]:
    """Return every recipe by name, each after those it needs; other versions are named NAME-MINOR."""
    every = [_read(path) for path in sorted(RECIPES.glob("*/recipe.yaml"))]
    every += [_read(RECIPES / name / "recipe.yaml", version) for version in versions().bundle for name in VERSIONED]
    by_name = {recipe.name: recipe for recipe in every}
    order = TopologicalSorter({recipe.name: recipe.needs for recipe in every}).static_order()
    return {name: by_name[name] for name in order}


def _read(path: Path, version: str = "") -> Recipe:
    text, name = path.read_text(encoding="utf-8"), path.parent.name
    text = text.replace(AMD64.triplet, native().triplet)  # recipes name folders of Debian as amd64 has them
    if "{version}" in text:
        text = text.replace("{version}", version or yaml_text.document(text)["version"])
    recipe = Recipe(name=name, **_fields(yaml_text.document(text)))
    if not version:
        return recipe
    number = minor(version)
    changed: dict[str, Any] = {"name": f"{name}-{number}", "base": name, "version": version}
    changed["needs"] = tuple(f"{needed}-{number}" if needed in VERSIONED else needed for needed in recipe.needs)
    if recipe.go:  # the recipe writes the default's minor out
        variables = {key: number[2:] if key.endswith(".gitMinor") else v for key, v in recipe.go.variables.items()}
        changed |= {"go": replace(recipe.go, variables=variables), "seconds": ALONE}
    return replace(recipe, **changed)


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    parts = {"go": GoBuild, "files": ModuleFiles, "debian": DebianTree, "image": Image}
    return _tuples(document) | {key: part(**_tuples(document[key])) for key, part in parts.items() if key in document}


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}


def minor(version: str) -> str:
    return ".".join(version.removeprefix("v").split(".")[:2])


def fits(version: str, kubernetes: str | None) -> bool:
    """Return whether a Kubernetes version satisfies a spec: v1.36 accepts each patch release, None every version."""
    return kubernetes is None or f"{version}.".startswith(f"{kubernetes}.")


@dataclass(frozen=True, kw_only=True)
class Versions:
    bundle: tuple[str, ...]
    images: Mapping[str, str]
    addons: Mapping[str, str]
    upstream: Mapping[str, str]


@functools.cache
def versions() -> Versions:
    return Versions(**_tuples(yaml_text.document((RECIPES / VERSIONS).read_text(encoding="utf-8"))))


@functools.cache
def sum_lines(path: Path) -> Mapping[str, frozenset[str]]:
    """Return every go.sum line in the file `path`, in Go's order, with the recipes that have it."""
    parted = (line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return {line: frozenset(names.split(",")) for names, _, line in parted}


def go_sum(path: Path, recipe: str) -> bytes:
    """Return the go.sum of `recipe` byte for byte; empty if it has no Go modules."""
    return "".join(f"{line}\n" for line, names in sum_lines(path).items() if recipe in names).encode()
