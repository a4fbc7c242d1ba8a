"""Saves a bundle file: everything in the cache that `up` needs on a machine without a network, and nothing else.

The file is one tar, packed by zstandard or not, whose bytes depend on its content only.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import IO

import zstandard
from pydantic import ValidationError

from sandbox.bundle import contents as described
from sandbox.bundle.builder import materials
from sandbox.bundle.contents import Component, Contents, File
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import NEEDED
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files as safe

LEVEL = 3
BUFFER = 1 << 20
THREADS = 2  # every number of threads gives the same bytes; without threads they differ
# Parts that are only needed for building stay out, and so does a program's image that the node image has unpacked.
PARTS = ("image.tar", "bin", "files", materials.FILE)
ONLY_PROGRAM = "kubernetes"  # kubectl


def _chosen(store: Store) -> list[Recipe]:
    # All components that `up` needs, and the ones that were built for addons, demos and more nodes.
    nodes = [recipe.name for recipe in recipes().values() if recipe.node and store.has(recipe)]
    needed = [name for name in NEEDED if name != "node"] + (nodes or ["node"])
    missing = [name for name in needed if not store.has(recipes()[name])]
    if missing:
        raise SandboxError(
            "the bundle is not complete",
            details="not built: " + ", ".join(missing),
            fix="sandbox bundle build " + " ".join(missing),
            id="no-bundle",
        )
    names = set(needed)
    for name, recipe in recipes().items():
        if recipe.image and not recipe.image.preload and store.has(recipe):
            names.add(name)
    if store.folder(recipes()[ONLY_PROGRAM]).joinpath("bin").exists():
        names.add(ONLY_PROGRAM)
    return [recipes()[name] for name in sorted(names)]


def save(
    into: Path,
    store: Store,
    *,
    project: tuple[str, Path] | None = None,
    compress: bool = True,
    on_file: Callable[[str], None] = lambda line: None,
) -> Contents:
    """Write the bundle file `into`; `project` is the name of a sandbox and the folder it was exported to.

    The same cache and the same folder give the same bytes. Raises SandboxError.
    """
    components = {Component(name=each.name, version=each.version, digest=each.digest): each for each in _chosen(store)}
    materials_of = {component: materials.of(recipe, store) for component, recipe in components.items()}
    sources: dict[str, Path] = {}
    for component, recipe in components.items():
        for part in PARTS:
            if (part, recipe.name) != ("image.tar", ONLY_PROGRAM):
                sources |= _files(f"{component.path}/{part}", store.folder(recipe) / part)
    if project is not None:
        sources |= _files(described.PROJECT, project[1])
    safe.sweep(into)  # of a save that was killed: others from the same cache have to wait
    try:
        with safe.replacing(into) as file:
            listed = []
            for path, source in sorted(sources.items()):
                on_file(f"reading {path}")
                listed.append(_described(path, source))
            bill = materials.bill_of_materials(materials_of, listed)
            listed.append(File(path=described.SBOM, size=len(bill), sha256=hashlib.sha256(bill).hexdigest()))
            ordered = tuple(sorted(listed, key=lambda file: file.path))
            made = Contents(project=project[0] if project else None, components=tuple(components), files=ordered)
            packer = zstandard.ZstdCompressor(level=LEVEL, threads=THREADS, write_checksum=True)
            with (
                packer.stream_writer(file, closefd=False) if compress else nullcontext(file) as out,
                tarfile.open(fileobj=out, mode="w|", bufsize=BUFFER) as tar,
            ):
                head = made.model_dump_json(indent=1).encode() + b"\n"  # its digest is the bundle's identity
                _add(tar, described.NAME, io.BytesIO(head), len(head))
                for entry in made.files:
                    on_file(f"writing {entry.path}")
                    with io.BytesIO(bill) if entry.path == described.SBOM else sources[entry.path].open("rb") as data:
                        _add(tar, entry.path, data, entry.size, executable=entry.executable)
            return made
    except OSError as error:
        raise safe.refused(f"{into} cannot be written", error) from error


def _files(path: str, source: Path) -> dict[str, Path]:
    if not source.is_dir():
        return {path: source} if source.exists() else {}
    return {f"{path}/{file.relative_to(source).as_posix()}": file for file in source.rglob("*") if file.is_file()}


def _described(path: str, source: Path) -> File:
    status = source.stat()
    try:
        return File(path=path, size=status.st_size, sha256=safe.sha256(source), executable=status.st_mode & 0o100 != 0)
    except ValidationError as error:
        raise UsageError(
            f"{path!r} cannot be in a bundle",
            details="its name has characters that are not printed, such as a line break or a narrow space",
            fix="rename it in the project, then sandbox up, and save again",
        ) from error


def _add(tar: tarfile.TarFile, path: str, data: IO[bytes], size: int, *, executable: bool = False) -> None:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mode = 0o755 if executable else 0o644
    tar.addfile(info, data)
