"""The files in a tar on disk, found by name in any order; links are followed, compression of the tar is undone."""

from __future__ import annotations

import contextlib
import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.oci.oci_errors import BadImage

# What unpacks to more than this besides its own size is made to do harm; gzip itself ends at 1032 times.
SWELL = 1100
ROOM = 1 << 20
LARGEST_DOCUMENT = 8 << 20
_MOST_LINKS = 16


@dataclass(frozen=True)
class _Piece:
    offset: int
    size: int


class _Window:
    """`size` bytes of an open file from `offset` on, as a file; a plain tar needs no tarfile to read a member."""

    def __init__(self, file: IO[bytes], piece: _Piece) -> None:
        file.seek(piece.offset)
        self._file = file
        self._left = piece.size

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, none at the end. Raises EOFError when the tar ends before its member does."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise EOFError("the tar is cut short")
        self._left -= len(data)
        return data


@dataclass(frozen=True)
class Members:
    """The regular files of the tar at `path`, each with its place; usable by several threads."""

    path: Path
    pieces: Mapping[str, _Piece]
    compressed: bool

    @classmethod
    def of(cls, path: Path) -> Members:
        """Read the table of a tar, compressed or not. Raises SandboxError."""
        try:
            try:
                return cls(path, _pieces(path, "r:"), compressed=False)
            except tarfile.ReadError:
                return cls(path, _pieces(path, "r:*"), compressed=True)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise BadImage(
                f"{path} is not a readable tar archive", details=str(error), fix="correct `path:`, or write it again"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self.pieces

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return self.pieces[name].size

    def document(self, name: str) -> bytes | None:
        """Return the content of a small member, None when there is none of that name."""
        if name not in self.pieces:
            return None
        if self.size(name) > LARGEST_DOCUMENT:
            raise BadImage(f"{name} in {self.path} is too large", details=f"{self.size(name)} bytes")
        with self.open(name) as file:
            return file.read()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a member as a file that can be read from start to end."""
        with contextlib.ExitStack() as stack:
            try:
                file = self._opened(name, stack)
            except (OSError, EOFError, tarfile.TarError) as error:
                raise BadImage(f"{self.path} cannot be read", details=str(error)) from error
            yield file

    def _opened(self, name: str, stack: contextlib.ExitStack) -> IO[bytes]:
        if not self.compressed:
            file = stack.enter_context(self.path.open("rb"))
            return _Window(file, self.pieces[name])  # type: ignore[return-value]  # only read() is used
        tar = stack.enter_context(tarfile.open(self.path, "r:*"))  # noqa: SIM115  # the stack closes it
        member = tar.extractfile(name)
        if member is None:
            raise BadImage(f"{name} in {self.path} is not a file")
        return member


def _pieces(path: Path, mode: str) -> dict[str, _Piece]:
    pieces: dict[str, _Piece] = {}
    links: dict[str, str] = {}
    most = path.stat().st_size * SWELL + ROOM
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member in tar:
            if (
                not 0 <= member.size <= most - member.offset_data
            ):  # one below zero led tarfile in circles: CVE-2025-8194
                raise tarfile.ReadError(f"{member.name} would be {member.size} bytes")
            name = posixpath.normpath(member.name)
            if member.isfile():
                pieces[name] = _Piece(member.offset_data, member.size)
            elif member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                links[name] = posixpath.normpath(member.linkname)
    for name, place in links.items():
        for _ in range(_MOST_LINKS):
            place = links.get(place, place)
        if place in pieces:
            pieces[name] = pieces[place]
    return pieces
