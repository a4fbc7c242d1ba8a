"""Writes a bundle file: one tar whose bytes depend on what is in it and on nothing else, packed by zstandard or not."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sandbox.bundle import contents as described
from sandbox.bundle.contents import Component, Contents, File
from sandbox.system import files

LEVEL = 3
BUFFER = 1 << 20
THREADS = 2  # any number gives the same bytes, but none gives others


def write(
    into: Path,
    sources: Iterable[tuple[str, Path]],
    *,
    components: Iterable[Component],
    project: str | None,
    sbom: Callable[[Iterable[File]], bytes],
    compress: bool,
    on_file: Callable[[str], None],
) -> Contents:
    """Write the files `sources`, each under its path in the bundle, to the file `into`, which is there whole or not.

    `sbom` is given the files and makes the bill of materials. Raises OSError.
    """
    places = dict(sources)
    listed = []
    for path, source in sorted(places.items()):
        on_file(f"reading {path}")
        listed.append(File(path=path, size=source.stat().st_size, sha256=_sum(source), executable=_runs(source)))
    bill = sbom(listed)
    listed.append(File(path=described.SBOM, size=len(bill), sha256=hashlib.sha256(bill).hexdigest()))
    ordered = sorted(listed, key=lambda one: one.path)
    made = Contents(project=project, components=tuple(components), files=tuple(ordered))
    with (
        _replacing(into) as file,
        _packed(file, compress) as out,
        tarfile.open(fileobj=out, mode="w|", bufsize=BUFFER) as tar,
    ):
        _add(tar, described.NAME, io.BytesIO(head := encode(made)), len(head))
        for one in ordered:
            on_file(f"writing {one.path}")
            if one.path == described.SBOM:
                _add(tar, one.path, io.BytesIO(bill), one.size)
                continue
            with places[one.path].open("rb") as data:
                _add(tar, one.path, data, one.size, executable=one.executable)
    return made


def encode(contents: Contents) -> bytes:
    """The bytes of `bundle.json`, whose digest is the bundle's identity."""
    return contents.model_dump_json(indent=1).encode() + b"\n"


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        measure = hashlib.sha256()
        while data := file.read(1 << 20):
            measure.update(data)
    return measure.hexdigest()


def _runs(path: Path) -> bool:
    return path.stat().st_mode & 0o100 != 0


def _add(tar: tarfile.TarFile, path: str, data: IO[bytes], size: int, *, executable: bool = False) -> None:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mode = 0o755 if executable else 0o644
    tar.addfile(info, data)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends well, and is gone otherwise."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        files.sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _packed(file: IO[bytes], compress: bool) -> Iterator[IO[bytes]]:
    if not compress:
        yield file
        return
    import zstandard

    packer = zstandard.ZstdCompressor(level=LEVEL, threads=THREADS, write_checksum=True)
    with packer.stream_writer(file, closefd=False) as out:
        yield out
