"""The files in a tar on disk, read by name in any order; links are followed, and a compressed tar is unpacked."""

from __future__ import annotations

import contextlib
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from sandbox.images.sources.layout import LARGEST_DOCUMENT
from sandbox.oci.oci_errors import BadImage
from sandbox.system import files, tar_members
from sandbox.system.tar_members import ZSTD, LimitedMember

# Larger unpacked content than this factor of the file is an attack; gzip itself ends at 1032.
SWELL = 1100
ROOM = 1 << 20
MOST_MEMBERS = 100_000  # all are kept in memory; an image has some for each layer
MOST_LINKS = 16
_MODES = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zX": "xz"}
# What reading raises for a file that is incomplete or not packed correctly.
BROKEN = (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError, *tar_members.BROKEN)


@dataclass(frozen=True)
class _Place:
    offset: int
    size: int


@dataclass(frozen=True)
class Members:
    """The regular files of the tar at `path`, each with its place; usable by several threads."""

    path: Path
    places: Mapping[str, _Place]

    @classmethod
    def of(cls, path: Path) -> Members:
        """Read the table of a tar, compressed or not. Raises SandboxError."""
        if path.is_dir():
            raise BadImage(f"{path} is a folder, not an archive", fix="write `from: layout` for an OCI layout")
        files.require_regular(path)  # a pipe would be waited for
        try:
            with _opened(path) as tar:
                return cls(path, _places(tar, path.stat().st_size * SWELL + ROOM))
        except BROKEN as error:
            raise BadImage(
                f"{path} is not a readable tar archive", details=str(error), fix="correct `path:`, or write it again"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def size(self, name: str) -> int:
        return self.places[name].size

    def document(self, name: str) -> bytes | None:
        if name not in self.places:
            return None
        if self.size(name) > LARGEST_DOCUMENT:
            raise BadImage(f"{name} in {self.path} is too large", details=f"{self.size(name)} bytes")
        with self.open(name) as file:
            return file.read()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with contextlib.ExitStack() as stack:
            try:
                tar = stack.enter_context(_opened(self.path))
                # By its place: in the tar its name may be another, such as `./index.json`.
                place = self.places[name].offset
                member = next((one for one in tar if one.isfile() and one.offset_data == place), None)
                file = tar.extractfile(member) if member else None
            except BROKEN as error:
                raise BadImage(f"{self.path} cannot be read", details=str(error)) from error
            if file is None:
                raise BadImage(f"{name} in {self.path} is not a file")
            yield file


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        head = file.read(len(ZSTD))
        if head != ZSTD:
            # By "r:*" Python's gzip would look for its beginning in a gigabyte of zeros.
            kind = next((kind for magic, kind in _MODES.items() if head.startswith(magic)), "")
            with tarfile.open(path, f"r:{kind}", tarinfo=LimitedMember) as tar:  # type: ignore[call-overload]
                yield tar
            return
        file.seek(0)  # before 3.14 Python's own does not know zstd
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)
        with tarfile.open(fileobj=reader, mode="r|", tarinfo=LimitedMember) as tar:
            yield tar


def _places(tar: tarfile.TarFile, most: int) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    links: dict[str, str] = {}
    for number, member in enumerate(tar):
        # One below zero led tarfile in circles: CVE-2025-8194.
        if not 0 <= member.size <= most - member.offset_data:
            raise tarfile.ReadError(f"{member.name} would be {member.size} bytes")
        if number >= MOST_MEMBERS:
            raise tarfile.ReadError(f"more than {MOST_MEMBERS} members")
        name = posixpath.normpath(member.name)
        if member.isfile():
            places[name] = _Place(member.offset_data, member.size)
        elif member.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            links[name] = posixpath.normpath(member.linkname)
    for name, place in links.items():
        for _ in range(MOST_LINKS):
            place = links.get(place, place)
        if place in places:
            places[name] = places[place]
    return places
