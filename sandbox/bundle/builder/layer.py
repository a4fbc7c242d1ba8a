"""Deterministic layer tars: the same files give the same bytes, whoever builds them and when."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sandbox.system import interruption


@dataclass(frozen=True)
class Entry:
    """One name in a layer: a copy of the file or link `source`, a symbolic link to `target`, or else a folder."""

    name: PurePosixPath
    source: Path | None = None
    target: str | None = None
    executable: bool = False


def write(entries: Iterable[Entry], into: Path) -> str:
    """Write a layer of single entries, all owned by root, with their parent folders; returns its digest."""
    with (
        into.open("wb") as raw,
        _Hashed(raw) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        seen: set[PurePosixPath] = set()
        for entry in sorted(entries, key=lambda e: e.name.parts):
            for parent in [*reversed(entry.name.parents[:-1]), entry.name]:
                if parent in seen:
                    continue
                seen.add(parent)
                if parent == entry.name:
                    _add(tar, entry)
                else:
                    _add(tar, Entry(parent))
    return out.digest


def write_tree(root: Path, into: Path, *, empty: Iterable[str] = ()) -> str:
    """Write the folder `root` as a layer with owners, modes and hard links; folders in `empty` lose their content."""
    emptied = tuple(f"./{name}/" for name in empty)

    def settle(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if info.name.startswith(emptied) or (info.type == tarfile.CHRTYPE and info.name.startswith("./dev")):
            return None
        info.mtime = 0
        info.uname = info.gname = ""
        return info

    with (
        into.open("wb") as raw,
        _Hashed(raw) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.add(root, arcname=".", filter=settle)
    return out.digest


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(str(entry.name))
    if entry.target is not None or (entry.source and entry.source.is_symlink()):
        info.type = tarfile.SYMTYPE
        info.linkname = entry.target if entry.target is not None else str(entry.source and entry.source.readlink())
        info.mode = 0o777
        tar.addfile(info)
    elif entry.source is None:
        info.type = tarfile.DIRTYPE
        info.mode = 0o1777 if entry.name.name == "tmp" else 0o755
        tar.addfile(info)
    else:
        status = entry.source.stat()
        info.size = status.st_size
        info.mode = 0o755 if entry.executable else status.st_mode & 0o755
        with entry.source.open("rb") as data:
            tar.addfile(info, data)


class _Hashed(io.RawIOBase):
    """A file that hashes what is written to it, until the command is interrupted."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._sum = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile hands over bytes only
        interruption.check()
        self._sum.update(data)
        self._size += len(data)
        return self._out.write(data)

    def tell(self) -> int:
        return self._size

    @property
    def digest(self) -> str:
        return "sha256:" + self._sum.hexdigest()
