"""What a component of the bundle is made of: the data in recipes/NAME/, read into values and hashed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sandbox.bundle.builder import sums
from sandbox.config import yaml_text

RECIPES = Path(__file__).parent / "recipes"

# Raised when the builders put out something else for the same recipe, so that caches are filled again.
FORMAT = "1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GoBuild(_Part):
    """Programs linked from Go modules; go.mod and go.sum pin every byte of their source."""

    programs: tuple[str, ...]
    packages: tuple[str, ...] = Field(default=("tool",), description="what `go build` is given")
    rename: Mapping[str, str] = Field(default={}, description="name the linker gives -> name we give")
    tags: tuple[str, ...] = ()
    variables: Mapping[str, str] = Field(default={}, description="string variables set by the linker (-X)")
    replace: Mapping[str, str] = Field(
        default={}, description="vendored source file -> file of the recipe that takes its place"
    )


class ModuleFiles(_Part):
    """Files taken from a Go module as they are; go.mod and go.sum pin every byte of them."""

    module: str
    paths: tuple[str, ...]


class DebianTree(_Part):
    """A Debian system in a folder, or only some packages unpacked when nothing in it is ever started."""

    suite: str
    refreshed: str = Field(description="a later day has the packages, and their security updates, fetched again")
    packages: tuple[str, ...]
    configured: bool = True
    prune: tuple[str, ...] = ()


class Image(_Part):
    """A one-layer image put together from files, without a Dockerfile and without a base image."""

    names: tuple[str, ...] = Field(default=(), description="references in the cluster; ours is added")
    programs: Mapping[str, str] = Field(default={}, description="path in the image -> program of this recipe")
    files: Mapping[str, str] = Field(default={}, description="path in the image -> file of the recipe")
    tree: str | None = Field(default=None, description="the Debian tree that `copies` come from")
    copies: tuple[str, ...] = Field(default=(), description="paths copied from the tree, with the libraries they load")
    links: Mapping[str, str] = Field(default={}, description="path in the image -> target of a symbolic link")
    folders: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    preload: bool = Field(default=False, description="unpacked into every node beforehand")


class Recipe(_Part):
    """One component: how it is built and, when it is an image, what is in it."""

    name: str
    version: str
    seconds: int = Field(description="about how long a first build takes on two cores; for the estimate only")
    needs: tuple[str, ...] = ()
    go: GoBuild | None = None
    files: ModuleFiles | None = None
    debian: DebianTree | None = None
    image: Image | None = None
    node: bool = Field(default=False, description="this is the node image, put together from the other components")

    @property
    def folder(self) -> Path:
        """Where the recipe's own files are."""
        return RECIPES / self.name

    @functools.cached_property
    def go_sum(self) -> bytes:
        """What is in its go.sum, if it has Go modules: a file beside it while it is changed, else its part of all."""
        own = self.folder / "go.sum"
        return own.read_bytes() if own.exists() else sums.go_sum(RECIPES / sums.NAME, self.name)

    @functools.cached_property
    def digest(self) -> str:
        """Twelve hex digits over every file of this recipe and of those it needs."""
        summed = hashlib.sha256(FORMAT.encode())
        files = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        if self.go_sum:
            files[self.folder / "go.sum"] = self.go_sum
        for path, content in sorted(files.items()):
            # The rest is the umask of whoever checked it out or installed it.
            executable = path.exists() and path.stat().st_mode & 0o100
            summed.update(f"\0{path.relative_to(self.folder)}\0{'111' if executable else '0'}\0".encode())
            summed.update(content)
        for needed in self.needs:
            summed.update(recipes()[needed].digest.encode())
        return summed.hexdigest()[:12]

    @property
    def reference(self) -> str:
        """The name under which the component's image is known to an engine: as specific as its content."""
        return f"sandbox.dev/{self.name}:{self.version}-{self.digest}"


@functools.cache
def recipes() -> Mapping[str, Recipe]:
    """Every recipe by name, in an order in which each comes after what it needs."""
    found = {path.parent.name: _read(path) for path in sorted(RECIPES.glob("*/recipe.yaml"))}
    ordered: dict[str, Recipe] = {}

    def place(name: str) -> None:
        if name not in ordered:
            for needed in found[name].needs:
                place(needed)
            ordered[name] = found[name]

    for name in found:
        place(name)
    return ordered


def _read(path: Path) -> Recipe:
    text = path.read_text(encoding="utf-8")
    text = text.replace("{version}", yaml_text.document(text)["version"])
    return Recipe.model_validate({"name": path.parent.name, **yaml_text.document(text)})
