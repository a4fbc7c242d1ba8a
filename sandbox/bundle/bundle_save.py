"""Saves a bundle file: everything in the cache that `up` needs on a machine without a network, and nothing else.

The file is one tar, packed by zstandard or not, whose bytes depend on its content only.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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
ONLY_PROGRAMS = ("kubernetes",)  # kubectl


def chosen(store: Store) -> tuple[Recipe, ...]:
    """Return the components for a bundle: all that `up` needs, and what was built for addons, demos and more nodes.

    Raises SandboxError if a component that `up` needs is not built.
    """
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
    extra = [
        recipe.name for recipe in recipes().values() if recipe.image and not recipe.image.preload and store.has(recipe)
    ]
    tools = [name for name in ONLY_PROGRAMS if store.folder(recipes()[name]).joinpath("bin").exists()]
    return tuple(recipes()[name] for name in dict.fromkeys((*needed, *extra, *tools)))


def save(
    into: Path,
    store: Store,
    *,
    project: tuple[str, Path] | None = None,
    compress: bool = True,
    epoch: int | None = None,
    on_file: Callable[[str], None] = lambda line: None,
) -> Contents:
    """Write the bundle file `into`; `project` is the name of a sandbox and the folder it was exported to.

    The same cache and the same folder give the same bytes. `epoch` is the time in the bill of materials, in seconds.
    Raises SandboxError.
    """
    components = {_component(recipe): recipe for recipe in sorted(chosen(store), key=lambda recipe: recipe.name)}
    made_of = {component: materials.of(recipe, store) for component, recipe in components.items()}
    places = {path: file for component, recipe in components.items() for path, file in _files(component, recipe, store)}
    if project is not None:
        places |= _below(described.PROJECT, project[1])
    safe.sweep(into)  # of a save that was killed: others from the same cache have to wait
    try:
        with safe.replacing(into) as file:
            listed = []
            for path, source in sorted(places.items()):
                on_file(f"reading {path}")
                listed.append(_described(path, source))
            bill = materials.bill_of_materials(made_of, listed, epoch=epoch)
            listed.append(File(path=described.SBOM, size=len(bill), sha256=hashlib.sha256(bill).hexdigest()))
            ordered = tuple(sorted(listed, key=lambda file: file.path))
            made = Contents(project=project[0] if project else None, components=tuple(components), files=ordered)
            _write(file, made, places, bill, compress, on_file)
            return made
    except OSError as error:
        raise safe.refused(f"{into} cannot be written", error) from error


def _component(recipe: Recipe) -> Component:
    return Component(name=recipe.name, version=recipe.version, digest=recipe.digest)


def _files(component: Component, recipe: Recipe, store: Store) -> Iterator[tuple[str, Path]]:
    for part in PARTS:
        place = store.folder(recipe) / part
        if part == "image.tar" and recipe.name in ONLY_PROGRAMS:
            continue
        if place.is_dir():
            yield from _below(f"{component.path}/{part}", place)
        elif place.exists():
            yield f"{component.path}/{part}", place


def _below(path: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield f"{path}/{file.relative_to(folder).as_posix()}", file


def _write(
    into: IO[bytes],
    made: Contents,
    places: Mapping[str, Path],
    bill: bytes,
    compress: bool,
    on_file: Callable[[str], None],
) -> None:
    with _packed(into, compress) as out, tarfile.open(fileobj=out, mode="w|", bufsize=BUFFER) as tar:
        _add(tar, described.NAME, io.BytesIO(head := encode(made)), len(head))
        for file in made.files:
            on_file(f"writing {file.path}")
            if file.path == described.SBOM:
                _add(tar, file.path, io.BytesIO(bill), file.size)
                continue
            with places[file.path].open("rb") as data:
                _add(tar, file.path, data, file.size, executable=file.executable)


def _described(path: str, source: Path) -> File:
    """Return how a file is listed. Raises UsageError for a name that no list may have."""
    try:
        return File(path=path, size=source.stat().st_size, sha256=safe.sha256(source), executable=_runs(source))
    except ValidationError as error:
        raise UsageError(
            f"{path!r} cannot be in a bundle",
            details="its name has characters that are not printed, such as a line break or a narrow space",
            fix="rename it in the project, then sandbox up, and save again",
        ) from error


def encode(contents: Contents) -> bytes:
    """Return the bytes of `bundle.json`; their digest is the bundle's identity."""
    return contents.model_dump_json(indent=1).encode() + b"\n"


def _runs(path: Path) -> bool:
    return path.stat().st_mode & 0o100 != 0


def _add(tar: tarfile.TarFile, path: str, data: IO[bytes], size: int, *, executable: bool = False) -> None:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mode = 0o755 if executable else 0o644
    tar.addfile(info, data)


@contextmanager
def _packed(file: IO[bytes], compress: bool) -> Iterator[IO[bytes]]:
    if not compress:
        yield file
        return
    import zstandard

    packer = zstandard.ZstdCompressor(level=LEVEL, threads=THREADS, write_checksum=True)
    with packer.stream_writer(file, closefd=False) as out:
        yield out
