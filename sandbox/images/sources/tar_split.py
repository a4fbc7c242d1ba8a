"""Rebuilds a layer's tar from what the engine keeps of it: the headers in tar-split, the files in a folder.

The engine unpacks a layer and keeps, in `tar-split.json.gz`, everything that is not a file's content (vbatts/tar-split,
tar/storage: one JSON object a line). Both together give the exact bytes that the layer's digest names.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.config import json_text
from sandbox.images.sources.engine_files import Unreadable
from sandbox.oci.digest import CHUNK

LONGEST_LINE = 8 << 20
BLOCK = 256 << 10
_SEGMENT, _CONTENT = 2, 1


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
        for entry in _entries(data):
            if entry.get("type") == _SEGMENT:
                headers += _payload_size(entry)
            elif length := _length(entry):
                names.append(_name(entry))
                sizes.append(length)
        return cls(data, headers + sum(sizes), tuple(names), tuple(sizes))

    def tar(self, contents: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the tar with the `contents` of its files, which come one after another, in pieces of any size."""
        return _gathered(self._pieces(_Stream(contents)))

    def _pieces(self, contents: _Stream) -> Iterator[bytes | memoryview]:
        for entry in _entries(self.data):
            if entry.get("type") == _SEGMENT:
                yield _payload(entry)
            else:
                yield from contents.take(_length(entry))


class _Stream:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def take(self, size: int) -> Iterator[bytes | memoryview]:
        while size:
            if not self._piece:
                if not (piece := next(self._pieces, b"")):
                    raise Unreadable("the files of a layer are too short")
                if len(piece) <= size:
                    size -= len(piece)
                    yield piece
                    continue
                self._piece = memoryview(piece)
            part, self._piece = self._piece[:size], self._piece[size:]
            size -= len(part)
            yield part


def _gathered(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    waiting: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the entries in order, many decoded at a time: a layer may have a hundred thousand."""
    try:
        with gzip.open(io.BytesIO(data)) as file:
            rest = b""
            while len(rest) < LONGEST_LINE and (block := file.read(BLOCK)):
                lines, _, rest = (rest + block).rpartition(b"\n")
                yield from _decoded(lines)
            yield from _decoded(rest)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Unreadable("the engine's tar-split.json.gz cannot be read", details=str(error)) from error


def _decoded(lines: bytes) -> list[dict[str, Any]]:
    """Decode lines of JSON objects; no line break in a string is literal."""
    entries: list[Any] = json_text.document(b"[" + lines.strip().replace(b"\n", b",") + b"]")
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("an entry is no object")
    return entries


def _length(entry: dict[str, Any]) -> int:
    """Return the number of bytes a file has in the tar; 0 for anything but a non-empty regular file."""
    length = entry.get("size", 0)
    if entry.get("type") != _CONTENT or not isinstance(length, int) or length < 0:
        raise _odd(str(entry)[:200])
    return length


def _payload_size(entry: dict[str, Any]) -> int:
    text = entry.get("payload") or ""
    if not isinstance(text, str):
        raise _odd(str(entry)[:200])
    return len(text) // 4 * 3 - text.count("=", -2)


def _payload(entry: dict[str, Any]) -> bytes:
    try:
        return binascii.a2b_base64(entry.get("payload") or b"", strict_mode=True)
    except (ValueError, TypeError) as error:
        raise _odd(str(error)) from error


def _name(entry: dict[str, Any]) -> bytes:
    """Return the path below the layer's folder; `name_raw` is for one that is not UTF-8."""
    try:
        raw = entry.get("name_raw")
        name = base64.b64decode(raw, validate=True) if raw else str(entry["name"]).encode()
    except (KeyError, ValueError, TypeError) as error:
        raise _odd(str(error)) from error
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in name:
        raise _odd(f"a file outside of the layer's folder: {name!r}")
    return b"/".join(parts)


def _odd(details: str) -> Unreadable:
    return Unreadable("the engine's tar-split.json.gz has an entry that is not understood", details=details)
