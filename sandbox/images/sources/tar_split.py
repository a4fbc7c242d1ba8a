"""Rebuilds a layer's tar from what the engine keeps of it: the headers in tar-split, the files in a folder.

The engine unpacks a layer and keeps, in `tar-split.json.gz`, everything that is not a file's content (vbatts/tar-split,
tar/storage: one JSON object a line). Both together give the exact bytes that the layer's digest names.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import gzip
import os
import stat
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from sandbox.config import json_text
from sandbox.errors import SandboxError
from sandbox.oci.digest import CHUNK

LONGEST_LINE = 8 << 20
BLOCK = 256 << 10
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO in the place of a file must not block us, nor a terminal become ours.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_SEGMENT, _CONTENT = 2, 1


class Unreadable(SandboxError):
    """The engine's own files do not give a layer; its `save` may."""


@functools.lru_cache(4096)
def size(split: Path) -> int:
    """Return the size in bytes of the tar that `split` describes, read once for all images that have the layer.

    It cannot change: the path is made of the digests of the layer and of those below. Raises Unreadable.
    """
    return sum(_payload_size(one) if one.get("type") == _SEGMENT else _length(one) for one in _entries(split))


def chunks(split: Path, folder: Path) -> Generator[bytes]:
    """Yield the tar that `split` describes with the contents of the files in `folder`, at most CHUNK bytes at a time.

    The only check here is that every file is a regular one with as many bytes as expected. No link is followed: what
    lies outside `folder` is never read. Raises Unreadable.
    """
    buffer = _Buffer()
    with contextlib.closing(_Files(folder)) as files:
        for entry in _entries(split):
            if entry.get("type") == _SEGMENT:
                yield from buffer.take(_payload(entry))
            elif size := _length(entry):
                with files.open(_name(entry)) as file:
                    yield from buffer.read(file, size, entry)
    yield from buffer.rest()


class _Buffer:
    """Collects bytes, and passes them on CHUNK at a time."""

    def __init__(self) -> None:
        self._bytes = memoryview(bytearray(CHUNK))
        self._end = 0

    def take(self, data: bytes) -> list[bytes]:
        """Add `data`; return the pieces that it completes."""
        left, complete = memoryview(data), list[bytes]()
        while left:
            count = min(len(left), CHUNK - self._end)
            self._bytes[self._end : self._end + count] = left[:count]
            self._end, left = self._end + count, left[count:]
            if self._end == CHUNK:
                complete += self.rest()
        return complete

    def read(self, file: int, left: int, entry: dict[str, Any]) -> Iterator[bytes]:
        """Add the `left` bytes of a file, which is that of `entry`; yield the pieces that they complete."""
        if left >= CHUNK:
            yield from self.rest()
        while left >= CHUNK:  # most of a large file is not copied once more
            piece = _piece(file, entry)
            left -= len(piece)
            yield piece
        while left:
            count = _read(file, self._bytes[self._end : min(CHUNK, self._end + left)], entry)
            self._end, left = self._end + count, left - count
            if self._end == CHUNK:
                yield from self.rest()

    def rest(self) -> list[bytes]:
        """Return what there is, if anything."""
        piece, self._end = bytes(self._bytes[: self._end]), 0
        return [piece] if piece else []


class _Files:
    """The regular files below a folder. The folders on the way to the last one stay open, for its neighbours."""

    def __init__(self, root: Path) -> None:
        try:
            self._open = [(b"", os.open(root, _FOLDER))]
        except OSError as error:
            raise _unreadable(str(root), error) from error

    def close(self) -> None:
        """Close the folders."""
        while self._open:
            os.close(self._open.pop()[1])

    @contextlib.contextmanager
    def open(self, name: bytes) -> Iterator[int]:
        """Yield the descriptor of a file. Raises Unreadable if it is missing, not a file, or reached by a link."""
        *folders, base = [part for part in name.split(b"/") if part not in (b"", b".")] or [b".."]
        if b".." in (*folders, base):
            raise Unreadable("a layer names a file outside its folder", details=repr(name))
        try:
            file = os.open(base, FILE, dir_fd=self._folder(folders))
        except OSError as error:
            raise _unreadable(repr(name), error) from error
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Unreadable("a file of a layer is none any more", details=repr(name))
            yield file
        finally:
            os.close(file)

    def _folder(self, names: list[bytes]) -> int:
        same = 0
        while same < min(len(names), len(self._open) - 1) and names[same] == self._open[same + 1][0]:
            same += 1
        while len(self._open) > same + 1:
            os.close(self._open.pop()[1])
        for name in names[same:]:
            self._open.append((name, os.open(name, _FOLDER, dir_fd=self._open[-1][1])))
        return self._open[-1][1]


def _read(file: int, room: memoryview, entry: dict[str, Any]) -> int:
    with _reading(entry):
        if count := os.readv(file, [room]):
            return count
    raise Unreadable("a file of a layer is too short", details=repr(_name(entry)))


def _piece(file: int, entry: dict[str, Any]) -> bytes:
    with _reading(entry):
        if piece := os.read(file, CHUNK):
            return piece
    raise Unreadable("a file of a layer is too short", details=repr(_name(entry)))


@contextlib.contextmanager
def _reading(entry: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(repr(_name(entry)), error) from error


def _entries(split: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries in order, many decoded at a time: a layer may have a hundred thousand."""
    try:
        with gzip.open(split) as file:
            for lines in _blocks(file):
                yield from _decoded(lines)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(split.name, error) from error


def _blocks(file: gzip.GzipFile) -> Iterator[bytes]:
    """Yield whole lines, about BLOCK bytes at a time."""
    rest = b""
    while block := file.read(BLOCK):
        lines, _, rest = (rest + block).rpartition(b"\n")
        yield lines
        if len(rest) > LONGEST_LINE:
            raise ValueError("a line does not end")
    yield rest


def _decoded(lines: bytes) -> list[dict[str, Any]]:
    """Decode lines of JSON objects; no line break in a string is literal."""
    found: list[Any] = json_text.document(b"[" + lines.strip().replace(b"\n", b",") + b"]")
    if not all(isinstance(one, dict) for one in found):
        raise ValueError("an entry is no object")
    return found


def _length(entry: dict[str, Any]) -> int:
    """Return the number of bytes a file has in the tar; 0 for anything but a non-empty regular file."""
    length = entry.get("size", 0)
    if entry.get("type") != _CONTENT or not isinstance(length, int) or length < 0:
        raise Unreadable("tar-split has an entry that is not understood", details=str(entry)[:200])
    return length


def _payload_size(entry: dict[str, Any]) -> int:
    """Return the length of a payload without decoding it."""
    text = entry.get("payload") or ""
    if not isinstance(text, str):
        raise Unreadable("tar-split has an entry that is not understood", details=str(entry)[:200])
    return len(text) // 4 * 3 - text.count("=", -2)


def _payload(entry: dict[str, Any]) -> bytes:
    try:
        return binascii.a2b_base64(entry.get("payload") or b"", strict_mode=True)
    except (ValueError, TypeError) as error:
        raise Unreadable("tar-split has an entry that is not understood", details=str(error)) from error


def _name(entry: dict[str, Any]) -> bytes:
    """Return the path as the tar has it; `name_raw` is for one that is not UTF-8."""
    try:
        raw = entry.get("name_raw")
        return base64.b64decode(raw, validate=True) if raw else str(entry["name"]).encode()
    except (KeyError, ValueError, TypeError) as error:
        raise Unreadable("tar-split has a file without a name", details=str(error)) from error


def _unreadable(what: str, error: Exception) -> Unreadable:
    return Unreadable(f"the engine's {what} cannot be read", details=str(error))
