"""The files in a tar on disk, found by name in any order; links are followed, and a compressed tar is unpacked."""

from __future__ import annotations

import contextlib
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.images.sources.layout import LARGEST_DOCUMENT
from sandbox.oci.oci_errors import BadImage
from sandbox.system import files, tar_members
from sandbox.system.tar_members import ZSTD, LimitedMember

# Larger unpacked content than this factor of the file is an attack; gzip itself ends at 1032.
SWELL = 1100
ROOM = 1 << 20
MOST_MEMBERS = 100_000  # all are kept in memory; an image has some for each layer
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
        """Return up to `size` bytes, none at the end. Raises EOFError when the tar ends before its member does."""
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
        if path.is_dir():
            raise BadImage(f"{path} is a folder, not an archive", fix="write `from: layout` for an OCI layout")
        files.require_regular(path)  # a pipe would be waited for
        try:
            most = path.stat().st_size * SWELL + ROOM
            try:
                with tarfile.open(path, "r:", tarinfo=LimitedMember) as tar:
                    return cls(path, _pieces(tar, most), compressed=False)
            except tarfile.ReadError:
                with _unpacked(path) as tar:
                    return cls(path, _pieces(tar, most), compressed=True)
        except broken() as error:
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
            except broken() as error:
                raise BadImage(f"{self.path} cannot be read", details=str(error)) from error
            yield file

    def _opened(self, name: str, stack: contextlib.ExitStack) -> IO[bytes]:
        if not self.compressed:
            file = stack.enter_context(self.path.open("rb"))
            return _Window(file, self.pieces[name])  # type: ignore[return-value]  # only read() is used
        tar = stack.enter_context(_unpacked(self.path))
        # By its place: in the tar its name may be another, such as `./index.json`.
        place = self.pieces[name].offset
        member = next((one for one in tar if one.isfile() and one.offset_data == place), None)
        found = tar.extractfile(member) if member else None
        if found is None:
            raise BadImage(f"{name} in {self.path} is not a file")
        return found


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[tarfile.TarFile]:
    """Yield a tar that is compressed, to be read once from its start; before 3.14 Python's own does not know zstd."""
    with path.open("rb") as file:
        if file.read(len(ZSTD)) != ZSTD:
            with tarfile.open(path, "r:*", tarinfo=LimitedMember) as tar:
                yield tar
            return
        import zstandard

        file.seek(0)
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)
        with tarfile.open(fileobj=reader, mode="r|", tarinfo=LimitedMember) as tar:
            yield tar


def _pieces(tar: tarfile.TarFile, most: int) -> dict[str, _Piece]:
    """Return the place of each file, also by the names of links to it; none ends after `most` bytes."""
    pieces: dict[str, _Piece] = {}
    links: dict[str, str] = {}
    for number, member in enumerate(tar):
        # One below zero led tarfile in circles: CVE-2025-8194.
        if not 0 <= member.size <= most - member.offset_data:
            raise tarfile.ReadError(f"{member.name} would be {member.size} bytes")
        if number >= MOST_MEMBERS:
            raise tarfile.ReadError(f"more than {MOST_MEMBERS} members")
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


def broken() -> tuple[type[Exception], ...]:
    """Return the exceptions of reading a file that is incomplete or not packed correctly."""
    import lzma

    return (OSError, zlib.error, lzma.LZMAError, *tar_members.broken())
