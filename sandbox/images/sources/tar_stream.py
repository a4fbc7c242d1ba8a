"""Reads the tar that an engine saves images as while it passes, with little memory."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.oci.oci_errors import BadImage
from sandbox.system import interruption

BLOCK = tarfile.BLOCKSIZE
LARGEST_HEADER = 1 << 20
_FIX = "look at the engine's log, then try again"


@dataclass(frozen=True)
class Member:
    """A regular file of a tar: its name as written, its size in bytes."""

    name: str
    size: int


class TarStream:
    """The regular files of a tar (POSIX.1-2017, pax; GNU long names and sizes) whose bytes come from `stream`.

    Iterate over it, and read each member, or part of it, before the next. Raises SandboxError for what is no tar and
    for one that breaks off, and Interrupted as soon as the command is: the rest may be gigabytes.
    """

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._chunk = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        name, size = None, None
        while True:
            self._skip()
            block = self._exactly(BLOCK)
            if not block.strip(b"\0"):
                return
            info = _header(block)
            if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
                data = self._extension(info.size)
                if info.type == tarfile.GNUTYPE_LONGNAME:
                    name = data.rstrip(b"\0").decode(errors="surrogateescape")
                else:
                    records = _records(data)
                    name, size = records.get("path", name), _size(records.get("size")) or size
                continue
            found = Member(name or info.name, info.size if size is None else size)
            name, size = None, None
            self._enter(found.size if info.isreg() or info.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK) else 0)
            if info.isreg():
                yield found

    def read(self) -> bytes:
        """Return the rest of the current member as a whole."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the rest of the current member in pieces as they come."""
        while self._left:
            piece = self._piece(self._left)
            self._left -= len(piece)
            yield piece

    def _enter(self, size: int) -> None:
        if size < 0:
            raise _damaged(f"a member of {size} bytes")
        self._left, self._padding = size, -size % BLOCK

    def _skip(self) -> None:
        for _ in self.chunks():
            pass
        self._exactly(self._padding)
        self._padding = 0

    def _extension(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise _damaged(f"a header of {size} bytes")
        self._enter(size)
        return self.read()

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(self._piece(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def _piece(self, most: int) -> bytes:
        """Return the next bytes, at least one and at most `most`; a piece of the stream that fits is not copied."""
        while self._at == len(self._chunk):
            interruption.check()
            chunk = next(self._stream, None)
            if chunk is None:
                raise BadImage("the Docker Engine's save broke off", details="unexpected end of data", fix=_FIX)
            self._chunk, self._at = chunk, 0
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        return piece


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadImage("the Docker Engine's save is no tar", details=str(error), fix=_FIX) from error


def _records(data: bytes) -> dict[str, str]:
    """Return the records of a pax header, `LENGTH KEY=VALUE` and a line feed each."""
    found: dict[str, str] = {}
    try:
        while data:
            length, _, _ = data.partition(b" ")
            end = int(length)
            if end <= len(length):  # without an end to go on from
                raise _damaged(f"pax header: a record of {end} bytes")
            record, data = data[len(length) + 1 : end - 1], data[end:]
            key, _, value = record.partition(b"=")
            if not record:
                break
            found[key.decode()] = value.decode(errors="surrogateescape")
    except ValueError as error:
        raise _damaged(f"pax header: {error}") from error
    return found


def _size(said: str | None) -> int:
    try:
        return int(said or 0)
    except ValueError as error:
        raise _damaged(f"pax header: {error}") from error


def _damaged(why: str) -> BadImage:
    return BadImage("the Docker Engine's save is damaged", details=why, fix=_FIX)
