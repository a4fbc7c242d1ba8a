"""Rebuilds a layer's tar from its files and its `tar-split.json.gz` with the rest (vbatts/tar-split, tar/storage)."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.images.sources.image_source import Unreadable
from sandbox.oci.digest import CHUNK

_FILE, _SEGMENT = 1, 2


@dataclass(frozen=True)
class TarSplit:
    """The compressed `data`, the size of the tar in bytes, and the tar's files that are not empty, in its order."""

    data: bytes
    size: int
    names: tuple[bytes, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, data: bytes) -> TarSplit:
        names, sizes, headers = [], [], 0
        for payload, name, size in _entries(data):
            headers += len(payload)
            if size:
                names.append(name)
                sizes.append(size)
        return cls(data, headers + sum(sizes), tuple(names), tuple(sizes))

    def tar(self, contents: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the tar with the `contents` of its files, which come one after another, in pieces of any size."""
        stream = _Stream(contents)
        waiting: list[bytes | memoryview] = []
        length = 0
        for payload, _, size in _entries(self.data):
            for piece in stream.take(size) if size else (payload,):
                waiting.append(piece)
                length += len(piece)
                if length >= CHUNK:
                    yield b"".join(waiting)
                    waiting, length = [], 0
        if length:
            yield b"".join(waiting)


class _Stream:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._piece and not (piece := memoryview(next(self._pieces, b""))):
                raise Unreadable("the files of a layer are too short")
            piece = self._piece or piece
            part, self._piece = piece[:size], piece[size:]
            size -= len(part)
            yield part


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield each entry in order: bytes of the tar, or a file's path below the layer's folder and its size."""
    try:
        with gzip.open(io.BytesIO(data)) as lines:
            for line in lines:
                yield _parsed(json.loads(line))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise Unreadable("the engine's tar-split.json.gz cannot be read", details=repr(error)[:200]) from error


def _parsed(entry: dict[str, Any]) -> tuple[bytes, bytes, int]:
    kind, size = entry["type"], entry.get("size", 0)
    if kind == _SEGMENT:
        return base64.b64decode(entry.get("payload") or b"", validate=True), b"", 0
    if kind != _FILE or not isinstance(size, int) or size < 0:
        raise ValueError(f"an entry is not understood: {entry}")
    return b"", _name(entry) if size else b"", size


def _name(entry: dict[str, Any]) -> bytes:
    raw = entry.get("name_raw")  # of a name that is not UTF-8
    name = base64.b64decode(raw, validate=True) if raw else str(entry["name"]).encode()
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in name:
        raise ValueError(f"a file outside of the layer's folder: {name!r}")
    return b"/".join(parts)
